"""Reads have a thread of their own, are done together when many want them, and always answered."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sojourn.actors.reads import ReaderActor, Reads
from sojourn.storage import EventRow, Journal, ReadFailed, StoredSession
from tests.actors.house import PATIENCE
from tests.storage.samples import batch, event, session


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(str(tmp_path / "sojourn.db")) as opened:
        sessions = [session(key) for key in range(1, 601)]
        opened.commit(batch(sessions=sessions, events=[event(1, 1), event(1, 2), event(1, 3)]))
        yield opened


class Answers:
    """What was answered, and an event for when that is `expected` answers."""

    def __init__(self, expected: int) -> None:
        self.found: dict[str, StoredSession | None] = {}
        self.errors: list[Exception] = []
        self._expected = expected
        self._all = asyncio.Event()

    def wanted(self, reads: Reads, session_id: str) -> None:
        reads.load(session_id, lambda stored: self._add(session_id, stored), self._fail)

    def _add(self, session_id: str, stored: StoredSession | None) -> None:
        self.found[session_id] = stored
        self._count()

    def _fail(self, error: Exception) -> None:
        self.errors.append(error)
        self._count()

    def _count(self) -> None:
        if len(self.found) + len(self.errors) == self._expected:
            self._all.set()

    async def arrived(self) -> None:
        await asyncio.wait_for(self._all.wait(), PATIENCE)


def deny(*_action: object) -> int:
    return sqlite3.SQLITE_DENY


def run(journal: Journal, steps: Any) -> None:
    """Run `steps(reads, ref)` on a loop, with a reader of its own."""

    async def inner() -> None:
        ref = ReaderActor.start(journal.reader(), asyncio.get_running_loop())
        try:
            await steps(Reads(ref), ref)
        finally:
            ref.stop()

    asyncio.run(inner())


def test_many_loads_wanted_at_once_take_a_few_reads(journal: Journal) -> None:
    async def steps(reads: Reads, ref: Any) -> None:
        jobs = 0
        tell = ref.tell

        def counted(job: Any) -> None:
            nonlocal jobs
            jobs += 1
            tell(job)

        ref.tell = counted
        answers = Answers(601)
        for key in range(1, 601):
            answers.wanted(reads, f"s{key}")
        answers.wanted(reads, "nobody")
        assert not reads.idle
        await answers.arrived()
        assert reads.idle
        assert jobs == 4  # the first alone, the rest in pages
        assert answers.found.pop("nobody") is None
        assert all(
            stored is not None and stored.row.session_id == key for key, stored in answers.found.items()
        )
        first = answers.found["s1"]
        assert first is not None
        assert [row[1] for row in first.tail] == [1, 2, 3]

    run(journal, steps)


def test_pages_wanted_at_once_take_a_few_reads_and_come_in_their_order(journal: Journal) -> None:
    async def steps(reads: Reads, ref: Any) -> None:
        jobs, tell = list[Any](), ref.tell

        def counted(job: Any) -> None:
            jobs.append(job)
            tell(job)

        ref.tell = counted
        answers: list[tuple[int, list[int], bool]] = []
        arrived = asyncio.Event()

        def want(after_seq: int) -> None:
            def done(rows: list[EventRow], more: bool) -> None:
                answers.append((after_seq, [row[1] for row in rows], more))
                if len(answers) == 40:
                    arrived.set()

            def failed(error: Exception) -> None:
                raise error

            reads.history(1, after_seq, 3, 2, 1 << 20, done, failed)

        for n in range(40):
            want(n % 3)
        assert not reads.idle
        await asyncio.wait_for(arrived.wait(), PATIENCE)
        assert reads.idle
        assert len(jobs) == 3  # the first alone, the rest in pages
        expected = {0: ([1, 2], True), 1: ([2, 3], False), 2: ([3], False)}
        assert answers == [(n % 3, *expected[n % 3]) for n in range(40)]

    run(journal, steps)


def test_a_page_that_nobody_takes_or_cannot_be_read_costs_the_others_nothing(journal: Journal) -> None:
    async def steps(reads: Reads, ref: Any) -> None:
        reader = ref._actor_weakref()._reader
        read, answers, arrived = reader.history, list[Any](), asyncio.Event()

        def history(key: int, *rest: Any) -> Any:
            if key == 2:
                raise ReadFailed("sojourn.db", "unreadable")
            return read(key, *rest)

        reader.history = history

        def take(answer: Any) -> None:
            answers.append(answer)
            if len(answers) == 4:
                arrived.set()

        def boom(_rows: Any, _more: bool) -> None:
            take("boom")
            raise ZeroDivisionError

        for key, done in ((1, None), (1, boom), (2, None), (1, None)):
            reads.history(key, 0, 3, 9, 1 << 20, done or (lambda rows, more: take(len(rows))), take)
        await asyncio.wait_for(arrived.wait(), PATIENCE)
        assert [type(each).__name__ if isinstance(each, Exception) else each for each in answers] == [
            3,
            "boom",
            "ReadFailed",
            3,
        ]
        assert reads.idle

    run(journal, steps)


def test_a_reader_that_has_stopped_tells_who_wants_a_page(journal: Journal) -> None:
    async def steps(reads: Reads, ref: Any) -> None:
        ref.stop()
        errors: list[Exception] = []
        for _ in range(2):
            reads.history(1, 0, 3, 9, 1 << 20, lambda rows, more: None, errors.append)
        assert len(errors) == 2
        assert reads.idle

    run(journal, steps)


def test_a_read_that_fails_is_told_to_whoever_asked_and_the_next_one_works(journal: Journal) -> None:
    async def steps(reads: Reads, ref: Any) -> None:
        def boom(_reader: Any) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await reads.get(boom)
        connection = ref._actor_weakref()._reader._connection
        connection.set_authorizer(deny)
        answers = Answers(3)
        for key in (1, 2, 3):
            answers.wanted(reads, f"s{key}")
        await answers.arrived()
        assert [type(error) for error in answers.errors] == [ReadFailed] * 3
        connection.set_authorizer(None)
        assert await reads.get(lambda reader: reader.next_due()) is None
        assert reads.idle

    run(journal, steps)


def test_a_reader_that_has_stopped_is_an_answer_too(journal: Journal) -> None:
    async def steps(reads: Reads, ref: Any) -> None:
        ref.stop()
        answers = Answers(2)
        answers.wanted(reads, "s1")
        answers.wanted(reads, "s2")
        await answers.arrived()
        assert len(answers.errors) == 2
        assert reads.idle

    run(journal, steps)


def test_who_gave_up_waiting_for_a_read_is_no_trouble(journal: Journal) -> None:
    async def steps(reads: Reads, ref: Any) -> None:
        waiting = asyncio.ensure_future(reads.get(lambda reader: reader.next_due()))
        await asyncio.sleep(0)
        waiting.cancel()
        assert await reads.get(lambda reader: reader.find_request("k")) is None
        assert reads.idle

    run(journal, steps)


def test_a_callback_that_fails_takes_no_other_load_with_it(journal: Journal) -> None:
    """Whoever was loaded with it gets its session, and later loads go on."""

    async def steps(reads: Reads, ref: Any) -> None:
        def boom(_stored: Any) -> None:
            raise ZeroDivisionError

        answers = Answers(3)
        answers.wanted(reads, "s1")
        reads.load("s2", boom, boom)
        answers.wanted(reads, "s3")
        answers.wanted(reads, "s4")
        await answers.arrived()
        assert sorted(answers.found) == ["s1", "s3", "s4"]

    run(journal, steps)
