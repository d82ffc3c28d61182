"""Queries over the journal: the events of a session, whether the index has them already or not.

Each is one statement, and so sees the index, its runs, the watermark and the journal at one instant.
"""

# ruff: noqa: S608 - statements are joined from constants of this package; what a caller gives is always bound

import json
import sqlite3
from collections.abc import Mapping
from typing import Final

from .packed import PACKED_EVENT, unpack_events
from .records import EventRow
from .schema import WATERMARK

ENVELOPE_BYTES: Final = 160
"""What a page counts for an event beside its body: room for type, session id, seq and instant."""

MAX_SEQ: Final = 2**63 - 1
"""The greatest integer that SQLite holds; positions asked for above it mean the same."""

# A session is looked up in each run that may have it: CROSS JOIN keeps SQLite from scanning the runs instead.
_RUNS_OF: Final = """index_runs l CROSS JOIN event_runs r ON r.run = l.run AND r.session = {0}
    AND {0} BETWEEN l.first_session AND l.last_session"""
_RUNS: Final = _RUNS_OF.format(":key")

_PAGE: Final = f"""
WITH found AS MATERIALIZED (
    SELECT event, seq FROM event_index WHERE session = :key AND seq > :after AND seq <= :until
    UNION ALL
    SELECT r.event, r.seq FROM {_RUNS} AND r.seq > :after AND r.seq <= :until
    UNION ALL
    SELECT id, seq FROM events
    WHERE id > {WATERMARK} AND session = :key AND seq > :after AND seq <= :until
    ORDER BY seq LIMIT :limit + 1
), sized AS (
    SELECT found.event, row_number() OVER places AS place,
        sum(length(events.body) + {ENVELOPE_BYTES}) OVER places AS bytes
    FROM found JOIN events ON events.id = found.event WINDOW places AS (ORDER BY found.seq)
)
SELECT (SELECT count(*) FROM found), json_group_array({PACKED_EVENT})
FROM sized CROSS JOIN events e ON e.id = sized.event
WHERE sized.place <= :limit AND (sized.place = 1 OR sized.bytes <= :bytes)
"""

_EVENT: Final = f"""
SELECT json_group_array({PACKED_EVENT}) FROM events e WHERE e.id IN (
    SELECT event FROM event_index WHERE session = :key AND seq = :seq
    UNION ALL
    SELECT r.event FROM {_RUNS} AND r.seq = :seq
    UNION ALL
    SELECT id FROM events WHERE id > {WATERMARK} AND session = :key AND seq = :seq
)
"""

_TAILS: Final = f"""
WITH wanted AS MATERIALIZED (
    SELECT json_extract(value, '$[0]') AS session, json_extract(value, '$[1]') AS seq FROM json_each(?)
), found AS (
    SELECT i.event FROM wanted CROSS JOIN event_index i ON i.session = wanted.session AND i.seq > wanted.seq
    UNION ALL
    SELECT r.event FROM wanted CROSS JOIN {_RUNS_OF.format("wanted.session")} AND r.seq > wanted.seq
    UNION ALL
    SELECT id FROM events WHERE id > {WATERMARK} AND session IN (SELECT session FROM wanted)
)
SELECT json_group_array({PACKED_EVENT}) FROM found CROSS JOIN events e ON e.id = found.event
"""


def read_history(
    connection: sqlite3.Connection, key: int, after_seq: int, until_seq: int, limit: int, max_bytes: int
) -> tuple[list[EventRow], bool]:
    """The events with `after_seq` < seq ≤ `until_seq`, oldest first, and whether the page was cut.

    At most `limit` events (≥ 1), and at most `max_bytes` of bodies and envelopes, but one event at least.
    """
    found, text = connection.execute(
        _PAGE,
        {
            "key": key,
            "after": min(after_seq, MAX_SEQ),
            "until": min(until_seq, MAX_SEQ),
            "limit": limit,
            "bytes": min(max_bytes, MAX_SEQ),
        },
    ).fetchone()
    events = unpack_events(text)
    events.sort()
    return events, found > len(events)


def read_event(connection: sqlite3.Connection, key: int, seq: int) -> EventRow | None:
    """The event at one place of a history."""
    text = connection.execute(_EVENT, {"key": key, "seq": min(seq, MAX_SEQ)}).fetchone()[0]
    events = unpack_events(text)
    return events[0] if events else None


def read_tails(connection: sqlite3.Connection, wanted: Mapping[int, int]) -> dict[int, list[EventRow]]:
    """The events behind the position wanted of each session, oldest first; both by the session's key."""
    text = connection.execute(_TAILS, (json.dumps(list(wanted.items())),)).fetchone()[0]
    events = unpack_events(text)
    events.sort()
    tails: dict[int, list[EventRow]] = {key: [] for key in wanted}
    for event in events:
        key, seq = event[0], event[1]
        # Above the watermark, SQLite would compare each event with each session wanted; here it is a look-up.
        if seq > wanted[key]:
            tails[key].append(event)
    return tails
