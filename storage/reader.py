"""Reads of the store, beside its live writer or without one."""

# ruff: noqa: S608 - statements are joined from constants of this package; what a caller gives is always bound

import json
import math
import sqlite3
from collections.abc import Callable, Container, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final, Self, TypeVar

from sqlite_utils import Database

from .connection import connect_reader, opening, reading, refuse_cut_file, resolve
from .due import DueSession, read_due, read_due_among
from .errors import CannotOpen, NotADatabase
from .history import MAX_SEQ, read_event, read_history, read_tails
from .packed import PACKED_DEADLINE, PACKED_SESSION, unpack_deadlines, unpack_sessions
from .records import EventRow, ScopeRow, SessionRow, StoredSession
from .schema import SCHEMA_VERSION, schema_version
from .scopes import read_scopes

_Value = TypeVar("_Value", int, str)
_Answer = TypeVar("_Answer")

_LOAD_SIZE: Final = 256
"""Sessions in one statement: the text of one is decoded in a millisecond or two, while other threads wait."""

_LOAD_IDS: Final = f"""
SELECT json_group_array({PACKED_SESSION}) FROM sessions s
WHERE s.session_id IN (SELECT value FROM json_each(?))
"""

_LOAD_KEYS: Final = f"""
SELECT json_group_array({PACKED_SESSION}) FROM sessions s WHERE s.key IN (SELECT value FROM json_each(?))
"""

_USER: Final = """
SELECT json_group_array(session_id) FROM (
    SELECT session_id FROM sessions
    WHERE user_id = :user AND channel = :channel AND status <> 'expired' ORDER BY key DESC
)
"""

_USER_EXPIRED: Final = """
SELECT session_id FROM sessions
WHERE user_id = :user AND channel = :channel AND status = 'expired' ORDER BY key DESC LIMIT 1
"""

_DUE: Final = f"""
SELECT json_group_array({PACKED_DEADLINE}) FROM (
    SELECT due_at, key, session_id FROM sessions
    WHERE due_at >= :after AND due_at <= :now AND (due_at > :after OR key > :key)
    ORDER BY due_at, key LIMIT :limit
) s
"""

_FILTERS: Final = ("status", "handling", "user_id", "channel", "queue")


