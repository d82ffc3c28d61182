"""What is erased, and the record of it: sessions go whole, the events of long ones slice by slice.

The commit that erases a session takes its row, so that nobody finds it any more, and a first slice of its
events, which is all of them where it is short. What is left stands in `erasing` and goes behind that, in
transactions that nobody waits long for; whoever opens the file after a crash goes on with it.

`erasures` has one row a session that is gone, for those who derive something from the journal; of an
erased session only the SHA-256 of its id. `erasure_receipts` has one row a request: when, how much, and a
digest that shows whose it was to whoever knows the name already. `open_erasures` has the name itself until
all of the person is gone.
"""

# ruff: noqa: S608 - statements are joined from constants of this package; what a caller gives is always bound

import hashlib
import json
import sqlite3
from typing import Final, NamedTuple, TypeAlias

from . import broadcasts, outbox
from .records import ERASED, Gone
from .runs import erase_places
from .turns import erase_turns

SLICE_EVENTS: Final = 512
"""Events removed in one transaction, at most: some milliseconds, however they are scattered."""
SLICE_BYTES: Final = 1 << 20
"""Of their bodies, but one event at least."""

CREATE: Final = (
    """
    CREATE TABLE erasures (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        session_id TEXT NOT NULL,
        at REAL NOT NULL,
        why TEXT NOT NULL
    )
    """,
    "CREATE TABLE erasing (session INTEGER PRIMARY KEY)",
    """
    CREATE TABLE open_erasures (
        erasure_id TEXT NOT NULL PRIMARY KEY,
        user_id TEXT NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE erasure_receipts (
        id INTEGER PRIMARY KEY,
        erasure_id TEXT NOT NULL UNIQUE,
        at REAL NOT NULL,
        subject TEXT NOT NULL,
        digest TEXT NOT NULL,
        sessions INTEGER NOT NULL,
        events INTEGER NOT NULL,
        erased_at REAL,
        scrubbed_at REAL,
        insights_at REAL,
        last_erasure INTEGER NOT NULL DEFAULT 0
    )
    """,
)
"""The tables; a step of the schema makes them."""

# A session is looked up in each run that may have it: CROSS JOIN keeps SQLite from scanning the runs instead.
_IN_INDEX: Final = """
SELECT 0, i.seq, e.id, length(e.body) FROM event_index i CROSS JOIN events e ON e.id = i.event
WHERE i.session = ? ORDER BY i.seq LIMIT ?
"""
_IN_RUNS: Final = """
SELECT r.run, r.seq, e.id, length(e.body)
FROM index_runs l CROSS JOIN event_runs r ON r.run = l.run AND r.session = ?
CROSS JOIN events e ON e.id = r.event LIMIT ?
"""
_BEHIND: Final = "SELECT 0, seq, id, length(body) FROM events WHERE session = ? AND id > ? LIMIT ?"


Place: TypeAlias = tuple[int, int, int, int]
"""(run, seq, event id, bytes of the body) of an event; the run is 0 outside the runs."""


class Receipt(NamedTuple):
    """What is kept of a request to erase: nothing that tells who it was."""

    erasure_id: str
    at: float
    subject: str
    """`user` or `session`: what was named."""
    digest: str
    """SHA-256, in hex, of the erasure_id, a colon, and the name: see `digest_of`."""
    sessions: int
    events: int
    erased_at: float | None
    """When nothing of it could be asked for any more; None: it is under way."""
    scrubbed_at: float | None
    """When no byte of it was left in the file and its log; None: not yet."""
    insights_at: float | None
    """When none was left in the file of the insights either, or there was no such file; None: not yet."""

    @property
    def completed_at(self) -> float | None:
        """When all of it was done; None: not yet."""
        return None if self.scrubbed_at is None else self.insights_at


class Open(NamedTuple):
    """An erasure of a person that is under way."""

    erasure_id: str
    user_id: str


