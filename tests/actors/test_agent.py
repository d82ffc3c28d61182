"""A callable that answers: one turn at a time a session, behind the commit of what it answers."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from sojourn.actors import SessionConfig, Turn
from sojourn.actors.errors import InternalError, InvalidRequest, SessionExpired
from tests.actors.house import ADA, PATIENCE, House, config, history, say, state, texts


def echo(turn: Turn) -> str:
    return f"you said {turn.text}"


async def slow_echo(turn: Turn) -> str:
    for _ in range(3):
        await asyncio.sleep(0)
    return f"you said {turn.text}"


@pytest.mark.parametrize("agent", [echo, slow_echo])
def test_a_plain_function_and_a_coroutine_answer_alike(agent: Any) -> None:
    with House(config=config(), agent=agent) as house:
        session = house.create()
        sent = session.send("hello", message_id="a")
        reply = sent.reply(PATIENCE)
        assert (reply.text, reply.author, reply.seq) == ("you said hello", "ai", 3)
        assert sent.result(PATIENCE).seq == 2
        answer = history(session)[-1]
        assert (answer["author"], answer["in_reply_to"], answer["at"]) == ("ai", "a", house.clock.now())
        assert house.runtime.send("again", user=ADA).reply(PATIENCE).text == "you said again"


def test_an_agent_is_told_who_speaks_and_what_is_known() -> None:
    turns: list[Turn] = []
    with House(config=config(), agent=turns.append) as house:
        session = house.create(context={"a": 1}, channel="kiosk")
        accepted = say(session, "hello", context={"b": 2}, data={"x": [1]})
        house.settle()
        (turn,) = turns
        assert (turn.session_id, turn.message_id) == (session.id, accepted.message_id)
        assert (turn.text, turn.data, turn.channel) == ("hello", {"x": [1]}, "kiosk")
        assert (turn.user, turn.context, turn.history) == (ADA, {"a": 1, "b": 2}, [])
        assert texts(session) == ["hello"]  # it had nothing to say
        with pytest.raises(InvalidRequest, match="nothing to say"):
            session.send("still there?").reply(PATIENCE)


def test_turns_of_one_session_come_one_after_the_other_and_of_several_together() -> None:
    running: dict[str, int] = {}
    together: list[int] = []
    all_there = asyncio.Barrier(3)

    async def agent(turn: Turn) -> str:
        running[turn.session_id] = running.get(turn.session_id, 0) + 1
        assert running[turn.session_id] == 1
        if turn.text == "m0":
            await all_there.wait()  # nobody ends before all three have begun
        together.append(len(running))
        for _ in range(5):
            await asyncio.sleep(0)
        del running[turn.session_id]
        return f"to {turn.text}"

    with House(config=config(turn_policy="queue"), agent=agent) as house:
        sessions = [house.create() for _ in range(3)]

        async def send_all() -> None:
            sent = [session.send(f"m{n}") for n in range(4) for session in sessions]
            for each in sent:
                await each.answer

        house.runtime.run(send_all(), PATIENCE)
        for session in sessions:
            answers = [text for text in texts(session) if text is not None and text.startswith("to")]
            assert answers == [f"to m{n}" for n in range(4)]
        assert max(together) == 3


def test_a_turn_begins_when_its_message_is_stored(path: Path) -> None:
    with House(path, config=config(), agent=lambda turn: str(len(house.journal()))) as house:
        session = house.create()
        assert session.send("x").reply(PATIENCE).text == "2"


def test_only_the_user_is_answered_and_only_while_the_ai_handles_the_session() -> None:
    with House(config=config(), agent=echo) as house:
        session = house.create()
        for author in ("human", "system"):
            with pytest.raises(InvalidRequest, match="only a user's"):
                session.send("x", author=author).reply(PATIENCE)
        house.settle()
        assert texts(session) == ["x", "x"]

        def hand_over() -> None:
            actor = house.registry.live[session.id]
            actor.record("session:handed_over", {"queue": None, "note": None, "by": {}}, house.clock.now())

        house.on_loop(hand_over)
        say(session, "y")
        house.settle()
        assert texts(session) == ["x", "x", "y"]


def test_a_message_sent_again_is_not_answered_again() -> None:
    with House(config=config(), agent=echo) as house:
        session = house.create()
        say(session, "x", message_id="a")
        house.settle()
        again = session.send("x", message_id="a")
        assert again.result(PATIENCE).duplicate
        with pytest.raises(InvalidRequest, match="here before"):
            again.reply(PATIENCE)
        house.settle()
        assert texts(session) == ["x", "you said x"]


def _exit(turn: Turn) -> str:
    sys.exit(f"on {turn.text}")


async def _exit_later(turn: Turn) -> str:
    await asyncio.sleep(0)
    sys.exit(f"on {turn.text}")


async def _cancel(turn: Turn) -> str:
    raise asyncio.CancelledError(turn.text)


@pytest.mark.parametrize("agent", [_exit, _exit_later, _cancel])
def test_an_agent_that_exits_or_cancels_ends_its_turn_and_nothing_else(agent: Any) -> None:
    with House(config=config(turn_policy="queue"), agent=agent) as house:
        session, other = house.create(), house.create(user={"user_id": "bob"})
        sent = [session.send("x"), session.send("y"), other.send("z")]
        for each in sent:
            with pytest.raises(InternalError, match=r"SystemExit|CancelledError"):
                each.reply(PATIENCE)
        assert [event["type"] for event in history(session)].count("message:failed") == 2
        assert state(other)["status"] == "active"


@pytest.mark.parametrize("answer", [7, b"x", ["x"]])
def test_an_answer_that_is_no_text_is_a_failure_with_its_reason(answer: Any) -> None:
    with House(config=config(), agent=lambda turn: answer) as house:
        session = house.create()
        with pytest.raises(InternalError, match="TypeError"):
            session.send("x", message_id="a").reply(PATIENCE)
        assert history(session)[-1]["type"] == "message:failed"
        assert state(session)["status"] == "active"


def test_an_answer_with_what_text_may_not_hold_is_a_failure_too() -> None:
    with House(config=config(), agent=lambda turn: "\ud800") as house:
        session = house.create()
        with pytest.raises(InternalError):
            session.send("x", message_id="a").reply(PATIENCE)
        assert history(session)[-1]["type"] == "message:failed"
        assert house.registry.supervisor.restarts == 0


def test_an_answer_for_a_session_that_has_ended_meanwhile_is_dropped() -> None:
    gate = threading.Event()

    def agent(turn: Turn) -> str:
        assert gate.wait(PATIENCE)
        return "too late"

    with House(config=config(session=SessionConfig(keep_alive=0)), agent=agent) as house:
        session = house.create()
        sent = session.send("x")
        session.close().result(PATIENCE)
        gate.set()
        with pytest.raises(SessionExpired):
            sent.reply(PATIENCE)
        assert texts(session) == ["x"]
        assert state(session)["status"] == "expired"


def test_without_an_agent_nobody_answers_and_says_so() -> None:
    with House(config=config()) as house:
        sent = house.create().send("x")
        assert sent.result(PATIENCE).seq == 2
        with pytest.raises(InvalidRequest, match="no agent"):
            sent.reply(PATIENCE)


def test_a_message_that_is_refused_refuses_its_answer() -> None:
    with House(config=config(session=SessionConfig(session_timeout=10)), agent=echo) as house:
        session = house.create()
        house.advance(10)
        with pytest.raises(Exception, match="expired"):
            session.send("x").reply(PATIENCE)


def test_a_runtime_stops_while_a_turn_runs_and_stores_nothing_of_it(path: Path) -> None:
    begun, gate = threading.Event(), threading.Event()

    def agent(turn: Turn) -> str:
        begun.set()
        assert gate.wait(PATIENCE)
        return "lost"

    with House(path, config=config(), agent=agent) as house:
        session = house.create()
        say(session, "x")
        assert begun.wait(PATIENCE)
        house.stop()
        gate.set()
        house.agent = None
        house.start()
        assert texts(house.again(session)) == ["x"]
