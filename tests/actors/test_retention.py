"""What ended long ago goes, whole; what has not, stays; and nobody is held up by it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sojourn.actors import RuntimeConfig, SessionConfig
from sojourn.actors.errors import SessionNotFound
from sojourn.actors.retention import EVENTS_AT_ONCE
from tests.actors.house import PATIENCE, START, House, say, state, texts

HOUR = 3600.0
"""From one pass to the next, when sessions are kept for ten of them or more."""


def kept(seconds: float | None, **channels: float | None) -> RuntimeConfig:
    """Sessions end after a minute, and are kept for so long; channels may say otherwise."""
    return RuntimeConfig(
        session=SessionConfig(session_timeout=60.0, retention=seconds),
        channels={
            name: SessionConfig(session_timeout=60.0, retention=each) for name, each in channels.items()
        },
        passivate_after=10.0,
    )


def rows(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(statement).fetchall()


def stored(path: Path) -> list[str]:
    return [session_id for (session_id,) in rows(path, "SELECT session_id FROM sessions ORDER BY key")]


def test_a_session_goes_when_its_time_is_over_and_not_before(path: Path) -> None:
    with House(path, config=kept(10 * HOUR)) as house:
        session = house.create()
        say(session, "x")
        house.advance(60 + 10 * HOUR - 1)
        assert stored(path) == [session.id]
        house.advance(HOUR + 1)  # the next pass
        assert stored(path) == []
        with pytest.raises(SessionNotFound):
            state(session)
        assert rows(path, "SELECT count(*) FROM events") == [(0,)]


def test_only_a_row_with_the_id_is_left(path: Path) -> None:
    with House(path, config=kept(10 * HOUR)) as house:
        session = house.create()
        say(session, "my words")
        house.advance(60 + 15 * HOUR)
        ((session_id, at, why),) = rows(path, "SELECT session_id, at, why FROM erasures")
        assert (session_id, why) == (session.id, "retention")
        assert START + 60 + 10 * HOUR <= at <= START + 60 + 11 * HOUR
        tables = rows(
            path, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
        left = {name for (name,) in tables if session.id in str(rows(path, f"SELECT * FROM {name}"))}
        assert left == {"erasures"}
        assert rows(path, "SELECT count(*) FROM erasure_receipts") == [(0,)]


def test_the_end_counts_and_not_the_creation(path: Path) -> None:
    with House(path, config=kept(10 * HOUR)) as house:
        session = house.create(timeouts={"session_timeout": 50 * HOUR})
        house.advance(55 * HOUR)
        assert state(session)["status"] == "expired"
        assert stored(path) == [session.id]
        house.advance(10 * HOUR)
        assert stored(path) == []


def test_what_is_active_or_closed_stays_however_old(path: Path) -> None:
    forever = {"session_timeout": None, "keep_alive": None}
    with House(path, config=kept(10 * HOUR)) as house:
        active, closed = house.create(timeouts=forever), house.create(timeouts=forever)
        closed.close().result(PATIENCE)
        house.advance(50 * HOUR)
        assert stored(path) == [active.id, closed.id]


def test_each_channel_is_kept_as_long_as_it_says(path: Path) -> None:
    with House(path, config=kept(20 * HOUR, email=None, voice=10 * HOUR)) as house:
        web, email, _ = (house.create(channel=name) for name in ("web", "email", "voice"))
        house.advance(12 * HOUR)
        assert stored(path) == [web.id, email.id]
        house.advance(10 * HOUR)
        assert stored(path) == [email.id]
        house.advance(30 * HOUR)
        assert stored(path) == [email.id]


def test_without_the_setting_everything_is_kept(path: Path) -> None:
    with House(path, config=kept(None)) as house:
        session = house.create()
        house.advance(10_000 * HOUR)
        assert stored(path) == [session.id]
        assert house.runtime.core.retention.sessions == 0


def test_what_fell_due_while_nobody_served_goes_at_the_start(path: Path) -> None:
    with House(path, config=kept(10 * HOUR)) as house:
        old = house.create()
        house.advance(61)
        house.restart(after=50 * HOUR)
        new = house.create()
        house.settle()
        assert stored(path) == [new.id]
        with pytest.raises(SessionNotFound):
            state(house.again(old))


def test_more_sessions_than_a_page_and_longer_ones_than_a_slice_go(path: Path) -> None:
    with House(path, config=kept(10 * HOUR)) as house:

        async def fill() -> list[str]:
            sessions = [house.runtime.create(user={"user_id": f"u{number}"}) for number in range(300)]
            for session in sessions:
                await session
            sent = [sessions[7].send("a long story") for _ in range(EVENTS_AT_ONCE + 300)]
            for each in sent:
                await each
            return [session.id for session in sessions]

        ids = house.runtime.run(fill(), PATIENCE)
        stays = house.create(timeouts={"session_timeout": 500 * HOUR})
        say(stays, "here")
        house.advance(12 * HOUR)
        assert stored(path) == [stays.id]
        assert rows(path, "SELECT DISTINCT session_id FROM history") == [(stays.id,)]
        assert rows(path, "SELECT count(*) FROM events") == [(2,)]
        assert {row[0] for row in rows(path, "SELECT session_id FROM erasures")} == set(ids)
        assert texts(stays) == ["here"]


def test_one_that_is_in_memory_goes_when_it_has_left_it(path: Path) -> None:
    with House(path, config=replace(kept(10 * HOUR), passivate_after=500 * HOUR)) as house:
        session = house.create()
        house.advance(61)
        assert state(session)["status"] == "expired"
        house.advance(30 * HOUR)
        assert stored(path) == [session.id]
        house.passivate(session)
        house.advance(HOUR)
        assert stored(path) == []


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), "1 day", True])
def test_a_retention_that_is_no_length_of_time_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="retention"):
        SessionConfig(retention=value)
