"""The one connection that writes a file, made anew when it broke, and its transactions."""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager, suppress

from .connection import UNSTORABLE, Durability, connect_writer, prepare_writer, write_error
from .errors import StaleEpoch, WriteFailed


class Writer:
    """For one thread at a time."""

    def __init__(self, connection: sqlite3.Connection, path: str | None, durability: Durability) -> None:
        """Takes over a connection; begins with a new epoch."""
        self.path = path
        self.durability: Durability = durability
        self.closed = False
        self._connection: sqlite3.Connection | None = connection
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'epoch'")
        self.epoch: int = _epoch(connection)
        connection.execute("COMMIT")

    def close(self) -> None:
        """Let go of the file; repeating it is harmless."""
        self.closed = True
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    @property
    def connection(self) -> sqlite3.Connection:
        """Opened anew when the last one broke. Raises WriteFailed when the writer is closed."""
        if self.closed:
            raise WriteFailed(self.path, "the journal is closed")
        if self._connection is None:
            assert self.path is not None
            connection = connect_writer(self.path)
            try:
                prepare_writer(connection, self.durability)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """All of it or nothing. Raises WriteFailed, Unstorable or StaleEpoch."""
        try:
            connection = self.connection
            connection.execute("BEGIN IMMEDIATE")
            found = _epoch(connection)
            if found != self.epoch:
                raise StaleEpoch(self.path, self.epoch, found)
            yield connection
            connection.execute("COMMIT")
        except BaseException as error:
            self.roll_back()
            if isinstance(error, (sqlite3.Error, *UNSTORABLE)):
                raise write_error(error, self.path) from error
            raise

    def stored_epoch(self) -> int:
        """The epoch of whoever opened the file last: ours, unless another took it from us."""
        return _epoch(self.connection)

    def roll_back(self) -> None:
        """Undo what is under way, if anything is."""
        connection = self._connection
        if connection is None or not connection.in_transaction:
            # Some errors, a full disk among them, have ended the transaction already.
            return
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error:
            # A connection that cannot even do this is in no known state: the next transaction makes another.
            # The store in memory has only this one.
            if self.path is not None:
                self._connection = None
                with suppress(sqlite3.Error):
                    connection.close()

    @contextmanager
    def unsynchronised(self) -> Generator[None]:
        """What is committed within waits for no disk: a power cut may undo it."""
        if self.durability != "full":
            yield
            return
        try:
            self.connection.execute("PRAGMA synchronous = NORMAL")
            yield
        except sqlite3.Error as error:
            raise write_error(error, self.path) from error
        finally:
            if self._connection is not None:
                self._connection.execute("PRAGMA synchronous = FULL")

    @contextmanager
    def careless(self) -> Generator[None]:
        """The index holds no word of anybody's: what leaves it need not be overwritten, page for page."""
        try:
            self.connection.execute("PRAGMA secure_delete = OFF")
            yield
        except sqlite3.Error as error:
            raise write_error(error, self.path) from error
        finally:
            if self._connection is not None:
                self._connection.execute("PRAGMA secure_delete = ON")


def _epoch(connection: sqlite3.Connection) -> int:
    number: int = connection.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()[0]
    return number
