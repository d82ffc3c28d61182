"""Scrubbing overwrites only what nobody reads, whatever is in the file and whoever uses it meanwhile."""

from __future__ import annotations

import random
import re
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.storage import Journal, Reader
from sojourn.storage.file_format import unused
from sojourn.storage.scrub import Scrubber
from tests.storage.samples import batch, event, session

MARK = re.compile(rb"<(\d{7})>")
Row = tuple[int, str, bytes]


class Story:
    """Rows with marks: in a table, in an index of long keys, and in a table without row ids."""

    def __init__(self, path: Path, seed: int, page_size: int, lengths: tuple[int, ...]) -> None:
        self.lengths = lengths
        self.chance = random.Random(seed)
        self.rows: dict[int, Row] = {}
        self.gone: set[bytes] = set()
        self.path = path
        self.marks = 0
        self.connection = sqlite3.connect(path, isolation_level=None)
        for statement in (
            f"PRAGMA page_size = {page_size}",
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = OFF",
            "PRAGMA secure_delete = ON",
            "CREATE TABLE plain (key INTEGER PRIMARY KEY, name TEXT, body BLOB)",
            "CREATE INDEX names ON plain (name)",
            "CREATE TABLE named (name TEXT, body BLOB, key INTEGER, PRIMARY KEY (name, body)) WITHOUT ROWID",
        ):
            self.connection.execute(statement)

    def text(self) -> bytes:
        self.marks += 1
        mark = b"<%07d>" % self.marks
        return mark + b"." * self.chance.choice(self.lengths) + mark

    def write(self, most: int) -> None:
        """One transaction: some rows are new, some change, some go."""
        chance = self.chance
        self.connection.execute("BEGIN")
        for _ in range(chance.randint(1, most)):
            key = chance.choice(list(self.rows)) if self.rows and chance.random() < 0.6 else self.marks
            self.drop(key)
            if chance.random() < 0.75:
                name = f"{chance.random():.3f}{self.text().decode()}"
                self.add((key, name, self.text()))
        self.connection.execute("COMMIT")

    def grow(self, count: int) -> None:
        """One transaction: so many new rows, all over the tables."""
        self.connection.execute("BEGIN")
        for _ in range(count):
            key = self.chance.randrange(10**6)
            if key not in self.rows:
                name = f"{self.chance.random():.6f}{self.text().decode()}"
                self.add((key, name, self.text()))
        self.connection.execute("COMMIT")

    def add(self, row: Row) -> None:
        self.rows[row[0]] = row
        self.connection.execute("INSERT INTO plain VALUES (?, ?, ?)", row)
        self.connection.execute("INSERT INTO named (key, name, body) VALUES (?, ?, ?)", row)

    def drop(self, key: int) -> None:
        if key in self.rows:
            _, name, body = self.rows.pop(key)
            self.gone |= {*MARK.findall(name.encode()), *MARK.findall(body)}
            self.connection.execute("DELETE FROM plain WHERE key = ?", (key,))
            self.connection.execute("DELETE FROM named WHERE name = ? AND body = ?", (name, body))

    def check(self, connection: sqlite3.Connection) -> None:
        """All is there as it was written, whichever way one asks."""
        wanted = sorted(self.rows.values())
        for asked in ("plain", "plain INDEXED BY names WHERE name >= ''", "named"):
            found = connection.execute(f"SELECT key, name, body FROM {asked}").fetchall()
            assert sorted(found) == wanted
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)

    def found_of(self, marks: set[bytes]) -> set[bytes]:
        files = self.path.parent.glob(f"{self.path.name}*")
        return {mark for file in files for mark in MARK.findall(file.read_bytes())} & marks


@contextmanager
def told(
    path: Path,
    seed: int,
    page_size: int = 512,
    writes: int = 80,
    lengths: tuple[int, ...] = (0, 3, 20, 90, 300, 1100, 5000),
) -> Generator[Story]:
    story = Story(path, seed, page_size, lengths)
    with closing(story.connection):
        for _ in range(writes):
            story.write(12)
        yield story


def scrub(story: Story, scrubber: Scrubber, limit: int, *, between: int = 0) -> int:
    """One whole pass, with so many transactions between two steps; how many steps."""
    page, steps = 1, 0
    while True:
        step = scrubber.scrub(story.connection, page, limit)
        assert step is not None
        steps += 1
        if step.next_page is None:
            return steps
        page = step.next_page
        for _ in range(between):
            story.write(2)


