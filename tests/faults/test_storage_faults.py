"""The disk is full, locked, or broken: nothing is acknowledged, reads go on, and writing resumes
by itself.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from sojourn.actors import SessionConfig
from sojourn.actors.answers import Accepted
from sojourn.actors.errors import SessionNotFound, StorageFailed
from sojourn.storage import Journal, Reader
from tests.actors.house import ADA, PATIENCE, START, House, Map, config, history, say, state, texts, told

SHORT = SessionConfig(session_timeout=100.0, keep_alive=10.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sojourn.db"


def journal_of(house: House) -> Journal:
    """The journal of an idle runtime; its thread has nothing to do, so this one may touch it."""
    house.settle()
    store: Any = house.runtime.core._store
    found: Journal = store._journal
    return found


def reader_of(house: House) -> Reader:
    house.settle()
    actor: Any = house.runtime.core._reader._actor_weakref()
    found: Reader = actor._reader
    return found


@contextmanager
def full_disk(house: House) -> Generator[None]:
    """The file may not grow any more; what needs no new page still fits, so the last free one is used up."""
    connection = journal_of(house).connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    filler = house.create(user={"user_id": "filler"}, timeouts={"session_timeout": None})
    for size in (3000, 1000, 300, 100, 30, 10, 1):
        for _ in range(100):
            try:
                say(filler, "x" * size)
            except StorageFailed:
                break
    house.settle()
    yield
    house.settle()
    connection.execute("PRAGMA max_page_count = 1000000")


@contextmanager
def locked_by_another_program(house: House) -> Generator[None]:
    journal_of(house).connection.execute("PRAGMA busy_timeout = 0")
    with closing(sqlite3.connect(str(house.path), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        house.settle()


@contextmanager
def commits_that_fail(house: House) -> Generator[None]:
    connection = journal_of(house).connection

    def decide(action: int, word: str | None, *_: str | None) -> int:
        # A few events alone are one statement, which commits itself.
        alone = action == sqlite3.SQLITE_INSERT and word == "events" and not connection.in_transaction
        failed = alone or (action == sqlite3.SQLITE_TRANSACTION and word == "COMMIT")
        return sqlite3.SQLITE_DENY if failed else sqlite3.SQLITE_OK

    connection.set_authorizer(decide)
    yield
    house.settle()
    with suppress(sqlite3.ProgrammingError):  # closed: the runtime was stopped meanwhile
        connection.set_authorizer(None)


@contextmanager
def reads_that_fail(house: House) -> Generator[None]:
    connection = reader_of(house)._connection

    def deny(*_action: object) -> int:
        return sqlite3.SQLITE_DENY

    connection.set_authorizer(deny)
    yield
    house.settle()
    connection.set_authorizer(None)


Faults = Callable[[House], Any]
FAULTS: dict[str, Faults] = {
    "locked": locked_by_another_program,
    "commits fail": commits_that_fail,
}


@pytest.fixture(params=FAULTS)
def broken(request: pytest.FixtureRequest) -> Faults:
    """A way for every commit to fail."""
    return FAULTS[request.param]


# -- nothing is acknowledged ---------------------------------------------------------------------------


def test_nothing_is_acknowledged_reads_go_on_and_writing_resumes(path: Path, broken: Faults) -> None:
    with House(path, config=config(session=SHORT)) as house:
        session, other, asleep = house.create(), house.create(), house.create()
        say(session, "one", message_id="a")
        house.passivate(asleep)
        before = [(state(each), history(each)) for each in (session, other, asleep)]
        pushed: list[Map] = []
        house.runtime.subscribe(pushed.append)
        with broken(house):
            asked: list[Any] = [
                session.send("two", message_id="b"),
                session.update_context({"a": 1}),
                other.close(),
                other.tag(["x"]),
                asleep.rate(5),
                asleep.erase(),
                house.runtime.send("new", user={"user_id": "bob"}, message_id="n"),
                house.runtime.create(user=ADA, request_key="k"),
            ]
            for each in asked:
                with pytest.raises(StorageFailed) as caught:
                    each.result(PATIENCE)
                assert caught.value.retry_after is not None
            assert [(state(each), history(each)) for each in (session, other, asleep)] == before
            assert say(session, "one", message_id="a").duplicate
            assert pushed == []
        assert say(session, "two", message_id="b") == (session.id, "b", 3, False, False, False)
        assert session.update_context({"a": 1}).result(PATIENCE).seq == 4
        assert other.close().result(PATIENCE).seq == 2
        assert asleep.rate(5).result(PATIENCE).seq == 2
        assert house.send("new", user={"user_id": "bob"}, message_id="n").created
        assert house.create(request_key="k").id != session.id
        assert len(pushed) == 7
        house.kill()
        assert texts(house.again(session)) == ["one", "two"]
        assert texts(house.again(other)) == []


def test_a_full_disk_refuses_what_does_not_fit(path: Path) -> None:
    with House(path, config=config(session=SHORT)) as house:
        session = house.create()
        say(session, "before")
        with full_disk(house):
            for _ in range(3):
                with pytest.raises(StorageFailed, match="full"):
                    say(session, "x" * 20_000, message_id="big")
            assert texts(session) == ["before"]
        assert not say(session, "x" * 20_000, message_id="big").duplicate
        assert say(session, "x" * 20_000, message_id="big").duplicate
        house.restart()
        assert [len(text or "") for text in texts(house.again(session))] == [6, 20_000]


FULL_DISK = """
import asyncio, resource, sys
from pathlib import Path
from sojourn import Runtime
from sojourn.actors.errors import StorageFailed

