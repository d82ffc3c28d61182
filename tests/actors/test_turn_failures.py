"""What a turn notes as failed while it goes on, and what a crash at its end takes back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sojourn.actors import SessionConfig, Turn
from sojourn.actors.errors import InternalError
from sojourn.actors.turn import MOST_FAILURES, Saying
from tests.actors.house import PATIENCE, House, Map, config, history, say, state


def kinds(events: list[Map]) -> list[str]:
    return [event["type"] for event in events]


def test_a_noted_failure_stands_behind_what_the_turn_says_and_ends_nothing(path: Path) -> None:
    async def agent(turn: Turn) -> str:
        turn.fail("expression_failed", "node a: no such key")
        turn.set("n", 1)
        return "otherwise"

    with House(path, config=config(fallback_text="Sorry."), agent=agent) as house:
        session = house.create()
        assert session.send("go", message_id="m").reply(PATIENCE).text == "otherwise"
        house.kill()
        events = history(house.again(session))[2:]
        assert kinds(events) == ["session:context:updated", "message:received", "message:failed"]
        assert events[1]["text"] == "otherwise"
        failed = {key: events[2][key] for key in ("message_id", "code", "message")}
        assert failed == {
            "message_id": "m",
            "code": "expression_failed",
            "message": "node a: no such key",
        }


def test_whoever_waits_for_an_answer_hears_of_the_failure_when_nothing_is_said() -> None:
    async def agent(turn: Turn) -> None:
        turn.fail("shop_closed", "no shop today")

    with House(config=config(), agent=agent) as house:
        session = house.create()
        with pytest.raises(InternalError, match="no shop today"):
            session.send("go").reply(PATIENCE)


def test_what_a_turn_noted_before_it_raised_is_not_stored() -> None:
    async def agent(turn: Turn) -> None:
        turn.fail("first", "noted")
        raise ValueError("no")

    with House(config=config(), agent=agent) as house:
        session = house.create()
        say(session, "go")
        house.settle()
        assert [each["code"] for each in history(session)[2:]] == ["internal_error"]


def _no_code(turn: Turn) -> None:
    turn.fail("", "text")


def _long_code(turn: Turn) -> None:
    turn.fail("x" * 101, "text")


def _surrogate(turn: Turn) -> None:
    turn.fail("code", "\ud800")


def _flood(turn: Turn) -> None:
    for number in range(MOST_FAILURES + 1):
        turn.fail("code", str(number))


@pytest.mark.parametrize("agent", [_no_code, _long_code, _surrogate, _flood])
def test_a_wrong_or_endless_note_fails_the_turn(agent: Callable[[Turn], Any]) -> None:
    with House(config=config(), agent=agent) as house:
        session = house.create()
        say(session, "go")
        house.settle()
        assert [each["code"] for each in history(session)[2:]] == ["internal_error"]
        assert house.registry.supervisor.restarts == 0


def test_a_crash_at_the_end_of_a_turn_takes_back_what_it_wrote_to_its_user(path: Path) -> None:
    async def agent(turn: Turn) -> None:
        if turn.text == "crash":
            turn.set("user.language", "de")
            turn.set("own", 1)
            broken: Any = object()
            turn.decisions.said.append(Saying(broken))  # past every check: no event can hold it

    with House(path, config=config(), agent=agent) as house:
        session = house.create()
        with pytest.raises(InternalError):
            session.send("crash").reply(PATIENCE)
        house.settle()
        assert "session:context:updated" not in kinds(history(session))
        assert house.create().context().result(PATIENCE) == {}
        house.kill()
        assert house.again(session).context().result(PATIENCE) == {}
        say(house.again(session), "still there?")


def test_a_question_that_a_service_garbled_is_no_question() -> None:
    seen: list[str | None] = []

    async def agent(turn: Turn) -> str:
        seen.append(turn.answered)
        return "ok"

    with House(config=config(), agent=agent) as house:
        session = house.create()
        for garbled in ("x", {"name": "n"}, {"seq": 1}, {"name": 1, "seq": 9}, {"name": "n", "seq": "9"}):
            session.update_context({"_ask": None}).result(PATIENCE)
            session.update_context({"_ask": garbled}).result(PATIENCE)
            assert session.send("hi").reply(PATIENCE).text == "ok"
        assert seen == [None] * 5
        assert state(session)["context"] == {}


def test_what_a_turn_wrote_to_its_user_stays_when_it_ends_the_session_for_good() -> None:
    async def agent(turn: Turn) -> None:
        turn.set("user.language", turn.text)
        turn.resolve()

    with House(config=config(session=SessionConfig(keep_alive=0)), agent=agent) as house:
        session = house.create()
        say(session, "de")
        house.settle()
        assert kinds(history(session))[-1] == "session:expired"
        assert house.create().context().result(PATIENCE) == {"user.language": "de"}