@pytest.mark.parametrize("page_size", [512, 4096, 65536])
def test_every_row_stays_and_nothing_of_a_former_row_does(tmp_path: Path, page_size: int) -> None:
    with told(tmp_path / "a.db", page_size, page_size) as story:
        scrub(story, Scrubber(str(story.path)), 7)
        story.check(story.connection)
        assert len(story.gone) > 300
        assert story.found_of(story.gone) == set()
        story.write(50)
        story.check(story.connection)


def test_what_moves_behind_the_pass_is_overwritten_there(tmp_path: Path) -> None:
    """SQLite swaps the numbers of neighbours, and remains go with them: a page behind has them again.

    Rare: with this seed it happens, and a pass that only goes on leaves something.
    """
    with told(tmp_path / "a.db", 3, writes=0, lengths=(0, 3, 20, 60)) as story:
        for _ in range(10):
            story.grow(30)
        for key in story.chance.sample(list(story.rows), len(story.rows) * 3 // 20):
            story.drop(key)
        gone = set(story.gone)
        sixth = story.connection.execute("PRAGMA page_count").fetchone()[0] // 6
        scrubber = Scrubber(str(story.path))
        page: int | None = 1
        while page is not None:
            step = scrubber.scrub(story.connection, page, sixth)
            assert step is not None
            page = step.next_page
            if page is not None:
                story.grow(30)
        story.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert story.found_of(gone) == set()
        story.check(story.connection)


@pytest.mark.parametrize("seed", range(3))
def test_rows_written_amid_a_pass_stay(tmp_path: Path, seed: int) -> None:
    with told(tmp_path / "a.db", seed) as story:
        gone = set(story.gone)
        assert scrub(story, Scrubber(str(story.path)), 20, between=1) > 20
        story.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert story.found_of(gone) == set()
        story.check(story.connection)


def test_readers_of_every_kind_see_the_same_rows_at_each_step(tmp_path: Path) -> None:
    with told(tmp_path / "a.db", 5, writes=60) as story:
        cached, mapped = (sqlite3.connect(story.path, isolation_level=None) for _ in range(2))
        mapped.execute("PRAGMA mmap_size = 1000000000")
        copy = sqlite3.connect(tmp_path / "copy.db")
        with closing(cached), closing(mapped), closing(copy):
            story.check(cached)
            story.check(mapped)
            scrubber = Scrubber(str(story.path))
            page = cast("int | None", 1)

            def step(*_: int) -> None:
                nonlocal page
                if page is not None:
                    taken = scrubber.scrub(story.connection, page, 40)
                    page = page if taken is None else taken.next_page

            # A backup reads on while pages that it has, and pages that it has not yet, are scrubbed.
            story.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            cached.backup(copy, pages=200, progress=step)
            while page is not None:
                step()
                story.check(cached)
                story.check(mapped)
                # In a transaction over a step, too: it reads the file itself, as the log is empty.
                cached.execute("BEGIN")
                count = cached.execute("SELECT count(*) FROM plain").fetchone()
                step()
                assert cached.execute("SELECT count(*) FROM plain").fetchone() == count
                story.check(cached)
                cached.execute("ROLLBACK")
            story.check(copy)


def test_a_pass_begins_anew_when_somebody_else_may_have_begun_the_log_anew(tmp_path: Path) -> None:
    with told(tmp_path / "a.db", 6, writes=30) as story:
        scrubber = Scrubber(str(story.path))
        first = scrubber.scrub(story.connection, 1, 5)
        assert first is not None
        assert first.next_page == 6
        assert scrubber.under_way
        scrubber.begin_anew()
        assert scrubber.scrub(story.connection, 6, 5) == (1, 0)
        assert not scrubber.under_way


def test_a_pass_ends_where_the_file_has_become_shorter(tmp_path: Path) -> None:
    with told(tmp_path / "a.db", 9, writes=20) as story:
        scrubber = Scrubber(str(story.path))
        first = scrubber.scrub(story.connection, 1, 200)
        assert first is not None
        assert first.next_page == 201
        story.connection.execute("DELETE FROM plain")
        story.connection.execute("DELETE FROM named")
        story.connection.execute("VACUUM")
        assert scrubber.scrub(story.connection, 201, 200) == (None, 0)


def test_the_journal_copies_no_log_amid_a_pass(tmp_path: Path) -> None:
    """What the log had would be unknown to the pass: its steps empty it themselves."""
    with Journal.open(str(tmp_path / "sessions.db")) as journal:
        for key in range(1, 40):
            journal.commit(batch(sessions=[session(key)], events=[event(key, 1, b"." * 3000)]))
        journal.index()
        assert journal.scrub(1, 2) == (3, 0)
        journal.commit(batch(events=[event(1, 2)]))
        with closing(sqlite3.connect(tmp_path / "sessions.db")) as looking:
            journal.checkpoint()
            # The log has been copied where a checkpoint finds nothing to copy any more.
            assert looking.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1] > 0
        step = journal.scrub(3, 1000)
        assert step is not None
        assert step.next_page is None
        journal.commit(batch(events=[event(1, 3)]))
        assert journal.checkpoint() == 0