async def main(path):
    async with Runtime(path) as runtime:
        session = await runtime.create(user={"user_id": "ada"})
        await session.send("before", message_id="a")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        room = Path(path + "-wal").stat().st_size + 100_000
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
        refused = 0
        for number in range(3):
            try:
                await session.send("x" * 300_000, message_id="b")
            except StorageFailed as error:
                assert path in str(error), error
                refused += 1
            assert len((await session.history()).events) == 2
        small = await session.send("still fits", message_id="c")
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        big = await session.send("x" * 300_000, message_id="b")
        print(refused, small.seq, big.seq, big.duplicate)

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of file sizes there")
def test_a_file_that_may_not_grow_refuses_and_goes_on_when_it_may(path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, timeout=50, check=False
    )
    assert ended.stdout == "3 3 4 False\n", ended.stderr
    with House(path) as house:
        (session_id,) = {row[0] for row in house.journal()}
        assert len(texts(house.runtime.session(session_id))) == 3


def test_everything_that_built_on_a_failed_commit_fails_with_it_and_nothing_is_lost_or_doubled(
    path: Path, broken: Faults
) -> None:
    """Batches gather behind the one that fails; afterwards everything is sent again, once or more often."""
    with House(path, config=config(session=SHORT)) as house:
        sessions = [house.create() for _ in range(10)]

        async def send_rounds(first: int, last: int) -> list[Accepted | None]:
            answers: list[Accepted | None] = []
            sent: list[Any] = []
            for turn in range(first, last):
                sent += [session.send(f"m{turn}", message_id=f"id{turn}") for session in sessions]
                await asyncio.sleep(0)
            for each in sent:
                try:
                    answers.append(await each)
                except StorageFailed:
                    answers.append(None)
            return answers

        good = house.runtime.run(send_rounds(0, 5), PATIENCE)
        assert None not in good
        with broken(house):
            assert set(house.runtime.run(send_rounds(5, 15), PATIENCE)) == {None}
            assert set(house.runtime.run(send_rounds(5, 15), PATIENCE)) == {None}
        again = house.runtime.run(send_rounds(0, 15), PATIENCE)
        assert [each is not None and each.duplicate for each in again] == [True] * 50 + [False] * 100
        house.kill()
        for session in sessions:
            assert texts(house.again(session)) == [f"m{turn}" for turn in range(15)]