class Reader:
    """Questions to the store; each answer is of one instant, and shows all that was committed before it.

    Used by one thread at a time. A method raises ReadFailed when SQLite reports an error; the next may work.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: str | None,
        guard: AbstractContextManager[object] | None = None,
    ) -> None:
        """With `guard`, the connection is shared with its other holders; without one it is our own."""
        self._connection = connection
        self._path = path
        self._owned = guard is None
        self._guard = nullcontext() if guard is None else guard

    @classmethod
    def open(cls, path: str) -> Self:
        """A reader of the file, which may have a live writer, or one that was killed; it needs no lock.

        Raises CannotOpen, NotADatabase or SchemaTooNew.
        """
        resolved = resolve(path)
        with opening(resolved):
            connection = connect_reader(resolved)
            try:
                refuse_cut_file(connection, resolved)
                version = schema_version(
                    Database(connection, recursive_triggers=False, execute_plugins=False), resolved
                )
                if version == 0:
                    raise NotADatabase(resolved, "it is empty")
                if version < SCHEMA_VERSION:
                    raise CannotOpen(
                        resolved, f"its schema {version} is old, and only a writer brings it up to date"
                    )
                return cls(connection, resolved)
            except BaseException:
                connection.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, when it is the reader's own."""
        if self._owned:
            self._connection.close()

    def load(self, session_ids: Sequence[str]) -> dict[str, StoredSession]:
        """The sessions that exist, by id, each with the events behind its snapshot."""
        return {stored.row.session_id: stored for stored in self._load(_LOAD_IDS, session_ids)}

    def load_keys(self, keys: Sequence[int]) -> dict[int, StoredSession]:
        """The sessions that exist, by key, each with the events behind its snapshot."""
        return {stored.row.key: stored for stored in self._load(_LOAD_KEYS, keys)}

    def find_user(self, user_id: str, channel: str) -> tuple[list[str], str | None]:
        """Ids of the unexpired sessions of (user, channel), newest first, and of the newest expired one."""
        names = {"user": user_id, "channel": channel}
        with self._snapshot() as connection:
            unexpired: list[str] = json.loads(connection.execute(_USER, names).fetchone()[0])
            expired = connection.execute(_USER_EXPIRED, names).fetchone()
        return unexpired, None if expired is None else expired[0]

    def find_request(self, request_key: str) -> str | None:
        """The id of the session that was created with this key."""
        with self._snapshot() as connection:
            row = connection.execute(
                "SELECT session_id FROM sessions WHERE request_key = ?", (request_key,)
            ).fetchone()
        return None if row is None else row[0]

    def next_due(self, after: float = -math.inf) -> float | None:
        """The least `due_at` later than `after`; `None` when nothing will ever fall due then."""
        with self._snapshot() as connection:
            row = connection.execute(
                "SELECT due_at FROM sessions WHERE due_at > ? ORDER BY due_at LIMIT 1", (after,)
            ).fetchone()
        return None if row is None else row[0]

    def due(
        self, now: float, limit: int, after: tuple[float, int] | None = None
    ) -> list[tuple[float, int, str]]:
        """(due_at, key, session_id) of sessions with `due_at` ≤ `now`, earliest first, at most `limit`.

        `after` is the (due_at, key) to go on behind.
        """
        after_due, after_key = (float("-inf"), 0) if after is None else after
        with self._snapshot() as connection:
            text = connection.execute(
                _DUE, {"now": now, "limit": limit, "after": after_due, "key": after_key}
            ).fetchone()[0]
        deadlines = unpack_deadlines(text)
        deadlines.sort()
        return deadlines

    def due_page(
        self, now: float, limit: int, after: tuple[float, int] | None, known: Container[str]
    ) -> tuple[list[tuple[float, int, str]], list[DueSession]]:
        """As `due`, and what is stored of those of them that are not `known` by id, in the same order."""
        with self._snapshot() as connection:
            return read_due(connection, now, limit, after, known)

    def due_among(self, session_ids: Sequence[str]) -> list[DueSession]:
        """The sessions of these ids for which anything may ever fall due."""
        with self._snapshot() as connection:
            return read_due_among(connection, session_ids)

    def history(
        self,
        key: int,
        after_seq: int = 0,
        until_seq: int = MAX_SEQ,
        limit: int = 100,
        max_bytes: int = MAX_SEQ,
    ) -> tuple[list[EventRow], bool]:
        """The events with `after_seq` < seq ≤ `until_seq`, oldest first, and whether there are more of them.

        A page holds at most `limit` events (≥ 1) and `max_bytes` of bodies, with `ENVELOPE_BYTES` for each,
        but one event at least, however long.
        """
        with self._guard, reading(self._path):
            return read_history(self._connection, key, after_seq, until_seq, limit, max_bytes)

    def event(self, key: int, seq: int) -> EventRow | None:
        """The event at one place of a session's history."""
        with self._guard, reading(self._path):
            return read_event(self._connection, key, seq)

    def at_desk(self) -> list[str]:
        """Ids of the active sessions that wait for a human, or have one, oldest first."""
        with self._snapshot() as connection:
            # The words of the index's own condition: it is found by them.
            rows = connection.execute(
                "SELECT session_id FROM sessions WHERE handling <> 'ai' AND status = 'active' ORDER BY key"
            ).fetchall()
        return [session_id for (session_id,) in rows]

    def scopes(self, user_ids: Sequence[str]) -> dict[str, ScopeRow]:
        """The contexts of those users who have one, by user_id."""
        with self._snapshot() as connection:
            return read_scopes(connection, user_ids)

    def page(
        self,
        *,
        status: str | None = None,
        handling: str | None = None,
        user_id: str | None = None,
        channel: str | None = None,
        queue: str | None = None,
        before_key: int | None = None,
        limit: int = 100,
    ) -> list[SessionRow]:
        """At most `limit` rows that match all that is given, newest created first.

        With `before_key`, those with lower keys only: the way to the next page.
        """
        values = (status, handling, user_id, channel, queue)
        wanted = {name: value for name, value in zip(_FILTERS, values, strict=True) if value is not None}
        conditions = [f"{name} = :{name}" for name in wanted]
        if before_key is not None:
            conditions.append("key < :before_key")
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        with self._snapshot() as connection:
            text = connection.execute(
                f"SELECT json_group_array({PACKED_SESSION}) "
                f"FROM (SELECT * FROM sessions {where} ORDER BY key DESC LIMIT :limit) s",
                {**wanted, "before_key": before_key, "limit": limit},
            ).fetchone()[0]
        rows = unpack_sessions(text)
        rows.sort(key=lambda row: row.key, reverse=True)
        return rows

    def count(self) -> dict[str, int]:
        """How many sessions there are of each status that occurs.

        Reads every row: for people, not for a hot path.
        """
        with self._snapshot() as connection:
            return dict(
                connection.execute("SELECT status, count(*) FROM sessions GROUP BY status").fetchall()
            )

    def look(self, question: Callable[[sqlite3.Connection], _Answer]) -> _Answer:
        """The answer to a question of this package's own, such as `outbox.due_lanes`."""
        with self._snapshot() as connection:
            return question(connection)

    def _load(self, statement: str, names: Sequence[_Value]) -> list[StoredSession]:
        found: list[StoredSession] = []
        with self._snapshot() as connection:
            for start in range(0, len(names), _LOAD_SIZE):
                wanted = json.dumps(list(names[start : start + _LOAD_SIZE]))
                rows = unpack_sessions(connection.execute(statement, (wanted,)).fetchone()[0])
                tails = read_tails(connection, {row.key: row.seq for row in rows})
                found += (StoredSession(row, tails[row.key]) for row in rows)
        return found

    @contextmanager
    def _snapshot(self) -> Generator[sqlite3.Connection]:
        with self._guard, reading(self._path):
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                # Nothing was written; left open, it would keep the write-ahead log from being reused.
                self._connection.execute("ROLLBACK")
