"""An export back into a file: each session whole or not at all, in batches, through the journal.

A session that is there already, and the same, is passed over: so an import that was cut off is simply run
again. Anything else that is there already is refused, and so is whatever does not fit: the error names the
line. What came before it stays. What was erased from the file is passed over, unless it is wanted back.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from sojourn.storage import (
    Batch,
    BroadcastRow,
    EventRow,
    Journal,
    SessionRow,
    add_sensitive_keys,
    archive,
    broadcasts,
)
from sojourn.storage.erased import Erasures, restore
from sojourn.storage.scopes import read_scopes

from .archive import (
    BadItem,
    Item,
    broadcast_rows,
    check_header,
    event_row,
    first_seq,
    from_line,
    last_seq,
    rebuilt,
    sensitive_keys_of,
    session_id_of,
    user_row,
)
from .exporting import stored_items

BATCH_EVENTS: Final = 4096
BATCH_SESSIONS: Final = 500
INDEX_AT: Final = 262_144
"""Events behind the index from which on they are taken in, as many at once as lie together then."""


class ImportRefused(Exception):
    """A line that cannot be taken; what was stored before it stays."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        """From 1 on."""
        self.reason = reason


@dataclass(slots=True)
class Imported:
    """What came of it so far."""

    sessions: int = 0
    events: int = 0
    users: int = 0
    known: int = 0
    """Sessions that were there already, the same."""
    erased: int = 0
    """Sessions and contexts of users that were erased from this file, and were not taken."""


class _Lines:
    """Lines as items, with their numbers; one can be looked at before it is taken."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = iter(lines)
        self._next: Item | None = None
        self.number = 0

    def peek(self) -> Item | None:
        """The next item; None at the end. Raises BadItem; `number` is its line's."""
        if self._next is None:
            line = next(self._lines, None)
            if line is None:
                return None
            self.number += 1
            self._next = from_line(line)
        return self._next

    def take(self) -> Item:
        item = self.peek()
        if item is None:
            self.number += 1
            raise BadItem("the file ends here, and is not complete")
        self._next = None
        return item


def check_first_line(line: bytes) -> None:
    """Raise ImportRefused unless an export begins with this line: before any file is made for it."""
    try:
        check_header(from_line(line))
    except BadItem as error:
        raise ImportRefused(1, str(error)) from error


def import_lines(
    lines: Iterable[bytes],
    journal: Journal,
    report: Callable[[Imported], None] | None = None,
    *,
    restore_erased: bool = False,
) -> Imported:
    """Take a whole export, its header first; `report` hears of what is stored, now and then.

    With `restore_erased` also what was erased from the file: sessions, and whatever a person had before.
    Raises ImportRefused for a line that does not fit, or the StorageError of what could not be stored.
    """
    taken = _Import(lines, journal, report, restore_erased=restore_erased)
    try:
        return taken.run()
    except BadItem as error:
        raise ImportRefused(taken.line, str(error)) from error