def test_a_commit_that_fails_while_others_gather_takes_them_with_it(path: Path) -> None:
    """Those who build on what is not stored; who wait for a read, for a lookup, for their own creation."""
    with House(path, config=config(session=SHORT)) as house:
        session = house.create()
        say(session, "known", message_id="known")
        house.passivate(session)
        state(session)

        async def many_things() -> list[str]:
            asked: list[Any] = [
                session.send("x"),
                session.send("known", message_id="known"),
                session.history(),
                session.send("y"),
                session.get(),
                house.runtime.send("z", user={"user_id": "bob"}),
                house.runtime.send("z", user={"user_id": "bob"}, author="human"),
            ]
            created = house.runtime.create(user=ADA)
            asked += [created, created.get(), created.history()]
            answers: list[str] = []
            for each in asked:
                try:
                    answers.append(type(await each).__name__)
                except (StorageFailed, SessionNotFound) as error:
                    answers.append(error.code)
            return answers

        with commits_that_fail(house):
            answers = house.runtime.run(many_things(), PATIENCE)
            assert answers[0] == "storage_failed"
            assert answers[3] == "storage_failed"
            assert answers[5:8] == ["storage_failed"] * 3
            assert set(answers) <= {"storage_failed", "session_not_found", "Accepted", "History", "dict"}
        assert texts(session) == ["known"]
        assert house.runtime.run(many_things(), PATIENCE) == [
            "Accepted",
            "Accepted",
            "History",
            "Accepted",
            "dict",
            "Accepted",
            "Accepted",
            "SessionHandle",
            "dict",
            "History",
        ]
        assert texts(session) == ["known", "x", "y"]


# -- deadlines -----------------------------------------------------------------------------------------


