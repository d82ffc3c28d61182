"""Four holes of Pykka, each shown on `ThreadingActor` first and then closed on `LoopActor`.

1. An ask that passes the liveness check just before the actor stops is never answered.
2. An actor that cannot start stays in the registry for ever, and stopping all actors hangs on it.
3. An actor whose `on_start` fails ends without `on_failure`.
4. Awaiting a future blocks the event loop.

And a fifth, met on the way: an ask whose handler raises `SystemExit` or the like is never answered.
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from pykka import ActorDeadError, ActorRef, ActorRegistry, Future, ThreadingActor, ThreadingFuture, Timeout
from pykka._envelope import Envelope

from sojourn.actors.dispatcher import Dispatcher, default_dispatcher, run_in_thread
from sojourn.actors.futures import LoopFuture
from sojourn.actors.loop import LoopActor

PATIENCE = 20.0  # how long a test that would otherwise hang may take to fail


class PykkaEcho(ThreadingActor):
    def on_receive(self, message: Any) -> Any:
        return message


class Echo(LoopActor):
    def on_receive(self, message: Any) -> Any:
        return message


@pytest.fixture
def dispatcher() -> Iterator[Dispatcher]:
    own = run_in_thread()
    yield own
    own.close()


# 1. The stop race.


def threads_of(actor_class: type[ThreadingActor]) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(f"{actor_class.__name__}-")]


def test_pykka_never_answers_an_ask_that_meets_the_stop_between_check_and_put() -> None:
    ref = PykkaEcho.start()
    (thread,) = threads_of(PykkaEcho)
    answer: ThreadingFuture[Any] = ThreadingFuture()
    assert ref.is_alive()  # what `ask` does first
    ref.stop()
    thread.join()
    ref.actor_inbox.put(Envelope("too late", reply_to=answer))  # what it does next
    with pytest.raises(Timeout):  # and the only thread that could answer is gone
        answer.get(timeout=0)


def test_an_ask_that_meets_the_stop_between_check_and_put_is_answered(dispatcher: Dispatcher) -> None:
    ref = Echo.start(dispatcher=dispatcher)
    answer: LoopFuture[Any] = LoopFuture()
    assert ref.is_alive()
    ref.stop()
    ref.actor_inbox.put(Envelope("too late", reply_to=answer))
    with pytest.raises(ActorDeadError):
        answer.get(timeout=PATIENCE)


@pytest.fixture
def _eager_switches() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_eager_switches")
def test_no_ask_is_lost_however_stops_and_asks_interleave(dispatcher: Dispatcher) -> None:
    rounds, askers, asks_each = 150, 3, 25
    answers: list[list[Future[Any]]] = [[] for _ in range(askers)]

    def ask_on(ref: ActorRef[Echo], mine: list[Future[Any]], line: threading.Barrier) -> None:
        line.wait()
        mine.extend(ref.ask(number, block=False) for number in range(asks_each))

    for _ in range(rounds):
        ref = Echo.start(dispatcher=dispatcher)
        line = threading.Barrier(askers + 1)
        threads = [threading.Thread(target=ask_on, args=(ref, mine, line)) for mine in answers]
        for thread in threads:
            thread.start()
        line.wait()
        assert ref.stop(timeout=PATIENCE) is True
        for thread in threads:
            thread.join()
    outcomes = [outcome(answer) for mine in answers for answer in mine]
    assert len(outcomes) == rounds * askers * asks_each
    assert set(outcomes) <= {"answered", "dead"}


def outcome(answer: Future[Any]) -> str:
    try:
        answer.get(timeout=PATIENCE)
    except ActorDeadError:
        return "dead"
    except Timeout:
        return "lost"
    return "answered"


# 2. The actor that cannot start.


def no_more_threads(_thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_pykka_keeps_an_actor_registered_that_could_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", no_more_threads)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        PykkaEcho.start()
    (ref,) = ActorRegistry.get_by_class(PykkaEcho)
    try:
        assert ref.is_alive()
        with pytest.raises(Timeout):
            ref.stop(timeout=0)
    finally:
        ActorRegistry.unregister(ref)


def test_an_actor_for_whose_loop_there_is_no_thread_is_not_left_registered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    default_dispatcher().close()  # so that the next actor needs a new one
    monkeypatch.setattr(threading.Thread, "start", no_more_threads)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        Echo.start()
    assert ActorRegistry.get_by_class(Echo) == []


def test_an_actor_on_a_closed_dispatcher_is_not_left_registered(dispatcher: Dispatcher) -> None:
    dispatcher.close()
    with pytest.raises(RuntimeError, match="dispatcher is closed"):
        Echo.start(dispatcher=dispatcher)
    assert ActorRegistry.get_by_class(Echo) == []


def test_an_actor_on_a_loop_that_its_owner_has_closed_is_not_left_registered() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(RuntimeError, match="dispatcher is closed"):
        Echo.start(dispatcher=Dispatcher(loop))
    assert ActorRegistry.get_by_class(Echo) == []


# 3. The failing on_start.


class PykkaStillborn(ThreadingActor):
    def __init__(self, failures: list[BaseException | None]) -> None:
        super().__init__()
        self.failures = failures

    def on_start(self) -> None:
        raise OSError("no")

    def on_failure(self, exception_type: Any, exception_value: BaseException | None, traceback: Any) -> None:
        self.failures.append(exception_value)


class Stillborn(LoopActor):
    def __init__(self, failures: list[BaseException | None], ends: list[str]) -> None:
        super().__init__()
        self.failures = failures
        self.ends = ends

    def on_start(self) -> None:
        raise OSError("no")

    def on_stop(self) -> None:
        self.ends.append("stop")

    def on_failure(self, exception_type: Any, exception_value: BaseException | None, traceback: Any) -> None:
        self.failures.append(exception_value)


def test_pykka_does_not_tell_an_actor_that_its_start_failed() -> None:
    failures: list[BaseException | None] = []
    ref = PykkaStillborn.start(failures)
    for thread in threads_of(PykkaStillborn):
        thread.join()
    assert not ref.is_alive()
    assert failures == []


def test_a_failing_start_runs_on_failure_once_and_answers_who_asked_already(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failures: list[BaseException | None] = []
    ends: list[str] = []

    async def main() -> None:
        ref = Stillborn.start(failures, ends, dispatcher=Dispatcher(asyncio.get_running_loop()))
        answers = [ref.ask(number, block=False) for number in range(3)]
        stopped = ref.stop(block=False)
        for answer in answers:
            with pytest.raises(ActorDeadError):
                await answer
        assert await stopped is True
        assert not ref.is_alive()

    asyncio.run(main())
    assert [type(failure) for failure in failures] == [OSError]
    assert ends == []
    assert ActorRegistry.get_by_class(Stillborn) == []
    assert [r.levelname for r in caplog.records if r.levelno >= logging.ERROR] == ["ERROR"]


# 4. Await.


def threads_that_evaluate(future: Future[Any]) -> tuple[int, int]:
    """The thread of the loop that awaits the future, and the one in which its value is waited for."""

    async def main() -> tuple[int, int]:
        future.set_get_hook(lambda _timeout: threading.get_ident())
        return threading.get_ident(), await future

    return asyncio.run(main())


def test_pykka_waits_on_the_loops_thread_when_awaited() -> None:
    loop_thread, waiting_thread = threads_that_evaluate(ThreadingFuture())
    assert waiting_thread == loop_thread


def test_what_is_awaited_is_never_waited_for_on_the_loops_thread() -> None:
    loop_thread, waiting_thread = threads_that_evaluate(LoopFuture())
    assert waiting_thread != loop_thread


def test_the_loop_goes_on_while_an_actor_takes_its_time(dispatcher: Dispatcher) -> None:
    proceed = threading.Event()

    class Slow(LoopActor):
        def on_receive(self, message: Any) -> Any:
            return proceed.wait(PATIENCE)

    ref = Slow.start(dispatcher=dispatcher)

    async def main() -> Any:
        asyncio.get_running_loop().call_soon(proceed.set)  # reached only if awaiting does not block
        return await ref.ask("slowly", block=False)

    assert asyncio.run(main()) is True
    ref.stop()


# 5. SystemExit. It stops every registered actor of the process, so these have a process each.


def answer_to_an_exiting_ask(actor_class: str) -> str:
    program = f"""
        import pykka, sojourn.actors.loop, threading
        class Exiting({actor_class}):
            def on_receive(self, message):
                raise SystemExit(3)
            def on_stop(self):
                stopped.release()
        stopped = threading.Semaphore(0)
        bystander = Exiting.start()
        ref = Exiting.start()
        answer = ref.ask("exit", block=False)
        both = [stopped.acquire(timeout={PATIENCE}) for _ in range(2)]
        {{wait}}
        try:
            answer.get(timeout={{timeout}})
        except BaseException as error:
            print(type(error).__name__, *both, len(pykka.ActorRegistry.get_all()))
    """
    if actor_class == "pykka.ThreadingActor":  # then nobody is left who could answer
        wait = "[t.join() for t in threading.enumerate() if t.name.startswith('Exiting')]"
        program = program.format(wait=wait, timeout=0)
    else:
        program = program.format(wait="", timeout=PATIENCE)
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
        check=True,
    )
    return run.stdout.strip()


def test_pykka_never_answers_an_ask_whose_handler_exits() -> None:
    assert answer_to_an_exiting_ask("pykka.ThreadingActor") == "Timeout True True 0"


def test_an_ask_whose_handler_exits_is_answered_and_all_actors_stop_as_pykka_has_it() -> None:
    assert answer_to_an_exiting_ask("sojourn.actors.loop.LoopActor") == "SystemExit True True 0"
