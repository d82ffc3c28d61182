"""The index in runs: wherever a merge is, every event is found, once."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from sojourn.storage import EventRow, Journal, JournalCorrupt, Reader, StaleEpoch, WriteFailed
from sojourn.storage.schema import APPLICATION_ID, SCHEMA_VERSION
from tests.storage.samples import batch, event, index_all, session, whole_history
from tests.storage.test_faults import STEADY_WRITER, break_disk, check_histories

KEYS = range(1, 6)


def fill(journal: Journal, runs: int, *, rounds: int = 2) -> dict[int, list[EventRow]]:
    """Some runs of `rounds` events of each session, and a tail above the watermark; all there is of each."""
    histories: dict[int, list[EventRow]] = {key: [] for key in KEYS}
    journal.commit(batch(sessions=[session(key) for key in KEYS]))
    for last in [False] * runs + [True]:
        rows: list[EventRow] = []
        for _ in range(rounds):
            for key in reversed(KEYS):
                histories[key].append(event(key, len(histories[key]) + 1, b"%d" % key))
                rows.append(histories[key][-1])
        journal.commit(batch(events=rows))
        if not last:
            index_all(journal)
    assert journal.merge_pending == runs
    return histories


def check(reader: Reader, histories: dict[int, list[EventRow]]) -> None:
    """Each way to read events shows all of them."""
    loaded = reader.load_keys(list(histories))
    for key, events in histories.items():
        assert whole_history(reader, key) == events
        assert reader.history(key, 1, 4) == (events[1:4], False)
        assert [reader.event(key, seq) for _, seq, *_ in events] == events
        assert reader.event(key, len(events) + 1) is None
        assert (loaded[key].tail if key in loaded else []) == events


def entries(journal: Journal, table: str) -> int:
    """How many rows the table has."""
    found: int = journal.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return found


@pytest.mark.parametrize("limit", [1, 3, 7, 16, 1000])
def test_between_any_two_slices_every_event_is_found(journal: Journal, reader: Reader, limit: int) -> None:
    histories = fill(journal, runs=4)
    check(reader, histories)
    moved = 0
    while slice_ := journal.merge(limit):
        assert slice_ <= limit
        moved += slice_
        assert entries(journal, "event_index") == moved
        assert entries(journal, "event_runs") == 40 - moved
        check(reader, histories)
    assert (moved, journal.merge_pending, entries(journal, "index_runs")) == (40, 0, 0)


def test_runs_that_come_during_a_merge_are_merged_with_the_rest(journal: Journal, reader: Reader) -> None:
    histories = fill(journal, runs=3)
    journal.merge(12)
    rows = [event(1, len(histories[1]) + 1), event(6, 1)]
    journal.commit(batch(events=rows))
    histories[1].append(rows[0])
    histories[6] = [rows[1]]
    index_all(journal)
    while journal.merge(5):
        check(reader, {key: histories[key] for key in KEYS})
        assert whole_history(reader, 6) == histories[6]
    assert entries(journal, "event_index") == sum(map(len, histories.values()))


def test_one_busy_session_is_merged_in_slices_that_are_worth_it(journal: Journal, reader: Reader) -> None:
    # All places of a run lie behind those of the run before: only one run at a time has the lowest.
    for run in range(40):
        journal.commit(batch(events=[event(1, 1 + 50 * run + place) for place in range(50)]))
        index_all(journal)
    slices: list[int] = []
    while moved := journal.merge(64):
        slices.append(moved)
    assert sum(slices) == 2000
    # It takes a few to find out; from then on a slice is a quarter of what was allowed, or more.
    assert max(slices) <= 64
    assert all(moved >= 16 for moved in slices[6:-3])
    assert [row[1] for row in reader.history(1, limit=3000)[0]] == list(range(1, 2001))


def test_a_page_of_a_busy_session_is_in_order_across_many_runs(journal: Journal, reader: Reader) -> None:
    for run in range(30):
        journal.commit(
            batch(events=[event(key, 1 + 20 * run + place) for place in range(20) for key in (1, 2)])
        )
        index_all(journal)
    journal.merge(200)
    events, more = reader.history(2, 10, limit=500)
    assert [row[1] for row in events] == list(range(11, 511))
    assert more


def test_ids_without_events_make_no_run(journal: Journal, reader: Reader) -> None:
    journal.commit(batch(events=[event(1, 1), event(1, 2), event(2, 1)]))
    journal.commit(batch(erased=[1]))
    assert journal.index(2) == 2
    assert journal.merge_pending == 0
    assert journal.index(2) == 1
    assert journal.merge_pending == 1
    assert whole_history(reader, 2) == [event(2, 1)]


def test_in_memory_the_index_has_no_runs() -> None:
    with Journal.open(None, "memory") as journal, journal.reader() as reader:
        journal.commit(batch(events=[event(1, 1), event(1, 2)]))
        index_all(journal)
        assert (journal.merge_pending, journal.merge(), entries(journal, "event_index")) == (0, 0, 2)
        assert whole_history(reader, 1) == [event(1, 1), event(1, 2)]


def test_a_step_of_very_many_events_needs_no_run(
    journal: Journal, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sojourn.storage.journal.AT_ONCE", 20)
    histories = fill(journal, runs=1)
    rows = [event(key, 5 + seq) for seq in range(4) for key in KEYS]
    journal.commit(batch(events=rows))
    for row in rows:
        histories[row[0]].append(row)
    assert journal.index(30) == 30
    assert (journal.merge_pending, entries(journal, "event_index")) == (1, 30)
    check(reader, histories)
    while journal.merge(3):
        check(reader, histories)


@pytest.mark.parametrize("slices", range(7))
def test_erasing_finds_all_of_a_session_wherever_a_merge_is(
    journal: Journal, reader: Reader, slices: int
) -> None:
    histories = fill(journal, runs=3)
    for _ in range(slices):
        journal.merge(6)
    erasing = batch(erased=[3, 77])
    journal.commit(erasing)
    assert erasing.erased_by_key == {3: 8, 77: 0}
    assert journal.connection.execute(
        "SELECT count(*) FROM (SELECT session FROM event_runs UNION ALL SELECT session FROM event_index "
        "UNION ALL SELECT session FROM events) WHERE session = 3"
    ).fetchone() == (0,)
    histories[3] = []
    check(reader, histories)
    while journal.merge(6):
        check(reader, histories)


def test_erasing_all_that_a_run_holds_removes_the_run(journal: Journal, reader: Reader) -> None:
    for key in (1, 2):
        journal.commit(batch(events=[event(key, 1), event(key, 2)]))
        index_all(journal)
    journal.commit(batch(erased=[2]))
    assert journal.merge_pending == 1
    # The ids of the erased events are given again, and their run's number as well.
    journal.commit(batch(events=[event(3, 1)]))
    index_all(journal)
    assert journal.merge_pending == 2
    while journal.merge():
        pass
    assert whole_history(reader, 1) == [event(1, 1), event(1, 2)]
    assert whole_history(reader, 2) == []
    assert whole_history(reader, 3) == [event(3, 1)]


@pytest.mark.parametrize("merged", [False, True], ids=["in two runs", "in a run and merged"])
def test_two_events_at_one_place_are_found_when_they_meet(
    journal: Journal, reader: Reader, merged: bool
) -> None:
    journal.commit(batch(events=[event(1, 1), event(2, 1)]))
    index_all(journal)
    if merged:
        journal.merge()
    journal.commit(batch(events=[event(2, 1), event(3, 1)]))
    index_all(journal)
    pending = journal.merge_pending
    with pytest.raises(JournalCorrupt, match="the place of another"):
        journal.merge()
    assert journal.merge_pending == pending
    assert whole_history(reader, 3) == [event(3, 1)]


def test_a_merge_of_a_writer_whose_epoch_is_over_changes_nothing(journal: Journal, path: str) -> None:
    fill(journal, runs=2)
    with sqlite3.connect(path) as other:
        other.execute("UPDATE meta SET value = value + 1 WHERE name = 'epoch'")
    other.close()
    with pytest.raises(StaleEpoch):
        journal.merge()
    assert entries(journal, "event_runs") == 20


@pytest.mark.parametrize("failing", ["BEGIN", "COMMIT"])
def test_a_slice_that_fails_changes_nothing_and_is_tried_again(
    journal: Journal, reader: Reader, failing: str
) -> None:
    histories = fill(journal, runs=3)
    journal.merge(7)
    left = entries(journal, "event_runs")
    break_disk(journal.connection, failing)
    with pytest.raises(WriteFailed):
        journal.merge(7)
    journal.connection.set_authorizer(None)
    assert entries(journal, "event_runs") == left
    assert journal.connection.execute("PRAGMA synchronous").fetchone() == (2,)
    check(reader, histories)
    while journal.merge(7):
        check(reader, histories)


def test_a_merge_that_was_cut_short_at_any_instant_goes_on_at_the_next_opening(tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.mkdir()
    images: list[Path] = []

    def crash_image(_: str) -> None:
        image = tmp_path / f"image{len(images)}"
        shutil.copytree(first, image)
        images.append(image)

    with Journal.open(str(first / "sojourn.db")) as journal:
        histories = fill(journal, runs=3)
        journal.connection.set_trace_callback(crash_image)
        journal.merge(12)
        index_all(journal)
        while journal.merge(12):
            pass
        journal.connection.set_trace_callback(None)
    assert len(images) > 20
    for image in images:
        path = str(image / "sojourn.db")
        with Reader.open(path) as reader:
            check(reader, histories)
        with Journal.open(path) as journal, journal.reader() as reader:
            check(reader, histories)
            index_all(journal)
            while journal.merge(12):
                pass
            check(reader, histories)
            assert entries(journal, "event_index") == sum(map(len, histories.values()))


def test_kill_amid_merges_loses_no_acknowledged_event_and_doubles_none(path: str) -> None:
    indexing = "            journal.index(20)\n"
    assert STEADY_WRITER.count(indexing) == 1
    merging = STEADY_WRITER.replace(
        indexing, f"{indexing}        if turn % 2:\n            journal.merge(9)\n"
    )
    for acknowledged_lines in (90, 33, 61):
        with subprocess.Popen(
            [sys.executable, "-c", merging, path, "relaxed"], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            line = ""
            for _ in range(acknowledged_lines):
                line = writer.stdout.readline()
            os.kill(writer.pid, signal.SIGKILL)
            for rest in writer.stdout:
                line = rest if rest.endswith("\n") else line
        acknowledged = [int(word) for word in line.split()]
        with Reader.open(path) as reader:
            check_histories(reader, acknowledged)
        with Journal.open(path) as journal, journal.reader() as reader:
            check_histories(reader, acknowledged)
            assert journal.merge_pending > 0
            journal.merge(50)
            check_histories(reader, acknowledged)


def test_what_waits_to_be_merged_waits_at_the_next_opening(path: str) -> None:
    with Journal.open(path) as journal:
        fill(journal, runs=3)
        journal.merge(12)
        pending = journal.merge_pending
    with Journal.open(path) as journal:
        assert journal.merge_pending == pending > 0


def test_a_file_without_runs_is_brought_up_to_date_and_read_as_before(path: str) -> None:
    older = sqlite3.connect(path)
    older.executescript(Path(__file__).with_name("schema2.sql").read_text())
    older.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    older.execute("PRAGMA user_version = 2")
    older.close()
    histories = {key: [event(key, seq) for seq in (1, 2, 3)] for key in (1, 2)}
    with Journal.open(path) as journal, journal.reader() as reader:
        assert journal.connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        assert (journal.index_pending, journal.merge_pending) == (2, 0)
        check(reader, histories)
        index_all(journal)
        check(reader, histories)
        assert journal.merge() == 2
        check(reader, histories)
        shown = journal.connection.execute("SELECT session_id, seq FROM history").fetchall()
        assert sorted(shown) == [(f"s{key}", seq) for key in (1, 2) for seq in (1, 2, 3)]


def test_the_view_of_the_histories_shows_every_event_once_wherever_a_merge_is(journal: Journal) -> None:
    histories = fill(journal, runs=3)
    shown = [(f"s{key}", seq) for key, events in histories.items() for _, seq, *_ in events]
    statement = "SELECT session_id, seq FROM history"
    while True:
        assert sorted(journal.connection.execute(statement).fetchall()) == shown
        assert journal.connection.execute(f"{statement} WHERE session_id = 's2'").fetchall() == shown[8:16]
        if not journal.merge(4):
            break
