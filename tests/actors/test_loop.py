"""Actors that share a loop behave as Pykka's actors do, share it fairly, and end cleanly with it."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
import uuid
import weakref
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from contextvars import Context
from typing import Any, TypeVarTuple

import pytest
from pykka import ActorDeadError, ActorRef, ActorRegistry, Future
from pykka._envelope import Envelope

from sojourn.actors.dispatcher import SLICE, TURN, Dispatcher, default_dispatcher, run_in_thread
from sojourn.actors.futures import LoopFuture
from sojourn.actors.loop import LoopActor

PATIENCE = 20.0  # how long a test that would otherwise hang may take to fail


Ts = TypeVarTuple("Ts")


class Boom(Exception):
    pass


class Actor(LoopActor):
    """Calls what it is sent and keeps the rest; it keeps what happens to it, too."""

    use_pykka_registry = False

    def __init__(self) -> None:
        super().__init__()
        self.handled: list[Any] = []
        self.ended: list[Any] = []

    def on_receive(self, message: Any) -> Any:
        if callable(message):
            return message(self)
        self.handled.append(message)
        return message

    def on_stop(self) -> None:
        self.ended.append("stopped")

    def on_failure(self, exception_type: Any, exception_value: BaseException | None, traceback: Any) -> None:
        self.ended.append(exception_type)

    def double(self, number: int) -> int:
        return number * 2


class Registered(Actor):
    use_pykka_registry = True


class Quiet(Actor):
    """Takes an exit for a failure like any other, as sessions do."""

    stops_all_on_exit = False


def do(act: Callable[[Actor], Any]) -> Callable[[Actor], Any]:
    """A message that has the actor do something; it says the types."""
    return act


def fail(_actor: Actor) -> None:
    raise Boom


def leave(_actor: Actor) -> None:
    raise SystemExit(1)


LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop]
if sys.platform != "win32":
    import uvloop

    LOOPS.append(uvloop.new_event_loop)


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"][: len(LOOPS)])
def dispatcher(request: pytest.FixtureRequest) -> Iterator[Dispatcher]:
    """A dispatcher whose loop runs in a thread of its own, on each kind of loop."""
    own = run_in_thread(loop_factory=request.param)
    yield own
    own.close()


def on_loop(test: Callable[[Dispatcher], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        await test(Dispatcher(asyncio.get_running_loop()))

    asyncio.run(main())


async def settle(dispatcher: Dispatcher) -> None:
    while not dispatcher.idle:  # noqa: ASYNC110 - it counts turns, and nothing tells of them
        await asyncio.sleep(0)


def live(dispatcher: Dispatcher, actor_class: type[Actor] = Actor) -> tuple[Actor, ActorRef[Actor]]:
    actor = actor_class()
    actor.launch(dispatcher)
    return actor, actor.actor_ref


# A Pykka actor.


def test_tell_ask_proxy_and_stop_work_from_another_thread(dispatcher: Dispatcher) -> None:
    actor, ref = live(dispatcher)
    ref.tell("told")
    assert ref.ask("asked", timeout=PATIENCE) == "asked"
    proxy = ref.proxy()
    assert proxy.double(21).get(timeout=PATIENCE) == 42
    assert proxy.handled.get(timeout=PATIENCE) == ["told", "asked"]
    assert ref.stop(timeout=PATIENCE) is True
    assert ref.stop(timeout=PATIENCE) is False
    assert not ref.is_alive()
    assert actor.ended == ["stopped"]
    with pytest.raises(ActorDeadError):
        ref.tell("dead")


def test_tell_ask_proxy_and_stop_work_on_the_loop_itself() -> None:
    async def main(dispatcher: Dispatcher) -> None:
        actor, ref = live(dispatcher)
        ref.tell("told")
        assert await ref.ask("asked", block=False) == "asked"
        proxy = ref.proxy()
        assert await proxy.double(21) == 42
        proxy.double.defer(1)
        assert await proxy.stop() is None
        await settle(dispatcher)
        assert actor.ended == ["stopped"]

    on_loop(main)


def test_an_actor_without_a_dispatcher_runs_on_the_one_of_the_process() -> None:
    ref = Registered.start()
    assert ref.ask(do(lambda _: threading.get_ident()), timeout=PATIENCE) == default_dispatcher().thread_id
    assert ActorRegistry.get_by_urn(ref.actor_urn) is ref
    ref.stop(timeout=PATIENCE)
    assert ActorRegistry.get_by_urn(ref.actor_urn) is None


def test_urns_are_uuids_and_each_is_new() -> None:
    urns = [Actor().actor_urn for _ in range(1000)]
    assert len(set(urns)) == 1000
    assert {uuid.UUID(urn).version for urn in urns} == {4}


def test_an_unregistered_class_never_meets_the_registry(dispatcher: Dispatcher) -> None:
    before = ActorRegistry.get_all()
    refs = [Actor.start(dispatcher=dispatcher) for _ in range(3)]
    assert ActorRegistry.get_all() == before
    refs[0].stop(timeout=PATIENCE)
    assert ActorRegistry.get_all() == before


def test_a_stopped_actor_goes_without_the_garbage_collector() -> None:
    async def main(dispatcher: Dispatcher) -> None:
        actor, ref = live(dispatcher)
        gone = weakref.ref(actor)
        assert await ref.ask("work", block=False) == "work"
        del actor
        assert gone() is not None  # the ref's mailbox holds it while it lives
        await ref.stop(block=False)
        await settle(dispatcher)
        assert gone() is None

    gc.collect()
    gc.disable()
    try:
        on_loop(main)
    finally:
        gc.enable()


def test_a_failed_ask_leaves_no_garbage_whether_its_answer_was_read_or_not() -> None:
    async def main(dispatcher: Dispatcher) -> None:
        _, ref = live(dispatcher)
        unread, awaited, got = (ref.ask(fail, block=False) for _ in range(3))
        await settle(dispatcher)
        with suppress(Boom):
            await awaited
        with suppress(Boom):
            got.get()
        kept = [weakref.ref(answer) for answer in (unread, awaited, got)]
        del unread, awaited, got
        assert [answer() for answer in kept] == [None] * 3

    gc.collect()
    gc.disable()
    try:
        on_loop(main)
    finally:
        gc.enable()


# Failure.


def test_an_asks_exception_goes_to_the_asker_and_the_actor_lives(dispatcher: Dispatcher) -> None:
    actor, ref = live(dispatcher)
    with pytest.raises(Boom):
        ref.ask(fail, timeout=PATIENCE)
    assert ref.ask("alive", timeout=PATIENCE) == "alive"
    assert actor.ended == []


def test_a_tells_exception_ends_the_actor_with_on_failure_alone(dispatcher: Dispatcher) -> None:
    actor, ref = live(dispatcher, Registered)
    ActorRegistry.register(ref)
    ref.tell(fail)
    answer = ref.ask("behind", block=False)
    with pytest.raises(ActorDeadError):
        answer.get(timeout=PATIENCE)
    assert actor.ended == [Boom]
    assert not ref.is_alive()
    assert ref not in ActorRegistry.get_all()


def test_an_exit_is_a_failure_like_any_other_where_the_class_says_so() -> None:
    async def main(dispatcher: Dispatcher) -> None:
        bystander = Registered.start(dispatcher=dispatcher)
        actor, ref = live(dispatcher, Quiet)
        with pytest.raises(SystemExit):
            await ref.ask(leave, block=False)
        assert await ref.ask("alive", block=False) == "alive"
        ref.tell(leave)
        await settle(dispatcher)
        assert actor.ended == [SystemExit]
        assert bystander.is_alive()
        await bystander.stop(block=False)

    on_loop(main)


class Escaping(Actor):
    """Overrides the step, and lets through what it must not."""

    def _process(self, envelope: Envelope[Any]) -> None:
        raise KeyboardInterrupt


def test_what_escapes_one_actor_ends_that_actor_and_not_the_loop() -> None:
    async def main(dispatcher: Dispatcher) -> None:
        actor, ref = live(dispatcher, Escaping)
        _, other = live(dispatcher)
        ref.tell("anything")
        behind = ref.ask("behind", block=False)
        assert await other.ask("unharmed", block=False) == "unharmed"
        with pytest.raises(ActorDeadError):
            await behind
        assert actor.ended == [KeyboardInterrupt]

    on_loop(main)


def test_an_answer_that_was_given_already_does_not_harm_the_actor() -> None:
    async def main(dispatcher: Dispatcher) -> None:
        actor, ref = live(dispatcher, Quiet)
        answers = [ref.ask(message, block=False) for message in ("fine", fail, leave)]
        for answer in answers:
            answer.set("meanwhile")
        assert await ref.ask("alive", block=False) == "alive"
        assert [await answer for answer in answers] == ["meanwhile"] * 3
        assert actor.ended == []

    on_loop(main)


# Sharing the loop.


def test_a_busy_actor_gives_way_after_its_slice() -> None:
    async def main(dispatcher: Dispatcher) -> None:
        busy, busy_ref = live(dispatcher)
        _, other = live(dispatcher)
        for number in range(SLICE * 3):
            busy_ref.tell(number)
        seen: list[int] = []
        other.tell(do(lambda _: seen.append(len(busy.handled))))
        await settle(dispatcher)
        assert seen == [SLICE]
        assert busy.handled == list(range(SLICE * 3))

    on_loop(main)


def test_the_loop_gets_its_turn_however_many_actors_are_ready() -> None:
    async def main(dispatcher: Dispatcher) -> None:
        actors = [live(dispatcher)[0] for _ in range(TURN * 2)]
        await settle(dispatcher)
        for actor in actors:
            actor.actor_ref.tell("work")
        await asyncio.sleep(0)
        assert sum(len(actor.handled) for actor in actors) == TURN
        await settle(dispatcher)
        assert all(actor.handled == ["work"] for actor in actors)

    on_loop(main)


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts how often another thread called it."""

    calls = 0

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        self.calls += 1
        return super().call_soon_threadsafe(callback, *args, context=context)


