import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from sojourn.storage import Journal, Reader, WriteFailed
from tests.storage.samples import batch, event, index_all, session, whole_history

FULL_DISK = """
import resource, sys
from pathlib import Path
from sojourn.storage import Batch, Journal, WriteFailed

def one(seq, size):
    batch = Batch()
    batch.events.append((1, seq, 0.0, 2, 0, bytes(size)))
    return batch

path = sys.argv[1]
with Journal.open(path) as journal, journal.reader() as reader:
    journal.commit(one(1, 10))
    while journal.checkpoint():
        pass
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (Path(path + "-wal").stat().st_size + 100_000, hard))
    refused = 0
    for _ in range(3):
        try:
            journal.commit(one(2, 300_000))
        except WriteFailed as error:
            assert path in str(error), error
            refused += 1
        assert len(reader.history(1)[0]) == 1
    journal.commit(one(2, 10))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    journal.commit(one(3, 300_000))

    resource.setrlimit(resource.RLIMIT_FSIZE, (Path(path).stat().st_size, hard))
    try:
        journal.checkpoint()
    except WriteFailed:
        refused += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert journal.checkpoint() == 0
    while journal.index():
        pass
    print(refused, [(row[1], len(row[5])) for row in reader.history(1)[0]])
"""

STEADY_WRITER = """
import sys
from sojourn.storage import Batch, Journal, SessionRow

with Journal.open(sys.argv[1], sys.argv[2]) as journal, journal.reader() as reader:
    seqs = {key: len(reader.history(key, limit=1_000_000)[0]) for key in range(1, 6)}
    turn = 0
    while True:
        turn += 1
        batch = Batch()
        for key in seqs:
            for _ in range(1 + turn % 7):
                seqs[key] += 1
                batch.events.append((key, seqs[key], 0.0, 2, 0, b"%d %d" % (key, seqs[key])))
            if turn % 5 == key % 5:
                batch.sessions.append(
                    SessionRow(key, f"s{key}", None, "web", None, None, 0.0, "active", "ai", None, None, None,
                               seqs[key], b"%d" % seqs[key])
                )
        journal.commit(batch)
        print(*seqs.values(), flush=True)
        if turn % 3 == 0:
            journal.index(20)
        if turn % 50 == 0:
            journal.checkpoint()
"""


def break_disk(connection: sqlite3.Connection, *failing: str) -> None:
    """From now on the `failing` of BEGIN, COMMIT and ROLLBACK end in an error of SQLite.

    A few events alone are one statement, which begins and commits by itself: it fails with these.
    """

    def decide(action: int, word: str | None, *_: str | None) -> int:
        alone = action == sqlite3.SQLITE_INSERT and word == "events" and not connection.in_transaction
        failed = alone or (action == sqlite3.SQLITE_TRANSACTION and word in failing)
        return sqlite3.SQLITE_DENY if failed else sqlite3.SQLITE_OK

    connection.set_authorizer(decide)


def test_a_full_disk_refuses_by_name_reads_go_on_and_writing_resumes(
    any_journal: Journal, any_reader: Reader
) -> None:
    any_journal.commit(batch(events=[event(1, 1)], sessions=[session(1)]))
    connection = any_journal.connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    too_much = batch(events=[event(1, seq, bytes(5000)) for seq in range(2, 50)], deadlines=[(1, 9.0)])
    for _ in range(2):
        with pytest.raises(WriteFailed, match="database or disk is full"):
            any_journal.commit(too_much)
        assert whole_history(any_reader, 1) == [event(1, 1)]
        assert any_reader.next_due() is None
        assert any_journal.index_pending == 1
    connection.execute("PRAGMA max_page_count = 1000000")
    any_journal.commit(too_much)
    index_all(any_journal)
    assert [row[1] for row in whole_history(any_reader, 1)] == list(range(1, 50))


def test_an_index_that_finds_the_disk_full_stays_where_it_was(journal: Journal, reader: Reader) -> None:
    journal.commit(batch(events=[event(1, seq) for seq in range(1, 2000)]))
    connection = journal.connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(WriteFailed, match="full"):
        journal.index()
    assert journal.index_pending == 1999
    assert len(reader.history(1, limit=3000)[0]) == 1999
    connection.execute("PRAGMA max_page_count = 1000000")
    index_all(journal)
    assert len(reader.history(1, limit=3000)[0]) == 1999


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of file sizes there")
def test_a_file_that_may_not_grow_refuses_and_goes_on_when_it_may(path: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FULL_DISK, path], capture_output=True, text=True, timeout=50, check=False
    )
    assert ended.stderr == ""
    assert ended.stdout == "4 [(1, 10), (2, 10), (3, 300000)]\n"


