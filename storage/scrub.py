"""Overwrites what erased rows have left in the unused bytes of the file's pages.

Theory of operation. `secure_delete` has SQLite overwrite what is deleted, and every page that becomes free.
One thing it leaves: when the rows of a page are spread over its neighbours, the bytes between the page's cell
pointers and its first cell keep what was there before. A row that is erased later, where it lies now, leaves
that copy. No statement reaches these bytes; rewriting the whole file (`VACUUM`) would, and would have
everybody wait.

So they are overwritten in the file itself, some hundred pages at a time, in a moment in which nothing can
refer to them otherwise: the write-ahead log is empty (TRUNCATE: every reader reads the file as it is now) and
we hold the one lock of all writers, so nobody can write, and no checkpoint has anything to copy. Only bytes
are touched that no reader looks at, so whoever has the page in a cache, maps it or copies it meanwhile reads
the same rows; killed or cut off in between, it is the same page. Afterwards our own connection forgets its
copies of the pages, or it would write the old bytes back with the next row.

One thing moves such bytes from page to page: SQLite spreads rows over neighbours, and swaps the numbers of
these pages to have them in order. So each step also looks again at every page behind it that was written
since the pass began. Those are in the log: it only grows between two steps. Where it may have begun anew
meanwhile (a checkpoint of somebody else's), the pass begins anew as well.

What the system keeps for a file by process, not by descriptor, are its locks: closing any descriptor drops
those of SQLite. So ours stays open as long as the process.

Ruled out: `sqlite_dbpage`, which would write through SQLite and which its builds lack, Debian's and Python's
own among them; rewriting the rows of such a page, which makes SQLite spread them anew.
"""

import os
import sqlite3
from collections.abc import Iterable
from itertools import count, groupby
from pathlib import Path
from typing import Final, NamedTuple

from .file_format import HEADER_BYTES, header, unused

SCRUB_PAGES: Final = 256
"""Pages looked at in one go: a millisecond for whoever wants to write."""
MOST_PAGES: Final = 2 << 24
"""From so many pages on (128 GiB), an overflow page may look like a page of rows by its first byte."""
LONG_LOG: Final = 64 << 20
"""Bytes of a log with which SQLite may have begun anew by itself: see `prepare_writer`."""

_LOG_HEADER: Final = 32
_FRAME_HEADER: Final = 24


class Scrubbed(NamedTuple):
    """How far a pass has come."""

    next_page: int | None
    """Where to go on; 1: the pass begins anew; None: it is through, and the log is empty."""
    cleaned: int
    """Pages in which something was overwritten."""