def test_a_burst_from_another_thread_calls_the_loop_once() -> None:
    loop = CountingLoop()
    dispatcher = run_in_thread(loop_factory=lambda: loop)
    actor, ref = live(dispatcher)
    entered, proceed = threading.Event(), threading.Event()

    def block(_actor: Actor) -> None:
        entered.set()
        assert proceed.wait(PATIENCE)

    ref.tell(block)
    assert entered.wait(PATIENCE)  # the loop's thread is busy: the whole burst comes before its next turn
    before = loop.calls
    for number in range(500):
        ref.tell(number)
    assert loop.calls == before + 1
    proceed.set()
    assert ref.ask("last", timeout=PATIENCE) == "last"
    assert actor.handled == [*range(500), "last"]
    dispatcher.close()


def test_idle_is_true_exactly_when_nothing_is_left_to_do() -> None:
    async def main(dispatcher: Dispatcher) -> None:
        assert dispatcher.idle
        actor, ref = live(dispatcher)
        assert not dispatcher.idle  # it has to start
        await settle(dispatcher)
        ref.tell("work")
        assert not dispatcher.idle
        await settle(dispatcher)
        assert actor.handled == ["work"]
        thread = threading.Thread(target=ref.tell, args=("from elsewhere",))
        thread.start()
        thread.join()
        assert not dispatcher.idle
        await settle(dispatcher)
        assert actor.handled == ["work", "from elsewhere"]
        actor.actor_inbox.hold()
        assert not dispatcher.idle
        actor.actor_inbox.release()
        assert dispatcher.idle

    on_loop(main)


