"""The questions to the insights of a database, each answered as of one instant."""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from sojourn.storage.connection import connect_reader, opening, reading
from sojourn.storage.reader import Reader

from .errors import InsightsMissing
from .filters import Filters
from .follower import insights_path
from .past import Page, list_sessions
from .rows import numbers
from .schema import VERSION, version_of
from .search import Hits, find
from .source import newest_event
from .stats import Statistics, gather

EVERYTHING = Filters()


def events_to_gather(path: str) -> int:
    """Events of the database `path` while there are no insights of it; raises what `Reader.open` raises."""
    database = Reader.open(path)
    try:
        return database.look(newest_event)
    finally:
        database.close()


class InsightsReader:
    """Search and statistics over the insights of one database, beside who gathers them or without.

    Used by one thread at a time. A method raises InvalidQuestion when the caller has to change something, and
    ReadFailed when SQLite reports an error.
    """

    def __init__(self, connection: sqlite3.Connection, database: Reader, path: str) -> None:
        """For `open`: takes all of these over."""
        self._connection = connection
        self._database = database
        self._path = path

    @classmethod
    def open(cls, path: str | None) -> Self:
        """The insights of the database `path`; None is a store in memory, which has none.

        Raises InsightsMissing where nobody has gathered any (of this version), and what `Reader.open` raises.
        """
        if path is None:
            raise InsightsMissing(None)
        target = insights_path(path)
        if not Path(target).exists():
            raise InsightsMissing(target)
        database = Reader.open(path)
        try:
            with opening(target):
                connection = connect_reader(target)
                try:
                    if version_of(connection, target) != VERSION:
                        raise InsightsMissing(target)
                    return cls(connection, database, target)
                except BaseException:
                    connection.close()
                    raise
        except BaseException:
            database.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of both files."""
        self._connection.close()
        self._database.close()

    def behind(self) -> int:
        """Events of the journal that are not in the insights yet."""
        newest = self._database.look(newest_event)
        with self._snapshot():
            return max(0, newest - numbers(self._connection)["cursor"])

    @property
    def purged(self) -> int:
        """The id of the last erasure of which no byte is left in the insights' files."""
        with self._snapshot():
            return numbers(self._connection)["purged"]

    def search(
        self, q: str, filters: Filters = EVERYTHING, limit: int = 50, cursor: str | None = None
    ) -> Hits:
        """The newest messages that match `q`: all its words, `"phrases"`, `begin*`, without `-this`."""
        with self._snapshot():
            return find(self._connection, q, filters, limit, cursor)

    def sessions(
        self,
        filters: Filters = EVERYTHING,
        sort: str = "created_at",
        order: str = "desc",
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page:
        """The facts of the sessions that match; `sort` is one of `past.SORTS`."""
        with self._snapshot():
            return list_sessions(self._connection, filters, sort, order, limit, cursor)

    def stats(self, filters: Filters = EVERYTHING, bucket: str = "day") -> Statistics:
        """What happened from `filters.since` until `filters.until`, by hour, day, week or month, of UTC."""
        with self._snapshot():
            return gather(self._connection, filters, bucket)

    @contextmanager
    def _snapshot(self) -> Generator[None]:
        with reading(self._path):
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.execute("ROLLBACK")
