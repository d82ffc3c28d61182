"""Whom and what was erased from a file: for those who bring something back into it."""

import sqlite3
from typing import Final

from .erasure import digest_of, mark_of
from .records import ERASED

_FORGET: Final = "DELETE FROM erasures WHERE session_id = ?"


class Erasures:
    """What was erased when this was made; only who knows a name can ask for it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._marks = {
            mark for (mark,) in connection.execute("SELECT session_id FROM erasures WHERE why = ?", (ERASED,))
        }
        self._receipts: list[tuple[str, str, float]] = connection.execute(
            "SELECT erasure_id, digest, at FROM erasure_receipts WHERE subject = 'user' ORDER BY id"
        ).fetchall()
        self._people: dict[str, float | None] = {}

    def has_session(self, session_id: str) -> bool:
        """Was this session erased?"""
        return bool(self._marks) and mark_of(session_id) in self._marks

    def erased_at(self, user_id: str) -> float | None:
        """When this person was erased last; None: never."""
        if not self._receipts:
            return None
        if user_id not in self._people:
            times = [at for each, digest, at in self._receipts if digest_of(each, user_id) == digest]
            self._people[user_id] = max(times, default=None)
        return self._people[user_id]


def restore(connection: sqlite3.Connection, session_ids: list[str]) -> None:
    """These sessions are there again: whoever follows what was erased shall not remove them."""
    connection.executemany(_FORGET, [(mark_of(session_id),) for session_id in session_ids])
