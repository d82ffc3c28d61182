"""A session that nobody talks to leaves memory, and nobody can tell: timers run, its state is the same."""

from __future__ import annotations

import weakref
from pathlib import Path

import pytest

from sojourn.actors import RuntimeConfig, SessionConfig, SessionHandle
from tests.actors.house import PATIENCE, House, config, history, say, state, told

SHORT = SessionConfig(session_timeout=100.0, keep_alive=10.0)
TIMED = SessionConfig(session_timeout=1000.0, dialog_timeout=40.0)


def remind(house: House, session: SessionHandle, name: str, after: float) -> None:
    """Set a reminder `after` seconds from now, as the life cycle records one."""

    def step() -> None:
        actor = house.registry.live[session.id]
        due_at = house.clock.now() + after
        actor.record("reminder:set", {"name": name, "due_at": due_at, "data": None}, house.clock.now())

    state(session)  # it is in memory now
    house.on_loop(step)
    house.settle()


def test_an_idle_session_leaves_memory_and_comes_back_the_same(path: Path) -> None:
    with House(path, config=RuntimeConfig(passivate_after=30.0)) as house:
        session = house.create(context={"a": {"b": 1}}, tags=["x"], metadata={"m": [1, 2]})
        say(session, context={"a": {"c": 2}})
        before, told_before = state(session), history(session)
        house.advance(29)
        assert house.live(session) is not None
        house.advance(100)
        assert house.live(session) is None
        assert state(session) == before
        assert house.live(session) is not None
        assert history(session) == told_before


def test_what_is_asked_keeps_a_session_in_memory() -> None:
    with House(config=RuntimeConfig(passivate_after=30.0)) as house:
        session = house.create()
        for _ in range(10):
            house.advance(29)
            state(session)
        assert house.live(session) is not None


def test_an_actor_that_left_memory_is_really_gone() -> None:
    with House(config=RuntimeConfig(passivate_after=30.0)) as house:
        session = house.create(timeouts={"session_timeout": 1e6})
        actor = house.live(session)
        assert actor is not None
        gone = weakref.ref(actor)
        del actor
        house.advance(200)
        assert house.live(session) is None
        assert gone() is None


def test_at_most_max_live_sessions_are_in_memory_and_the_busy_ones_stay() -> None:
    with House(config=config(max_live=10)) as house:
        sessions = [house.create(user={"user_id": f"u{n}"}) for n in range(10)]
        busy = sessions[3]
        for n in range(10, 40):
            state(busy)
            sessions.append(house.create(user={"user_id": f"u{n}"}))
            house.settle()
        assert len(house.registry.live) <= 10
        assert house.live(busy) is not None
        assert [state(session)["user"]["user_id"] for session in sessions] == [f"u{n}" for n in range(40)]
        house.settle()
        assert len(house.registry.live) <= 10


def test_a_passivated_sessions_deadline_fires_on_time(path: Path) -> None:
    with House(path, config=config(session=SHORT)) as house:
        seen: list[tuple[str, str, float]] = []
        house.runtime.subscribe(lambda event: seen.append((event["session_id"], event["type"], house.now)))
        first = house.create(timeouts={"session_timeout": 60})
        second = house.create()
        house.advance(10)
        say(second)
        house.passivate(first)
        house.passivate(second)
        seen.clear()
        house.advance(200)
        assert seen == [(first.id, "session:expired", 60.0), (second.id, "session:expired", 110.0)]
        assert told(second)[-1] == ("session:expired", 110.0)


def test_who_goes_on_does_not_delay_who_falls_due_right_after_it(path: Path) -> None:
    # The row of the first still says 40.0 when the sweep looks for what is next.
    with House(path, config=config(session=TIMED)) as house:
        first, second = house.create(), house.create()
        say(first)
        house.advance(0.5)
        say(second)
        house.passivate(first)
        house.passivate(second)
        house.advance(40)
        house.settle()
        assert told(first)[-1] == ("dialog:expired", 40.0)
        assert house.journal()[-1][2:] == ("dialog:expired", 40.5)


@pytest.mark.parametrize("away", ["passivate", "restart", "kill"])
def test_dialog_timers_and_reminders_survive_being_away(path: Path, away: str) -> None:
    """The dialog timer starts with a message, after the session's row was written with a later deadline."""
    with House(path, config=config(session=TIMED)) as house:
        session = house.create()
        house.advance(5)
        say(session)
        remind(house, session, "tea", 60)
        remind(house, session, "later", 70)
        if away == "passivate":
            house.passivate(session)
        else:
            getattr(house, away)()
            session = house.again(session)
            house.advance(0)
        assert house.live(session) is None
        seen: list[tuple[str, float]] = []
        house.runtime.subscribe(lambda event: seen.append((event["type"], house.now)))
        house.advance(200)
        assert seen == [("dialog:expired", 45.0), ("reminder:fired", 65.0), ("reminder:fired", 75.0)]
        assert [at for kind, at in told(session) if kind != "reminder:set"] == [0.0, 5.0, 45.0, 65.0, 75.0]
        house.advance(1000)
        assert told(session)[-1] == ("session:expired", 1005.0)


def test_a_reminder_is_cancelled_by_a_users_message_and_by_a_close(path: Path) -> None:
    with House(path, config=config()) as house:
        spoken, closed, replaced = house.create(), house.create(), house.create()
        for session in (spoken, closed, replaced):
            remind(house, session, "tea", 60)
        say(spoken)
        closed.close().result(PATIENCE)
        closed.reopen().result(PATIENCE)
        remind(house, replaced, "tea", 90)
        house.advance(100)
        assert [kind for kind, _ in told(spoken) + told(closed) if kind == "reminder:fired"] == []
        assert [at for kind, at in told(replaced) if kind == "reminder:fired"] == [90.0]
