"""Which sessions ended long ago: found by walking along the keys, so that nothing is kept for it.

An index of ended sessions by their end would cost each expiry; the walk costs a read of each row now and
then, a page at a time. A session's end is the instant of its last event.
"""

# ruff: noqa: S608 - statements are joined from constants of this package; what a caller gives is always bound

import json
import sqlite3
from typing import Final, NamedTuple

from .records import EVENT_TYPES
from .schema import WATERMARK

_EXPIRED: Final = EVENT_TYPES["session:expired"]

_PAGE: Final = """
SELECT key, session_id, channel, created_at, status FROM sessions WHERE key > ? ORDER BY key LIMIT ?
"""
# The last event that the index has; the runs have later ones than `event_index`.
_LAST: Final = """
SELECT e.session, e.seq, e.at, e.type FROM json_each(?) wanted CROSS JOIN events e ON e.id = coalesce(
    (SELECT r.event FROM index_runs l CROSS JOIN event_runs r ON r.run = l.run AND r.session = wanted.value
        AND wanted.value BETWEEN l.first_session AND l.last_session ORDER BY r.seq DESC LIMIT 1),
    (SELECT i.event FROM event_index i WHERE i.session = wanted.value ORDER BY i.seq DESC LIMIT 1)
)
"""
_BEHIND: Final = f"""
SELECT session, seq, at, type FROM events
WHERE id > {WATERMARK} AND session IN (SELECT value FROM json_each(?))
"""


class Ended(NamedTuple):
    """A session that is over."""

    key: int
    session_id: str
    channel: str
    ended_at: float
    events: int


class EndedPage(NamedTuple):
    """Some rows further along the keys."""

    found: list[Ended]
    last_key: int | None
    """Where to go on; None: there are no more rows."""


def ended_before(connection: sqlite3.Connection, before: float, after_key: int, limit: int) -> EndedPage:
    """Those of the next `limit` sessions behind `after_key` that ended before that instant, by key."""
    rows: list[tuple[int, str, str, float, str]] = connection.execute(_PAGE, (after_key, limit)).fetchall()
    candidates = {row[0]: row for row in rows if row[4] == "expired" and row[3] < before}
    last = {key: (seq, at, code) for key, seq, at, code in _ask(connection, _LAST, list(candidates))}
    # What ended just now may have its last event behind the index.
    unsure = [key for key in candidates if key not in last or last[key][2] != _EXPIRED]
    if unsure:
        for key, seq, at, code in sorted(_ask(connection, _BEHIND, unsure)):
            last[key] = (seq, at, code)
    found = [
        Ended(key, candidates[key][1], candidates[key][2], at, seq)
        for key, (seq, at, _) in sorted(last.items())
        if at < before
    ]
    return EndedPage(found, rows[-1][0] if len(rows) == limit else None)


def _ask(
    connection: sqlite3.Connection, statement: str, keys: list[int]
) -> list[tuple[int, int, float, int]]:
    return connection.execute(statement, (json.dumps(keys),)).fetchall() if keys else []