def test_a_file_locked_by_another_program_refuses_and_goes_on_after(journal: Journal, path: str) -> None:
    journal.connection.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for _ in range(2):
        with pytest.raises(WriteFailed, match="database is locked"):
            journal.commit(batch(events=[event(1, 1)]))
    other.close()
    journal.commit(batch(events=[event(1, 1)]))
    with journal.reader() as reader:
        assert whole_history(reader, 1) == [event(1, 1)]


@pytest.mark.parametrize("failing", ["BEGIN", "COMMIT"])
def test_a_commit_that_fails_stores_nothing_and_the_next_one_works(
    any_journal: Journal, any_reader: Reader, failing: str
) -> None:
    connection = any_journal.connection
    break_disk(connection, failing)
    for _ in range(2):
        with pytest.raises(WriteFailed, match="Nothing was stored"):
            any_journal.commit(batch(events=[event(1, 1)]))
    connection.set_authorizer(None)
    assert whole_history(any_reader, 1) == []
    any_journal.commit(batch(events=[event(1, 1)]))
    assert whole_history(any_reader, 1) == [event(1, 1)]
    assert any_journal.connection is connection


def test_a_connection_that_cannot_roll_back_is_replaced(journal: Journal, reader: Reader) -> None:
    broken = journal.connection
    break_disk(broken, "COMMIT", "ROLLBACK")
    with pytest.raises(WriteFailed, match="Nothing was stored"):
        journal.commit(batch(events=[event(1, 1)], deadlines=[(1, 9.0)]))
    assert whole_history(reader, 1) == []
    journal.commit(batch(events=[event(1, 1)]))
    assert whole_history(reader, 1) == [event(1, 1)]
    assert journal.connection is not broken
    assert journal.connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_an_index_that_cannot_roll_back_leaves_the_next_commit_durable(journal: Journal) -> None:
    journal.commit(batch(events=[event(1, 1)]))
    break_disk(journal.connection, "COMMIT", "ROLLBACK")
    with pytest.raises(WriteFailed):
        journal.index()
    assert journal.connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert journal.index() == 1


def test_reads_and_checkpoints_of_other_threads_disturb_no_commit(
    any_journal: Journal, any_reader: Reader
) -> None:
    rounds = 150

    def read() -> list[int]:
        return [len(any_reader.load(["s1"])["s1"].tail) for _ in range(rounds)]

    def checkpoint() -> list[int]:
        return [any_journal.checkpoint() for _ in range(rounds)]

    any_journal.commit(batch(sessions=[session(1)]))
    with ThreadPoolExecutor(2) as threads:
        lengths, left = threads.submit(read), threads.submit(checkpoint)
        for seq in range(1, rounds + 1):
            any_journal.commit(batch(events=[event(1, seq)], deadlines=[(1, float(seq))]))
            any_journal.index(2)
    assert lengths.result() == sorted(lengths.result())
    assert len(left.result()) == rounds
    assert len(any_reader.load(["s1"])["s1"].tail) == rounds


@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_kill_loses_no_acknowledged_event_and_doubles_none(path: str, durability: str) -> None:
    for acknowledged_lines in (1, 7, 60, 113, 2):
        with subprocess.Popen(
            [sys.executable, "-c", STEADY_WRITER, path, durability], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            line = ""
            for _ in range(acknowledged_lines):
                line = writer.stdout.readline()
            os.kill(writer.pid, signal.SIGKILL)
            # What it acknowledged until the signal reached it counts as well; the last line may be cut.
            for rest in writer.stdout:
                line = rest if rest.endswith("\n") else line
        acknowledged = [int(word) for word in line.split()]
        # First as a reader finds it, with the log of the dead beside it, then after the next writer's start.
        with Reader.open(path) as reader:
            check_histories(reader, acknowledged)
        with Journal.open(path) as journal, journal.reader() as reader:
            check_histories(reader, acknowledged)
            index_all(journal)
            check_histories(reader, acknowledged)


def check_histories(reader: Reader, acknowledged: list[int]) -> None:
    newest: set[int] = set()
    for key, seq in enumerate(acknowledged, 1):
        events, more = reader.history(key, limit=1_000_000)
        assert not more
        assert [row[1] for row in events] == list(range(1, len(events) + 1))
        assert all(row[5] == b"%d %d" % (key, row[1]) for row in events)
        assert seq <= len(events) <= seq + 7
        newest.add(len(events))
        stored = reader.load_keys([key]).get(key)
        if stored is not None:
            assert stored.row.snapshot == b"%d" % stored.row.seq
            assert [row[1] for row in stored.tail] == list(range(stored.row.seq + 1, len(events) + 1))
    # All sessions write the same number at a time: a commit is there whole or not at all.
    assert len(newest) == 1