@pytest.mark.parametrize(
    "pragma",
    ["PRAGMA auto_vacuum = FULL", "PRAGMA auto_vacuum = INCREMENTAL", "PRAGMA journal_mode = DELETE"],
)
def test_a_file_of_another_kind_is_left_alone(tmp_path: Path, pragma: str) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(pragma)
        connection.execute("VACUUM")
        connection.execute("CREATE TABLE plain (body)")
        before = path.read_bytes()
        scrubber = Scrubber(str(path))
        with pytest.raises(sqlite3.NotSupportedError):
            scrubber.scrub(connection, 1, 10)
        assert not connection.in_transaction
        assert not scrubber.under_way
        assert path.read_bytes()[100:] == before[100:] or pragma.endswith("DELETE") or len(before) <= 8192


def test_a_page_with_bytes_that_are_not_sqlites_is_left_alone(tmp_path: Path) -> None:
    with told(tmp_path / "a.db", 8, writes=5) as story:
        story.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with story.path.open("r+b") as file:
            file.seek(20)
            file.write(b"\x08")
        with pytest.raises(sqlite3.NotSupportedError):
            Scrubber(str(story.path)).scrub(story.connection, 1, 10)


@given(st.binary(min_size=512, max_size=512), st.sampled_from([2, 5, 10, 13]), st.integers(0, 30))
def test_any_bytes_have_spans_within_the_page_or_none(data: bytes, kind: int, cells: int) -> None:
    for page in (data, bytes([kind]) + data[1:3] + bytes([0, cells]) + data[5:]):
        spans = unused(page, 0)
        assert all(8 <= start < end <= 512 for start, end in spans)
        assert all(one[1] <= other[0] for one, other in pairwise(spans))


def test_a_free_block_in_which_a_cell_begins_is_none() -> None:
    """A damaged page is not damaged any further."""
    page = bytearray(512)
    page[0:10] = bytes([13, 0x01, 0x90, 0, 1, 0x01, 0x90, 0, 0x01, 0xF0])  # one cell at 496, a block at 400
    page[400:404] = bytes([0, 0, 0, 50])
    assert unused(bytes(page), 0) == [(10, 400), (404, 450)]
    page[8:10] = (420).to_bytes(2, "big")
    assert unused(bytes(page), 0) == []


ANOTHER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(connection.execute("SELECT count(*) FROM events").fetchone()[0])
connection.close()
"""


def test_a_reader_that_stays_keeps_its_lock_when_the_writer_goes(tmp_path: Path) -> None:
    """The system's locks belong to the process: closing our descriptor would drop those of all readers, and
    the next process to leave would remove the log from under them.
    """
    path = str(tmp_path / "sessions.db")
    with Journal.open(path) as journal:
        journal.commit(batch(sessions=[session(1)], events=[event(1, 1)]))
        journal.scrub(1)
        journal.commit(batch(events=[event(1, 2)]))
        reader = Reader.open(path)
    with closing(reader):
        reader.load(["anything"])
        done = subprocess.run(
            [sys.executable, "-c", ANOTHER, path], capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stdout == "2\n"
        assert (tmp_path / "sessions.db-wal").exists()