# The end of a dispatcher.


def refused(ref: ActorRef[Any]) -> None:
    """Assert that the actor can't be reached, which is said at once."""
    answer = ref.ask("late", block=False)
    assert isinstance(answer, LoopFuture)
    assert answer.done()
    with pytest.raises(ActorDeadError):
        answer.get(timeout=0)


def test_after_the_close_every_message_fails_at_once(dispatcher: Dispatcher) -> None:
    dead: list[tuple[Any, str]] = []
    dispatcher.dead_letter = lambda envelope, reason: dead.append((envelope.message, reason))
    _, told = live(dispatcher)
    _, asked = live(dispatcher, Registered)
    ActorRegistry.register(asked)
    dispatcher.close()
    dispatcher.close()
    told.tell("late")
    refused(asked)
    assert dead == [("late", "loop_closed")]
    assert not told.is_alive()
    assert asked not in ActorRegistry.get_all()
    assert dispatcher.closed


def test_the_close_answers_who_waits_for_a_held_or_busy_actor(dispatcher: Dispatcher) -> None:
    entered, proceed = threading.Event(), threading.Event()

    def block(actor: Actor) -> None:
        answers.append(actor.actor_ref.ask("in the lane", block=False))
        entered.set()
        assert proceed.wait(PATIENCE)

    answers: list[Future[Any]] = []
    held, held_ref = live(dispatcher)
    held_ref.ask(do(lambda actor: actor.actor_inbox.hold()), timeout=PATIENCE)
    busy, busy_ref = live(dispatcher)
    blocked = busy_ref.ask(block, block=False)
    assert entered.wait(PATIENCE)
    answers += [held_ref.ask("held", block=False), busy_ref.ask("behind", block=False)]
    closer = threading.Thread(target=dispatcher.close)
    closer.start()
    while not dispatcher.closed:
        proceed.wait(0)
    refused(busy_ref)
    proceed.set()
    closer.join()
    assert blocked.get(timeout=PATIENCE) is None
    assert (
        answers[0].get(timeout=PATIENCE) == "in the lane"
    )  # it belonged to the slice that was being handled
    for answer in answers[1:]:
        with pytest.raises(ActorDeadError):
            answer.get(timeout=PATIENCE)
    assert held.ended == busy.ended == []


