import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlite_utils import Database

from sojourn.storage import (
    CannotOpen,
    Journal,
    NotADatabase,
    Reader,
    SchemaTooNew,
    StaleEpoch,
    StorageError,
    StoreLocked,
)
from sojourn.storage.connection import connect_writer, prepare_writer
from sojourn.storage.records import EVENT_TYPES
from sojourn.storage.schema import APPLICATION_ID, SCHEMA_VERSION, STEPS, migrate
from tests.storage.samples import batch, event, index_all, session, whole_history

HOLDER = """
import sys
from sojourn.storage import Journal
with Journal.open(sys.argv[1]):
    print("open", flush=True)
    sys.stdin.read()
"""


def fill(path: str) -> None:
    with Journal.open(path) as journal:
        journal.commit(
            batch(events=[event(1, seq, bytes(3000)) for seq in range(1, 40)], sessions=[session(1)])
        )


def fails(opener: Callable[[str], object], path: str, error: type[StorageError], *words: str) -> None:
    """Open the file: it must fail with a message that names it and says `words`, and stay as it was."""
    before = Path(path).read_bytes() if Path(path).is_file() else None
    with pytest.raises(error) as caught:
        opener(path)
    for word in (path, *words):
        assert word in str(caught.value)
    if before is not None:
        assert Path(path).read_bytes() == before


both = pytest.mark.parametrize("opener", [Journal.open, Reader.open])


def test_the_file_says_what_it_is(path: str) -> None:
    fill(path)
    db = Database(path)
    assert db.conn.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert db.conn.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    assert [row["name"] for row in db["_sqlite_migrations"].rows] == list(STEPS)
    assert {row["name"]: row["code"] for row in db["event_types"].rows} == dict(EVENT_TYPES)
    db.close()


def test_any_sql_tool_shows_histories_and_sessions_with_readable_times(path: str) -> None:
    with Journal.open(path) as journal:
        journal.commit(
            batch(
                events=[event(1, 1, b"one"), event(2, 1, b"other"), event(1, 2, b"two")],
                sessions=[session(1, user_id="ada", due_at=1_700_000_002.25), session(2)],
            )
        )
        journal.index(2)
        db = Database(path)
        assert [row for row in db["history"].rows if row["session_id"] == "s1"] == [
            {
                "session_id": "s1",
                "seq": seq,
                "at": f"2023-11-14T22:13:20.{seq}00Z",
                "type": "message:received",
                "body": body,
            }
            for seq, body in ((1, b"one"), (2, b"two"))
        ]
        newest, oldest = db["session_list"].rows
        assert newest["session_id"] == "s2"
        assert newest["due_at"] is None
        assert oldest == {
            "session_id": "s1",
            "user_id": "ada",
            "channel": "web",
            "status": "active",
            "handling": "ai",
            "queue": None,
            "assignee": None,
            "created_at": "2023-11-14T22:13:21.000Z",
            "due_at": "2023-11-14T22:13:22.250Z",
        }
        db.close()


def test_an_empty_file_becomes_a_store(path: str) -> None:
    Path(path).touch()
    with Journal.open(path) as journal:
        assert journal.epoch == 1


def test_a_start_that_was_cut_short_at_any_instant_is_made_good_by_the_next(tmp_path: Path) -> None:
    images: list[Path] = []
    first = tmp_path / "first"
    first.mkdir()

    def crash_image(_: str) -> None:
        image = tmp_path / f"image{len(images)}"
        shutil.copytree(first, image)
        images.append(image)

    connection = connect_writer(str(first / "sojourn.db"))
    connection.set_trace_callback(crash_image)
    prepare_writer(connection, "full")
    migrate(Database(connection))
    connection.set_trace_callback(None)
    connection.close()
    assert len(images) > 20
    for image in images:
        with Journal.open(str(image / "sojourn.db")) as journal:
            journal.commit(batch(events=[event(1, 1)], sessions=[session(1)]))


@both
def test_a_folder_is_refused(opener: Callable[[str], object], tmp_path: Path) -> None:
    fails(opener, str(tmp_path), CannotOpen, "it is a folder")


@both
def test_a_missing_folder_is_refused(opener: Callable[[str], object], tmp_path: Path) -> None:
    fails(opener, str(tmp_path / "missing" / "sojourn.db"), CannotOpen, "missing does not exist")


def test_a_reader_does_not_make_a_file(path: str) -> None:
    fails(Reader.open, path, CannotOpen, "unable to open")
    assert not Path(path).exists()


def test_a_reader_refuses_an_empty_file(path: str) -> None:
    Path(path).touch()
    fails(Reader.open, path, NotADatabase, "it is empty")


def test_a_lock_file_that_cannot_be_made_is_named(path: str) -> None:
    Path(f"{path}.lock").mkdir()
    fails(Journal.open, path, CannotOpen, f"{path}.lock cannot be made")
    assert not Path(path).exists()


