"""Everything in a file, in an order that any two runs share: sessions by key, their events by `seq`.

For whoever holds one read transaction over all of it (`Reader.look`): then it is of one instant.
"""

# ruff: noqa: S608 - statements are joined from constants of this package; what a caller gives is always bound

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from . import broadcasts
from .history import read_history, read_tails
from .records import EventRow, ScopeRow, SessionRow, StoredSession

Connection = sqlite3.Connection
"""What a read transaction is held on; for those who only pass it on."""

_COLUMNS: Final = (
    "key, session_id, user_id, channel, request_key, resume_hash, created_at, "
    "status, handling, queue, assignee, due_at, seq, snapshot"
)

PAGE: Final = 64
"""Sessions that are read together."""
EVENTS: Final = 2000
"""Events of one session that are read together, and how many of them all sessions of a page may have."""
EVENT_BYTES: Final = 4 << 20
_BEHIND: Final = 256
"""Events behind a snapshot that are expected: what is more than that makes a page larger, not wrong."""


class Found(NamedTuple):
    """One session of an archive."""

    stored: StoredSession
    history: list[EventRow] | None
    """All of its events where those are few; None: they are many, and `read_events` has them page by page."""
    broadcasts: dict[str, int]
    """The broadcasts that reached its user in it, and how."""


class Selection(NamedTuple):
    """Which sessions: those that fit all that is given."""

    session_ids: Sequence[str] = ()
    """Any of these; empty: all."""
    user_id: str | None = None
    channel: str | None = None
    status: str | None = None
    since: float | None = None
    """Created at this instant or later."""
    until: float | None = None
    """Created before this instant."""

    def where(self) -> tuple[str, dict[str, Any]]:
        """The condition of a statement, and the names that it binds."""
        conditions = ["key > :after"]
        names: dict[str, Any] = {}
        if self.session_ids:
            conditions.append("session_id IN (SELECT value FROM json_each(:session_ids))")
            names["session_ids"] = json.dumps(list(self.session_ids))
        for name, comparison in (
            ("user_id", "user_id = :user_id"),
            ("channel", "channel = :channel"),
            ("status", "status = :status"),
            ("since", "created_at >= :since"),
            ("until", "created_at < :until"),
        ):
            value = getattr(self, name)
            if value is not None:
                conditions.append(comparison)
                names[name] = value
        return " AND ".join(conditions), names


def count_sessions(connection: sqlite3.Connection, selection: Selection, after_key: int = 0) -> int:
    """How many sessions are selected behind that key."""
    where, names = selection.where()
    names["after"] = after_key
    found: int = connection.execute(f"SELECT count(*) FROM sessions WHERE {where}", names).fetchone()[0]
    return found


def find_key(connection: sqlite3.Connection, session_id: str) -> int | None:
    """The key of a session; None: there is none of this id."""
    row = connection.execute("SELECT key FROM sessions WHERE session_id = ?", (session_id,)).fetchone()
    return None if row is None else row[0]


def find_request(connection: sqlite3.Connection, request_key: str) -> str | None:
    """The id of the session that was created with this key."""
    statement = "SELECT session_id FROM sessions WHERE request_key = ?"
    row = connection.execute(statement, (request_key,)).fetchone()
    return None if row is None else row[0]


def read_sessions(
    connection: sqlite3.Connection, selection: Selection, after_key: int = 0
) -> Iterator[Found]:
    """The selected sessions behind that key, each with its whole history where that is short."""
    where, names = selection.where()
    statement = f"SELECT {_COLUMNS} FROM sessions WHERE {where} ORDER BY key LIMIT {PAGE}"
    while rows := [
        SessionRow(*row) for row in connection.execute(statement, {**names, "after": after_key}).fetchall()
    ]:
        after_key = rows[-1].key
        reached = broadcasts.outcomes_in(connection, [(row.key, row.user_id) for row in rows])
        short: list[SessionRow] = []
        room = EVENTS
        for row in rows:
            room -= row.seq + _BEHIND
            if short and room < 0:
                yield from _together(connection, short, reached)
                short, room = [], EVENTS - row.seq - _BEHIND
            if room < 0:
                tail = read_tails(connection, {row.key: row.seq})[row.key]
                yield Found(StoredSession(row, tail), None, reached.get(row.key, {}))
                room = EVENTS
            else:
                short.append(row)
        yield from _together(connection, short, reached)


def _together(
    connection: sqlite3.Connection, rows: Sequence[SessionRow], reached: Mapping[int, dict[str, int]]
) -> Iterator[Found]:
    histories = read_tails(connection, dict.fromkeys([row.key for row in rows], 0)) if rows else {}
    for row in rows:
        history = histories[row.key]
        tail = [event for event in history if event[1] > row.seq]
        yield Found(StoredSession(row, tail), history, reached.get(row.key, {}))


def read_session(connection: sqlite3.Connection, key: int) -> Found | None:
    """One session."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM sessions WHERE key = ?", (key,)).fetchone()
    if row is None:
        return None
    found = SessionRow(*row)
    reached = broadcasts.outcomes_in(connection, [(key, found.user_id)])
    tail = read_tails(connection, {key: found.seq})[key]
    return Found(StoredSession(found, tail), None, reached.get(key, {}))


def read_events(
    connection: sqlite3.Connection, key: int, after_seq: int, until_seq: int
) -> Iterator[EventRow]:
    """The events of a session with `after_seq` < seq ≤ `until_seq`, oldest first."""
    more = True
    while more:
        rows, more = read_history(connection, key, after_seq, until_seq, EVENTS, EVENT_BYTES)
        yield from rows
        if rows:
            after_seq = rows[-1][1]


def read_users(
    connection: sqlite3.Connection, user_id: str | None = None, after: str | None = None
) -> Iterator[ScopeRow]:
    """The contexts of all users, or of one, in the order of their ids, behind `after`."""
    statement = "SELECT user_id, version, context FROM user_scopes"
    conditions = [
        condition
        for condition, value in (("user_id = :user_id", user_id), ("user_id > :after", after))
        if value is not None
    ]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    for row in connection.execute(
        f"{statement}{where} ORDER BY user_id", {"user_id": user_id, "after": after}
    ):
        yield ScopeRow(*row)