def digest_of(erasure_id: str, name: str) -> str:
    """What a receipt shows instead of a user_id or session_id: who knows the name can check it, and two
    receipts of one person have nothing in common.
    """
    return hashlib.sha256(f"{erasure_id}:{name}".encode()).hexdigest()


def mark_of(session_id: str) -> str:
    """What `erasures` has instead of the id of an erased session."""
    return hashlib.sha256(session_id.encode()).hexdigest()


def begin(connection: sqlite3.Connection, erasure_id: str, user_id: str, at: float) -> None:
    """Write down that a person is to be erased, before anything of them goes."""
    connection.execute(
        "INSERT INTO erasure_receipts (erasure_id, at, subject, digest, sessions, events) "
        "VALUES (?, ?, 'user', ?, 0, 0)",
        (erasure_id, at, digest_of(erasure_id, user_id)),
    )
    connection.execute("INSERT INTO open_erasures (erasure_id, user_id) VALUES (?, ?)", (erasure_id, user_id))


def end(connection: sqlite3.Connection, erasure_id: str, user_id: str, at: float) -> Receipt:
    """The sessions of the person are gone: forget whom the erasure was for."""
    connection.execute("DELETE FROM broadcast_outcomes WHERE user_id = ?", (user_id,))
    connection.execute("DELETE FROM open_erasures WHERE erasure_id = ?", (erasure_id,))
    connection.execute(
        "UPDATE erasure_receipts SET erased_at = ? WHERE erasure_id = ? AND erased_at IS NULL",
        (at, erasure_id),
    )
    found = receipt(connection, erasure_id)
    assert found is not None
    return found


def open_erasures(connection: sqlite3.Connection) -> list[Open]:
    """Erasures of people that are under way, also those that a crash cut off."""
    return [Open(*row) for row in connection.execute("SELECT erasure_id, user_id FROM open_erasures")]


def receipt(connection: sqlite3.Connection, erasure_id: str) -> Receipt | None:
    """One receipt."""
    found = _receipts(connection, "WHERE erasure_id = ?", erasure_id)
    return found[0] if found else None


def receipts(connection: sqlite3.Connection, limit: int) -> list[Receipt]:
    """The newest receipts, newest first."""
    return _receipts(connection, "ORDER BY id DESC LIMIT ?", limit)


def unscrubbed(connection: sqlite3.Connection) -> list[str]:
    """Ids of erasures that are through, and whose bytes may still be in the file: what a scrub is for."""
    if connection.execute("SELECT 1 FROM erasing LIMIT 1").fetchone() is not None:
        return []
    rows = connection.execute(
        "SELECT erasure_id FROM erasure_receipts WHERE erased_at IS NOT NULL AND scrubbed_at IS NULL"
    )
    return [erasure_id for (erasure_id,) in rows]


def unpurged(connection: sqlite3.Connection) -> dict[str, int]:
    """Erasures that are through and scrubbed, and may be in the file of the insights still: by id, the last
    row of `erasures` that the insights must have gone through.
    """
    return dict(
        connection.execute(
            "SELECT erasure_id, last_erasure FROM erasure_receipts "
            "WHERE scrubbed_at IS NOT NULL AND insights_at IS NULL"
        ).fetchall()
    )


def purged(connection: sqlite3.Connection, erasure_ids: list[str], at: float) -> None:
    """Nothing of these is in the insights."""
    connection.execute(
        "UPDATE erasure_receipts SET insights_at = ? WHERE erasure_id IN (SELECT value FROM json_each(?))",
        (at, json.dumps(erasure_ids)),
    )


def scrubbed(connection: sqlite3.Connection, erasure_ids: list[str], at: float) -> None:
    """Nothing of these is left in the file."""
    connection.execute(
        "UPDATE erasure_receipts SET scrubbed_at = ? WHERE erasure_id IN (SELECT value FROM json_each(?))",
        (at, json.dumps(erasure_ids)),
    )


