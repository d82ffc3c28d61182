"""A future is waited for from any thread and awaited on any loop, and awaiting it never blocks that loop."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest
from pykka import Future, ThreadingFuture, Timeout

from sojourn.actors.futures import LoopFuture, WouldDeadlock
from sojourn.actors.loop import Dispatcher, LoopActor, run_in_thread
from sojourn.actors.stop_flag import StopFlag

PATIENCE = 20.0  # how long a test that would otherwise hang may take to fail


class Boom(Exception):
    pass


def refuse_to_start(_thread: threading.Thread) -> None:
    pytest.fail("a thread was started")


class Echo(LoopActor):
    use_pykka_registry = False

    def on_receive(self, message: Any) -> Any:
        return message


def test_a_value_can_be_read_any_number_of_times() -> None:
    future: LoopFuture[int] = LoopFuture()
    assert not future.done()
    future.set(7)
    assert future.done()
    assert [future.get(), future.get(timeout=0), future.result(), future.result(0)] == [7] * 4


@pytest.mark.parametrize("again", ["set", "set_exception", "set_get_hook"])
def test_a_future_is_resolved_once(again: str) -> None:
    future: LoopFuture[int] = LoopFuture()
    future.set(1)
    with pytest.raises(queue.Full):
        resolve(future, again)
    assert future.get() == 1


@pytest.mark.parametrize("again", ["set", "set_exception"])
def test_what_has_a_hook_cannot_be_set(again: str) -> None:
    future: LoopFuture[int] = LoopFuture()
    future.set_get_hook(lambda _timeout: 1)
    with pytest.raises(queue.Full):
        resolve(future, again)
    assert future.get() == 1


def resolve(future: LoopFuture[int], how: str) -> None:
    if how == "set":
        future.set(2)
    elif how == "set_exception":
        future.set_exception((Boom, Boom(), None))
    else:
        future.set_get_hook(lambda _timeout: 2)


def test_an_exception_is_raised_at_every_reader() -> None:
    future: LoopFuture[int] = LoopFuture()
    try:
        raise Boom("here")
    except Boom:
        future.set_exception()
    for _ in range(2):
        with pytest.raises(Boom, match="here"):
            future.get()


def test_an_exception_may_be_given_by_its_class() -> None:
    future: LoopFuture[int] = LoopFuture()
    future.set_exception((Boom, None, None))
    with pytest.raises(Boom):
        future.get()


def test_set_exception_without_an_exception_is_refused_and_resolves_nothing() -> None:
    future: LoopFuture[int] = LoopFuture()
    with pytest.raises(ValueError, match="no exception"):
        future.set_exception()
    assert not future.done()


@pytest.mark.parametrize("timeout", [-1, 0, 0.001])
def test_patience_ends(timeout: float) -> None:
    future: LoopFuture[int] = LoopFuture()
    with pytest.raises(Timeout):
        future.get(timeout=timeout)
    future.set(1)
    assert future.get(timeout=timeout) == 1


def test_a_blocked_reader_gets_what_another_thread_sets() -> None:
    future: LoopFuture[int] = LoopFuture()
    setter = threading.Thread(target=future.set, args=(5,))
    setter.start()
    assert future.get(timeout=PATIENCE) == 5
    setter.join()


def test_a_callback_is_called_once_when_resolved_and_at_once_afterwards() -> None:
    future: LoopFuture[int] = LoopFuture()
    seen: list[str] = []
    future.add_done_callback(lambda done: seen.append(f"early {done.get()}"))
    assert seen == []
    future.set(3)
    assert seen == ["early 3"]
    future.add_done_callback(lambda done: seen.append(f"late {done.get()}"))
    assert seen == ["early 3", "late 3"]


def test_a_failing_callback_is_logged_and_spoils_nothing(caplog: pytest.LogCaptureFixture) -> None:
    future: LoopFuture[int] = LoopFuture()
    seen: list[int] = []

    def fail(_future: Future[int]) -> None:
        raise Boom

    future.add_done_callback(fail)
    future.add_done_callback(lambda done: seen.append(done.get()))
    future.set(1)
    assert seen == [1]
    assert [record.exc_info and record.exc_info[0] for record in caplog.records] == [Boom]


def test_await_leaves_the_loop_free_to_produce_the_value() -> None:
    async def main() -> int:
        future: LoopFuture[int] = LoopFuture()
        asyncio.get_running_loop().call_soon(future.set, 8)
        return await future

    assert asyncio.run(main()) == 8


def test_await_wakes_a_loop_that_sleeps_in_another_thread() -> None:
    future: LoopFuture[int] = LoopFuture()
    waiting = threading.Event()

    def resolve_when_awaited() -> None:
        assert waiting.wait(PATIENCE)
        future.set(9)

    async def main() -> int:
        asyncio.get_running_loop().call_soon(waiting.set)
        async with asyncio.timeout(PATIENCE):
            return await future

    setter = threading.Thread(target=resolve_when_awaited)
    setter.start()
    assert asyncio.run(main()) == 9
    setter.join()


def test_two_loops_await_the_same_future() -> None:
    future: LoopFuture[int] = LoopFuture()
    loops = [run_in_thread("first"), run_in_thread("second")]

    async def read() -> int:
        return await future

    reads = [asyncio.run_coroutine_threadsafe(read(), each.loop) for each in loops]
    future.set(4)
    assert [each.result(PATIENCE) for each in reads] == [4, 4]
    for each in loops:
        each.close()


def test_a_waiter_whose_loop_is_gone_disturbs_nobody() -> None:
    future: LoopFuture[int] = LoopFuture()
    loop = asyncio.new_event_loop()

    async def read() -> int:
        return await future

    waiter = loop.create_task(read())
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    future.set(1)
    assert future.get() == 1
    assert not waiter.done()


def test_who_stops_waiting_leaves_nothing_behind_and_the_future_intact() -> None:
    async def main() -> None:
        future: LoopFuture[int] = LoopFuture()
        waiter = asyncio.ensure_future(as_coroutine(future))
        await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert future._callbacks == []  # pyright: ignore[reportPrivateUsage]  # the claim is about the inside
        future.set(2)
        assert await future == 2

    asyncio.run(main())


async def as_coroutine(future: Future[Any]) -> Any:
    return await future


def test_a_blocking_get_on_the_thread_that_must_produce_the_value_is_refused() -> None:
    async def main() -> None:
        ref = Echo.start(dispatcher=Dispatcher(asyncio.get_running_loop()))
        with pytest.raises(WouldDeadlock):
            ref.ask("now")
        answer = ref.ask("later", block=False)
        with pytest.raises(WouldDeadlock):
            answer.get(timeout=PATIENCE)
        with pytest.raises(WouldDeadlock):
            answer.map(str.upper).get()
        with pytest.raises(Timeout):
            answer.get(timeout=0)  # a look, not a wait
        assert await answer == "later"
        assert answer.get() == "later"

    asyncio.run(main())


DERIVED: dict[str, tuple[Callable[[LoopFuture[Any], LoopFuture[Any]], Future[Any]], Any]] = {
    "map": (lambda first, _: first.map(sum), 6),
    "filter": (lambda first, _: first.filter(lambda x: x > 1), [2, 3]),
    "reduce": (lambda first, _: first.reduce(lambda x, y: x * y, 10), 60),
    "join": (lambda first, second: first.join(second), [[1, 2, 3], "second"]),
    "chain": (lambda first, second: first.map(len).join(second.map(len)).map(sum), 9),
}


@pytest.mark.parametrize("kind", DERIVED)
def test_a_derived_future_is_awaited_without_blocking_and_without_a_thread(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading.Thread, "start", refuse_to_start)
    derive, expected = DERIVED[kind]

    async def main() -> Any:
        first: LoopFuture[Any] = LoopFuture()
        second: LoopFuture[Any] = LoopFuture()
        derived = derive(first, second)
        loop = asyncio.get_running_loop()
        loop.call_soon(first.set, [1, 2, 3])
        loop.call_later(0, second.set, "second")
        assert await derived == expected
        return derived.get(timeout=0)

    assert asyncio.run(main()) == expected


def test_a_stop_is_awaited_without_blocking_and_without_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", refuse_to_start)

    async def main() -> None:
        ref = Echo.start(dispatcher=Dispatcher(asyncio.get_running_loop()))
        assert await ref.stop(block=False) is True
        assert await ref.stop(block=False) is False

    asyncio.run(main())


def test_a_hook_of_unknown_kind_blocks_a_thread_and_not_the_loop() -> None:
    async def main() -> None:
        proceed = threading.Event()
        where: list[int] = []

        def hook(_timeout: float | None) -> str:
            where.append(threading.get_ident())
            assert proceed.wait(PATIENCE)
            return "hooked"

        future: LoopFuture[str] = LoopFuture()
        future.set_get_hook(hook)
        asyncio.get_running_loop().call_soon(proceed.set)  # reached only if the loop goes on
        assert await future == "hooked"
        assert await future == "hooked"
        assert len(where) == 1
        assert where[0] != threading.get_ident()

    asyncio.run(main())


def test_a_future_joined_with_another_runtimes_is_awaited_too() -> None:
    async def main() -> None:
        ours: LoopFuture[int] = LoopFuture()
        theirs: ThreadingFuture[int] = ThreadingFuture()
        loop = asyncio.get_running_loop()
        loop.call_soon(ours.set, 1)
        loop.call_soon(theirs.set, 2)
        assert await ours.join(theirs) == [1, 2]

    asyncio.run(main())


def test_a_hook_set_on_a_future_that_is_waited_for_resolves_it() -> None:
    future: LoopFuture[int] = LoopFuture()
    called = threading.Event()
    future.add_done_callback(lambda _: called.set())
    future.set_get_hook(lambda _timeout: 2)
    assert called.wait(PATIENCE)
    assert future.get(timeout=0) == 2


def test_the_hooks_exception_is_the_result_and_the_hook_ran_once() -> None:
    calls: list[int] = []

    def fail(value: int) -> int:
        calls.append(value)
        raise Boom

    async def main() -> None:
        source: LoopFuture[int] = LoopFuture()
        derived = source.map(fail)
        source.set(1)
        for _ in range(2):
            with pytest.raises(Boom):
                await derived
        with pytest.raises(Boom):
            derived.get()

    asyncio.run(main())
    assert calls == [1]


def test_a_readers_patience_is_not_the_result_of_a_derived_future() -> None:
    source: LoopFuture[int] = LoopFuture()
    derived = source.map(lambda x: x + 1)
    with pytest.raises(Timeout):
        derived.get(timeout=0)
    source.set(1)
    assert derived.get(timeout=0) == 2


def test_a_timeout_that_is_the_sources_result_is_the_derived_ones_too() -> None:
    async def main() -> None:
        source: LoopFuture[int] = LoopFuture()
        asyncio.get_running_loop().call_soon(source.set_exception, (Timeout, Timeout("theirs"), None))
        with pytest.raises(Timeout, match="theirs"):
            await source.map(str)

    asyncio.run(main())


def test_a_reader_and_a_loop_that_want_the_same_derived_value_share_one_evaluation() -> None:
    entered, proceed = threading.Event(), threading.Event()
    calls: list[int] = []

    def slow(value: int) -> int:
        calls.append(value)
        entered.set()
        assert proceed.wait(PATIENCE)
        return value * 2

    source: LoopFuture[int] = LoopFuture()
    derived = source.map(slow)
    source.set(21)
    got: list[int] = []
    reader = threading.Thread(target=lambda: got.append(derived.get()))
    reader.start()
    assert entered.wait(PATIENCE)

    async def main() -> Any:
        asyncio.get_running_loop().call_soon(
            proceed.set
        )  # reached only if the loop does not wait for the reader
        return await derived

    assert asyncio.run(main()) == 42
    reader.join()
    assert got == [42]
    assert calls == [21]


def test_a_reader_who_gives_up_hands_the_evaluation_back_to_who_waits() -> None:
    entered, give_up = threading.Event(), threading.Event()

    def hook(timeout: float | None) -> str:
        if timeout is None:
            return "value"
        entered.set()
        assert give_up.wait(PATIENCE)
        raise Timeout

    future: LoopFuture[str] = LoopFuture()
    future.set_get_hook(hook)
    impatient: list[type[BaseException]] = []

    def read() -> None:
        try:
            future.get(timeout=PATIENCE)
        except Timeout as error:
            impatient.append(type(error))

    reader = threading.Thread(target=read)
    reader.start()
    assert entered.wait(PATIENCE)

    async def main() -> Any:
        waiter = asyncio.ensure_future(as_coroutine(future))
        # The moment that this test is about can only be looked for.
        while not future._left_to_reader:  # noqa: ASYNC110  # pyright: ignore[reportPrivateUsage]
            await asyncio.sleep(0)
        give_up.set()
        async with asyncio.timeout(PATIENCE):
            return await waiter

    assert asyncio.run(main()) == "value"
    reader.join()
    assert impatient == [Timeout]


def test_a_stop_flag_wakes_who_waits_for_it_and_remembers() -> None:
    flag = StopFlag()
    assert not flag.is_set()
    assert flag.wait(0) is False
    setter = threading.Thread(target=flag.set)
    setter.start()
    assert flag.wait(PATIENCE) is True
    setter.join()
    flag.set()
    assert flag.is_set()
    assert flag.wait() is True
