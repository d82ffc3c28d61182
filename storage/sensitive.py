"""Which keys of a context whoever wrote a file kept from people's eyes: for those who read it without his
settings.

A pattern that was ever given stays: what was written under it is still there.
"""

import sqlite3
from collections.abc import Iterable
from typing import Final

CREATE: Final = "CREATE TABLE sensitive_keys (pattern TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID"
"""The table; a step of the schema makes it."""


def read_sensitive_keys(connection: sqlite3.Connection) -> tuple[str, ...]:
    """All patterns, in order."""
    return tuple(row[0] for row in connection.execute("SELECT pattern FROM sensitive_keys ORDER BY pattern"))


def add_sensitive_keys(connection: sqlite3.Connection, patterns: Iterable[str]) -> None:
    """Write these down beside those that are there."""
    connection.executemany(
        "INSERT OR IGNORE INTO sensitive_keys (pattern) VALUES (?)", [(pattern,) for pattern in patterns]
    )