def test_what_falls_due_meanwhile_expires_once_and_at_its_deadline_when_it_can(
    path: Path, broken: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    with House(path, config=config(session=SHORT)) as house:
        live = [house.create() for _ in range(3)]
        asleep = [house.create() for _ in range(3)]
        for session in asleep:
            house.passivate(session)
        house.advance(50)
        later = house.create()
        pushed: list[Map] = []
        house.runtime.subscribe(pushed.append)
        with broken(house), caplog.at_level(logging.ERROR):
            house.advance(50)
            assert pushed == []
            caplog.clear()
            house.advance(20)
            failures = [each for each in caplog.records if "failed" in each.message]
            assert 1 <= len(failures) <= 20  # once a second, however many are due
            assert state(later)["status"] == "active"
            with pytest.raises(StorageFailed):
                state(live[0])
        house.advance(5)
        for session in (*live, *asleep):
            assert told(session) == [("session:created", 0.0), ("session:expired", 100.0)]
        assert len(pushed) == 6
        house.advance(100)
        assert told(later)[-1] == ("session:expired", 150.0)
        assert len(pushed) == 7


def test_a_passivation_that_cannot_be_stored_loses_nothing(path: Path, broken: Faults) -> None:
    with House(path, config=config(session=SHORT)) as house:
        session = house.create(context={"a": 1})
        say(session, "one", message_id="a")
        before = state(session), history(session)
        with broken(house):
            house.passivate(session)
            assert (state(session), history(session)) == before
        assert say(session, "one", message_id="a").duplicate
        house.advance(100)
        assert told(session)[-1] == ("session:expired", 100.0)


def test_a_runtime_that_stops_while_nothing_can_be_stored_leaves_what_was(path: Path, broken: Faults) -> None:
    with House(path, config=config(session=SHORT)) as house:
        session = house.create()
        for n in range(5):
            say(session, f"m{n}", message_id=f"id{n}")
        with broken(house):
            with pytest.raises(StorageFailed):
                say(session, "lost")
            house.stop()
        house.start()
        assert texts(house.again(session)) == [f"m{n}" for n in range(5)]
        assert say(house.again(session), "m3", message_id="id3").duplicate


def test_a_first_message_that_could_not_be_stored_makes_one_session_when_it_can(
    path: Path, broken: Faults
) -> None:
    with House(path, config=config(session=SHORT)) as house:
        with broken(house):
            for _ in range(3):
                with pytest.raises(StorageFailed):
                    house.send("one", message_id="a")
        first = house.send("one", message_id="a")
        assert (first.seq, first.created, first.duplicate) == (2, True, False)
        assert house.send("one", message_id="a") == first._replace(duplicate=True)
        house.restart()
        assert {row[0] for row in house.journal()} == {first.session_id}


# -- reads ---------------------------------------------------------------------------------------------


def test_a_read_that_fails_is_answered_and_the_next_one_works(path: Path) -> None:
    with House(path, config=config(session=SHORT)) as house:
        live, asleep = house.create(), house.create()
        first = house.send("one", user={"user_id": "bob"})
        say(live, "x", message_id="a")
        house.passivate(live)
        state(live)
        house.passivate(asleep)
        house.passivate(house.runtime.session(first.session_id))
        with reads_that_fail(house):
            asked: list[Any] = [
                asleep.get(),
                asleep.send("x"),
                live.history(),
                live.send("x", message_id="a"),
                house.runtime.send("x", user={"user_id": "bob"}),
                house.runtime.create(user=ADA, request_key="k"),
            ]
            for each in asked:
                with pytest.raises(StorageFailed) as caught:
                    each.result(PATIENCE)
                assert caught.value.retry_after is not None
            assert say(live, "y").seq == 3
        assert say(live, "x", message_id="a").duplicate
        assert texts(live) == ["x", "y"]
        assert say(asleep, "x").seq == 2
        assert house.send("two", user={"user_id": "bob"}).session_id == first.session_id
        assert state(house.create(request_key="k"))["seq"] == 1


def test_deadlines_that_cannot_be_read_are_looked_at_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with House(path, config=config(session=SHORT)) as house:
        session = house.create()
        house.passivate(session)
        with reads_that_fail(house), caplog.at_level(logging.WARNING):
            house.advance(120)
            failures = [each for each in caplog.records if "deadlines" in each.message]
            assert 1 <= len(failures) <= 121  # once a second
        house.advance(5)
        assert house.journal()[-1] == (session.id, 2, "session:expired", 100.0)


# -- another writer ------------------------------------------------------------------------------------


def test_a_writer_that_was_replaced_writes_no_more(path: Path) -> None:
    """Somebody removed the lock file, and started another server on the same file."""
    with House(path, config=config(session=SHORT)) as house:
        session = house.create()
        say(session, "ours", message_id="a")
        house.settle()
        Path(f"{path}.lock").unlink()
        with House(path, config=config(session=SHORT)) as usurper:
            say(usurper.again(session), "theirs")
            for _ in range(3):
                with pytest.raises(StorageFailed, match="taken over"):
                    say(session, "late")
            with pytest.raises(StorageFailed):
                house.send("new", user={"user_id": "bob"})
            assert texts(session) == ["ours", "theirs"]  # it reads what there is
            assert say(session, "ours", message_id="a").duplicate
            assert say(usurper.again(session), "on").seq == 4
            assert texts(usurper.again(session)) == ["ours", "theirs", "on"]
        assert [seq for _, seq, _, _ in usurper.journal()] == [1, 2, 3, 4]
        assert state(session)["created_at"] == START


def test_a_second_runtime_on_the_same_file_is_refused_and_harms_nobody(path: Path) -> None:
    with House(path) as house:
        session = house.create()
        with pytest.raises(Exception, match="is in use"), House(path):
            pass
        assert say(session, "x").seq == 2


def test_a_store_that_has_stopped_is_an_answer_too(path: Path) -> None:
    with House(path) as house:
        session = house.create()
        house.settle()
        store: Any = house.runtime.core._store
        store._store.stop()
        with pytest.raises(StorageFailed, match="stopped"):
            say(session, "x")
        assert state(session)["seq"] == 1
