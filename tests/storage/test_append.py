"""A batch of a few events and nothing else is stored in one statement, and keeps every promise of a batch."""

import sqlite3
from pathlib import Path

import pytest

from sojourn.storage import EventRow, Journal, StaleEpoch, StorageError, Unstorable, WriteFailed
from sojourn.storage.bulk import EXACT

from .samples import batch, event, session

FEW = [1, 2, 63, EXACT]


def stored(journal: Journal) -> list[EventRow]:
    with journal.reader() as reader:
        return reader.history(1, limit=10_000)[0]


@pytest.fixture
def journal(any_journal: Journal) -> Journal:
    any_journal.commit(batch(sessions=[session(1)]))
    return any_journal


@pytest.mark.parametrize("count", FEW)
def test_they_are_stored_whole_and_in_order(journal: Journal, count: int) -> None:
    rows = [event(1, seq) for seq in range(1, count + 1)]
    journal.commit(batch(events=rows))
    assert journal.index_pending == count
    assert stored(journal) == rows


def test_batches_of_all_kinds_follow_each_other_without_a_gap(journal: Journal) -> None:
    rows: list[EventRow] = []
    for count in (1, EXACT + 1, 5, EXACT, 300, 1):
        new = [event(1, len(rows) + place) for place in range(1, count + 1)]
        journal.commit(batch(events=new))
        rows += new
        assert journal.index_pending == len(rows)
    while journal.index():
        pass
    assert stored(journal) == rows


@pytest.mark.parametrize("bad", [2**63, "a lone surrogate: \ud800", None, object()])
def test_what_cannot_be_stored_leaves_nothing_and_hinders_nobody(journal: Journal, bad: object) -> None:
    good = event(1, 1)
    wrong: EventRow = (1, 2, 0.0, 2, 0, bad)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    with pytest.raises(Unstorable):
        journal.commit(batch(events=[good, wrong]))
    assert stored(journal) == []
    journal.commit(batch(events=[good]))
    assert stored(journal) == [good]


def test_another_writers_file_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "sojourn.db")
    with Journal.open(path) as journal:
        journal.commit(batch(sessions=[session(1)]))
        with sqlite3.connect(path) as other:
            other.execute("UPDATE meta SET value = value + 1 WHERE name = 'epoch'")
        other.close()
        with pytest.raises(StaleEpoch):
            journal.commit(batch(events=[event(1, 1)]))
        assert stored(journal) == []


def test_a_closed_journal_says_so(tmp_path: Path) -> None:
    journal = Journal.open(str(tmp_path / "sojourn.db"))
    journal.close()
    with pytest.raises(WriteFailed, match="closed"):
        journal.commit(batch(events=[event(1, 1)]))


def test_a_full_disk_stores_nothing_and_the_next_batch_is_stored(tmp_path: Path) -> None:
    with Journal.open(str(tmp_path / "sojourn.db")) as journal:
        journal.commit(batch(sessions=[session(1)]))
        pages: int = journal.connection.execute("PRAGMA page_count").fetchone()[0]
        journal.connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StorageError):
            journal.commit(batch(events=[event(1, 1, b"x" * 100_000)]))
        journal.connection.execute("PRAGMA max_page_count = 1000000")
        journal.commit(batch(events=[event(1, 1)]))
        assert stored(journal) == [event(1, 1)]