class Scrubber:
    """Works on one file, one pass after the other. For one thread."""

    def __init__(self, path: str) -> None:
        """Raises OSError."""
        self._log = Path(f"{path}-wal")
        self._file = _kept_open(path)
        self._whole = False
        self._again: set[int] = set()
        """Pages behind the pass that were written since they were looked at."""

    @property
    def under_way(self) -> bool:
        """A pass is under way, for which the log must not be copied into the file by others."""
        return self._whole

    def begin_anew(self) -> None:
        """Somebody copied the log all the same."""
        self._whole = False

    def scrub(self, connection: sqlite3.Connection, page: int, limit: int) -> Scrubbed | None:
        """Look at `limit` pages from `page` (from 1 on); None: not now. `connection` is the writer's, between
        two transactions. Raises sqlite3.Error or OSError.
        """
        page_size = _pragma(connection, "page_size")
        if page == 1:
            self._whole = False
            self._again.clear()
        elif not self._whole or not self._note_written(page_size):
            self._whole = False
            return Scrubbed(1, 0)
        if not _empty_log(connection):
            return None
        connection.execute("BEGIN IMMEDIATE")
        touched = True
        try:
            # Between the two, another process may have written: a tool that has nothing to do here.
            if self._log_size():
                self._whole = False
                return None
            pages = _pragma(connection, "page_count")
            self._check(page_size, pages)
            behind = sorted(number for number in self._again if number < page)
            end = min(page + limit, pages + 1)
            cleaned = sum(
                self._clean(first, last, page_size) for first, last in (*_runs(behind), (page, end))
            )
            touched = cleaned > 0
            if end > pages:
                os.fsync(self._file)
        finally:
            connection.execute("ROLLBACK")
            if touched:
                # Also when a write failed half way: the copies in the cache may have what the file has not.
                connection.execute("PRAGMA shrink_memory")
        self._again.clear()
        # Not before it succeeded: a file that cannot be scrubbed has its log copied as ever.
        self._whole = end <= pages
        return Scrubbed(end if self._whole else None, cleaned)

    def _note_written(self, page_size: int) -> bool:
        """Remember the pages that the log has; False: it may have had others."""
        size = self._log_size()
        if size >= LONG_LOG:
            return False
        if size:
            log = os.open(self._log, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            try:
                for start in range(_LOG_HEADER, size, _FRAME_HEADER + page_size):
                    self._again.add(int.from_bytes(_read(log, start, 4), "big"))
            finally:
                os.close(log)
        return True

    def _log_size(self) -> int:
        try:
            return self._log.stat().st_size
        except FileNotFoundError:
            return 0

    def _check(self, page_size: int, pages: int) -> None:
        """Raises NotSupportedError unless every page is as we know them."""
        found = header(_read(self._file, 0, HEADER_BYTES))
        length = os.fstat(self._file).st_size
        if found is None or found.page_size != page_size or length < pages * page_size:
            raise sqlite3.NotSupportedError("the file is not what its connection says")
        if found.reserved or found.vacuums or pages >= MOST_PAGES:
            raise sqlite3.NotSupportedError("the pages of this file cannot be told apart: use VACUUM")

    def _clean(self, first: int, end: int, page_size: int) -> int:
        """Clean the pages from `first` to before `end`; in how many there was something."""
        if end <= first:
            return 0  # the file has become shorter
        data = _read(self._file, (first - 1) * page_size, (end - first) * page_size)
        cleaned = 0
        for number in range(len(data) // page_size):
            begin = number * page_size
            page = data[begin : begin + page_size]
            spans = unused(page, HEADER_BYTES if first + number == 1 else 0)
            dirty = [(a, b) for a, b in spans if page.count(0, a, b) != b - a]
            for a, b in dirty:
                _write(self._file, (first - 1) * page_size + begin + a, bytes(b - a))
            cleaned += bool(dirty)
        return cleaned


_open: Final[dict[tuple[int, int], int]] = {}
"""Descriptors by device and number of their file: nobody closes them while the file is there."""


def _kept_open(path: str) -> int:
    for key, descriptor in list(_open.items()):
        if not os.fstat(descriptor).st_nlink:
            # The file was removed: nobody counts on its locks.
            os.close(_open.pop(key))
    status = Path(path).stat()
    key = (status.st_dev, status.st_ino)
    if key not in _open:
        _open[key] = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    return _open[key]


def _runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending numbers as spans of those without a gap, each without its end."""
    steps = count()
    runs = [list(run) for _, run in groupby(numbers, lambda number: number - next(steps))]
    return [(run[0], run[-1] + 1) for run in runs]


def _empty_log(connection: sqlite3.Connection) -> bool:
    """Copy the log into the file and cut it to nothing, unless somebody is in the way: nobody waits."""
    (timeout,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        busy: int = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    finally:
        connection.execute(f"PRAGMA busy_timeout = {timeout}")
    return not busy


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _read(file: int, start: int, length: int) -> bytes:
    os.lseek(file, start, os.SEEK_SET)
    parts: list[bytes] = []
    while length:
        part = os.read(file, length)
        if not part:
            break
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _write(file: int, start: int, data: bytes) -> None:
    os.lseek(file, start, os.SEEK_SET)
    while data:
        data = data[os.write(file, data) :]
