"""Reminders: named, durable, fired once at their instant, cancelled by the user's message or a close."""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.actors import SessionConfig
from sojourn.actors.errors import InvalidRequest, SessionClosed
from tests.actors.house import PATIENCE, House, config, history, say, told


def test_a_reminder_fires_once_at_its_instant_with_its_data() -> None:
    with House(config=config()) as house:
        session = house.create()
        answer = session.remind("call", 60, {"n": 1}).result(PATIENCE)
        assert (answer.name, answer.due_at, answer.seq) == ("call", house.clock.now() + 60, 2)
        house.advance(59)
        assert told(session)[-1] == ("reminder:set", 0)
        house.advance(1)
        assert told(session)[-1] == ("reminder:fired", 60)
        event = history(session)[-1]
        assert (event["name"], event["data"]) == ("call", {"n": 1})
        house.advance(1000)
        assert len(history(session)) == 3


def test_the_same_name_again_replaces_a_reminder() -> None:
    with House(config=config()) as house:
        session = house.create()
        session.remind("call", 60).result(PATIENCE)
        session.remind("call", 90).result(PATIENCE)
        house.advance(89)
        assert told(session)[-1][0] == "reminder:set"
        house.advance(1)
        assert [each for each in told(session) if each[0] == "reminder:fired"] == [("reminder:fired", 90)]


@pytest.mark.parametrize("ending", ["message", "close", "cancel"])
def test_a_message_of_the_user_a_close_and_a_cancel_end_a_reminder(ending: str) -> None:
    with House(config=config(session=SessionConfig(keep_alive=None))) as house:
        session = house.create()
        session.remind("call", 60).result(PATIENCE)
        if ending == "message":
            say(session)
        elif ending == "close":
            session.close().result(PATIENCE)
        else:
            assert session.cancel_reminder("call").result(PATIENCE).was_set
            assert not session.cancel_reminder("call").result(PATIENCE).was_set
        house.advance(100)
        assert "reminder:fired" not in [each[0] for each in told(session)]


def test_what_others_say_ends_no_reminder() -> None:
    with House(config=config()) as house:
        session = house.create()
        session.remind("call", 60).result(PATIENCE)
        for author in ("human", "system"):
            say(session, author=author)
        house.advance(60)
        assert told(session)[-1] == ("reminder:fired", 60)


@pytest.mark.parametrize("ending", ["stop", "kill"])
@pytest.mark.parametrize("down", [10.0, 100.0])
def test_a_reminder_fires_once_across_a_restart_at_its_own_instant(
    path: Path, ending: str, down: float
) -> None:
    with House(path, config=config()) as house:
        session = house.create()
        session.remind("call", 60, "x").result(PATIENCE)
        session.remind("later", 500).result(PATIENCE)
        (house.restart if ending == "stop" else house.kill)(down)
        session = house.again(session)
        house.advance(60)
        for _ in range(2):
            fired = [each for each in told(session) if each[0] == "reminder:fired"]
            assert fired == [("reminder:fired", 60)]
            house.kill()
            session = house.again(session)
        house.advance(1000)
        assert told(session)[-1] == ("reminder:fired", 500)


def test_bad_reminders_are_refused_by_name() -> None:
    with House(config=config()) as house:
        session = house.create()
        for name, after in (
            ("", 1),
            ("x" * 201, 1),
            ("x", -1),
            ("x", float("nan")),
            ("x", True),
            ("\ud800", 1),
        ):
            with pytest.raises(InvalidRequest):
                session.remind(name, after)
        for n in range(100):
            session.remind(str(n), 60).result(PATIENCE)
        with pytest.raises(InvalidRequest, match="100 are allowed"):
            session.remind("one more", 60).result(PATIENCE)
        session.remind("7", 90).result(PATIENCE)
        session.close().result(PATIENCE)
        with pytest.raises(SessionClosed):
            session.remind("x", 60).result(PATIENCE)