def test_a_dispatcher_closes_on_its_own_loop_with_what_is_queued_there() -> None:
    async def main(dispatcher: Dispatcher) -> None:
        actor, ref = live(dispatcher)
        _, closer = live(dispatcher)
        await settle(dispatcher)
        closer.tell(do(lambda _: dispatcher.close()))
        answer = ref.ask("queued", block=False)
        with pytest.raises(ActorDeadError):
            await answer
        refused(ref)
        assert actor.handled == []

    on_loop(main)


def test_a_dispatcher_of_a_running_loop_is_closed_from_another_thread() -> None:
    async def main(dispatcher: Dispatcher) -> None:
        threads: list[int] = []
        dispatcher.dead_letter = lambda _envelope, _reason: threads.append(threading.get_ident())
        actor, ref = live(dispatcher)
        actor.actor_inbox.hold()
        ref.tell("held")
        answer = ref.ask("held", block=False)
        await asyncio.to_thread(dispatcher.close)
        with pytest.raises(ActorDeadError):
            await answer
        refused(ref)
        assert threads == [threading.get_ident()]  # the mailbox was closed where it belongs

    on_loop(main)


def test_a_loop_that_its_owner_closed_leaves_nobody_waiting() -> None:
    refs: list[ActorRef[Actor]] = []

    async def main(dispatcher: Dispatcher) -> None:
        refs.extend(live(dispatcher)[1] for _ in range(2))
        await settle(dispatcher)

    on_loop(main)  # closes the loop and knows nothing of the dispatcher
    refused(refs[0])
    thread = threading.Thread(target=refused, args=(refs[1],))
    thread.start()
    thread.join()
    assert not any(ref.is_alive() for ref in refs)


def test_a_loop_that_does_not_start_says_so_to_who_wanted_it() -> None:
    def no_loop() -> asyncio.AbstractEventLoop:
        raise Boom

    with pytest.raises(Boom):
        run_in_thread(loop_factory=no_loop)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_gets_a_loop_and_urns_of_its_own() -> None:
    program = """
        import os, sys
        from sojourn.actors.loop import LoopActor
        class Echo(LoopActor):
            def on_receive(self, message):
                return message
        Echo.start().ask("parent", timeout=10)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            ref = Echo.start()
            os.write(write, f"{ref.ask('child', timeout=10)} {ref.actor_urn}".encode())
            os._exit(0)
        os.waitpid(child, 0)
        said, urn = os.read(read, 1000).decode().split()
        print(said, urn == Echo.start().actor_urn)
    """
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
        check=True,
    )
    assert run.stdout.split() == ["child", "False"]
