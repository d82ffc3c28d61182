"""The index in two levels: short sorted runs first, merged later into `event_index`.

The events of a moment belong to as many sessions as are busy, so their places in `event_index` are scattered:
a thousand sessions touched a thousand pages for eight thousand events, and commits waited meanwhile. A run
takes the same events as they lie, sorted, behind all that is there: thirty pages. When many runs wait, the
lowest places of all of them are next to each other in `event_index`, and are moved there slice by slice.

A slice is moved in one transaction: an event's place is in the tail, in one run, or in `event_index`, never
in two of them. So readers ask all three and need not know how far a merge has come, and neither does the
next writer after a crash. `index_runs` lists the runs, none of them empty: a reader looks its session up in
each. (Ruled out by measuring: one row for each session of a run, with its events as a JSON text. It takes
less room, but is no cheaper to make, and two events at one place would not be noticed.)
"""

# ruff: noqa: S608 - statements are joined from constants of this package; what a caller gives is always bound

import sqlite3
from typing import Final

MOST_RUNS: Final = 64
"""Runs that one slice is taken from, at most: more of them would make it cheaper by little."""

AT_ONCE: Final = 262_144
"""Events in one step from which on they need no run: they lie as close together as a merge puts them."""

_ALL: Final = 2**63 - 1

_APPEND: Final = """
INSERT INTO event_runs (run, session, seq, event)
SELECT :run, session, seq, id FROM events WHERE id > :after AND id <= :until ORDER BY session, seq
"""
_INDEX: Final = """
INSERT INTO event_index (session, seq, event)
SELECT session, seq, id FROM events WHERE id > ? AND id <= ? ORDER BY session, seq
"""
_LIST: Final = """
INSERT INTO index_runs (run, first_session, last_session) VALUES (
    :run,
    (SELECT session FROM event_runs WHERE run = :run ORDER BY session LIMIT 1),
    (SELECT session FROM event_runs WHERE run = :run ORDER BY session DESC LIMIT 1)
)
"""
_UNLIST_EMPTY: Final = """
DELETE FROM index_runs WHERE NOT EXISTS (SELECT 1 FROM event_runs r WHERE r.run = index_runs.run)
"""

_OLDEST: Final = "(SELECT run FROM index_runs ORDER BY run LIMIT :runs)"
# The least of the places that are `each`th in their run: up to there, no run has more than `each`.
_BOUND: Final = f"""
SELECT r.session, r.seq FROM {_OLDEST} oldest CROSS JOIN event_runs r
ON r.run = oldest.run AND (r.session, r.seq) = (
    SELECT e.session, e.seq FROM event_runs e
    WHERE e.run = oldest.run ORDER BY e.session, e.seq LIMIT 1 OFFSET :each - 1
)
ORDER BY r.session, r.seq LIMIT 1
"""
_COPY: Final = f"""
INSERT INTO event_index (session, seq, event)
SELECT r.session, r.seq, r.event FROM {_OLDEST} oldest CROSS JOIN event_runs r
ON r.run = oldest.run AND (r.session, r.seq) <= (:session, :seq)
ORDER BY r.session, r.seq
"""
_REMOVE: Final = f"DELETE FROM event_runs WHERE run IN {_OLDEST} AND (session, seq) <= (:session, :seq)"


def index_at_once(connection: sqlite3.Connection, after: int, until: int) -> None:
    """Take the events with `after` < id ≤ `until` into `event_index`: they are many, or pages cost nothing.

    Raises IntegrityError when one of their places is taken; the caller rolls back.
    """
    connection.execute(_INDEX, (after, until))


def append_run(connection: sqlite3.Connection, after: int, until: int) -> bool:
    """Make a run of the events with `after` < id ≤ `until`; False: there are none.

    Raises IntegrityError when two of them have one place; the caller rolls back.
    """
    run = connection.execute("SELECT coalesce(max(run), 0) + 1 FROM index_runs").fetchone()[0]
    if not connection.execute(_APPEND, {"run": run, "after": after, "until": until}).rowcount:
        return False
    connection.execute(_LIST, {"run": run})
    return True


def count_runs(connection: sqlite3.Connection) -> int:
    """How many runs wait to be merged."""
    runs: int = connection.execute("SELECT count(*) FROM index_runs").fetchone()[0]
    return runs


def merge_slice(connection: sqlite3.Connection, runs: int, limit: int) -> int:
    """Move the lowest places of the oldest `runs` runs into `event_index`; how many, 0 when no run waits.

    At most `limit`, at least `limit / runs` while there are so many; both are at least 1. Raises
    IntegrityError when `event_index` or another run has one of the places already; the caller rolls back.
    """
    runs = min(runs, limit)
    bound = connection.execute(_BOUND, {"runs": runs, "each": limit // runs}).fetchone()
    session, seq = bound or (_ALL, _ALL)
    names = {"runs": runs, "session": session, "seq": seq}
    moved = connection.execute(_COPY, names).rowcount
    connection.execute(_REMOVE, names)
    connection.execute(_UNLIST_EMPTY)
    return moved


def erase_places(connection: sqlite3.Connection, places: list[tuple[int, int, int]]) -> None:
    """Remove these places, (run, session, seq), of events that are gone."""
    connection.executemany("DELETE FROM event_runs WHERE run = ? AND session = ? AND seq = ?", places)
    connection.execute(_UNLIST_EMPTY)
