"""What the follower asks the database: each answer is of one instant."""

# ruff: noqa: S608 - statements are joined from constants of this package; what a caller gives is always bound

import json
import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple

HOUR: Final = 3600
"""Seconds of the pieces in which things are counted."""

_KEYS: Final = "(SELECT value FROM json_each(?))"


class Event(NamedTuple):
    """One event of the journal, with its place there."""

    id: int
    session: int
    seq: int
    at: float
    type: int
    body: bytes


class Origin(NamedTuple):
    """What the database says of a session beside its events."""

    key: int
    session_id: str
    user_id: str | None
    channel: str
    created_at: float


class Place(NamedTuple):
    """Where a session's last event stood when it was taken in."""

    event: int
    session: int
    session_id: str
    seq: int


class Tail(NamedTuple):
    """The last event that was gone through, whosever it was."""

    event: int
    session: int
    seq: int


class Erasure(NamedTuple):
    """A session that is gone. `session_id` may be a hash of it."""

    id: int
    session_id: str
    why: str


class Slice(NamedTuple):
    """The next events of the journal, or the erasures that come before them, or neither."""

    newest: int
    """The id of the journal's last event."""
    erasures: list[Erasure]
    """Not empty: see to these first, no events are given."""
    in_place: bool
    """Whether the last event taken in is where it was. If not, no events are given."""
    erased: int
    """The id of the last erasure."""
    events: list[Event]
    origins: dict[int, Origin]
    """The sessions of the events, as far as they are there still."""


def read_slice(
    connection: sqlite3.Connection, tail: Tail, erasure: int, last: Place | None, limit: int
) -> Slice:
    """What comes behind `tail` and the erasure of that id; `last` is to be found where it was.

    The events of an erased session go later than the session, and the journal gives the ids of its end again:
    where `tail` is gone, what comes behind `last` is read once more.
    """
    newest = newest_event(connection)
    erased = last_erasure(connection)
    erasures = read_erasures(connection, erasure, limit) if erased > erasure else []
    in_place = erased >= erasure and (last is None or is_in_place(connection, last))
    if erasures or not in_place:
        return Slice(newest, erasures, in_place, erased, [], {})
    found = connection.execute("SELECT session, seq FROM events WHERE id = ?", (tail.event,)).fetchone()
    if found != (tail.session, tail.seq):
        tail = last_tail(last)
    events = [
        Event(*row)
        for row in connection.execute(
            "SELECT id, session, seq, at, type, body FROM events WHERE id > ? ORDER BY id LIMIT ?",
            (tail.event, limit),
        )
    ]
    origins = read_origins(connection, {event.session for event in events})
    return Slice(newest, [], True, erased, events, origins)


def last_tail(last: Place | None) -> Tail:
    """The last event that was taken in, as the last that was gone through."""
    return Tail(0, 0, 0) if last is None else Tail(last.event, last.session, last.seq)


def newest_event(connection: sqlite3.Connection) -> int:
    """The id of the last event of the journal, 0 where there is none."""
    newest: int = connection.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0]
    return newest


def read_origins(connection: sqlite3.Connection, keys: set[int]) -> dict[int, Origin]:
    """The sessions of these keys that exist."""
    rows = connection.execute(
        f"SELECT key, session_id, user_id, channel, created_at FROM sessions WHERE key IN {_KEYS}",
        (json.dumps(sorted(keys)),),
    )
    return {row[0]: Origin(*row) for row in rows}


def is_in_place(connection: sqlite3.Connection, place: Place) -> bool:
    """Whether the event that was taken in is still where it was."""
    found = connection.execute(
        "SELECT s.session_id, e.seq FROM events e JOIN sessions s ON s.key = e.session WHERE e.id = ?",
        (place.event,),
    ).fetchone()
    return bool(found == (place.session_id, place.seq))


def read_session(connection: sqlite3.Connection, key: int, until: int) -> list[Event]:
    """All events of a session up to the id `until`, oldest first; reads the journal's index and its end."""
    rows = connection.execute(
        "SELECT id, session, seq, at, type, body FROM events WHERE id <= :until AND id IN ("
        "SELECT event FROM event_index WHERE session = :key"
        " UNION ALL SELECT r.event FROM index_runs l CROSS JOIN event_runs r"
        " ON r.run = l.run AND r.session = :key"
        " UNION ALL SELECT id FROM events WHERE session = :key"
        " AND id > (SELECT value FROM meta WHERE name = 'watermark')"
        ") ORDER BY seq",
        {"key": key, "until": until},
    )
    return [Event(*row) for row in rows]


def missing_of(connection: sqlite3.Connection, keys: Sequence[int]) -> list[int]:
    """Those of the keys that no session has."""
    rows = connection.execute(
        "SELECT value FROM json_each(?) WHERE value NOT IN (SELECT key FROM sessions)",
        (json.dumps(list(keys)),),
    )
    return [key for (key,) in rows]


def last_erasure(connection: sqlite3.Connection) -> int:
    """The id of the last row of `erasures`, 0 where there is none."""
    # SQLite's own count: rows may be cleared away, numbers are not given again.
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchone():
        return 0
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'erasures'").fetchone()
    return 0 if row is None else int(row[0])


def read_erasures(connection: sqlite3.Connection, after: int, limit: int) -> list[Erasure]:
    """The erasures behind the one of that id, in their order."""
    return [
        Erasure(*row)
        for row in connection.execute(
            "SELECT id, session_id, why FROM erasures WHERE id > ? ORDER BY id LIMIT ?", (after, limit)
        )
    ]
