"""Statements over many rows at once.

A statement is one step of SQLite, and the interpreter's lock is dropped and taken once a step. Row by row, a
writer beside a busy thread waits for the lock at every row, up to 5 ms each time; one statement over many
rows waits once, and the work is done on another core. The numbers of rows are few and fixed, so that each
statement is found prepared.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final

EXACT: Final = 64
"""Up to so many rows take one statement, whatever their number; more go in powers of two."""
MOST: Final = 4096
"""Rows in a statement, where the connection allows that many variables."""


class BulkStatement:
    """A statement around `VALUES (…), (…), …`: `head`, the rows, `tail`."""

    def __init__(self, connection: sqlite3.Connection, columns: int, head: str, tail: str = "") -> None:
        allowed = connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) // columns
        self._most = min(MOST, 1 << (allowed.bit_length() - 1))
        self._head = f"{head} VALUES "
        self._row = f"({', '.join('?' * columns)})"
        self._tail = tail
        self._texts: dict[int, str] = {}

    def run(self, connection: sqlite3.Connection, rows: Sequence[Iterable[Any]]) -> int:
        """Run it over all rows in their order; the id of the last row inserted, 0 without rows."""
        start = 0
        last_id = 0
        while left := len(rows) - start:
            size = min(self._most, left if left <= EXACT else 1 << (left.bit_length() - 1))
            text = self._texts.get(size)
            if text is None:
                text = self._texts[size] = f"{self._head}{', '.join([self._row] * size)} {self._tail}"
            cursor = connection.execute(text, tuple(chain.from_iterable(rows[start : start + size])))
            last_id = cursor.lastrowid or 0
            start += size
        return last_id
