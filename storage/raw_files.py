"""Looking for given bytes in all files of a folder, as they lie on the disk."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

_PIECE: Final = 1 << 20


def files_with(folder: Path, texts: Sequence[bytes]) -> list[tuple[Path, int]]:
    """The files in which any of these is found, with how many of them; empty texts are not looked for.

    A text that SQLite has split over two pages is found by what is long enough of its parts: give several
    words rather than a page of text. Raises OSError.
    """
    wanted = [text for text in texts if text]
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return [(file, count) for file in files if (count := len(_found_in(file, wanted)))]


def _found_in(file: Path, wanted: Sequence[bytes]) -> set[bytes]:
    found: set[bytes] = set()
    overlap = max(map(len, wanted), default=1) - 1
    for piece in _pieces(file, overlap):
        found.update(text for text in wanted if text in piece)
    return found


def _pieces(file: Path, overlap: int) -> Iterator[bytes]:
    """The whole file, each piece with the end of the one before."""
    before = b""
    with file.open("rb") as opened:
        while piece := opened.read(_PIECE):
            yield before + piece
            before = (before + piece)[-overlap:] if overlap else b""