class _Import:
    def __init__(
        self,
        lines: Iterable[bytes],
        journal: Journal,
        report: Callable[[Imported], None] | None,
        *,
        restore_erased: bool,
    ) -> None:
        self._lines = _Lines(lines)
        self._journal = journal
        self._report = report
        self._first_key = self._next_key = journal.next_key
        self._batch = Batch()
        self._ids: set[str] = set()
        """Sessions that are to be stored with the batch."""
        self._requests: set[str] = set()
        self._reached: set[tuple[str, str]] = set()
        self._erasures = Erasures(journal.connection)
        self._restore_erased = restore_erased
        self._restored: list[str] = []
        self._of_session = 0
        """The line of the session at hand, while it is the one to blame."""
        self._imported = Imported()

    @property
    def line(self) -> int:
        """The line that is to blame."""
        return self._of_session or self._lines.number

    def run(self) -> Imported:
        header = self._lines.take()
        check_header(header)
        sensitive_keys = sensitive_keys_of(header)
        if sensitive_keys:
            self._journal.tend(lambda connection: add_sensitive_keys(connection, sensitive_keys))
        sessions = events = 0
        try:
            while True:
                item = self._lines.take()
                kind = item.get("kind")
                if kind == "user":
                    self._user(item)
                elif kind == "session":
                    sessions += 1
                    events += self._session(item)
                elif kind == "end":
                    break
                else:
                    raise BadItem(f"neither a user, nor a session, nor the end, but {str(kind)[:64]!r}")
            if (item.get("sessions"), item.get("events")) != (sessions, events):
                raise BadItem(f"the end counts others than the {sessions} sessions and {events} events here")
            if self._lines.peek() is not None:
                raise BadItem("there is something behind the end")
        finally:
            self._store()  # what is whole is kept, whatever comes behind it
            self._settle()
        return self._imported

    def _user(self, item: Item) -> None:
        row = user_row(item)
        if not self._restore_erased and self._erasures.erased_at(row.user_id) is not None:
            self._imported.erased += 1
            return
        known = read_scopes(self._journal.connection, [row.user_id]).get(row.user_id)
        if known is None:
            self._batch.scopes.append(row)
            self._imported.users += 1
        elif known != row:
            raise BadItem(f"there is a context of user {row.user_id!r} already, and it is not the same")

    def _session(self, item: Item) -> int:
        """Take a session's line and its events; how many those are."""
        start = self._lines.number
        session_id = session_id_of(item)
        known = archive.find_key(self._journal.connection, session_id)
        if session_id in self._ids or (known is not None and known >= self._first_key):
            raise BadItem(f"session {session_id!r} is in this file twice")
        if known is not None:
            return self._compare(item, session_id, known)
        rows = self._events(item, session_id)
        self._of_session = start
        row, _ = rebuilt(item, self._next_key, rows)
        if self._was_erased(row):
            if not self._restore_erased:
                self._of_session = 0
                self._imported.erased += 1
                return len(rows)
            self._restored.append(session_id)
        self._refuse_request(row.request_key)
        reached = broadcast_rows(item, row)
        self._refuse_reached(reached)
        self._of_session = 0
        self._next_key += 1
        self._ids.add(session_id)
        self._batch.sessions.append(row)
        self._batch.events += rows
        self._batch.broadcasts += reached
        self._imported.sessions += 1
        self._imported.events += len(rows)
        if len(self._batch.events) >= BATCH_EVENTS or len(self._ids) >= BATCH_SESSIONS:
            self._store()
        return len(rows)

    def _events(self, item: Item, session_id: str) -> list[EventRow]:
        seq, last = first_seq(item), last_seq(item)
        rows: list[EventRow] = []
        at = float("-inf")
        while seq <= last:
            if (following := self._lines.peek()) is not None and following.get("kind") != "event":
                raise BadItem(f"session {session_id!r} has events up to {last}, and {seq} is missing")
            row = event_row(self._lines.take(), self._next_key, session_id, seq, at)
            rows.append(row)
            at = row[2]
            seq += 1
        following = self._lines.peek()
        if following is not None and following.get("kind") == "event":
            raise BadItem(f"session {session_id!r} has events up to {last}, and here is another")
        return rows

    def _was_erased(self, row: SessionRow) -> bool:
        """Was the session erased, or its user, at its time or later? Who comes back later is welcome."""
        if self._erasures.has_session(row.session_id):
            return True
        at = None if row.user_id is None else self._erasures.erased_at(row.user_id)
        return at is not None and row.created_at <= at

    def _refuse_request(self, request_key: str | None) -> None:
        if request_key is None:
            return
        other = archive.find_request(self._journal.connection, request_key)
        if other is not None or request_key in self._requests:
            raise BadItem(f"another session was created with its request_key {request_key!r}")
        self._requests.add(request_key)

    def _refuse_reached(self, rows: list[BroadcastRow]) -> None:
        for user_id, broadcast_id, _, _ in rows:
            known = broadcasts.outcomes_of(self._journal.connection, broadcast_id, [user_id])
            if known or (user_id, broadcast_id) in self._reached:
                raise BadItem(f"broadcast {broadcast_id!r} reached user {user_id!r} in another session")
            self._reached.add((user_id, broadcast_id))

    def _compare(self, item: Item, session_id: str, key: int) -> int:
        """Pass over a session that is there already, if it is the same."""
        number = self._lines.number
        events = 0
        for place, known in enumerate(stored_items(self._journal.connection, key)):
            found = item if place == 0 else self._lines.peek()
            if found != known:
                self._of_session = number
                raise BadItem(f"session {session_id!r} is there already, and it is not the same")
            if place:
                self._lines.take()
                events += 1
        self._imported.known += 1
        return events

    def _store(self) -> None:
        batch = self._batch
        if restored := self._restored:  # first: cut off in between, the import is run again
            self._journal.tend(lambda connection: restore(connection, restored))
            self._restored = []
        if batch.sessions or batch.scopes:
            self._journal.commit(batch)
        self._batch = Batch()
        self._ids.clear()
        self._requests.clear()
        self._reached.clear()
        if self._journal.index_pending >= INDEX_AT:
            self._index()
        if self._report is not None:
            self._report(self._imported)

    def _index(self) -> None:
        while self._journal.index(max(INDEX_AT, self._journal.index_pending)):
            pass

    def _settle(self) -> None:
        """Leave the file as a server leaves it: every event in the index."""
        self._index()
        while self._journal.merge(BATCH_EVENTS):
            pass
        self._journal.checkpoint()


def lines_of(read: Callable[[], bytes]) -> Iterator[bytes]:
    """The lines of a file, the last one perhaps without its end."""
    while line := read():
        yield line
