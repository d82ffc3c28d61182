"""The only writer of a file: whole batches in, each one transaction, and the index that follows behind."""

import json
import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from threading import Lock
from typing import Final, Self, TypeVar

from sqlite_utils import Database

from . import broadcasts, outbox
from .append import append
from .bulk import EXACT, BulkStatement
from .checkpoints import Checkpoints
from .connection import (
    Durability,
    connect_memory,
    connect_reader,
    connect_writer,
    opening,
    prepare_writer,
    refuse_cut_file,
    resolve,
    write_error,
)
from .erasure import erase_slice, remove_session
from .errors import CannotOpen, JournalCorrupt, Unstorable
from .lock import WriterLock
from .reader import Reader
from .records import Batch
from .runs import AT_ONCE, MOST_RUNS, append_run, count_runs, index_at_once, merge_slice
from .schema import migrate, schema_version
from .scopes import ScopeStatement
from .scrub import SCRUB_PAGES, Scrubbed
from .turns import TurnStatement
from .writer import Writer

_Answer = TypeVar("_Answer")

_EVENTS: Final = "INSERT INTO events (session, seq, at, type, flags, body)"

_SESSIONS: Final = """
INSERT INTO sessions (key, session_id, user_id, channel, request_key, resume_hash, created_at,
    status, handling, queue, assignee, due_at, seq, snapshot)
"""
# Only what may change: SQLite touches every index of which a column is set, changed or not.
_SESSIONS_AGAIN: Final = """
ON CONFLICT (key) DO UPDATE SET status = excluded.status, handling = excluded.handling,
    queue = excluded.queue, assignee = excluded.assignee,
    due_at = excluded.due_at, seq = excluded.seq, snapshot = excluded.snapshot
"""

_DEADLINES: Final = "WITH moved (key, due_at) AS ("
_DEADLINES_MOVE: Final = (
    ") UPDATE sessions SET due_at = moved.due_at FROM moved WHERE sessions.key = moved.key"
)

_ENDED: Final = """
UPDATE sessions SET status = 'expired', due_at = NULL WHERE key IN (SELECT value FROM json_each(?))
"""