@both
@pytest.mark.parametrize("kept", [2, 50, 99, 100, 1000, 4096, 20_000, -4096, -1])
def test_a_truncated_file_is_refused(opener: Callable[[str], object], path: str, kept: int) -> None:
    fill(path)
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[:kept])
    fails(opener, path, NotADatabase)


@both
def test_a_file_of_another_kind_is_refused(opener: Callable[[str], object], path: str) -> None:
    Path(path).write_text("Dear diary, " * 1000)
    fails(opener, path, NotADatabase, "not a Sojourn database")


@both
@pytest.mark.parametrize("mark", ["", "PRAGMA application_id = 7", "PRAGMA user_version = 3"])
def test_another_programs_database_is_refused(opener: Callable[[str], object], path: str, mark: str) -> None:
    other = sqlite3.connect(path)
    other.execute(mark or "CREATE TABLE shopping (item TEXT)")
    other.close()
    fails(opener, path, NotADatabase, "another program's tables")
    assert {entry.name for entry in Path(path).parent.iterdir()} <= {"sojourn.db", "sojourn.db.lock"}


@both
@pytest.mark.parametrize(
    ("change", "word"),
    [
        (f"PRAGMA user_version = {SCHEMA_VERSION + 1}", f"schema {SCHEMA_VERSION + 1}"),
        (
            "INSERT INTO _sqlite_migrations VALUES (NULL, 'sojourn', 'add_wings', '')",
            "add_wings",
        ),
    ],
)
def test_a_newer_schema_is_refused(
    opener: Callable[[str], object], path: str, change: str, word: str
) -> None:
    fill(path)
    newer = sqlite3.connect(path, isolation_level=None)
    newer.execute(change)
    newer.close()
    fails(opener, path, SchemaTooNew, word, f"knows schema {SCHEMA_VERSION}")


def test_a_reader_leaves_an_older_schema_to_the_writer(path: str) -> None:
    fill(path)
    older = sqlite3.connect(path, isolation_level=None)
    older.execute(f"PRAGMA user_version = {SCHEMA_VERSION - 1}")
    older.close()
    fails(Reader.open, path, CannotOpen, "only a writer")


def test_a_refused_file_is_free_again(path: str) -> None:
    Path(path).write_text("not yet a database, but long enough to be looked at" * 100)
    fails(Journal.open, path, NotADatabase)
    Path(path).unlink()
    fill(path)


def test_one_process_opens_a_file_once(journal: Journal, path: str) -> None:
    with pytest.raises(StoreLocked, match=f"process {os.getpid()} writes it") as caught:
        Journal.open(path)
    assert caught.value.pid == os.getpid()
    assert path in str(caught.value)
    journal.commit(batch(events=[event(1, 1)]))
    journal.close()
    with Journal.open(path) as again:
        assert again.epoch == 2


def test_a_second_name_of_the_file_is_the_same_file(journal: Journal, path: str, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with pytest.raises(StoreLocked, match=r"sojourn\.db is in use"):
        Journal.open(str(link))


def test_another_live_process_is_refused_and_a_killed_one_is_not(path: str) -> None:
    fill(path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        fails(Journal.open, path, StoreLocked, f"process {holder.pid} writes it")
        holder.kill()
        holder.wait()
    with Journal.open(path) as journal:
        assert journal.epoch == 3


def test_a_writer_whose_lock_file_was_removed_stops_when_another_took_over(
    journal: Journal, path: str
) -> None:
    journal.commit(batch(events=[event(1, 1)]))
    Path(f"{path}.lock").unlink()
    with Journal.open(path) as other:
        other.commit(batch(events=[event(1, 2)]))
        with pytest.raises(StaleEpoch):
            journal.commit(batch(events=[event(1, 2)]))
        with other.reader() as reader:
            assert whole_history(reader, 1) == [event(1, 1), event(1, 2)]


def test_a_reader_opens_the_file_beside_its_live_writer_and_sees_each_commit(
    journal: Journal, path: str
) -> None:
    with Reader.open(path) as reader:
        for seq in range(1, 30):
            journal.commit(batch(events=[event(1, seq)], sessions=[session(1)]))
            journal.index(seq % 3)
            assert len(reader.load(["s1"])["s1"].tail) == seq
            if seq % 10 == 0:
                assert journal.checkpoint() == 0
    index_all(journal)


def test_a_reader_opens_the_file_after_its_writer(path: str) -> None:
    fill(path)
    with Reader.open(path) as reader:
        assert len(whole_history(reader, 1)) == 39
        # The reader does not keep a new writer away.
        with Journal.open(path) as journal:
            journal.commit(batch(events=[event(1, 40)]))
            assert reader.event(1, 40) == event(1, 40)
