"""Statements over many rows at once.

A statement is one step of SQLite, and the interpreter's lock is dropped and taken once a step. Row by row, a
writer beside a busy thread waits for the lock at every row; one statement over many rows waits once, and the
work is done on another core. The numbers of rows are few and fixed, so that each statement is found prepared.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final

SIZES: Final = (4096, 1024, 256, 64, 16, 4, 1)
"""Rows in a statement, where the connection allows that many variables."""


class BulkStatement:
    """A statement around `VALUES (…), (…), …`: `head`, the rows, `tail`."""

    def __init__(self, connection: sqlite3.Connection, columns: int, head: str, tail: str = "") -> None:
        allowed = connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) // columns
        row = f"({', '.join('?' * columns)})"
        self._texts = [
            (size, f"{head} VALUES {', '.join([row] * size)} {tail}") for size in SIZES if size <= allowed
        ]

    def run(self, connection: sqlite3.Connection, rows: Sequence[Iterable[Any]]) -> int:
        """Run it over all rows in their order; the id of the last row inserted, 0 without rows."""
        start = 0
        last_id = 0
        for size, text in self._texts:
            while len(rows) - start >= size:
                cursor = connection.execute(text, tuple(chain.from_iterable(rows[start : start + size])))
                last_id = cursor.lastrowid or 0
                start += size
        return last_id
