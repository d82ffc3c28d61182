"""The one who follows a journal and keeps the insights beside it.

It reads the database like any reader, in slices, so the writer never waits for it. A slice and the place
where it ends are one transaction of the insights file: killed at any instant, it goes on where it was. An
event is taken once, because a session's events are counted (`seq`); so it may go back in the journal as far
as it likes, and does whenever erasures, a power cut or a restored copy changed what it has seen.
"""

import logging
import sqlite3
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, Self, cast

import msgpack

from sojourn.storage.connection import connect_writer, opening, prepare_writer, resolve, write_error
from sojourn.storage.errors import CannotOpen
from sojourn.storage.lock import WriterLock
from sojourn.storage.reader import Reader
from sojourn.storage.records import EVENT_NAMES

from .facts import Facts, is_copy
from .rows import (
    Gathered,
    all_keys,
    delete_sessions,
    keys_of,
    last_places,
    numbers,
    read_facts,
    remember,
)
from .schema import VERSION, create_anew, version_of
from .source import (
    Erasure,
    Event,
    Origin,
    Slice,
    Tail,
    is_in_place,
    last_tail,
    missing_of,
    read_erasures,
    read_origins,
    read_session,
    read_slice,
)

logger = logging.getLogger(__name__)

TAKEN_AT_ONCE: Final = 2000
"""Events of one slice: some tens of milliseconds of this process, one of the disk."""

_LOOK_BACK: Final = 1000
"""Sessions that are compared with the journal when its end is not what it was; if none fits, begin anew."""

_STALE: Final = 10
"""Messages deleted by retention, in percent of those there, at which the file is made smaller."""


def insights_path(path: str) -> str:
    """The file of insights that belongs to a database."""
    return f"{resolve(path)}-insights"


class Progress(NamedTuple):
    """How far the insights are."""

    taken: int
    """Events that this step went through, erasures included; 0: there was nothing to do."""
    behind: int
    """Events of the journal that are still to be taken in."""


