"""The parts that the long benchmarks stand on do what they claim; figures are not a test's business."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks import loadgen
from benchmarks.asking import Asking
from benchmarks.collecting import FULL, recorded, watched
from benchmarks.loadgen import Load, LoadgenUnavailable
from benchmarks.servers import HarnessError, ServerProcess
from benchmarks.standing import CREATING_CONNECTIONS, create_sessions, keeping_all, measured, stored_ids


@pytest.fixture(scope="module", autouse=True)
def _needs_the_load_generator() -> None:
    try:
        loadgen.build()
    except LoadgenUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("standing") / "sessions.db"


@pytest.fixture(scope="module")
def record(database: Path) -> Path:
    return database.with_name("collections")


@pytest.fixture(scope="module")
def server(database: Path, record: Path) -> Iterator[ServerProcess]:
    with ServerProcess(watched(keeping_all(database, max_live=1000), record)) as started:
        rate, created = create_sessions(started, 2 * CREATING_CONNECTIONS, load_cores=None)
        assert rate > 0
        assert created.sessions == 2 * CREATING_CONNECTIONS
        yield started


def stored(database: Path, query: str) -> int:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        (count,) = connection.execute(query).fetchone()
        assert isinstance(count, int)
        return count


def test_created_sessions_are_stored_and_hold_nothing_but_their_creation(
    server: ServerProcess, database: Path
) -> None:
    assert stored(database, "SELECT count(*) FROM sessions") >= 2 * CREATING_CONNECTIONS
    assert stored(database, "SELECT count(*) FROM events WHERE type = 1") >= 2 * CREATING_CONNECTIONS


def test_load_writes_to_the_sessions_it_was_given_and_makes_none(
    server: ServerProcess, database: Path, tmp_path: Path
) -> None:
    ids = stored_ids(database, 6, tmp_path / "ids")
    before = stored(database, "SELECT count(*) FROM sessions")
    played = measured(
        server, Load(connections=3, sessions=2, ids=ids, seconds=0.2, warmup=0.05), load_cores=None
    )
    assert played.load.messages > 0
    assert stored(database, "SELECT count(*) FROM sessions") == before
    written = ", ".join(f"'{session_id}'" for session_id in ids.read_text().split())
    inside = f"SELECT key FROM sessions WHERE session_id IN ({written})"
    messages = "SELECT count(*) FROM events WHERE type = 2 AND session"
    assert stored(database, f"{messages} IN ({inside})") == played.load.sent
    assert (
        stored(
            database, f"SELECT count(DISTINCT session) FROM events WHERE type = 2 AND session IN ({inside})"
        )
        == 6
    )


def test_more_ids_than_there_are_sessions_is_refused(
    server: ServerProcess, database: Path, tmp_path: Path
) -> None:
    with pytest.raises(HarnessError, match="holds"):
        stored_ids(database, 1_000_000, tmp_path / "ids")


def test_load_with_too_few_ids_says_so(server: ServerProcess, tmp_path: Path) -> None:
    short = tmp_path / "ids"
    short.write_text("one\n")
    with pytest.raises(loadgen.LoadgenError, match="fewer ids"):
        loadgen.run(Load(connections=2, ids=short, seconds=0.1), server.address)


def test_sessions_made_without_attachment_push_nothing_to_their_connection(
    server: ServerProcess, database: Path
) -> None:
    with Asking(server.address) as maker, Asking(server.address) as writer:
        made = maker.ask({"type": "session:create", "id": 1, "attach": False})
        sent = writer.ask(
            {"type": "message:send", "id": 2, "session_id": made["session_id"], "text": "hello"}
        )
        assert sent["type"] == "message:accepted"
        # A push would have come before this answer.
        assert maker.ask({"type": "session:get", "id": 3, "session_id": made["session_id"]})["reply_to"] == 3


def test_collections_of_the_start_are_recorded_with_their_length(server: ServerProcess, record: Path) -> None:
    full = [collection for collection in recorded(record) if collection.generation == FULL]
    assert full, "the server collects everything once when it starts"
    assert all(0 < collection.seconds < 60 for collection in full)
