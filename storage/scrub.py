"""Overwrites what erased rows have left in the unused bytes of the file's pages.

Theory of operation. `secure_delete` has SQLite overwrite what is deleted, and every page that becomes free.
One thing it leaves: when the rows of a page are spread over its neighbours, the bytes between the page's cell
pointers and its first cell keep what was there before. A row that is erased later, where it lies now, leaves
that copy. No statement reaches these bytes; rewriting the whole file (`VACUUM`) would, and would have
everybody wait.

So they are overwritten in the file itself, some hundred pages at a time, in a moment in which nothing can
refer to them otherwise: the write-ahead log is empty (TRUNCATE) and we hold the one lock of all writers, so
nobody can write, and no checkpoint has anything to copy. Only bytes are touched that no reader looks at, so
whoever reads the page meanwhile reads the same; killed in between, the page is the same page. Afterwards our
own connection forgets its copies of the pages, or it would write the old bytes back with the next row.
One pass over the file is enough: nothing moves those bytes to another page.

(Ruled out: `sqlite_dbpage`, which many builds of SQLite lack; rewriting the rows of such a page, which makes
SQLite spread them anew.)
"""

import os
import sqlite3
import struct
from pathlib import Path
from typing import Final, NamedTuple

SCRUB_PAGES: Final = 256
"""Pages looked at in one go: a millisecond for whoever wants to write."""
MOST_PAGES: Final = 2 << 24
"""From so many pages on (128 GiB), an overflow page may look like a page of rows by its first byte."""

_HEADER_BYTES: Final = 100
"""Before the header of the first page."""
_LEAVES: Final = frozenset({10, 13})
_INNER: Final = frozenset({2, 5})
_COUNTS: Final = struct.Struct(">HHH")
_BLOCK: Final = struct.Struct(">HH")


class Scrubbed(NamedTuple):
    """How far a pass has come."""

    next_page: int | None
    """Where to go on; None: it is through, and the log is empty."""
    cleaned: int
    """Pages in which something was overwritten."""


class Scrubber:
    """Works on one file. Close it when no connection of this process is open on the file any more."""

    def __init__(self, path: str) -> None:
        """Raises OSError."""
        self._log = Path(f"{path}-wal")
        self._file = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def scrub(self, connection: sqlite3.Connection, page: int, limit: int) -> Scrubbed | None:
        """Look at `limit` pages from `page` (from 1 on); None: not now. `connection` is the writer's, between
        two transactions. Raises sqlite3.Error or OSError.
        """
        if not _empty_log(connection):
            return None
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Between the two, another process may have written: a tool that has nothing to do here.
            if self._log.exists() and self._log.stat().st_size:
                return None
            pages = _pragma(connection, "page_count")
            if _pragma(connection, "auto_vacuum") or pages >= MOST_PAGES:
                raise sqlite3.NotSupportedError("the pages of this file cannot be told apart: use VACUUM")
            cleaned = self._clean(page, min(limit, pages - page + 1), _pragma(connection, "page_size"))
        finally:
            connection.execute("ROLLBACK")
        if cleaned:
            connection.execute("PRAGMA shrink_memory")
        if page + limit <= pages:
            return Scrubbed(page + limit, cleaned)
        os.fsync(self._file)
        return Scrubbed(None, cleaned)

    def _clean(self, first: int, count: int, page_size: int) -> int:
        if count < 1:
            return 0
        start = (first - 1) * page_size
        data = _read(self._file, start, count * page_size)
        reserved = _read(self._file, 20, 1)[0]
        cleaned = 0
        for number in range(len(data) // page_size):
            begin = number * page_size
            page = data[begin : begin + page_size]
            spans = unused(page, page_size - reserved, _HEADER_BYTES if first + number == 1 else 0)
            dirty = [(a, b) for a, b in spans if page.count(0, a, b) != b - a]
            for a, b in dirty:
                _write(self._file, start + begin + a, bytes(b - a))
            cleaned += bool(dirty)
        return cleaned


def unused(page: bytes, usable: int, offset: int) -> list[tuple[int, int]]:
    """The spans of bytes of a page that belong to nothing; none of a page that holds no rows or index keys.

    `usable` bytes of the page are SQLite's, and its header begins at `offset`. The layout: "B-tree Pages" in
    https://www.sqlite.org/fileformat.html.
    """
    kind = page[offset]
    if kind in _LEAVES:
        pointers = offset + 8
    elif kind in _INNER:
        pointers = offset + 12
    else:
        return []
    block, cells, content = _COUNTS.unpack_from(page, offset + 1)
    content = content or 65536
    begin = pointers + 2 * cells
    if not begin <= content <= usable:
        return []
    spans = [(begin, content)] if begin < content else []
    while block:
        if not content <= block <= usable - 4:
            return []
        following, size = _BLOCK.unpack_from(page, block)
        if block + size > usable or (following and following < block + size):
            return []
        if size > _BLOCK.size:
            spans.append((block + _BLOCK.size, block + size))
        block = following
    return spans


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