class Insights:
    """The follower of one database file; the only writer of its insights. Used by one thread at a time."""

    def __init__(self, path: str, reader: Reader, connection: sqlite3.Connection, lock: WriterLock) -> None:
        """For `open`: takes all of these over."""
        self.path = path
        """The file of insights."""
        self._reader = reader
        self._connection = connection
        self._lock = lock
        known = numbers(connection)
        self._tail = Tail(known["cursor"], known["cursor_session"], known["cursor_seq"])
        self._erasure = known["erasure"]
        self._purged = known["purged"]
        self._deleted = known["deleted"]
        self._purge_wanted = self._purged < self._erasure
        """A person was erased, or may have been: the files are purged once all is taken in."""
        self._rewritten = False
        """The file holds nothing deleted any more, its write-ahead log may."""

    @classmethod
    def open(cls, path: str) -> Self:
        """Follow the database `path`; its insights are made where there are none of this version.

        Raises StoreLocked when another process does, and what `Reader.open` raises.
        """
        target = insights_path(path)
        reader = Reader.open(path)
        try:
            lock = WriterLock(target)
            try:
                with opening(target):
                    return cls(target, reader, _connect(target), lock)
            except BaseException:
                lock.release()
                raise
        except BaseException:
            reader.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of both files."""
        self._connection.close()
        self._reader.close()
        self._lock.release()

    @property
    def purged(self) -> int:
        """The id of the last erasure of which no byte is left in the insights' files."""
        return self._purged

    def catch_up(self, limit: int = TAKEN_AT_ONCE) -> Progress:
        """Take in at most `limit` more events, erasures first. Call it until `taken` is 0.

        Raises ReadFailed or WriteFailed: nothing of this step was stored, try again later.
        """
        last = next(iter(last_places(self._connection, 1)), None)
        found = self._reader.look(
            lambda database: read_slice(database, self._tail, self._erasure, last, limit)
        )
        if found.erased < self._erasure:
            logger.warning("insights: %s is another file than before: all is read anew", self.path)
            self._begin_anew(found.erased)
            return Progress(1, found.newest)
        if found.erasures:
            self._forget(found.erasures)
            return Progress(len(found.erasures), max(0, found.newest - self._tail.event))
        if not found.in_place:
            return Progress(1, max(0, found.newest - self._find_place(found)))
        if not found.events:
            return Progress(int(self._purge_when_due()), 0)
        self._take(found)
        return Progress(len(found.events), max(0, found.newest - self._tail.event))

    def catch_up_all(self) -> None:
        """Take in all that is there, and let what was erased vanish from the files."""
        while self.catch_up().taken:
            pass

    def forget_erased(self) -> bool:
        """Only see to what was erased; whether no byte of it is left (if not, a reader is in the way)."""
        while True:
            erasures = self._reader.look(
                lambda database: read_erasures(database, self._erasure, TAKEN_AT_ONCE)
            )
            if not erasures:
                break
            self._forget(erasures)
        return self._purged >= self._erasure or self.purge()

    def purge(self) -> bool:
        """Leave no byte of what was deleted in the files; False when a reader was in the way: try again.

        Deleted words stay in FTS5's segments until they are merged, deleted rows in the unused parts of
        pages, and the write-ahead log has copies of everything; so all three are made anew.
        """
        with self._writing():
            if not self._rewritten:
                self._connection.execute("INSERT INTO messages_fts (messages_fts) VALUES ('optimize')")
                self._connection.execute("VACUUM")
                self._rewritten = True
            if not self._empty_log():
                return False
            with self._transaction():
                remember(self._connection, "purged", self._erasure)
                remember(self._connection, "deleted", 0)
            self._purged = self._erasure
            self._deleted = 0
        return True

    # -- one step each -----------------------------------------------------------------------------

    def _take(self, found: Slice) -> None:
        connection = self._connection
        with self._writing(), self._transaction():
            gathered = _gather(found.events, found.origins, read_facts(connection, found.origins))
            gathered.write(connection)
            last = found.events[-1]
            tail = Tail(last.id, last.session, last.seq)
            self._remember_tail(tail)
        self._tail = tail

    def _forget(self, erasures: list[Erasure]) -> None:
        """Delete what is erased. The journal may have given the ids of its end again: go back as far as the
        last event known that is still there.
        """
        connection = self._connection
        known = keys_of(connection, [erasure.session_id for erasure in erasures])
        keys = set(known.values())
        if len(known) < len(erasures):
            # A hash stands for the id, or the session was never taken in. Whose key is gone is erased.
            everybody = all_keys(connection)
            keys.update(self._reader.look(lambda database: missing_of(database, everybody)))
        deleted = self._deleted
        with self._writing(), self._transaction():
            deleted += delete_sessions(connection, keys)
            tail = min(self._tail, last_tail(next(iter(last_places(connection, 1)), None)))
            self._remember_tail(tail)
            remember(connection, "erasure", erasures[-1].id)
            remember(connection, "deleted", deleted)
        self._tail = tail
        self._erasure = erasures[-1].id
        self._deleted = deleted
        self._rewritten = False
        if any(erasure.why != "retention" for erasure in erasures):
            self._purge_wanted = True

    def _find_place(self, found: Slice) -> int:
        """The journal's end is not what it was: go back to where it is, and read anew who lay behind that."""
        connection = self._connection
        places = last_places(connection, _LOOK_BACK)
        kept = self._reader.look(
            lambda database: next((place for place in places if is_in_place(database, place)), None)
        )
        if kept is None:
            logger.warning("insights: the journal beside %s is another one: all is read anew", self.path)
            self._begin_anew(found.erased)
            return 0
        lost = {place.session for place in places if place.event > kept.event}
        tail = min(self._tail, last_tail(kept))
        events, origins = self._reader.look(
            lambda database: (
                [event for key in sorted(lost) for event in read_session(database, key, tail.event)],
                read_origins(database, lost),
            )
        )
        with self._writing(), self._transaction():
            deleted = self._deleted + delete_sessions(connection, lost)
            _gather(events, origins, {}).write(connection)
            self._remember_tail(tail)
            remember(connection, "deleted", deleted)
        self._tail = tail
        self._deleted = deleted
        self._rewritten = False
        return tail.event

    def _begin_anew(self, erasure: int) -> None:
        with self._writing():
            create_anew(self._connection)
            with self._transaction():
                remember(self._connection, "erasure", erasure)
        self._tail = Tail(0, 0, 0)
        self._deleted = self._purged = 0
        self._erasure = erasure
        self._rewritten = False

    def _remember_tail(self, tail: Tail) -> None:
        for name, value in zip(("cursor", "cursor_session", "cursor_seq"), tail, strict=True):
            remember(self._connection, name, value)

    def _purge_when_due(self) -> bool:
        if self._purged >= self._erasure:
            return False
        if not self._purge_wanted:
            there = self._connection.execute("SELECT count(*) FROM messages").fetchone()[0]
            if self._deleted * 100 < there * _STALE:
                return False
        done = self.purge()
        self._purge_wanted = not done
        # Where a reader was in the way, this is not progress: the caller waits before the next attempt.
        return done

    def _empty_log(self) -> bool:
        busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    @contextmanager
    def _transaction(self) -> Generator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _writing(self) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise write_error(error, self.path) from error


def _connect(path: str) -> sqlite3.Connection:
    connection = connect_writer(path)
    try:
        if version_of(connection, path) != VERSION:
            prepare_writer(connection, "relaxed")
            create_anew(connection)
        elif prepare_writer(connection, "relaxed") != "wal":
            raise CannotOpen(path, "its file system allows no write-ahead log")
        return connection
    except BaseException:
        connection.close()
        raise


def _gather(events: Iterable[Event], origins: dict[int, Origin], known: dict[int, Facts]) -> Gathered:
    gathered = Gathered()
    for event in events:
        origin = origins.get(event.session)
        if origin is None:
            continue  # erased since
        facts = gathered.facts.get(event.session) or known.get(event.session)
        if facts is None:
            facts = Facts(**origin._asdict())
        if event.seq <= facts.seq:
            continue  # taken in before the journal was gone back in
        gathered.facts[event.session] = facts
        name = EVENT_NAMES.get(event.type, "")
        payload = cast("dict[str, object]", msgpack.unpackb(event.body, strict_map_key=False))
        handover = facts.apply(name, event.at, payload)
        if handover is not None:
            gathered.handovers[handover.session, handover.number] = handover
        if name == "message:received" and not is_copy(payload):
            gathered.message(event.id, event.session, event.seq, event.at, payload)
        elif name in {"session:created", "session:tagged"}:
            gathered.retagged.add(event.session)
        facts.seq = event.seq
        facts.event = event.id
    return gathered


def gathered_by(path: str) -> bool:
    """Whether there is a file of insights beside the database."""
    return Path(insights_path(path)).exists()
