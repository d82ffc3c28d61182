"""How many sessions there are of each kind, without reading them: SQL triggers keep the numbers.

The numbers change in the transaction that changes a session, whoever makes it, so that they are exact after a
crash, an import and a retention, and anybody who opens the file can read them.
"""

import sqlite3
from typing import Final, NamedTuple

_UP: Final = """
INSERT INTO session_counts (status, handling, sessions) VALUES (new.status, new.handling, 1)
ON CONFLICT DO UPDATE SET sessions = sessions + 1;
"""
_DOWN: Final = """
UPDATE session_counts SET sessions = sessions - 1 WHERE status = old.status AND handling = old.handling;
"""

CREATE: Final = (
    """
    CREATE TABLE session_counts (
        status TEXT NOT NULL,
        handling TEXT NOT NULL,
        sessions INTEGER NOT NULL,
        PRIMARY KEY (status, handling)
    ) WITHOUT ROWID
    """,
    "INSERT INTO session_counts SELECT status, handling, count(*) FROM sessions GROUP BY status, handling",
    f"CREATE TRIGGER session_counted AFTER INSERT ON sessions BEGIN {_UP} END",
    # Most rows that are written again have the same state: those cost one comparison.
    f"""
    CREATE TRIGGER session_recounted AFTER UPDATE OF status, handling ON sessions
    WHEN old.status <> new.status OR old.handling <> new.handling BEGIN {_DOWN} {_UP} END
    """,
    f"CREATE TRIGGER session_uncounted AFTER DELETE ON sessions BEGIN {_DOWN} END",
)
"""The statements of the schema's step."""


class SessionCount(NamedTuple):
    """Sessions with one status and one handling."""

    status: str
    handling: str
    sessions: int


def count_sessions(connection: sqlite3.Connection) -> list[SessionCount]:
    """The numbers above zero; nine rows are read, however many sessions there are."""
    rows = connection.execute(
        "SELECT status, handling, sessions FROM session_counts WHERE sessions > 0 ORDER BY status, handling"
    )
    return [SessionCount(*row) for row in rows]


def count_overdue(connection: sqlite3.Connection, now: float, most: int) -> int:
    """Sessions whose row falls due at `now` or before; counted up to `most`.

    A row's deadline is a lower bound, so some of a running server's may not be due at all.
    """
    count: int = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM sessions WHERE due_at <= ? LIMIT ?)", (now, most)
    ).fetchone()[0]
    return count


def rewrite_epoch(connection: sqlite3.Connection) -> None:
    """Write something that changes nothing, to see whether writing works."""
    connection.execute("UPDATE meta SET value = value WHERE name = 'epoch'")
