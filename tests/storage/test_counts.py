"""How many sessions of each kind there are is known at once and exactly, whatever happens to them."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from sojourn.storage import EVENT_TYPES, Batch, Gone, Journal, WriteFailed, count_overdue, count_sessions
from sojourn.storage.schema import STEPS

from .samples import batch, event, session


def counted(connection: sqlite3.Connection) -> dict[tuple[str, str], int]:
    return {(status, handling): sessions for status, handling, sessions in count_sessions(connection)}


def there(connection: sqlite3.Connection) -> dict[tuple[str, str], int]:
    """The same by reading every row."""
    rows = connection.execute("SELECT status, handling FROM sessions").fetchall()
    return dict(Counter((status, handling) for status, handling in rows))


def ended(*keys: int) -> Batch:
    over = Batch()
    over.events = [(key, 99, 2000.0, EVENT_TYPES["session:expired"], 0, b"\x80") for key in keys]
    over.ended = list(keys)
    return over


@pytest.fixture(params=["file", "memory"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Journal:
    if request.param == "file":
        return Journal.open(str(tmp_path / "a.db"), "relaxed")
    return Journal.open(None, "memory")


def test_a_session_counts_from_its_first_commit_to_its_erasure(journal: Journal) -> None:
    with journal:
        connection = journal.connection
        assert counted(connection) == {}
        journal.commit(batch(sessions=[session(1), session(2), session(3)]))
        assert counted(connection) == {("active", "ai"): 3}
        journal.commit(batch(sessions=[session(1, handling="queued"), session(2, status="closed")]))
        assert counted(connection) == {("active", "ai"): 1, ("active", "queued"): 1, ("closed", "ai"): 1}
        journal.commit(ended(1, 2))
        assert counted(connection) == {("active", "ai"): 1, ("expired", "queued"): 1, ("expired", "ai"): 1}
        journal.commit(batch(erased=[1, 3]))
        assert counted(connection) == {("expired", "ai"): 1}


def test_a_row_that_is_written_again_with_the_same_state_counts_once(journal: Journal) -> None:
    with journal:
        for seq in (1, 2, 3):
            journal.commit(batch(sessions=[session(1, seq=seq, snapshot=b"state")]))
        journal.commit(ended(1))
        journal.commit(ended(1))
        assert counted(journal.connection) == {("expired", "ai"): 1}


def test_after_any_changes_the_numbers_are_those_of_the_rows(journal: Journal) -> None:
    chance = random.Random(5)
    with journal:
        for _ in range(60):
            change = batch(
                sessions=[
                    session(
                        key,
                        status=chance.choice(("active", "closed", "expired")),
                        handling=chance.choice(("ai", "queued", "human")),
                    )
                    for key in chance.sample(range(1, 30), 8)
                ]
            )
            change.ended = chance.sample(range(1, 30), 4)
            change.erased = dict.fromkeys(chance.sample(range(1, 30), 2), Gone(0.0))
            journal.commit(change)
            assert counted(journal.connection) == there(journal.connection)


def test_a_commit_that_fails_counts_nothing(journal: Journal) -> None:
    with journal:
        journal.commit(batch(sessions=[session(1, request_key="once")]))
        with pytest.raises(WriteFailed):
            journal.commit(batch(sessions=[session(2), session(3, request_key="once")]))
        assert counted(journal.connection) == {("active", "ai"): 1}


def test_a_file_of_an_older_schema_is_counted_when_it_is_brought_up_to_date(tmp_path: Path) -> None:
    path = str(tmp_path / "old.db")
    with Journal.open(path) as journal:
        journal.commit(batch(sessions=[session(1), session(2, status="closed", handling="human")]))
        journal.commit(ended(1))
    _take_back_the_step(path)
    with Journal.open(path) as journal:
        assert counted(journal.connection) == {("closed", "human"): 1, ("expired", "ai"): 1}
        journal.commit(batch(sessions=[session(3)], events=[event(3, 1)]))
        assert counted(journal.connection) == there(journal.connection)


def _take_back_the_step(path: str) -> None:
    """As the file was before the numbers were kept (the later steps stay: they are others' tables)."""
    connection = sqlite3.connect(path)
    name = "create_session_counts"
    for trigger in ("session_counted", "session_recounted", "session_uncounted"):
        connection.execute(f"DROP TRIGGER {trigger}")
    connection.execute("DROP TABLE session_counts")
    assert connection.execute("DELETE FROM _sqlite_migrations WHERE name = ?", (name,)).rowcount == 1
    connection.execute(f"PRAGMA user_version = {len(STEPS) - 1}")
    connection.commit()
    connection.close()


def test_overdue_sessions_are_counted_up_to_a_bound(journal: Journal) -> None:
    with journal:
        journal.commit(batch(sessions=[session(key, due_at=100.0 + key) for key in range(1, 9)]))
        assert count_overdue(journal.connection, 104.0, 10) == 4
        assert count_overdue(journal.connection, 104.0, 3) == 3
        assert count_overdue(journal.connection, 100.0, 10) == 0