def remove_session(connection: sqlite3.Connection, key: int, watermark: int, gone: Gone) -> int:
    """Remove one session, and write down that it is gone; how many of its events went with it at once."""
    row = connection.execute("SELECT session_id FROM sessions WHERE key = ?", (key,)).fetchone()
    broadcasts.forget_session(connection, key)
    outbox.forget_session(connection, key)
    erase_turns(connection, key)
    removed, more = _erase_events(connection, key, watermark)
    if more:
        connection.execute("INSERT OR IGNORE INTO erasing (session) VALUES (?)", (key,))
    connection.execute("DELETE FROM sessions WHERE key = ?", (key,))
    # A key is never given again, also when its session was the newest and is gone.
    connection.execute("UPDATE meta SET value = max(value, ?) WHERE name = 'last_key'", (key,))
    if row is not None:
        session_id: str = row[0]
        connection.execute(
            "INSERT INTO erasures (session_id, at, why) VALUES (?, ?, ?)",
            (mark_of(session_id) if gone.why == ERASED else session_id, gone.at, gone.why),
        )
        if gone.erasure_id is not None:
            _count_in(connection, gone.erasure_id, session_id, gone)
    return removed


def erase_slice(connection: sqlite3.Connection, watermark: int) -> tuple[int, bool]:
    """Remove some more events of sessions that are gone: how many, and whether there may be others."""
    row = connection.execute("SELECT session FROM erasing LIMIT 1").fetchone()
    if row is None:
        return 0, False
    removed, more = _erase_events(connection, row[0], watermark)
    if not more:
        connection.execute("DELETE FROM erasing WHERE session = ?", row)
        more = connection.execute("SELECT 1 FROM erasing LIMIT 1").fetchone() is not None
    return removed, more


def _count_in(connection: sqlite3.Connection, erasure_id: str, session_id: str, gone: Gone) -> None:
    """Count a session in its receipt; where a session was named alone, that is made now."""
    connection.execute(
        "INSERT OR IGNORE INTO erasure_receipts "
        "(erasure_id, at, subject, digest, sessions, events, erased_at) VALUES (?, ?, 'session', ?, 0, 0, ?)",
        (erasure_id, gone.at, digest_of(erasure_id, session_id), gone.at),
    )
    connection.execute(
        "UPDATE erasure_receipts SET sessions = sessions + 1, events = events + ?, "
        "last_erasure = (SELECT max(id) FROM erasures) WHERE erasure_id = ?",
        (gone.events, erasure_id),
    )


def _erase_events(connection: sqlite3.Connection, key: int, watermark: int) -> tuple[int, bool]:
    """Remove a slice of a session's events with their places in the index; whether there are others."""
    removed, room = 0, SLICE_BYTES
    for statement, names in ((_IN_INDEX, (key,)), (_IN_RUNS, (key,)), (_BEHIND, (key, watermark))):
        most = SLICE_EVENTS - removed
        found: list[Place] = connection.execute(statement, (*names, most + 1)).fetchall()
        places: list[Place] = []
        for place in found[:most]:
            room -= place[3]
            if room < 0 and (removed or places):
                break
            places.append(place)
        _delete_events(connection, places)
        if statement is _IN_INDEX and places:
            last = places[-1][1]
            connection.execute("DELETE FROM event_index WHERE session = ? AND seq <= ?", (key, last))
        elif statement is _IN_RUNS and places:
            erase_places(connection, [(run, key, seq) for run, seq, _, _ in places])
        removed += len(places)
        if len(places) < len(found):
            return removed, True
    return removed, False


def _delete_events(connection: sqlite3.Connection, places: list[Place]) -> None:
    ids = json.dumps([event for _, _, event, _ in places])
    connection.execute("DELETE FROM events WHERE id IN (SELECT value FROM json_each(?))", (ids,))


def _receipts(connection: sqlite3.Connection, which: str, name: object) -> list[Receipt]:
    return [
        Receipt(*row)
        for row in connection.execute(
            "SELECT erasure_id, at, subject, digest, sessions, events, erased_at, scrubbed_at, "
            f"insights_at FROM erasure_receipts {which}",
            (name,),
        )
    ]
