"""Turns of an agent that are under way: written with the event that a turn answers, gone with its outcome.

So whatever is here when a file is opened was running when its last writer died: no session need be looked at
to find them, and none is found twice.
"""

import json
import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple

from .bulk import BulkStatement
from .records import TurnRow

_BEGIN: Final = "INSERT OR REPLACE INTO open_turns (session, seq, message_id)"
_END: Final = """
DELETE FROM open_turns WHERE (session, seq) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))
"""
_OPEN: Final = """
SELECT s.session_id, t.session, t.seq, t.message_id
FROM open_turns t JOIN sessions s ON s.key = t.session ORDER BY t.session, t.seq
"""


class OpenTurn(NamedTuple):
    """A turn that has no outcome."""

    session_id: str
    key: int
    seq: int
    """The place of the event that it answers."""
    message_id: str
    """The message that it answers; empty when it is another event."""


class TurnStatement:
    """Writes the turns of a batch, within its transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._begin = BulkStatement(connection, 3, _BEGIN)

    def run(self, connection: sqlite3.Connection, turns: Sequence[TurnRow]) -> None:
        """Store those that began, remove those that ended; no turn stands twice in `turns`."""
        ended = [(session, seq) for session, seq, message_id in turns if message_id is None]
        if ended:
            connection.execute(_END, (json.dumps(ended),))
        self._begin.run(connection, [row for row in turns if row[2] is not None])


def erase_turns(connection: sqlite3.Connection, session: int) -> None:
    """Forget those of a session that is erased."""
    connection.execute("DELETE FROM open_turns WHERE session = ?", (session,))


def read_open_turns(connection: sqlite3.Connection) -> list[OpenTurn]:
    """The turns without an outcome, by session and place: for the writer, before it writes."""
    return [OpenTurn(*row) for row in connection.execute(_OPEN)]
