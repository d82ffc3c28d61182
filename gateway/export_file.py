"""The file that an export is written to: under another name until it is whole; resumed where it was cut.

JSON Lines say at their beginning what was asked for. A table has no place for that, so while it is written
the same line stands in a file beside it.
"""

import csv
import io
import json
import os
from pathlib import Path
from typing import Any, BinaryIO, Final

from sojourn.actors.archive import BadItem, from_line, to_line
from sojourn.actors.exporting import Place, Wanted

from .export_tables import COLUMNS, header_line

PART: Final = ".part"
"""What is behind the name of a file that is not whole yet."""
ASKED: Final = ".asked"
"""What is behind the name of such a file beside a table."""
BLOCK: Final = 1 << 20


class CannotResume(Exception):
    """What is there is no beginning of this export; the text says why."""


def part_of(path: Path) -> Path:
    """Where it is written until it is whole."""
    return path.with_name(path.name + PART)


def asked_of(path: Path) -> Path:
    """Where the part of a table says what was asked for."""
    return part_of(path).with_suffix(PART + ASKED)


def ask_beside(path: Path, wanted: Wanted) -> None:
    """Write down what a table that begins now will hold; what was there before of it is gone already."""
    asked_of(path).write_bytes(to_line(wanted.header()))


def finish(file: BinaryIO, path: Path) -> None:
    """Give the written file its name, when all of it is on the disk."""
    file.flush()
    os.fsync(file.fileno())
    file.close()
    part_of(path).replace(path)
    asked_of(path).unlink(missing_ok=True)


def resume_lines(file: BinaryIO, wanted: Wanted) -> Place | None:
    """Cut a file of JSON Lines behind its last whole line; how far it had come (None: nothing is there).

    Raises CannotResume when it is the beginning of another export, or whole.
    """
    end = _last_line_end(file)
    file.seek(0)
    if end:
        _refuse_other(file.readline(), wanted)
    file.truncate(end)
    if not end:
        file.seek(0)
        return None
    sessions = events = 0
    user_id: str | None = None
    session: dict[str, Any] | None = None
    seq = 0
    last = b""
    for line in file:  # as much work as the cut-off export was, without the database
        if line.startswith(b'{"kind":"event"'):
            events += 1
            last = line
            continue
        last = b""
        item = _item(line)
        if item["kind"] == "session":
            session = item
            sessions += 1
        elif item["kind"] == "user":
            user_id = item["user_id"]
        elif item["kind"] == "end":
            raise CannotResume("it is whole")
    file.seek(end)
    if session is None:
        return Place(user_id)
    if last:
        seq = _item(last)["seq"]
    until: int = session["session"]["seq"]
    return Place(None, session["session_id"], seq, until, sessions, events)


def resume_table(file: BinaryIO, asked: Path, wanted: Wanted) -> tuple[Place, list[str]] | None:
    """The same for a table of comma-separated values, with its last row; `asked` says what it began with."""
    end = start = whole = 0
    quotes = records = 0
    file.seek(0)
    for line in file:  # a text between quotes may hold line ends
        quotes += line.count(b'"')
        end += len(line)
        if quotes % 2 == 0 and line.endswith(b"\n"):
            start, whole = whole, end
            records += 1
    file.seek(0)
    if records and file.readline() != header_line():
        raise CannotResume("it is no table of an export")
    if end:
        _refuse_other(asked.read_bytes() if asked.exists() else b"", wanted)
    file.truncate(whole)
    file.seek(whole)
    if not records:
        return None
    file.seek(start)
    record = file.read(whole - start).decode()
    file.seek(whole)
    if records == 1:
        return Place(), []
    (row,) = csv.reader(io.StringIO(record, newline=""))
    return Place(None, row[0], int(row[COLUMNS.index("seq")])), row


def _refuse_other(line: bytes, wanted: Wanted) -> None:
    """Raise CannotResume unless this is what an export of `wanted` begins with."""
    if not line:
        raise CannotResume("nothing says which filters it began with")
    if _item(line) != json.loads(json.dumps(wanted.header())):
        raise CannotResume("it began with other filters, with other secrets, or in another format")


def _last_line_end(file: BinaryIO) -> int:
    file.seek(0, os.SEEK_END)
    end = file.tell()
    while end:
        start = max(0, end - BLOCK)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _item(line: bytes) -> dict[str, Any]:
    try:
        return from_line(line)
    except BadItem as error:
        raise CannotResume(f"it holds a line of something else: {error}") from error
