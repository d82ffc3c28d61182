"""The context of users: what is kept of a person across sessions, one row a person.

The store keeps it as bytes, with the number of times it was changed; what the bytes mean is the writer's.
A user_id is the world's, and may hold what SQLite's JSON cuts off (U+0000): it is always bound, never packed.
"""

# ruff: noqa: S608 - statements are joined from constants of this package; what a caller gives is always bound

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

from .bulk import BulkStatement
from .records import ScopeRow

_SCOPES: Final = "INSERT INTO user_scopes (user_id, version, context)"
_SCOPES_AGAIN: Final = (
    "ON CONFLICT (user_id) DO UPDATE SET version = excluded.version, context = excluded.context"
)
_GONE: Final = "DELETE FROM user_scopes WHERE user_id = ?"

SIZES: Final = (256, 16, 1)
"""Users in one statement."""

# One text a statement, for the reason that `packed` gives.
_LOAD: Final = {
    size: f"""
SELECT json_group_array(json_array(user_id, version, hex(context))) FROM user_scopes
WHERE user_id IN ({", ".join("?" * size)})
"""
    for size in SIZES
}


class ScopeStatement:
    """Writes the rows of a batch, within its transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._write = BulkStatement(connection, 3, _SCOPES, _SCOPES_AGAIN)

    def run(self, connection: sqlite3.Connection, rows: Iterable[ScopeRow]) -> None:
        """Store, or remove; of several rows of one user the last counts."""
        last = {row.user_id: row for row in rows}
        for row in last.values():
            if row.context is None:
                connection.execute(_GONE, (row.user_id,))
        self._write.run(connection, [row for row in last.values() if row.context is not None])


def read_scopes(connection: sqlite3.Connection, user_ids: Sequence[str]) -> dict[str, ScopeRow]:
    """The rows of those users that have one, by user_id."""
    found: dict[str, ScopeRow] = {}
    start = 0
    for size in SIZES:
        while len(user_ids) - start >= size:
            wanted = tuple(user_ids[start : start + size])
            rows: list[Any] = json.loads(connection.execute(_LOAD[size], wanted).fetchone()[0])
            for user_id, version, context in rows:
                found[user_id] = ScopeRow(user_id, version, bytes.fromhex(context))
            start += size
    return found