class Journal:
    """Writes one file, or one store in memory, as its only writer.

    Used by one thread at a time, except `checkpoint`, which any other thread may call beside it.
    """

    epoch: int
    """The number of this opening of the file; the greatest one may write."""
    next_key: int
    """When the journal was opened: the first session key that no session has ever had."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: str | None,
        durability: Durability,
        lock: WriterLock | None = None,
    ) -> None:
        """For `open`: takes over a connection whose schema is up to date, and the lock."""
        self.path = path
        self.durability: Durability = durability
        self._writer = Writer(connection, path, durability)
        self._lock = lock
        # In memory, readers share the connection: held during each read and each transaction.
        self._shared = Lock() if path is None else nullcontext()
        self._checkpoints = None if path is None else Checkpoints(path)
        self._events = BulkStatement(connection, 6, _EVENTS)
        self._sessions = BulkStatement(connection, 14, _SESSIONS, _SESSIONS_AGAIN)
        self._deadlines = BulkStatement(connection, 2, _DEADLINES, _DEADLINES_MOVE)
        self._broadcasts = BulkStatement(connection, 4, broadcasts.INSERT)
        self._scopes = ScopeStatement(connection)
        self._turns = TurnStatement(connection)
        numbers: dict[str, int] = dict(connection.execute("SELECT name, value FROM meta").fetchall())
        self.epoch = self._writer.epoch
        self._watermark = numbers["watermark"]
        self._runs = count_runs(connection)
        # How many runs a slice is taken from: fewer when their places are unlike, see `merge`.
        self._runs_at_once = MOST_RUNS
        self._last_id = _greatest(connection, "SELECT max(id) FROM events")
        self.next_key = max(numbers["last_key"], _greatest(connection, "SELECT max(key) FROM sessions")) + 1

    @classmethod
    def open(cls, path: str | None, durability: Durability = "full", holder: int | None = None) -> Self:
        """The writer of `path`, a file that is made when it is not there; `None` goes with `memory` alone.

        `holder` is the process that others are told holds the file, if not this one.
        Raises StoreLocked, CannotOpen, NotADatabase or SchemaTooNew; a file that is not ours stays as it is.
        """
        if (path is None) != (durability == "memory"):
            raise ValueError(f"durability {durability!r} does not go with the path {path!r}")
        if path is None:
            connection = connect_memory()
            migrate(_tools(connection))
            return cls(connection, None, durability)
        resolved = resolve(path)
        lock = WriterLock(resolved, holder)
        try:
            with opening(resolved):
                return cls._open_file(resolved, durability, lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def _open_file(cls, path: str, durability: Durability, lock: WriterLock) -> Self:
        connection = connect_writer(path)
        try:
            tools = _tools(connection)
            refuse_cut_file(connection, path)
            schema_version(tools, path)
            mode = prepare_writer(connection, durability)
            if mode != "wal":
                raise CannotOpen(path, f"its file system allows no write-ahead log (journal mode {mode})")
            migrate(tools)
            return cls(connection, path, durability, lock)
        except BaseException:
            connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; repeating it is harmless. In memory, everything is gone."""
        with self._shared:
            if self._checkpoints is not None:
                self._checkpoints.close()
            self._writer.close()
        if self._lock is not None:
            self._lock.release()

    def reader(self) -> Reader:
        """A reader of this store, for another thread; the caller closes it.

        In memory it shares our connection, and waits for a commit that is running.
        """
        if self.path is None:
            return Reader(self.connection, None, self._shared)
        with opening(self.path):
            return Reader(connect_reader(self.path), self.path)

    def commit(self, batch: Batch) -> None:
        """Store the whole batch, as `durability` says, or nothing of it; what it erased is counted in it.

        Raises WriteFailed or Unstorable (nothing was stored; the next commit may work), or StaleEpoch (none
        will).
        """
        with self._shared:
            if 0 < len(batch.events) <= EXACT and batch.is_events_alone():
                self._last_id = append(self._writer, batch.events)
                return
            last_id, watermark, runs = self._last_id, self._watermark, self._runs
            counts: dict[int, int] = {}
            with self._writer.transaction() as connection:
                last_id = self._events.run(connection, batch.events) or last_id
                # A key at most once in a statement: of two deadlines SQLite would take any.
                rows = {row.key: row for row in batch.sessions}
                self._sessions.run(connection, [rows[key] for key in sorted(rows)])
                deadlines = dict(batch.deadlines)
                self._deadlines.run(connection, [(key, deadlines[key]) for key in sorted(deadlines)])
                if batch.ended:
                    connection.execute(_ENDED, (json.dumps(batch.ended),))
                if batch.scopes:
                    self._scopes.run(connection, batch.scopes)
                self._broadcasts.run(connection, sorted(batch.broadcasts))
                if batch.turns:
                    self._turns.run(connection, batch.turns)
                if batch.erased:
                    for key, gone in batch.erased.items():
                        counts[key] = remove_session(connection, key, watermark, gone)
                    last_id, watermark, runs = _behind_erasure(connection, watermark)
            self._last_id, self._watermark, self._runs = last_id, watermark, runs
        batch.erased_by_key = counts
        batch.erased_events = sum(counts.values())

    def erase_on(self) -> bool:
        """Remove some more events of long sessions that were erased; whether there may be others.

        Raises WriteFailed (try again) or StaleEpoch.
        """
        with self._shared:
            with self._writer.unsynchronised(), self._writer.transaction() as connection:
                removed, more = erase_slice(connection, self._watermark)
                last_id, watermark, runs = self._last_id, self._watermark, self._runs
                if removed:
                    last_id, watermark, runs = _behind_erasure(connection, watermark)
            self._last_id, self._watermark, self._runs = last_id, watermark, runs
        return more

    def scrub(self, page: int, limit: int = SCRUB_PAGES) -> Scrubbed | None:
        """Overwrite what erased rows have left in the unused bytes of `limit` pages from `page` (≥ 1) on.

        None: somebody reads an older state of the file, or copies its log; try again. In memory there is
        nothing to do. Raises WriteFailed when the disk does not take it.
        """
        if self._checkpoints is None:
            return Scrubbed(None, 0)
        try:
            return self._checkpoints.scrub(self.connection, page, limit)
        except (sqlite3.Error, OSError) as error:
            self._writer.roll_back()
            raise write_error(error, self.path) from error

    def tend(self, work: Callable[[sqlite3.Connection], _Answer]) -> _Answer:
        """Do some work of the house in one transaction, which waits for no disk: a power cut may undo it.

        Raises WriteFailed (nothing was done) or StaleEpoch.
        """
        with self._shared, self._writer.unsynchronised(), self._writer.transaction() as connection:
            return work(connection)

    @property
    def index_pending(self) -> int:
        """How far the index is behind the journal, in event ids: readers scan that many events."""
        return self._last_id - self._watermark

    def index(self, limit: int = 4096) -> int:
        """Take up to `limit` more events into the index; by how many ids the watermark moved, 0 at the end.

        In a file they become one more run, which `merge` moves on, unless they are very many. It never waits
        for the disk: what a power cut takes of the index is above the watermark again.
        Raises WriteFailed (try again), StaleEpoch, or JournalCorrupt when two events share a place.
        """
        with self._shared:
            moved = min(self.index_pending, limit)
            if not moved:
                return 0
            upper, runs = self._watermark + moved, self._runs
            ids = f"{self._watermark + 1}..{upper}"
            with self._indexing(f"one of the events {ids}") as connection:
                # In memory no page is written twice, and a run would only be more to do.
                if self.path is None or moved >= AT_ONCE:
                    index_at_once(connection, self._watermark, upper)
                else:
                    runs += append_run(connection, self._watermark, upper)
                _remember(connection, "watermark", upper)
            self._watermark, self._runs = upper, runs
            return moved

    @property
    def merge_pending(self) -> int:
        """How many runs of the index wait to be merged: readers look in each of them."""
        return self._runs

    def merge(self, limit: int = 4096) -> int:
        """Move at most `limit` (≥ 1) events of the index from the runs to where all lie in order; how many.

        0 when no run is left. Nothing is found later or earlier for it, and it does not wait for the disk.
        Raises WriteFailed (try again), StaleEpoch, or JournalCorrupt when two events share a place.
        """
        with self._shared:
            if not self._runs:
                return 0
            with self._indexing("an event of the index") as connection:
                moved = merge_slice(connection, self._runs_at_once, limit)
                runs = count_runs(connection)
            # All runs give their share when they are alike. If not, it is a few that give, and a slice of
            # `limit` events is made from fewer runs: of one session alone, from one run after the other.
            if moved < limit // 4:
                self._runs_at_once = max(1, self._runs_at_once // 2)
            elif moved >= limit // 2:
                self._runs_at_once = min(MOST_RUNS, self._runs_at_once * 2)
            self._runs = runs
            return moved

    def checkpoint(self) -> int:
        """Copy the write-ahead log into the file, as far as no reader is in the way; the pages that are left.

        Commits go on meanwhile; called now and then, it keeps the log short and the next start fast. Raises
        WriteFailed when the disk does not take it: nothing is lost, only the log grows.
        """
        return 0 if self._checkpoints is None else self._checkpoints.copy()

    @property
    def connection(self) -> sqlite3.Connection:
        """The writer's connection, for tools between two commits; opened anew when the last one broke.

        Raises WriteFailed when the journal is closed.
        """
        return self._writer.connection

    @contextmanager
    def _indexing(self, what: str) -> Generator[sqlite3.Connection]:
        """A transaction that need not last; `what` breaks the index when it has a place twice."""
        try:
            writer = self._writer
            with writer.unsynchronised(), writer.careless(), writer.transaction() as connection:
                yield connection
        except Unstorable as error:
            reason = f"{what} has the place of another ({error.reason})"
            raise JournalCorrupt(self.path, reason) from error


def _tools(connection: sqlite3.Connection) -> Database:
    # Plugins of the reader's own sqlite-utils have no business in our writer.
    return Database(connection, recursive_triggers=False, execute_plugins=False)


def _behind_erasure(connection: sqlite3.Connection, watermark: int) -> tuple[int, int, int]:
    """The last event id, the watermark and the number of runs, now that events are gone."""
    # An id below the watermark that is given again would never be indexed.
    last_id = _greatest(connection, "SELECT max(id) FROM events")
    watermark = min(watermark, last_id)
    _remember(connection, "watermark", watermark)
    outbox.rewind(connection, last_id)
    return last_id, watermark, count_runs(connection)


def _greatest(connection: sqlite3.Connection, statement: str) -> int:
    value: int | None = connection.execute(statement).fetchone()[0]
    return value or 0


def _remember(connection: sqlite3.Connection, name: str, value: int) -> None:
    connection.execute("UPDATE meta SET value = ? WHERE name = ?", (value, name))
