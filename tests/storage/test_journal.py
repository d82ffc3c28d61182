import sqlite3
from pathlib import Path

import pytest

from sojourn.storage import Journal, JournalCorrupt, Reader, StaleEpoch, Unstorable, WriteFailed
from sojourn.storage.bulk import EXACT, MOST, BulkStatement
from tests.storage.samples import batch, event, index_all, session, whole_history


def test_a_batch_is_read_back_as_it_was_written(any_journal: Journal, any_reader: Reader) -> None:
    row = session(1, user_id="ada", request_key="r", due_at=1.5, queue="q")._replace(
        resume_hash=b"\x00h", assignee="bo"
    )
    any_journal.commit(batch(events=[event(1, 1, b"\x81"), event(1, 2)], sessions=[row]))
    stored = any_reader.load(["s1"])["s1"]
    assert stored.row == row
    assert stored.tail == [event(1, 1, b"\x81"), event(1, 2)]


@pytest.mark.parametrize("size", [0, 1, 3, EXACT, EXACT + 1, 4 * EXACT - 1, MOST + 1])
def test_a_batch_of_any_size_is_stored_whole_and_in_order(any_journal: Journal, size: int) -> None:
    events = [event(1 + seq % 2, 1 + seq // 2) for seq in range(size)]
    sessions = [session(key) for key in range(1, size + 1)]
    any_journal.commit(
        batch(events=events, sessions=sessions, deadlines=[(row.key, 7.0) for row in sessions])
    )
    assert any_journal.index_pending == size
    with any_journal.reader() as reader:
        assert reader.history(1, limit=10_000) == ([row for row in events if row[0] == 1], False)
        assert [key for _, key, _ in reader.due(8.0, 10_000)] == [row.key for row in sessions]


def test_an_upsert_changes_what_may_change_and_nothing_else(journal: Journal, reader: Reader) -> None:
    first = session(1, user_id="ada", request_key="r")
    journal.commit(batch(sessions=[first]))
    changed = session(
        1, session_id="other", user_id="eve", channel="sms", request_key="x", status="closed", seq=4
    )
    changed = changed._replace(
        handling="human",
        queue="q",
        assignee="bo",
        due_at=9.0,
        snapshot=b"s",
        created_at=1.0,
        resume_hash=b"h",
    )
    journal.commit(batch(sessions=[changed]))
    assert reader.load_keys([1])[1].row == first._replace(
        status="closed", handling="human", queue="q", assignee="bo", due_at=9.0, seq=4, snapshot=b"s"
    )


def test_of_several_rows_or_deadlines_with_one_key_the_last_counts(journal: Journal, reader: Reader) -> None:
    journal.commit(
        batch(
            sessions=[session(1, due_at=1.0), session(2), session(1, status="closed", due_at=2.0)],
            deadlines=[(2, 5.0), (2, 4.0)],
        )
    )
    assert reader.load(["s1"])["s1"].row.status == "closed"
    assert reader.due(10.0, 10) == [(2.0, 1, "s1"), (4.0, 2, "s2")]


def test_a_deadline_wins_over_the_row_of_the_same_batch(journal: Journal, reader: Reader) -> None:
    journal.commit(batch(sessions=[session(1, due_at=1.0), session(2, due_at=1.0)], deadlines=[(1, None)]))
    assert reader.due(10.0, 10) == [(1.0, 2, "s2")]


def test_a_deadline_of_an_unknown_key_changes_nothing(journal: Journal, reader: Reader) -> None:
    journal.commit(batch(deadlines=[(9, 1.0)]))
    assert reader.next_due() is None


@pytest.mark.parametrize(
    "bad",
    [
        batch(events=[event(1, 3)], sessions=[session(1), session(2, session_id="s1")]),
        batch(events=[event(1, 3)], sessions=[session(2, request_key="r"), session(3, request_key="r")]),
        batch(events=[event(1, 3), (1, 4, float("nan"), 1, 0, b"")]),
        batch(events=[event(1, 3), event(2**63, 1)]),
        batch(events=[event(1, 3)], sessions=[session(2, user_id="\ud800")]),
    ],
    ids=["session id twice", "request key twice", "no number", "integer too large", "lone surrogate"],
)
def test_a_batch_that_breaks_a_rule_stores_nothing_and_harms_no_later_one(
    any_journal: Journal, bad: object
) -> None:
    any_journal.commit(batch(events=[event(1, 1)], sessions=[session(1)]))
    with pytest.raises(Unstorable, match="Nothing was stored"):
        any_journal.commit(bad)  # type: ignore[arg-type]
    assert any_journal.index_pending == 1
    any_journal.commit(batch(events=[event(1, 2)]))
    with any_journal.reader() as reader:
        assert whole_history(reader, 1) == [event(1, 1), event(1, 2)]
        assert reader.count() == {"active": 1}


def test_an_error_that_is_not_the_stores_leaves_no_transaction_open(journal: Journal, reader: Reader) -> None:
    broken = batch(events=[event(1, 1)])
    broken.sessions.append(None)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        journal.commit(broken)
    journal.commit(batch(events=[event(1, 1)]))
    assert whole_history(reader, 1) == [event(1, 1)]


def test_the_index_follows_in_steps_and_says_how_far_it_is_behind(
    any_journal: Journal, any_reader: Reader
) -> None:
    any_journal.commit(batch(events=[event(1, seq) for seq in range(1, 11)]))
    steps = [any_journal.index_pending]
    while any_journal.index(4):
        steps.append(any_journal.index_pending)
        assert [row[1] for row in whole_history(any_reader, 1)] == list(range(1, 11))
    assert steps == [10, 6, 2, 0]
    assert any_journal.index() == 0


def test_indexing_leaves_commits_as_durable_as_before(journal: Journal) -> None:
    journal.commit(batch(events=[event(1, 1)]))
    index_all(journal)
    assert journal.durability == "full"
    assert journal.connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_two_events_at_one_place_are_found_when_they_are_indexed(any_journal: Journal) -> None:
    any_journal.commit(batch(events=[event(1, 1), event(1, 1)]))
    with pytest.raises(JournalCorrupt, match="the place of another"):
        any_journal.index()
    assert any_journal.index_pending == 2


@pytest.mark.parametrize("indexed", [0, 1, 3, 6])
def test_erasing_removes_all_of_a_session_and_counts_it(any_journal: Journal, indexed: int) -> None:
    events = [event(1 + place % 2, 1 + place // 2) for place in range(6)]
    any_journal.commit(batch(events=events, sessions=[session(1), session(2)]))
    any_journal.index(indexed)
    erasing = batch(erased=[2, 77])
    any_journal.commit(erasing)
    assert erasing.erased_events == 3
    assert erasing.erased_by_key == {2: 3, 77: 0}
    with any_journal.reader() as reader:
        assert reader.load(["s1", "s2"]).keys() == {"s1"}
        assert whole_history(reader, 2) == []
        assert [row[1] for row in whole_history(reader, 1)] == [1, 2, 3]


@pytest.mark.parametrize("indexed", [0, 2, 4])
def test_events_after_an_erasure_are_found_before_and_after_indexing(
    any_journal: Journal, indexed: int
) -> None:
    # The erased events are the newest: SQLite gives their ids again, and those are below the old watermark.
    any_journal.commit(batch(events=[event(1, 1), event(2, 1), event(2, 2), event(2, 3)]))
    any_journal.index(indexed)
    any_journal.commit(batch(erased=[2]))
    any_journal.commit(batch(events=[event(1, 2), event(3, 1)]))
    with any_journal.reader() as reader:
        for _ in range(2):
            assert whole_history(reader, 1) == [event(1, 1), event(1, 2)]
            assert whole_history(reader, 3) == [event(3, 1)]
            index_all(any_journal)


def test_erasing_everything_leaves_an_empty_store(any_journal: Journal, any_reader: Reader) -> None:
    any_journal.commit(batch(events=[event(1, 1)], sessions=[session(1)]))
    index_all(any_journal)
    any_journal.commit(batch(erased=[1]))
    assert any_journal.index_pending == 0
    any_journal.commit(batch(events=[event(2, 1)]))
    assert whole_history(any_reader, 2) == [event(2, 1)]


def test_what_a_batch_writes_of_a_session_that_it_erases_is_erased_too(
    journal: Journal, reader: Reader
) -> None:
    erasing = batch(events=[event(1, 1)], sessions=[session(1)], erased=[1])
    journal.commit(erasing)
    assert erasing.erased_events == 1
    assert reader.count() == {}


def test_erased_text_is_not_left_in_the_file(path: str) -> None:
    secret = b"nobody may read this again"
    with Journal.open(path) as journal:
        journal.commit(batch(events=[event(1, seq, secret) for seq in range(1, 50)], sessions=[session(1)]))
        journal.commit(batch(erased=[1]))
        journal.checkpoint()
    assert secret not in Path(path).read_bytes()


def test_a_key_is_never_given_again(path: str) -> None:
    with Journal.open(path) as journal:
        assert journal.next_key == 1
        journal.commit(batch(sessions=[session(1), session(2), session(3)]))
        journal.commit(batch(erased=[3]))
    with Journal.open(path) as journal:
        assert journal.next_key == 4


def test_each_opening_is_a_new_epoch(path: str) -> None:
    epochs: list[int] = []
    for _ in range(3):
        with Journal.open(path) as journal:
            epochs.append(journal.epoch)
    assert epochs == [1, 2, 3]


def test_what_was_committed_is_there_at_the_next_opening(path: str) -> None:
    with Journal.open(path) as journal:
        journal.commit(batch(events=[event(1, 1), event(1, 2), event(1, 3)], sessions=[session(1)]))
        journal.index(2)
    with Journal.open(path, "relaxed") as journal, journal.reader() as reader:
        assert journal.index_pending == 1
        journal.commit(batch(events=[event(1, 4)]))
        index_all(journal)
        assert [row[1] for row in whole_history(reader, 1)] == [1, 2, 3, 4]


def test_a_writer_whose_epoch_is_over_writes_nothing_more(
    journal: Journal, path: str, reader: Reader
) -> None:
    journal.commit(batch(events=[event(1, 1)]))
    # Another writer on the same file; here only the lock file keeps it away.
    with sqlite3.connect(path) as other:
        other.execute("UPDATE meta SET value = value + 1 WHERE name = 'epoch'")
    other.close()
    for write in (lambda: journal.commit(batch(events=[event(1, 2)])), journal.index):
        with pytest.raises(StaleEpoch, match="taken over by another writer") as caught:
            write()
        assert (caught.value.ours, caught.value.found) == (1, 2)
    assert journal.index_pending == 1
    assert whole_history(reader, 1) == [event(1, 1)]


def test_checkpoint_empties_the_log_into_the_file(journal: Journal, path: str) -> None:
    journal.commit(batch(events=[event(1, seq) for seq in range(1, 100)]))
    assert journal.checkpoint() == 0
    # The file by itself, without the log beside it.
    alone = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    assert alone.execute("SELECT count(*) FROM events").fetchone() == (99,)
    alone.close()


def test_checkpoint_says_how_much_a_reader_keeps_in_the_log(journal: Journal, path: str) -> None:
    journal.commit(batch(events=[event(1, 1)]))
    other = sqlite3.connect(path)
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM events").fetchone()
    journal.commit(batch(events=[event(1, 2)]))
    assert journal.checkpoint() > 0
    other.close()
    assert journal.checkpoint() == 0


def test_the_log_stays_bounded_without_a_call_to_checkpoint(path: str) -> None:
    with Journal.open(path, "relaxed") as journal:
        # 64 pages instead of 16,384, so that the test need not write so much.
        journal.connection.execute("PRAGMA wal_autocheckpoint = 64")
        for seq in range(1, 200):
            journal.commit(batch(events=[event(1, seq, bytes(40_000))]))
        assert Path(f"{path}-wal").stat().st_size < 100 * 4200


def test_in_memory_there_is_nothing_to_checkpoint() -> None:
    with Journal.open(None, "memory") as journal:
        assert journal.checkpoint() == 0


def test_a_closed_journal_refuses_to_write_and_may_be_closed_again(any_journal: Journal) -> None:
    any_journal.close()
    any_journal.close()
    with pytest.raises(WriteFailed, match="closed"):
        any_journal.commit(batch(events=[event(1, 1)]))
    assert any_journal.checkpoint() == 0


@pytest.mark.parametrize(
    ("path_given", "durability"), [(True, "memory"), (False, "full"), (False, "relaxed")]
)
def test_memory_and_a_path_exclude_each_other(path: str, path_given: bool, durability: str) -> None:
    with pytest.raises(ValueError, match="does not go with"):
        Journal.open(path if path_given else None, durability)  # type: ignore[arg-type]


def test_a_small_limit_of_variables_is_kept() -> None:
    # Builds of SQLite differ: 999 variables were the default once.
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 40)
    connection.execute("CREATE TABLE numbers (a INTEGER PRIMARY KEY, b)")
    insert = BulkStatement(connection, 2, "INSERT INTO numbers (a, b)")
    assert insert.run(connection, [(number, str(number)) for number in range(1, 101)]) == 100
    assert connection.execute("SELECT sum(a), count(b) FROM numbers").fetchone() == (5050, 100)
    assert insert.run(connection, []) == 0
    connection.close()
