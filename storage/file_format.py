"""What SQLite's file format says of the bytes of a page: which are its rows', and which are nobody's.

https://www.sqlite.org/fileformat.html: "The Database Header" and "B-tree Pages".
"""

import struct
from typing import Final, NamedTuple

HEADER_BYTES: Final = 100
"""The header of the file, which the first page begins with."""

_MAGIC: Final = b"SQLite format 3\0"
_WAL: Final = 2
_LEAVES: Final = frozenset({10, 13})
_INNER: Final = frozenset({2, 5})
_COUNTS: Final = struct.Struct(">HHH")
_BLOCK: Final = struct.Struct(">HH")


class Header(NamedTuple):
    """Of a database file."""

    page_size: int
    reserved: int
    """Bytes at the end of each page that are not SQLite's own: a checksum, or an encryption's."""
    vacuums: bool
    """There are pages that point to pages (`auto_vacuum`)."""


def header(data: bytes) -> Header | None:
    """What the first `HEADER_BYTES` of a file say; None: it is no database with a write-ahead log."""
    if len(data) < HEADER_BYTES or not data.startswith(_MAGIC) or (data[18], data[19]) != (_WAL, _WAL):
        return None
    size = int.from_bytes(data[16:18], "big")
    return Header(65536 if size == 1 else size, data[20], any(data[52:56]))


def unused(page: bytes, offset: int) -> list[tuple[int, int]]:
    """The spans of bytes of a page that belong to nothing; none of a page that holds no rows or index keys,
    and none where anything is not as the format has it.

    The page's header begins at `offset`, and no byte of the page is reserved.
    """
    kind, usable = page[offset], len(page)
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
    blocks: list[tuple[int, int]] = []
    while block:
        if not content <= block <= usable - _BLOCK.size:
            return []
        following, size = _BLOCK.unpack_from(page, block)
        end = block + size
        if size < _BLOCK.size or end > usable or (following and following < end):
            return []
        blocks.append((block, end))
        block = following
    places = struct.unpack_from(f">{cells}H", page, pointers)
    if places and (min(places) < content or max(places) >= usable):
        return []
    if any(start <= place < end for start, end in blocks for place in places):
        return []
    # A free block begins with where the next one is, and how long it is.
    spans = [(begin, content), *((start + _BLOCK.size, end) for start, end in blocks)]
    return [(start, end) for start, end in spans if start < end]
