"""After an erasure and a scrub no byte of what was erased is in any file of the folder."""

from __future__ import annotations

import random
import re
import sqlite3
from pathlib import Path

import pytest

from sojourn.storage import EventRow, Gone, Journal, SessionRow, erasure
from tests.storage.samples import batch, event, session

LENGTHS = (0, 10, 50, 200, 400, 1000, 3000, 9000)
"""Of texts: some fit a page many times, some take pages of their own."""
MARKS = re.compile(rb"(?:<said by |session-|person-|request-)(\d{6})")


def everything(folder: Path) -> bytes:
    return b"".join(each.read_bytes() for each in folder.rglob("*") if each.is_file())


def scrub(journal: Journal) -> int:
    """One pass over all pages, as nobody is in the way; how many were cleaned."""
    while journal.erase_on():
        pass
    cleaned, page = 0, 1
    while True:
        step = journal.scrub(page, 16)
        assert step is not None
        cleaned += step.cleaned
        if step.next_page is None:
            return cleaned
        page = step.next_page


class Town:
    """Many people's sessions, written, rewritten and merged at random; each text names its session."""

    def __init__(self, journal: Journal, chance: random.Random) -> None:
        self.journal = journal
        self.chance = chance
        self.seqs: dict[int, int] = {}
        self.gone: list[int] = []

    def text(self, key: int) -> bytes:
        mark = b"<said by %06d>" % key
        return mark + b"." * self.chance.choice(LENGTHS) + mark

    def row(self, key: int, *, saved: bool) -> SessionRow:
        return session(
            key,
            session_id=f"session-{key:06d}-of-somebody",
            user_id=f"person-{key:06d}@example.org",
            request_key=f"request-{key:06d}",
            seq=self.seqs[key] if saved else 0,
            snapshot=self.text(key) if saved else None,
        )

    def live(self) -> list[int]:
        return sorted(set(self.seqs) - set(self.gone))

    def day(self) -> None:
        """Some are new, some talk, some are saved, and the index follows."""
        chance = self.chance
        first = len(self.seqs) + 1
        new = range(first, first + chance.randint(1, 4))
        self.seqs.update(dict.fromkeys(new, 0))
        rows = {key: self.row(key, saved=False) for key in new}
        events: list[EventRow] = []
        live = self.live()
        for key in chance.sample(live, min(len(live), 20)):
            for _ in range(chance.randint(0, 2)):
                self.seqs[key] += 1
                events.append(event(key, self.seqs[key], self.text(key)))
            if chance.random() < 0.7:
                rows[key] = self.row(key, saved=True)
        self.journal.commit(batch(events=events, sessions=rows.values()))
        if chance.random() < 0.3:
            self.journal.index(chance.randint(1, 200))
        if chance.random() < 0.2:
            self.journal.merge(chance.randint(10, 500))
        if chance.random() < 0.1:
            self.journal.checkpoint()

    def live_for(self, days: int) -> None:
        for day in range(days):
            self.day()
            if day > 40 and day % 5 == 0:
                self.erase(2)

    def erase(self, count: int) -> None:
        keys = self.chance.sample(self.live(), count)
        self.gone += keys
        self.journal.commit(batch(erased=keys))

    def left_of(self, folder: Path) -> set[int]:
        """Of whom anything is found in the files though they are gone."""
        return {int(key) for key in MARKS.findall(everything(folder))} & set(self.gone)


@pytest.mark.parametrize("seed", [0, 3, 7])
def test_nothing_of_an_erased_session_is_left_in_any_file(tmp_path: Path, seed: int) -> None:
    with Journal.open(str(tmp_path / "sessions.db"), "relaxed") as journal:
        town = Town(journal, random.Random(seed))
        town.live_for(160)
        scrub(journal)
        assert town.left_of(tmp_path) == set()
        # What others write next brings nothing back: our own copies of the pages are gone, too.
        for _ in range(20):
            town.day()
        journal.checkpoint()
        assert town.left_of(tmp_path) == set()


def test_without_the_scrub_something_is_left(tmp_path: Path) -> None:
    """Else the test above would show nothing: SQLite's own overwriting leaves copies in unused bytes."""
    assert any(left_unscrubbed(tmp_path, seed) for seed in (0, 7, *range(20, 30)))


