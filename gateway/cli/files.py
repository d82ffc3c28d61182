"""What the commands read out of a database file, beside its live server or without one."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sojourn.actors.context import SensitiveKeys
from sojourn.actors.events import session_map, visible
from sojourn.actors.packing import unpack
from sojourn.actors.snapshots import restore
from sojourn.storage import Reader, SessionRow, StoredSession, read_sensitive_keys

from .reading import reading

PAGE = 500


class SessionFile:
    """A database file as people may see it: sensitive values read as `***`."""

    def __init__(self, reader: Reader, sensitive: SensitiveKeys) -> None:
        self._reader = reader
        self._sensitive = sensitive

    def sessions(self, limit: int, *, status: str | None, user_id: str | None) -> Iterator[dict[str, Any]]:
        """Session maps, newest first, at most `limit`."""
        before: int | None = None
        while limit > 0:
            rows: list[SessionRow] = self._reader.page(
                status=status, user_id=user_id, before_key=before, limit=min(limit, PAGE)
            )
            stored = self._reader.load([row.session_id for row in rows])
            for row in rows:
                if row.session_id in stored:  # else it was erased between the two reads
                    yield self._map(stored[row.session_id])
            if len(rows) < min(limit, PAGE):
                return
            before = rows[-1].key
            limit -= len(rows)

    def session(self, session_id: str) -> dict[str, Any] | None:
        """One session's map, None where there is no such session."""
        stored = self._reader.load([session_id]).get(session_id)
        return None if stored is None else self._map(stored)

    def history(self, session_id: str) -> Iterator[dict[str, Any]]:
        """The events of one session, oldest first, as maps."""
        stored = self._reader.load([session_id]).get(session_id)
        if stored is None:
            return
        after, more = 0, True
        while more:
            events, more = self._reader.history(stored.row.key, after_seq=after, limit=PAGE)
            for event in events:
                yield unpack(visible(event, session_id, self._sensitive))
                after = event[1]

    def _map(self, stored: StoredSession) -> dict[str, Any]:
        return session_map(restore(stored), self._sensitive)


@contextmanager
def session_file(db: Path | None, settings_file: Path | None) -> Generator[SessionFile, None, None]:
    """The file that is named, or the one in the settings; a failure is one line at the user."""
    with reading(db, settings_file) as (settings, reader):
        keys = {*settings.sensitive_keys, *reader.look(read_sensitive_keys)}
        yield SessionFile(reader, SensitiveKeys(keys))
