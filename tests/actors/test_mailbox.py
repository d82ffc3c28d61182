"""Two lanes, a bound, a hold and an end: what a mailbox does with what is put into it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pykka import ActorDeadError, ActorRef
from pykka._envelope import Envelope

from sojourn.actors.dispatcher import SLICE, Dispatcher, run_in_thread
from sojourn.actors.futures import LoopFuture
from sojourn.actors.loop import LoopActor
from sojourn.actors.mailbox import SYSTEM_SHARE, Mailbox, MailboxFull

PATIENCE = 20.0  # how long a test that would otherwise hang may take to fail


class Recorder(LoopActor):
    """Keeps the messages in the order in which they were handled; a callable is called."""

    use_pykka_registry = False

    def __init__(self) -> None:
        super().__init__()
        self.handled: list[Any] = []

    def on_receive(self, message: Any) -> Any:
        if callable(message):
            return message(self)
        self.handled.append(message)
        return message


def do(act: Callable[[Recorder], Any]) -> Callable[[Recorder], Any]:
    """A message that has the actor do something; it says the types."""
    return act


class Bench:
    """A started recorder on the running loop, its dispatcher and what the dispatcher could not deliver."""

    def __init__(self, actor: Recorder | None = None) -> None:
        self.dead: list[tuple[Any, str]] = []
        self.dispatcher = Dispatcher(
            asyncio.get_running_loop(),
            dead_letter=lambda envelope, reason: self.dead.append((envelope.message, reason)),
        )
        self.actor = actor or Recorder()
        self.ref: ActorRef[Recorder] = self.actor.actor_ref
        self.mailbox = self.actor.actor_inbox
        self.actor.launch(self.dispatcher)

    @property
    def handled(self) -> list[Any]:
        return self.actor.handled

    async def settle(self) -> None:
        while not self.dispatcher.idle:  # noqa: ASYNC110 - it counts turns, and nothing tells of them
            await asyncio.sleep(0)

    async def turns(self, count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    def ask(self, message: Any) -> LoopFuture[Any]:
        answer = self.ref.ask(message, block=False)
        assert isinstance(answer, LoopFuture)
        return answer

    def tell_system(self, message: Any) -> None:
        self.mailbox.put_system(Envelope(message))


def on_bench(test: Callable[[Bench], Awaitable[None]]) -> None:
    async def main() -> None:
        await test(Bench())

    asyncio.run(main())


async def elsewhere(act: Callable[[], Any]) -> None:
    """Do it in another thread, to the end."""
    await asyncio.to_thread(act)


# Lanes.


def test_system_messages_go_ahead_of_what_users_have_put_before() -> None:
    async def main(bench: Bench) -> None:
        bench.ref.tell("user 1")
        bench.ref.tell("user 2")
        bench.tell_system("system 1")
        bench.tell_system("system 2")
        await bench.settle()
        assert bench.handled == ["system 1", "system 2", "user 1", "user 2"]

    on_bench(main)


def test_a_system_message_put_while_users_are_handled_is_next() -> None:
    async def main(bench: Bench) -> None:
        bench.ref.tell(do(lambda _: bench.tell_system("system")))
        bench.ref.tell("user")
        await bench.settle()
        assert bench.handled == ["system", "user"]

    on_bench(main)


def test_users_get_their_share_of_a_slice_however_much_system_work_there_is() -> None:
    async def main(bench: Bench) -> None:
        for number in range(SLICE * 3):
            bench.tell_system(f"system {number}")
        for number in range(SLICE):
            bench.ref.tell(f"user {number}")
        await bench.settle()
        first = bench.handled[:SLICE]
        assert first == [
            *(f"system {number}" for number in range(SYSTEM_SHARE)),
            *(f"user {number}" for number in range(SLICE - SYSTEM_SHARE)),
        ]
        assert len(bench.handled) == SLICE * 4

    on_bench(main)


def test_system_work_fills_the_slice_when_no_user_waits() -> None:
    async def main(bench: Bench) -> None:
        for number in range(SLICE):
            bench.tell_system(number)
        await bench.turns(1)
        assert len(bench.handled) == SLICE

    on_bench(main)


def test_a_drained_mailbox_keeps_no_lane() -> None:
    async def main(bench: Bench) -> None:
        bench.ref.tell("user")
        bench.tell_system("system")
        assert (len(bench.mailbox), bench.mailbox.empty()) == (1, False)
        await bench.settle()
        assert (len(bench.mailbox), bench.mailbox.empty()) == (0, True)
        lanes = bench.mailbox._user, bench.mailbox._system  # pyright: ignore[reportPrivateUsage]
        assert lanes == (None, None)

    on_bench(main)


# Bound.


def test_a_full_mailbox_refuses_the_next_message_on_the_loops_thread_and_takes_it_once_there_is_room() -> (
    None
):
    async def main(bench: Bench) -> None:
        bench.mailbox.limit = 3
        for number in range(3):
            bench.ref.tell(number)
        with pytest.raises(MailboxFull) as full:
            bench.ref.tell("too much")
        with pytest.raises(MailboxFull):
            bench.ask("too much")
        assert full.value.limit == 3
        bench.tell_system("system")
        await bench.settle()
        bench.ref.tell(3)
        await bench.settle()
        assert bench.handled == ["system", 0, 1, 2, 3]
        assert bench.dead == []

    on_bench(main)


def test_the_default_bound_is_a_thousand() -> None:
    async def main(bench: Bench) -> None:
        for number in range(1000):
            bench.ref.tell(number)
        with pytest.raises(MailboxFull, match="1000"):
            bench.ref.tell("too much")

    on_bench(main)


def test_from_another_thread_a_full_mailbox_answers_an_ask_and_makes_a_tell_a_dead_letter() -> None:
    async def main(bench: Bench) -> None:
        bench.mailbox.limit = 1
        answers: list[LoopFuture[Any]] = []

        def put() -> None:
            bench.ref.tell("fits")
            bench.ref.tell("lost")
            answers.append(bench.ask("refused"))

        thread = threading.Thread(target=put)
        thread.start()
        thread.join()  # the loop does not run meanwhile: all three are delivered in one go
        with pytest.raises(MailboxFull):
            await answers[0]
        await bench.settle()
        assert bench.handled == ["fits"]
        assert bench.dead == [("lost", "mailbox_full")]

    on_bench(main)


def test_who_is_full_can_still_be_stopped() -> None:
    async def main(bench: Bench) -> None:
        bench.mailbox.limit = 2
        bench.ref.tell(1)
        bench.ref.tell(2)
        assert await bench.ref.stop(block=False) is True
        assert bench.handled == [1, 2]

    on_bench(main)


# Hold.


def test_nothing_is_handled_while_held_and_all_of_it_in_order_after_the_release() -> None:
    async def main(bench: Bench) -> None:
        bench.mailbox.hold()
        bench.ref.tell("user")
        bench.tell_system("system")
        await elsewhere(lambda: bench.ref.tell("from elsewhere"))
        await bench.turns(5)
        assert bench.handled == []
        assert bench.mailbox.held
        assert not bench.dispatcher.idle
        bench.mailbox.release()
        await bench.settle()
        assert bench.handled == ["system", "user", "from elsewhere"]
        assert not bench.mailbox.held

    on_bench(main)


def test_a_handler_that_holds_is_the_last_one_handled() -> None:
    async def main(bench: Bench) -> None:
        bench.ref.tell("before")
        bench.ref.tell(do(lambda actor: actor.actor_inbox.hold()))
        bench.ref.tell("after")
        await bench.turns(5)
        assert bench.handled == ["before"]
        bench.mailbox.release()
        await bench.settle()
        assert bench.handled == ["before", "after"]

    on_bench(main)


def test_a_hold_that_is_released_within_the_handler_changes_nothing() -> None:
    async def main(bench: Bench) -> None:
        def hold_and_release(actor: Recorder) -> None:
            actor.actor_inbox.hold()
            actor.actor_inbox.release()

        bench.ref.tell(hold_and_release)
        bench.ref.tell("after")
        await bench.settle()
        assert bench.handled == ["after"]

    on_bench(main)


class Starter(Recorder):
    """Says when it starts, and holds itself then if asked to."""

    def __init__(self, *, holds: bool) -> None:
        super().__init__()
        self.holds = holds

    def on_start(self) -> None:
        self.handled.append("started")
        if self.holds:
            self.actor_inbox.hold()


def test_a_hold_before_the_start_delays_the_start() -> None:
    async def main() -> None:
        bench = Bench(Starter(holds=False))
        bench.mailbox.hold()
        await bench.turns(5)
        assert bench.handled == []
        bench.mailbox.release()
        await bench.settle()
        assert bench.handled == ["started"]

    asyncio.run(main())


def test_a_hold_from_on_start_delays_the_first_message() -> None:
    async def main() -> None:
        bench = Bench(Starter(holds=True))
        bench.ref.tell("first")
        await bench.turns(5)
        assert bench.handled == ["started"]
        bench.mailbox.release()
        await bench.settle()
        assert bench.handled == ["started", "first"]

    asyncio.run(main())


def test_closing_a_held_mailbox_answers_who_asked_and_ends_the_hold() -> None:
    async def main(bench: Bench) -> None:
        bench.mailbox.hold()
        answer = bench.ask("never")
        bench.mailbox.close()
        with pytest.raises(ActorDeadError):
            await answer
        await bench.turns(2)
        assert bench.dispatcher.idle
        bench.mailbox.release()  # the I/O that it waited for comes back
        assert bench.mailbox.closed
        await bench.settle()
        assert bench.handled == []

    on_bench(main)


# Start and end.


def test_what_was_put_before_the_start_is_handled_after_on_start() -> None:
    async def main() -> None:
        early = Starter(holds=False)
        early.actor_ref.tell("early")
        bench = Bench(early)
        bench.ref.tell("late")
        await bench.settle()
        assert bench.handled == ["started", "early", "late"]

    asyncio.run(main())


def test_the_bound_holds_before_the_start_too() -> None:
    mailbox = Mailbox(limit=1)
    mailbox.put(Envelope("fits"))
    with pytest.raises(MailboxFull):
        mailbox.put(Envelope("too much"))
    assert mailbox.get().message == "fits"


def test_what_waits_behind_a_stop_is_refused_with_its_reason() -> None:
    async def main(bench: Bench) -> None:
        bench.ref.tell("before")
        stopped = bench.ref.stop(block=False)
        again = bench.ref.stop(block=False)
        bench.ref.tell("behind")
        answer = bench.ask("behind")
        assert await stopped is True
        assert await again is True  # it was being stopped
        with pytest.raises(ActorDeadError):
            await answer
        assert bench.handled == ["before"]
        assert bench.dead == [("behind", "stopped")]

    on_bench(main)


def test_a_closed_mailbox_answers_an_ask_and_makes_a_tell_a_dead_letter_from_any_thread() -> None:
    async def main(bench: Bench) -> None:
        await bench.ref.stop(block=False)
        answers: list[LoopFuture[Any]] = []

        def put() -> None:
            for lane, put_envelope in (("user", bench.mailbox.put), ("system", bench.mailbox.put_system)):
                answer: LoopFuture[Any] = LoopFuture()
                put_envelope(Envelope("asked", reply_to=answer))
                put_envelope(Envelope(f"told {lane}"))
                answers.append(answer)

        put()
        await elsewhere(put)
        for answer in answers:
            with pytest.raises(ActorDeadError):
                await answer
        assert bench.dead == [("told user", "stopped"), ("told system", "stopped")] * 2

    on_bench(main)


def test_a_dead_letter_callback_that_fails_is_logged_and_harms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main(bench: Bench) -> None:
        def fail(_envelope: Envelope[Any], _reason: str) -> None:
            raise OSError

        bench.dispatcher.dead_letter = fail
        await bench.ref.stop(block=False)
        bench.mailbox.put(Envelope("lost"))

    on_bench(main)
    assert [record.exc_info and record.exc_info[0] for record in caplog.records] == [OSError]


def test_messages_of_one_thread_are_handled_in_the_order_sent() -> None:
    dispatcher = run_in_thread()
    actor = Recorder()
    actor.launch(dispatcher)
    for number in range(900):
        actor.actor_ref.tell(number)
    assert actor.actor_ref.ask(do(lambda recorder: list(recorder.handled)), timeout=PATIENCE) == list(
        range(900)
    )
    dispatcher.close()