def left_unscrubbed(folder: Path, seed: int) -> set[int]:
    (folder / str(seed)).mkdir()
    with Journal.open(str(folder / str(seed) / "sessions.db"), "relaxed") as journal:
        town = Town(journal, random.Random(seed))
        town.live_for(160)
        while journal.erase_on():
            pass
        journal.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return town.left_of(folder / str(seed))


def test_a_scrub_changes_nothing_that_anybody_reads(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    with Journal.open(str(path), "relaxed") as journal:
        town = Town(journal, random.Random(1))
        for day in range(120):
            town.day()
            if day % 7 == 0:
                town.erase(1)
        before = [journal.connection.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES]
        assert scrub(journal) > 0
        assert scrub(journal) == 0
        after = [journal.connection.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES]
        assert after == before
        assert journal.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


TABLES = ("sessions", "events", "event_index", "event_runs", "erasures", "meta")


def test_a_scrub_waits_for_whoever_reads_an_older_state(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    with Journal.open(str(path), "full") as journal:
        journal.commit(batch(sessions=[session(1)], events=[event(1, 1, b"<mark>")]))
        reading = sqlite3.connect(path, isolation_level=None)
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM events").fetchone()
        journal.commit(batch(erased=[1]))
        assert journal.scrub(1) is None
        assert b"<mark>" in everything(tmp_path)
        reading.execute("ROLLBACK")
        scrub(journal)
        assert b"<mark>" not in everything(tmp_path)
        reading.close()


def test_a_long_session_goes_slice_by_slice_and_is_found_by_nobody_meanwhile(tmp_path: Path) -> None:
    path = str(tmp_path / "sessions.db")
    count = 3 * erasure.SLICE_EVENTS
    with Journal.open(path) as journal, journal.reader() as reader:
        journal.commit(batch(sessions=[session(1, session_id="long"), session(2)]))
        for start in range(0, count, 100):
            events = [event(1, seq, b"<long>") for seq in range(start + 1, min(start + 100, count) + 1)]
            journal.commit(batch(events=[*events, event(2, start // 100 + 1, b"<short>")]))
            journal.index(150)
            if start % 400 == 0:
                journal.merge(60)
        erasing = batch(erased=[1])
        erasing.erased[1] = Gone(5.0, "erased", "e1", count)
        journal.commit(erasing)
        assert erasing.erased_events == erasure.SLICE_EVENTS
        assert reader.load(["long"]) == {}
        assert journal.connection.execute("SELECT count(*) FROM history").fetchone() == (count // 100 + 1,)
    # Killed here, or merely stopped: the next writer goes on.
    with Journal.open(path) as journal, journal.reader() as reader:
        slices = 1
        while journal.erase_on():
            slices += 1
        assert slices == 2
        rows = journal.connection.execute("SELECT DISTINCT session FROM events").fetchall()
        assert rows == [(2,)]
        assert len(reader.history(2)[0]) == count // 100 + 1
        assert b"<short>" in everything(tmp_path)
        scrub(journal)
        assert b"<long>" not in everything(tmp_path)


def test_a_slice_is_bounded_by_bytes_too(tmp_path: Path) -> None:
    with Journal.open(str(tmp_path / "sessions.db")) as journal:
        events = [event(1, seq, bytes(erasure.SLICE_BYTES // 3 + 1)) for seq in range(1, 8)]
        journal.commit(batch(sessions=[session(1)], events=events))
        journal.index()
        erasing = batch(erased=[1])
        journal.commit(erasing)
        assert erasing.erased_events == 2
        steps = 1
        while journal.erase_on():
            steps += 1
        assert steps == 3


def test_a_body_larger_than_a_slice_goes(tmp_path: Path) -> None:
    with Journal.open(str(tmp_path / "sessions.db")) as journal:
        large = bytes(erasure.SLICE_BYTES + 1)
        journal.commit(batch(sessions=[session(1)], events=[event(1, 1, large), event(1, 2, large)]))
        journal.commit(batch(erased=[1]))
        while journal.erase_on():
            pass
        assert journal.connection.execute("SELECT count(*) FROM events").fetchone() == (0,)


def test_the_store_in_memory_has_nothing_to_scrub() -> None:
    with Journal.open(None, "memory") as journal:
        journal.commit(batch(sessions=[session(1)], events=[event(1, 1)]))
        journal.commit(batch(erased=[1]))
        assert not journal.erase_on()
        assert journal.scrub(1) == (None, 0)
