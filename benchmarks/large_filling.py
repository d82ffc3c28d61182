"""Writes a large database file fast: histories made once by the runtime, then copied for many sessions.

A real session talks and is saved by the embedded runtime; its row and its events are read back, and written
for each other session under its own id with `Journal.commit`, which is what the runtime's store calls. So the
bytes are the runtime's own, and only the path to them is shorter (minutes instead of a quarter of an hour).
Two things are as in a file that grew slowly: each history lies in `BURSTS` places of the journal, and the
index has been filled in as many passes.
"""

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from sojourn import Runtime
from sojourn.storage import EVENT_TYPES, Batch, EventRow, Journal, SessionRow

from .harness import progress
from .standing import LONG

BURSTS = 10
"""Places of the journal in which a session's events lie."""
ROWS = 65_536
"""Events in one commit: about that many."""
INDEX_STEP = 1_000_000
"""Events indexed at once; the store itself takes 8,192, and has no twenty million to catch up with."""


async def template(db: Path, events: int) -> tuple[SessionRow, list[EventRow]]:
    """A session with `events` events as the runtime leaves it: its row with the snapshot, and its events."""
    async with Runtime(str(db)) as runtime:
        session = await runtime.create(
            user={"user_id": "template"},
            context={"topic": "orders", "language": "en", "order": 1},
            timeouts={"session_timeout": 30 * LONG},
        )
        for number in range(events - 1):
            author = "user" if number % 2 == 0 else "system"
            await session.send("Where is my order? It was due on", author=author)
        session_id = session.id
    with closing(Journal.open(str(db))) as journal, closing(journal.reader()) as reader:
        stored = reader.load([session_id])[session_id]
        with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection:
            rows: list[EventRow] = connection.execute(
                "SELECT session, seq, at, type, flags, body FROM events ORDER BY seq"
            ).fetchall()
    assert stored.row.seq == events == len(rows)
    assert rows[0][3] == EVENT_TYPES["session:created"]
    return stored.row, rows


def fill_large(
    db: Path, *, events: int, events_each: int, ended_at: float | None = None, user_id: str | None = None
) -> list[str]:
    """Write `events` events of sessions with `events_each`; the ids of all sessions.

    With `ended_at` they were all made and expired at that instant; with `user_id` all are that person's.
    """
    with TemporaryDirectory(dir=db.parent) as place:
        row, history = asyncio.run(template(Path(place) / "template.db", events_each))
    if ended_at is not None:
        row = row._replace(created_at=ended_at, status="expired", due_at=None)
        history = [(key, seq, ended_at, code, flags, body) for key, seq, _, code, flags, body in history]
        key, seq, at, _, flags, body = history[-1]
        history[-1] = (key, seq, at, EVENT_TYPES["session:expired"], flags, body)
    ids = [f"{row.session_id[:-8]}{number:08d}" for number in range(max(1, events // events_each))]
    begun = time.perf_counter()
    with Journal.open(str(db), "relaxed") as journal:
        first_key = journal.next_key
        burst = -(-events_each // BURSTS)
        written = 0
        for start in range(0, events_each, burst):
            piece = history[start : start + burst]
            at_once = max(1, ROWS // len(piece))
            for first in range(0, len(ids), at_once):
                batch = Batch()
                numbers = range(first, min(first + at_once, len(ids)))
                batch.events = [
                    (first_key + number, seq, at, code, flags, body)
                    for number in numbers
                    for _, seq, at, code, flags, body in piece
                ]
                if start == 0:
                    batch.sessions = [
                        row._replace(
                            key=first_key + number,
                            session_id=ids[number],
                            user_id=user_id or f"user-{number:08d}",
                        )
                        for number in numbers
                    ]
                journal.commit(batch)
                written += len(batch.events)
                while journal.index_pending >= INDEX_STEP:
                    journal.index(INDEX_STEP)
            while journal.index(INDEX_STEP):
                pass
            journal.checkpoint()
            seconds = time.perf_counter() - begun
            progress(f"{written:>11,} events in {seconds:6.1f} s, {written / seconds:,.0f}/s")
    return ids
