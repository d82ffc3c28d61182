"""Connections to the file, set up for their one use, and SQLite's errors in our words."""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, TypeAlias

from .errors import CannotOpen, NotADatabase, ReadFailed, StorageError, StoreLocked, Unstorable, WriteFailed

Durability: TypeAlias = Literal["full", "relaxed", "memory"]
"""A commit survives power loss (`full`), the death of the process (`relaxed`), or nothing (`memory`)."""

SYNCHRONOUS: Final = {"full": "FULL", "relaxed": "NORMAL", "memory": "OFF"}

_BUSY_TIMEOUT: Final = 1.0
_CACHED_STATEMENTS: Final = 512
_WRITER_CACHE_KIB: Final = 32 * 1024
_READER_CACHE_KIB: Final = 16 * 1024
_WAL_PAGES: Final = 16 * 1024
_WAL_BYTES: Final = _WAL_PAGES * 4096

_PRIMARY_CODE: Final = 0xFF
_UNUSABLE: Final = frozenset(
    {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}
)
_DAMAGED: Final = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FORMAT})
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})

UNSTORABLE: Final = (
    sqlite3.IntegrityError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
    sqlite3.DataError,
    OverflowError,
    UnicodeEncodeError,
)
"""What a batch raises that SQLite can never take, however often it is tried."""


def resolve(path: str) -> str:
    """The one absolute name of the file, links followed: the lock goes by it. Raises CannotOpen."""
    resolved = Path(path).resolve()
    if resolved.is_dir():
        raise CannotOpen(path, "it is a folder")
    if not resolved.parent.is_dir():
        raise CannotOpen(path, f"the folder {resolved.parent} does not exist")
    return str(resolved)


def refuse_cut_file(connection: sqlite3.Connection, path: str) -> None:
    """Raises NotADatabase when the file ends inside a page: SQLite itself would read zeros there."""
    log = Path(f"{path}-wal")
    if log.exists() and log.stat().st_size:
        # Killed while it copied the log, a writer leaves such a file; the log still has the page.
        return
    # The length is asked for by name: closing a descriptor of our own would drop SQLite's locks on the file.
    size = Path(path).stat().st_size if Path(path).exists() else 0
    page_size: int = connection.execute("PRAGMA page_size").fetchone()[0]
    if size % page_size:
        raise NotADatabase(path, f"its end is missing ({size} bytes are no whole number of pages)")


def connect_memory() -> sqlite3.Connection:
    """An empty database in memory, which lives as long as this connection."""
    connection = sqlite3.connect(
        ":memory:", isolation_level=None, check_same_thread=False, cached_statements=_CACHED_STATEMENTS
    )
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def connect_reader(path: str) -> sqlite3.Connection:
    """A connection that cannot write; it reads beside a live writer and after one that was killed."""
    connection = _connect(path, "ro")
    connection.execute(f"PRAGMA cache_size = -{_READER_CACHE_KIB}")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def connect_writer(path: str) -> sqlite3.Connection:
    """A connection for writing, before anything of the file was read or changed; see `prepare_writer`."""
    return _connect(path, "rwc")


def prepare_writer(connection: sqlite3.Connection, durability: Durability) -> str:
    """Set the writer's ways, once the file is known to be ours; the journal mode that the file took."""
    mode = str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
    connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS[durability]}")
    connection.execute(f"PRAGMA cache_size = -{_WRITER_CACHE_KIB}")
    connection.execute("PRAGMA temp_store = MEMORY")
    # What is erased is overwritten, whatever this SQLite was built with.
    connection.execute("PRAGMA secure_delete = ON")
    # A bound for the write-ahead log, when nobody calls `Journal.checkpoint` or it finds no pause. At
    # this size the commit itself copies the log into the file; nobody else writes, so the copy is whole, and
    # the next commit begins the log anew. A RESTART checkpoint of our own would do no more, and would have
    # to guess how long the log is.
    connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
    return mode


def connect_checkpointer(path: str) -> sqlite3.Connection:
    """A connection that only moves the write-ahead log into the file."""
    connection = _connect(path, "rw")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def _connect(path: str, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{Path(path).as_uri()}?mode={mode}",
        uri=True,
        timeout=_BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_CACHED_STATEMENTS,
    )


@contextmanager
def opening(path: str) -> Generator[None]:
    """Turns what SQLite says while a file is opened into our errors."""
    try:
        yield
    except sqlite3.Error as error:
        raise _opening_error(error, path) from error


def _opening_error(error: sqlite3.Error, path: str) -> StorageError:
    code = _code(error)
    if code in _DAMAGED:
        return NotADatabase(path, f"the file is truncated, damaged, or of another kind ({error})")
    if code in _BUSY:
        return StoreLocked(path, None)
    if code in _UNUSABLE:
        return CannotOpen(path, f"the system refuses to read or write it ({error})")
    return CannotOpen(path, str(error))


@contextmanager
def reading(path: str | None) -> Generator[None]:
    """Turns what SQLite says to a read into our errors."""
    try:
        yield
    except sqlite3.Error as error:
        raise ReadFailed(path, str(error)) from error


def write_error(error: Exception, path: str | None) -> WriteFailed:
    """Our error for a write that SQLite refused and that has been rolled back."""
    if isinstance(error, UNSTORABLE):
        return Unstorable(path, str(error))
    return WriteFailed(path, str(error))


def _code(error: sqlite3.Error) -> int:
    # Errors that the module raises by itself carry no code.
    return int(getattr(error, "sqlite_errorcode", 0)) & _PRIMARY_CODE
