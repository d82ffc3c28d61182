"""What is still to be sent to whom outside: references to events, taken from the journal behind its writer.

Each hook (a name, here) has a cursor into the journal. `take_in` moves it, and in the same transaction files
the events that the hook wants: so nothing is missed, whatever is erased or killed in between. A *lane* is one
session's events for one hook; it is due at an instant, and its events leave in the order of their `seq`.
An event whose session is erased leaves the outbox with it.
"""

# ruff: noqa: S608 - statements are joined from constants and question marks; what is given is bound

import sqlite3
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from .records import EventRow

TAKEN_AT_ONCE: Final = 5000
"""Events of the journal looked at in one transaction: some milliseconds, that a commit may wait for."""


class Lane(NamedTuple):
    """One session's waiting events for one hook."""

    session: int
    due_at: float
    attempts: int
    """How often its first event was tried in vain."""


class Waiting(NamedTuple):
    """An event that waits in a lane, or is dead."""

    session_id: str
    event: EventRow


class DeadLetter(NamedTuple):
    """An event that was given up."""

    id: int
    hook: str
    session_id: str
    seq: int
    type: int
    died_at: float
    attempts: int
    reason: str


class Sent(NamedTuple):
    """What became of a lane that was worked on."""

    hook: str
    session: int
    delivered: Sequence[int]
    """The `seq` of each event that is done with."""
    dead: tuple[int, float, int, str] | None
    """(seq, died_at, attempts, reason) of an event that is given up."""
    due_at: float
    """When to go on, if something is left."""
    attempts: int


def enrol(connection: sqlite3.Connection, hook: str) -> None:
    """A new hook begins with what happens from now on; a known one goes on where it was."""
    connection.execute(
        "INSERT OR IGNORE INTO outbox_cursors (hook, event) "
        "SELECT ?, coalesce((SELECT max(id) FROM events), 0)",
        (hook,),
    )


def take_in(connection: sqlite3.Connection, hook: str, types: Collection[int], unless: int = 0) -> bool:
    """File the next events that the hook wants; whether there may be more.

    It wants those of these types that have none of the flags `unless`.
    """
    cursor: int = connection.execute("SELECT event FROM outbox_cursors WHERE hook = ?", (hook,)).fetchone()[0]
    newest: int = connection.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0]
    if newest <= cursor:
        return False
    until = min(newest, cursor + TAKEN_AT_ONCE)
    listed = ", ".join(str(int(each)) for each in types)
    wanted = f"id > ? AND id <= ? AND type IN ({listed}) AND flags & {int(unless)} = 0"
    span = (hook, cursor, until)
    connection.execute(
        "INSERT OR IGNORE INTO outbox (hook, session, seq, event) "
        f"SELECT ?, session, seq, id FROM events WHERE {wanted}",
        span,
    )
    connection.execute(
        "INSERT OR IGNORE INTO outbox_lanes (hook, session, due_at, attempts) "
        f"SELECT ?, session, min(at), 0 FROM events WHERE {wanted} GROUP BY session",
        span,
    )
    connection.execute("UPDATE outbox_cursors SET event = ? WHERE hook = ?", (until, hook))
    return until < newest


def due_lanes(connection: sqlite3.Connection, hook: str, limit: int) -> list[Lane]:
    """The lanes that are due first, whether or not they are due yet."""
    return [
        Lane(*row)
        for row in connection.execute(
            "SELECT session, due_at, attempts FROM outbox_lanes WHERE hook = ? ORDER BY due_at LIMIT ?",
            (hook, limit),
        )
    ]


def waiting(connection: sqlite3.Connection, hook: str, session: int, limit: int) -> list[Waiting]:
    """The first events of a lane, in their order."""
    return [
        Waiting(session_id, (key, *event))
        for session_id, key, *event in connection.execute(
            "SELECT s.session_id, e.session, e.seq, e.at, e.type, e.flags, e.body FROM outbox o "
            "JOIN events e ON e.id = o.event JOIN sessions s ON s.key = o.session "
            "WHERE o.hook = ? AND o.session = ? ORDER BY o.seq LIMIT ?",
            (hook, session, limit),
        )
    ]


def settle(connection: sqlite3.Connection, sent: Sent) -> None:
    """Take what is done with out of its lane, and say when the lane is due again."""
    lane = (sent.hook, sent.session)
    if sent.dead is not None:
        seq, died_at, attempts, reason = sent.dead
        connection.execute(
            "INSERT INTO outbox_dead (hook, session, seq, event, died_at, attempts, reason) "
            "SELECT hook, session, seq, event, ?, ?, ? FROM outbox "
            "WHERE hook = ? AND session = ? AND seq = ?",
            (died_at, attempts, reason, *lane, seq),
        )
    gone = [*sent.delivered, *(() if sent.dead is None else (sent.dead[0],))]
    for seq in gone:
        connection.execute("DELETE FROM outbox WHERE hook = ? AND session = ? AND seq = ?", (*lane, seq))
    connection.execute(
        "UPDATE outbox_lanes SET due_at = ?, attempts = ? WHERE hook = ? AND session = ?",
        (sent.due_at, sent.attempts, *lane),
    )
    connection.execute(
        "DELETE FROM outbox_lanes WHERE hook = ? AND session = ? "
        "AND NOT EXISTS (SELECT 1 FROM outbox WHERE hook = ? AND session = ?)",
        (*lane, *lane),
    )


def dead_letters(connection: sqlite3.Connection, limit: int = 100) -> list[DeadLetter]:
    """What was given up, the oldest first."""
    return [
        DeadLetter(*row)
        for row in connection.execute(
            "SELECT d.id, d.hook, s.session_id, d.seq, e.type, d.died_at, d.attempts, d.reason "
            "FROM outbox_dead d JOIN sessions s ON s.key = d.session JOIN events e ON e.id = d.event "
            "ORDER BY d.id LIMIT ?",
            (limit,),
        )
    ]


def resend(connection: sqlite3.Connection, dead_id: int | None, now: float) -> int:
    """Put one dead letter, or all, back into its lane, due at once; how many there were."""
    which, names = ("1", ()) if dead_id is None else ("id = ?", (dead_id,))
    connection.execute(
        "INSERT OR IGNORE INTO outbox (hook, session, seq, event) "
        f"SELECT hook, session, seq, event FROM outbox_dead WHERE {which}",
        names,
    )
    connection.execute(
        "INSERT INTO outbox_lanes (hook, session, due_at, attempts) "
        f"SELECT DISTINCT hook, session, ?, 0 FROM outbox_dead WHERE {which} "
        "ON CONFLICT (hook, session) DO UPDATE SET due_at = excluded.due_at, attempts = 0",
        (now, *names),
    )
    return connection.execute(f"DELETE FROM outbox_dead WHERE {which}", names).rowcount


def forget_session(connection: sqlite3.Connection, key: int) -> None:
    """An erased session's events are told to nobody."""
    for table in ("outbox", "outbox_lanes", "outbox_dead"):
        connection.execute(f"DELETE FROM {table} WHERE session = ?", (key,))


def rewind(connection: sqlite3.Connection, last_id: int) -> None:
    """The journal's end was erased: its ids are given again, to events that nobody has taken in."""
    connection.execute("UPDATE outbox_cursors SET event = ? WHERE event > ?", (last_id, last_id))
