"""What a task awaits here is no future of asyncio's, and the task cannot tell."""

import asyncio
import contextvars
import threading
from typing import Any

import pytest

from sojourn.actors.dispatcher import Dispatcher
from sojourn.actors.futures import LoopFuture
from sojourn.actors.waking import Waiter, Wakes, new_waiter

PATIENCE = 20.0


async def wait_for(waiter: Waiter) -> str:
    await Once(waiter)
    return "went on"


class Once:
    """An awaitable of one waiter."""

    def __init__(self, waiter: Waiter) -> None:
        self._waiter = waiter

    def __await__(self) -> Any:
        yield self._waiter


def on_its_own_loop(dispatcher: Dispatcher | None = None) -> LoopFuture[int]:
    """A future that will be resolved on the running loop, as an actor's there is."""
    future: LoopFuture[int] = LoopFuture()
    future.producer = dispatcher or Dispatcher(asyncio.get_running_loop())
    return future


async def read(future: LoopFuture[int]) -> int:
    return await future


def test_tasks_go_on_in_the_order_they_were_woken() -> None:
    async def main() -> None:
        dispatcher = Dispatcher(asyncio.get_running_loop())
        futures = [on_its_own_loop(dispatcher) for _ in range(5)]
        seen: list[int] = []

        async def look(future: LoopFuture[int]) -> None:
            seen.append(await future)

        tasks = [asyncio.ensure_future(look(future)) for future in futures]
        await asyncio.sleep(0)
        for number in (3, 0, 4, 1, 2):
            futures[number].set(number)
        assert seen == []  # never in the middle of who resolves it
        await asyncio.gather(*tasks)
        assert seen == [3, 0, 4, 1, 2]

    asyncio.run(main())


def test_all_that_one_turn_wakes_goes_on_in_the_next() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        wakes = Wakes(loop)
        waiters = [Waiter(wakes, threading.get_ident()) for _ in range(100)]
        seen: list[int] = []

        async def look(number: int) -> None:
            await Once(waiters[number])
            seen.append(number)

        tasks = [asyncio.ensure_future(look(number)) for number in range(100)]
        await asyncio.sleep(0)
        for waiter in reversed(waiters):
            waiter.wake()
            waiter.wake()  # a second time is nothing
        await asyncio.sleep(0)
        assert seen == list(reversed(range(100)))
        await asyncio.gather(*tasks)

    asyncio.run(main())


def test_a_task_that_waits_can_be_cancelled_and_leaves_nothing_behind() -> None:
    async def main() -> None:
        future = on_its_own_loop()
        task = asyncio.ensure_future(read(future))
        await asyncio.sleep(0)
        assert future._waiter is not None  # pyright: ignore[reportPrivateUsage]  # the claim is about the inside
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task
        assert future._waiter is None  # pyright: ignore[reportPrivateUsage]
        assert not future._callbacks  # pyright: ignore[reportPrivateUsage]
        future.set(2)
        assert await future == 2

    asyncio.run(main())


def test_a_task_that_is_woken_and_cancelled_in_one_turn_is_cancelled() -> None:
    async def main() -> None:
        future = on_its_own_loop()
        task = asyncio.ensure_future(read(future))
        await asyncio.sleep(0)
        future.set(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_a_task_that_is_cancelled_before_its_value_comes_is_cancelled_once() -> None:
    async def main() -> None:
        future = on_its_own_loop()
        task = asyncio.ensure_future(read(future))
        await asyncio.sleep(0)
        task.cancel()
        future.set(1)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await future == 1

    asyncio.run(main())


def test_asyncio_waits_with_a_limit_and_for_several() -> None:
    async def main() -> None:
        late, first, second = on_its_own_loop(), on_its_own_loop(), on_its_own_loop()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await late
        waiting = asyncio.gather(read(first), read(second), read(first))
        await asyncio.sleep(0)
        first.set(1)
        second.set_exception((KeyError, KeyError("gone"), None))
        with pytest.raises(KeyError):
            await waiting
        assert await asyncio.wait_for(read(first), PATIENCE) == 1

    asyncio.run(main())


def test_two_tasks_and_a_callback_hear_of_one_future() -> None:
    async def main() -> None:
        future = on_its_own_loop()
        heard: list[LoopFuture[int]] = []
        tasks = [asyncio.ensure_future(read(future)) for _ in range(2)]
        await asyncio.sleep(0)
        future.add_done_callback(heard.append)
        future.set(3)
        assert await asyncio.gather(*tasks) == [3, 3]
        assert heard == [future]

    asyncio.run(main())


def test_another_thread_resolves_what_is_awaited() -> None:
    async def main() -> None:
        future = on_its_own_loop()
        task = asyncio.ensure_future(read(future))
        await asyncio.sleep(0)
        thread = threading.Thread(target=future.set, args=(5,))
        thread.start()
        assert await asyncio.wait_for(task, PATIENCE) == 5
        thread.join()

    asyncio.run(main())


def test_a_hook_that_comes_while_a_task_waits_gives_the_value() -> None:
    async def main() -> None:
        future = on_its_own_loop()
        task = asyncio.ensure_future(read(future))
        await asyncio.sleep(0)
        future.set_get_hook(lambda _timeout: 6)
        assert await asyncio.wait_for(task, PATIENCE) == 6

    asyncio.run(main())


def test_a_task_goes_on_in_its_own_context() -> None:
    name = contextvars.ContextVar("name", default="nobody")

    async def main() -> None:
        waiter = new_waiter()

        async def look() -> str:
            name.set("the task")
            await Once(waiter)
            return name.get()

        task = asyncio.ensure_future(look())
        await asyncio.sleep(0)
        name.set("who wakes it")
        waiter.wake()
        assert await task == "the task"

    asyncio.run(main())


def test_a_task_that_ends_the_program_does_not_keep_the_others_from_going_on() -> None:
    loop = asyncio.new_event_loop()
    wakes = Wakes(loop)
    waiters = [Waiter(wakes, threading.get_ident()) for _ in range(2)]

    async def leave() -> None:
        await Once(waiters[0])
        raise SystemExit

    async def begin() -> None:
        await asyncio.sleep(0)
        for waiter in waiters:
            waiter.wake()

    leaving = loop.create_task(leave())
    other = loop.create_task(wait_for(waiters[1]))
    beginning = loop.create_task(begin())
    with pytest.raises(SystemExit):
        loop.run_forever()
    assert loop.run_until_complete(other) == "went on"
    loop.run_until_complete(beginning)
    with pytest.raises(SystemExit):
        leaving.result()
    loop.close()


def test_a_wake_for_a_closed_loop_is_nothing() -> None:
    loop = asyncio.new_event_loop()
    waiter = Waiter(Wakes(loop), threading.get_ident())
    loop.close()
    waiter.wake()
    elsewhere = threading.Thread(target=waiter.wake)
    elsewhere.start()
    elsewhere.join()
