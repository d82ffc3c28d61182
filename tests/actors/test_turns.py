"""What a turn may do, what of it is stored, and who cuts it: nothing half, nothing twice."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from sojourn.actors import SessionConfig, SessionHandle, Subscription, Turn, TurnCancelled
from sojourn.actors.errors import InternalError, InvalidRequest, Overloaded, SessionError
from tests.actors.house import ADA, PATIENCE, House, Map, config, history, say, state, texts


def turned(session: SessionHandle) -> list[tuple[Any, ...]]:
    """What happened behind the creation, in short."""
    shown: list[tuple[Any, ...]] = []
    for event in history(session)[1:]:
        if event["type"] == "message:received":
            cut = ("cut",) if event.get("cut") else ()
            shown.append((event["author"], event["text"], *cut))
        elif event["type"] == "message:failed":
            shown.append(("failed", event["code"]))
        elif event["type"] == "session:context:updated":
            shown.append(("context", event["patch"]))
        else:
            shown.append((event["type"],))
    return shown


class Listener:
    """Keeps what is pushed of one session."""

    def __init__(self, house: House, session: SessionHandle) -> None:
        self.events: list[Map] = []
        house.runtime.attach(session.id, self.events.append)

    def deltas(self) -> list[tuple[int, str]]:
        return [(each["index"], each["text"]) for each in self.events if each["type"] == "message:delta"]

    def types(self) -> list[str]:
        return [each["type"] for each in self.events]


class Held:
    """An agent that writes, says that it is there, and goes on when it is told to."""

    def __init__(self, *pieces: str) -> None:
        self.pieces = pieces
        self.there = threading.Event()
        self.gate = asyncio.Event()
        self.ended: list[str] = []

    async def __call__(self, turn: Turn) -> str | None:
        assert turn.text is not None
        if turn.text != "hold":
            return f"to {turn.text}"
        try:
            for piece in self.pieces:
                await turn.write(piece)
            self.there.set()
            await self.gate.wait()
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        turn.set("late", 1)
        return None

    def hold(self, house: House, session: SessionHandle) -> Any:
        sent = session.send("hold", message_id="held")
        assert self.there.wait(PATIENCE)
        return sent

    def let_go(self, house: House) -> None:
        house.on_loop(self.gate.set)
        house.settle()


def silent(_turn: Turn) -> None:
    return


def die(house: House) -> None:
    """`House.kill` in the middle of a turn: it does not wait for what runs."""
    assert house.path is not None
    left = house.path.with_name("died.db")
    for suffix in ("", "-wal"):
        shutil.copyfile(f"{house.path}{suffix}", f"{left}{suffix}")
    house.stop()
    house.path = left
    house.start()


async def pieces(turn: Turn) -> AsyncIterator[str]:
    for piece in ("Hel", "lo, ", "Ada"):
        yield piece


async def written(turn: Turn) -> None:
    for piece in ("Hel", "lo, ", "Ada"):
        await turn.write(piece)


def written_in_a_thread(turn: Turn) -> None:
    for piece in ("Hel", "lo, ", "Ada"):
        turn.write(piece)


class Behind(Subscription):
    """A reader who does not read until told to."""

    def __init__(self, callback: Callable[[Map], object]) -> None:
        super().__init__(callback, lambda _: None)
        self.waiting = 1 << 20

    def waiting_bytes(self) -> int:
        return self.waiting


@pytest.mark.parametrize("agent", [written, written_in_a_thread])
def test_who_writes_faster_than_a_reader_reads_waits_for_the_reader(agent: Any) -> None:
    seen: list[str] = []
    first = threading.Event()

    def see(event: Map) -> None:
        if event["type"] == "message:delta":
            seen.append(event["text"])
            first.set()

    with House(config=config(), agent=agent) as house:
        session = house.create()
        reader = Behind(see)
        house.on_loop(lambda: house.runtime.core.shared.audience.attach(session.id, reader))
        sent = session.send("x")
        assert first.wait(PATIENCE)
        for _ in range(20):  # each is a turn of the loop in which a second piece could have come
            assert house.on_loop(lambda: list(seen)) == ["Hel"]
        house.on_loop(lambda: setattr(reader, "waiting", 0))
        assert sent.reply(PATIENCE).text == "Hello, Ada"
        assert seen == ["Hel", "lo, ", "Ada"]


@pytest.mark.parametrize("agent", [pieces, written, written_in_a_thread])
def test_what_is_written_is_seen_in_pieces_and_stored_once_whole(agent: Any) -> None:
    with House(config=config(), agent=agent) as house:
        session = house.create()
        listener = Listener(house, session)
        reply = session.send("hi", message_id="m").reply(PATIENCE)
        assert reply.text == "Hello, Ada"
        house.settle()
        assert listener.deltas() == [(0, "Hel"), (1, "lo, "), (2, "Ada")]
        deltas = [each for each in listener.events if each["type"] == "message:delta"]
        assert {each["message_id"] for each in deltas} == {reply.message_id}
        assert all("seq" not in each for each in deltas)
        assert listener.types()[-1] == "message:received"
        assert turned(session) == [("user", "hi"), ("ai", "Hello, Ada")]
        assert history(session)[-1]["in_reply_to"] == "m"


def test_all_that_a_turn_decides_is_stored_in_order_with_its_end() -> None:
    def agent(turn: Turn) -> str:
        assert turn.context == {"a": {"x": 1, "y": 2}, "b": 1}
        turn.context["a"]["x"] = 3
        turn.set("c", [1])
        turn.remove("b")
        turn.tag("vip", "new")
        turn.untag("old")
        turn.remind("call", 60, {"n": 1})
        turn.reply("one", data={"k": 1})
        return "two"

    with House(config=config(), agent=agent) as house:
        session = house.create(context={"a": {"x": 1, "y": 2}, "b": 1}, tags=["old"])
        assert session.send("go").reply(PATIENCE).text == "one"
        house.settle()
        assert turned(session) == [
            ("user", "go"),
            ("context", {"b": None, "a": {"x": 3}, "c": [1]}),
            ("ai", "one"),
            ("ai", "two"),
            ("session:tagged",),
            ("reminder:set",),
        ]
        shown = state(session)
        assert (shown["context"], shown["tags"]) == ({"a": {"x": 3, "y": 2}, "c": [1]}, ["vip", "new"])
        house.advance(59)
        assert history(session)[-1]["type"] == "reminder:set"
        house.advance(1)
        fired = history(session)[-1]
        assert (fired["type"], fired["name"], fired["data"]) == ("reminder:fired", "call", {"n": 1})
        assert fired["at"] == house.clock.now()


def test_history_begins_behind_the_last_lapse_and_holds_nothing_of_now() -> None:
    seen: list[tuple[list[tuple[str, str | None]], bool]] = []

    async def agent(turn: Turn) -> str:
        seen.append(([(each.author, each.text) for each in turn.history], turn.memory_from_seq > 0))
        return f"to {turn.text}"

    with House(config=config(session=SessionConfig(dialog_timeout=100)), agent=agent) as house:
        session = house.create()
        for text in ("a", "b"):
            session.send(text).reply(PATIENCE)
        house.advance(100)
        for text in ("c", "d"):
            session.send(text).reply(PATIENCE)
        assert seen == [
            ([], False),
            ([("user", "a"), ("ai", "to a")], False),
            ([], True),
            ([("user", "c"), ("ai", "to c")], True),
        ]


def test_an_answer_that_was_asked_for_is_in_the_context_of_the_next_turn_only() -> None:
    seen: list[tuple[str | None, Map]] = []

    async def agent(turn: Turn) -> None:
        seen.append((turn.answered, dict(turn.context)))
        if turn.text == "hi":
            turn.ask("Your name?", "name")

    with House(config=config(session=SessionConfig(dialog_timeout=100)), agent=agent) as house:
        session = house.create()
        for text in ("hi", "Ada", "thanks"):
            say(session, text)
            house.settle()
        assert seen == [(None, {}), ("name", {"name": "Ada"}), (None, {"name": "Ada"})]
        assert state(session)["context"] == {"name": "Ada"}
        say(session, "hi")
        house.advance(100)  # the AI's memory lapses, and the question with it
        say(session, "Bob")
        house.settle()
        assert seen[-1] == (None, {"name": "Ada"})


def test_a_user_who_speaks_again_cuts_the_turn_and_what_was_written_stays() -> None:
    agent = Held("so ", "far")
    with House(config=config(), agent=agent) as house:
        session = house.create()
        sent = agent.hold(house, session)
        assert session.send("next").reply(PATIENCE).text == "to next"
        with pytest.raises(InvalidRequest, match="cut"):
            sent.reply(PATIENCE)
        agent.let_go(house)
        assert turned(session) == [
            ("user", "hold"),
            ("ai", "so far", "cut"),
            ("user", "next"),
            ("ai", "to next"),
        ]
        assert agent.ended == ["cancelled"]
        assert state(session)["context"] == {}


def test_a_cut_turn_that_said_nothing_leaves_nothing() -> None:
    agent = Held()
    with House(config=config(), agent=agent) as house:
        session = house.create()
        agent.hold(house, session)
        session.send("next").reply(PATIENCE)
        assert turned(session) == [("user", "hold"), ("user", "next"), ("ai", "to next")]


def test_with_queue_the_next_message_waits_for_the_turn() -> None:
    agent = Held("so ", "far")
    with House(config=config(turn_policy="queue"), agent=agent) as house:
        session = house.create()
        sent = agent.hold(house, session)
        later = session.send("next")
        later.result(PATIENCE)
        agent.let_go(house)
        assert sent.reply(PATIENCE).text == "so far"
        assert later.reply(PATIENCE).text == "to next"
        assert [each for each in turned(session) if each[0] == "ai"] == [("ai", "so far"), ("ai", "to next")]
        assert state(session)["context"] == {"late": 1}


def test_with_reject_the_next_message_is_refused_and_not_stored() -> None:
    agent = Held("so far")
    with House(config=config(turn_policy="reject"), agent=agent) as house:
        session = house.create()
        agent.hold(house, session)
        with pytest.raises(Overloaded) as refused:
            session.send("next").result(PATIENCE)
        assert refused.value.retry_after is not None
        say(session, "by the way", author="system")
        agent.let_go(house)
        assert turned(session)[-1] == ("ai", "so far")
        assert session.send("next").reply(PATIENCE).text == "to next"


@pytest.mark.parametrize("ending", ["hand_over", "close"])
def test_the_ai_is_silent_once_a_human_has_the_session_or_it_is_closed(ending: str) -> None:
    agent = Held("so far")
    with House(config=config(), agent=agent) as house:
        session = house.create()
        agent.hold(house, session)
        getattr(session, ending)().result(PATIENCE)
        agent.let_go(house)
        assert turned(session)[1:] == [
            ("ai", "so far", "cut"),
            ("session:handed_over" if ending == "hand_over" else "session:closed",),
        ]


def test_a_turn_hands_over_or_resolves_behind_what_it_said() -> None:
    def agent(turn: Turn) -> str:
        if turn.text == "human":
            turn.handover("complaints", note="angry")
        else:
            turn.resolve()
        return "bye"

    with House(config=config(), agent=agent) as house:
        one, two = house.create(), house.create()
        one.send("human").reply(PATIENCE)
        two.send("done").reply(PATIENCE)
        house.settle()
        assert turned(one) == [("user", "human"), ("ai", "bye"), ("session:handed_over",)]
        assert (state(one)["handling"], state(one)["queue"]) == ("queued", "complaints")
        assert turned(two) == [("user", "done"), ("ai", "bye"), ("session:closed",)]
        assert state(two)["close_reason"] == "resolved_by_ai"
        say(one, "hello?")
        house.settle()
        assert turned(one)[-1] == ("user", "hello?")


def test_a_plain_function_whose_turn_is_cut_can_write_no_more_and_its_result_is_dropped() -> None:
    there, gate, ended = threading.Event(), threading.Event(), threading.Event()
    raised: list[BaseException] = []

    def agent(turn: Turn) -> str:
        if turn.text != "hold":
            return f"to {turn.text}"
        turn.write("so far")
        there.set()
        assert gate.wait(PATIENCE)
        try:
            turn.write("more")
        except TurnCancelled as error:
            raised.append(error)
        ended.set()
        return "dropped"

    with House(config=config(handler_threads=2), agent=agent) as house:
        session = house.create()
        session.send("hold")
        assert there.wait(PATIENCE)
        assert session.send("next").reply(PATIENCE).text == "to next"
        runner = house.runtime.core.agent
        assert runner is not None
        assert house.on_loop(lambda: runner.running) == 1  # its place is not free before it ends
        gate.set()
        assert ended.wait(PATIENCE)
        house.settle()
        assert len(raised) == 1
        assert turned(session) == [
            ("user", "hold"),
            ("ai", "so far", "cut"),
            ("user", "next"),
            ("ai", "to next"),
        ]


def test_functions_that_hang_leave_the_others_waiting_and_not_lost() -> None:
    there, gate = threading.Semaphore(0), threading.Event()

    def agent(turn: Turn) -> str:
        if turn.text == "hang":
            there.release()
            assert gate.wait(PATIENCE)
        return f"to {turn.text}"

    with House(config=config(handler_threads=2), agent=agent) as house:
        hung = [house.create() for _ in range(2)]
        for session in hung:
            session.send("hang")
        for _ in hung:
            assert there.acquire(timeout=PATIENCE)
        others = [house.create().send(f"m{n}") for n in range(3)]
        for sent in others:
            sent.result(PATIENCE)
        gate.set()
        assert [sent.reply(PATIENCE).text for sent in others] == ["to m0", "to m1", "to m2"]


def test_sessions_get_their_places_in_turn() -> None:
    order: list[str | None] = []

    async def agent(turn: Turn) -> None:
        order.append(turn.text)
        await asyncio.sleep(0)

    with House(config=config(turn_policy="queue", max_turns=1), agent=agent) as house:
        one, two = house.create(), house.create()

        async def send() -> None:
            for sent in [one.send(f"one {n}") for n in range(3)] + [two.send(f"two {n}") for n in range(3)]:
                await sent

        house.runtime.run(send(), PATIENCE)
        house.settle()
        assert order == ["one 0", "two 0", "one 1", "two 1", "one 2", "two 2"]


def test_a_turn_that_takes_too_long_fails_at_its_limit_and_the_user_gets_the_fallback() -> None:
    async def agent(turn: Turn) -> str:
        await turn.write("wait…")
        await turn.typing(100)
        return "never"

    with House(config=config(turn_timeout=10, fallback_text="Sorry."), agent=agent) as house:
        session = house.create()
        sent = session.send("x", message_id="m")
        sent.result(PATIENCE)
        house.advance(9)
        assert turned(session) == [("user", "x")]
        house.advance(1)
        assert turned(session)[1:] == [("ai", "wait…", "cut"), ("failed", "turn_timeout"), ("ai", "Sorry.")]
        with pytest.raises(InternalError, match="longer than 10 s"):
            sent.reply(PATIENCE)
        house.advance(100)
        assert len(turned(session)) == 4


def test_typing_shows_what_was_said_before_it_and_then_goes_on() -> None:
    async def agent(turn: Turn) -> str:
        turn.reply("one moment")
        await turn.typing(3)
        return "here it is"

    with House(config=config(), agent=agent) as house:
        session = house.create()
        listener = Listener(house, session)
        session.send("x").result(PATIENCE)
        house.settle()
        assert listener.types()[-2:] == ["message:delta", "message:composing"]
        assert listener.deltas() == [(0, "one moment")]
        house.advance(3)
        assert texts(session) == ["x", "one moment", "here it is"]
        composing = [each for each in listener.events if each["type"] == "message:composing"]
        assert [(each["action"], each["by"]["role"]) for each in composing] == [
            ("start", "ai"),
            ("stop", "ai"),
        ]


def test_a_failed_turn_hands_the_session_to_the_fallback_queue() -> None:
    def agent(turn: Turn) -> str:
        turn.set("half", 1)
        turn.tag("half")
        raise ValueError(turn.text)

    with House(config=config(fallback_queue="help"), agent=agent) as house:
        session = house.create()
        with pytest.raises(InternalError, match="ValueError"):
            session.send("x").reply(PATIENCE)
        house.settle()
        assert turned(session)[1:] == [("failed", "internal_error"), ("session:handed_over",)]
        shown = state(session)
        assert (shown["queue"], shown["context"], shown["tags"]) == ("help", {}, [])


def _flood(turn: Turn) -> None:
    for _ in range(100):
        turn.write("x" * 100)


async def _flood_later(turn: Turn) -> None:
    while True:
        await turn.write("x" * 100)


def _bad_piece(turn: Turn) -> None:
    turn.write(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def _bad_context(turn: Turn) -> None:
    turn.context["x"] = object()


def _no_context(turn: Turn) -> None:
    turn.context = None  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]


def _app_context(turn: Turn) -> None:
    turn.context["app.name"] = "mine"


def _too_much_context(turn: Turn) -> None:
    turn.context["x"] = "x" * 40_000


def _bad_reminder(turn: Turn) -> None:
    turn.remind("", -1)


def _too_many_reminders(turn: Turn) -> None:
    for n in range(101):
        turn.remind(str(n), 60)


async def _surrogates(turn: Turn) -> AsyncIterator[str]:
    yield "fine"
    yield "\ud800"


async def _generates_numbers(turn: Turn) -> AsyncIterator[Any]:
    yield 1


def _stops_iterating(turn: Turn) -> None:
    raise StopIteration


@pytest.mark.parametrize(
    "agent",
    [
        _flood,
        _flood_later,
        _bad_piece,
        _bad_context,
        _no_context,
        _app_context,
        _too_much_context,
        _bad_reminder,
        _too_many_reminders,
        _surrogates,
        _generates_numbers,
        _stops_iterating,
    ],
)
def test_nonsense_is_a_failed_turn_and_the_session_lives(agent: Callable[[Turn], Any]) -> None:
    with House(config=config(max_answer_bytes=1000), agent=agent) as house:
        session = house.create()
        with pytest.raises(InternalError, match="failed"):
            session.send("x", message_id="m").reply(PATIENCE)
        house.settle()
        *before, failed = history(session)
        assert (failed["type"], failed["message_id"]) == ("message:failed", "m")
        assert sum(len(event["text"]) for event in before if event.get("author") == "ai") <= 1000
        assert all(event["cut"] for event in before if event.get("author") == "ai")
        assert state(session)["context"] == {}
        assert house.registry.supervisor.restarts == 0


def test_the_changes_of_others_meanwhile_are_kept_beside_the_turns_own() -> None:
    agent = Held()
    with House(config=config(), agent=agent) as house:
        session = house.create(context={"a": 1})
        agent.hold(house, session)
        session.update_context({"a": 2, "b": 2}).result(PATIENCE)
        agent.let_go(house)
        assert state(session)["context"] == {"a": 2, "b": 2, "late": 1}


def test_what_a_turn_keeps_of_its_user_is_there_in_the_users_next_session() -> None:
    def agent(turn: Turn) -> str:
        language = turn.context.get("user.language", "none")
        turn.context["user.language"] = turn.text
        return f"was {language}"

    with House(config=config(), agent=agent) as house:
        assert house.create().send("fr").reply(PATIENCE).text == "was none"
        assert house.create().send("de").reply(PATIENCE).text == "was fr"
        assert house.create(user={"user_id": "bob"}).send("it").reply(PATIENCE).text == "was none"


class OnReminders:
    """An agent that is called for reminders too."""

    events = ("reminder:fired",)

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def __call__(self, turn: Turn) -> str | None:
        if turn.event is not None:
            self.seen.append(turn.event["name"])
            return f"reminded of {turn.event['data']}"
        turn.remind("nudge", 60, "the basket")
        return None


def test_an_agent_may_answer_a_reminder() -> None:
    agent = OnReminders()
    with House(config=config(), agent=agent) as house:
        session = house.create()
        say(session, "x")
        house.advance(60)
        assert texts(session) == ["x", "reminded of the basket"]
        assert "in_reply_to" not in history(session)[-1]
        say(session, "y")
        house.advance(30)
        say(session, "z")  # cancels the reminder, and sets it anew
        house.advance(59)
        assert agent.seen == ["nudge"]


@pytest.mark.parametrize("turns", ["fail", "rerun"])
def test_turns_that_ran_when_the_process_died_are_failed_or_run_again_once(path: Path, turns: Any) -> None:
    agent = Held("so far")
    options: Map = {"interrupted_turns": turns, "fallback_text": "Sorry."}
    with House(path, config=config(**options), agent=agent) as house:
        held, done, silent = house.create(), house.create(), house.create()
        say(done, "x")
        house.settle()
        agent.hold(house, held)

        async def answer(turn: Turn) -> str | None:
            assert turn.message_id == "held"
            return f"again {turn.text}"

        house.agent = answer
        die(house)
        expected = (
            [("failed", "turn_interrupted"), ("ai", "Sorry.")] if turns == "fail" else [("ai", "again hold")]
        )
        house.settle()
        for _ in range(2):
            assert turned(house.again(held)) == [("user", "hold"), *expected]
            assert turned(house.again(done)) == [("user", "x"), ("ai", "to x")]
            assert turned(house.again(silent)) == []
            house.kill()


def test_a_stop_leaves_what_ran_for_the_next_start(path: Path) -> None:
    agent = Held("so far")
    with House(path, config=config(), agent=agent) as house:
        session = house.create()
        agent.hold(house, session)
        house.stop()
        house.agent = silent
        house.start()
        house.settle()
        assert turned(house.again(session)) == [("user", "hold"), ("failed", "turn_interrupted")]


def test_an_interrupted_turn_of_a_session_that_expired_meanwhile_says_nothing(path: Path) -> None:
    agent = Held("so far")
    with House(path, config=config(session=SessionConfig(session_timeout=10)), agent=agent) as house:
        session = house.create()
        agent.hold(house, session)
        house.stop()
        house.agent = silent
        house.start(after=20)
        house.settle()
        assert turned(house.again(session)) == [("user", "hold"), ("session:expired",)]
        house.restart()
        assert house.runtime.core.agent is not None
        assert turned(house.again(session))[-1] == ("session:expired",)


def test_an_erased_session_takes_its_turn_with_it(path: Path) -> None:
    agent = Held("so far")
    with House(path, config=config(), agent=agent) as house:
        session = house.create()
        sent = agent.hold(house, session)
        session.erase().result(PATIENCE)
        agent.let_go(house)
        with pytest.raises(SessionError):
            sent.reply(PATIENCE)
        house.restart()
        house.settle()
        assert house.runtime.send("x", user=ADA).reply(PATIENCE).text == "to x"
