"""What an export says, item by item, from one read transaction; from any place on, so that it can be resumed.

Nothing is kept but the page at hand: an export of any length takes the same memory.
"""

from collections.abc import Generator, Iterator
from typing import Any, NamedTuple

from sojourn.storage import EventRow, archive
from sojourn.storage.archive import Connection, Found, Selection

from .archive import Item, end_item, event_item, header_item, session_item, user_item
from .context import SensitiveKeys
from .errors import SessionNotFound
from .snapshots import restore


class Wanted(NamedTuple):
    """What is to be exported."""

    selection: Selection = Selection()
    tag: str | None = None
    """Only sessions that have this tag now."""
    secrets: bool = False
    """Sensitive values in clear."""
    sensitive_keys: tuple[str, ...] = ()
    """Patterns of the keys whose values are sensitive."""

    def header(self) -> Item:
        """The first line of this export."""
        filters = {name: value for name, value in self.selection._asdict().items() if value not in (None, ())}
        if self.selection.session_ids:
            filters["session_ids"] = list(self.selection.session_ids)
        if self.tag is not None:
            filters["tag"] = self.tag
        return header_item(secrets=self.secrets, sensitive_keys=sorted(self.sensitive_keys), filters=filters)

    @property
    def users_too(self) -> bool:
        """Are the contexts of users part of it? Those of all, or that of the one who is asked for."""
        return self.tag is None and self.selection == Selection(user_id=self.selection.user_id)


class Place(NamedTuple):
    """How far an export has come: the last thing that is written already."""

    user_id: str | None = None
    """This user's context, where no session is written yet."""
    session_id: str | None = None
    """This session's line."""
    seq: int = 0
    """Its event, or 0."""
    until_seq: int | None = None
    """The newest event of that session which its line announced; None: what there is now."""
    sessions: int = 0
    events: int = 0
    """What is written of both."""


class Counts(NamedTuple):
    """What was written in all, the part before the place included."""

    sessions: int
    events: int


def export_items(
    connection: Connection, wanted: Wanted, place: Place | None = None
) -> Generator[Item, None, Counts]:
    """Every item of an export behind `place` (None: from the header on), in the one order there is.

    Raises SessionNotFound when the session of the place is gone. Its value is what was written in all.
    """
    sensitive = SensitiveKeys(() if wanted.secrets else wanted.sensitive_keys)
    selection = wanted.selection
    after_key = 0
    sessions, events = 0, 0
    if place is None:
        yield wanted.header()
        place = Place()
    else:
        sessions, events = place.sessions, place.events
    if place.session_id is not None:
        key = archive.find_key(connection, place.session_id)
        if key is None:
            raise SessionNotFound(f"session {place.session_id} is gone", session_id=place.session_id)
        after_key = key
        until = place.until_seq
        if until is None:
            found = archive.read_session(connection, key)
            assert found is not None
            until = restore(found.stored).seq
        for row in archive.read_events(connection, key, place.seq, until):
            yield event_item(row, place.session_id, sensitive)
            events += 1
    elif wanted.users_too:
        for user in archive.read_users(connection, selection.user_id, place.user_id):
            yield user_item(user, sensitive)
    for found in archive.read_sessions(connection, selection, after_key):
        if wanted.tag is not None and wanted.tag not in restore(found.stored).tags:
            continue
        sessions += 1
        for item in session_items(connection, found, sensitive):
            yield item
            events += item["kind"] == "event"
    yield end_item(sessions, events)
    return Counts(sessions, events)


def session_items(connection: Connection, found: Found, sensitive: SensitiveKeys) -> Iterator[Item]:
    """A session's line and its events."""
    row = found.stored.row
    session = restore(found.stored)
    seq = session.seq
    events: Iterator[EventRow]
    if found.history is None:
        events = archive.read_events(connection, row.key, 0, seq)
    else:
        events = iter(found.history)
    first = next(events, None)
    first_seq = seq + 1 if first is None else first[1]
    yield session_item(row, session, first_seq, sensitive, found.broadcasts)
    if first is not None:
        yield event_item(first, row.session_id, sensitive)
    for each in events:
        yield event_item(each, row.session_id, sensitive)


def stored_items(connection: Connection, key: int) -> Iterator[dict[str, Any]]:
    """All that an export with secrets says of one session; nothing when there is none of this key."""
    found = archive.read_session(connection, key)
    if found is not None:
        yield from session_items(connection, found, SensitiveKeys())
