"""Both load generators send the same load and count the same; figures are not a test's business."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import loadgen
from benchmarks.loadgen import PYTHON, Load, LoadgenError, LoadgenUnavailable, LoadResult
from benchmarks.loadgen_counts import Counts, bucket_of, bucket_top
from benchmarks.servers import ServerProcess, peer, sojourn

Run = Callable[[Load, tuple[str, int]], LoadResult]


@pytest.fixture(params=["compiled", "python"])
def run(request: pytest.FixtureRequest) -> Run:
    """One of the load generators."""
    command = PYTHON
    if request.param == "compiled":
        try:
            command = (str(loadgen.compiled()),)
        except LoadgenUnavailable as error:
            pytest.skip(str(error))
    return lambda load, address: loadgen.run(load, address, command=command)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("loadgen") / "sessions.db"


@pytest.fixture(scope="module")
def server(database: Path) -> Iterator[ServerProcess]:
    with ServerProcess(sojourn(database)) as started:
        yield started


@pytest.fixture(scope="module")
def echo() -> Iterator[ServerProcess]:
    with ServerProcess(peer("echo")) as started:
        yield started


def stored(database: Path, kind: str) -> int:
    """Events of a type in the journal."""
    with closing(sqlite3.connect(database)) as db:
        [count] = db.execute("SELECT count(*) FROM history WHERE type = ?", (kind,)).fetchone()
    assert isinstance(count, int)
    return count


CLOSED = Load(connections=5, sessions=3, outstanding=4, seconds=0.1, warmup=0.05)
OPEN = Load(connections=7, sessions=2, seconds=0.25, warmup=0.04975, rate=2000)
"""600 messages; those from the 100th on fall into the window, and none on its edges."""
FRAME_BYTES = 140
"""Of a message with a session_id of 30 bytes and a text of 32."""


def test_closed_loop_sends_what_the_server_stores(run: Run, server: ServerProcess, database: Path) -> None:
    before = stored(database, "message:received")
    result = run(CLOSED, server.address)
    assert result.is_clean, result
    assert (result.mode, result.connections, result.sessions, result.outstanding) == ("closed", 5, 15, 4)
    assert result.frame_bytes == FRAME_BYTES
    assert result.sent == result.answered == stored(database, "message:received") - before
    assert 0 < result.messages <= result.sent
    assert result.rate == pytest.approx(result.messages / result.seconds, rel=0.01)
    assert 0 < result.latency_us["p50"] <= result.latency_us["p99"] <= result.latency_us["max"]
    assert result.cpu_utilisation > 0


def test_open_loop_sends_every_message_that_is_due_and_no_other(
    run: Run, server: ServerProcess, database: Path
) -> None:
    before = stored(database, "message:received")
    result = run(OPEN, server.address)
    assert result.is_clean, result
    assert (result.mode, result.sessions, result.intended_rate) == ("open", 14, 2000.0)
    assert (result.sent, result.answered, result.messages) == (600, 600, 500)
    assert stored(database, "message:received") - before == 600


@pytest.mark.parametrize("load", [CLOSED, OPEN], ids=["closed", "open"])
def test_a_peer_without_sessions_is_sent_the_same_frames(run: Run, echo: ServerProcess, load: Load) -> None:
    result = run(replace(load, echo=True), echo.address)
    assert result.is_clean, result
    assert result.frame_bytes == FRAME_BYTES
    assert result.sent == result.answered > 0
    if load.rate is not None:
        assert (result.sent, result.messages) == (600, 500)


@pytest.mark.parametrize("attach", [True, False])
def test_sessions_are_made_and_left(run: Run, server: ServerProcess, database: Path, attach: bool) -> None:
    before = stored(database, "session:created")
    load = Load(connections=3, sessions=100, outstanding=64, create_only=True, attach=attach)
    result = run(load, server.address)
    assert (result.mode, result.sessions, result.sent) == ("create", 300, 0)
    assert stored(database, "session:created") - before == 300


def test_given_sessions_are_written_to(
    run: Run, server: ServerProcess, database: Path, tmp_path: Path
) -> None:
    run(Load(connections=1, sessions=6, outstanding=6, create_only=True), server.address)
    with closing(sqlite3.connect(database)) as db:
        ids = [each for (each,) in db.execute("SELECT session_id FROM sessions ORDER BY key DESC LIMIT 6")]
    file = tmp_path / "ids"
    file.write_text("".join(f"{each}\n" for each in ids))
    made = stored(database, "session:created")
    load = Load(connections=3, sessions=2, ids=file, seconds=0.1, warmup=0.0)
    assert run(load, server.address).is_clean
    assert stored(database, "session:created") == made
    with closing(sqlite3.connect(database)) as db:
        [written] = db.execute(
            "SELECT count(DISTINCT session_id) FROM history WHERE type = 'message:received'"
            f" AND session_id IN ({','.join('?' * len(ids))})",
            ids,
        ).fetchone()
    assert written == 6


def test_errors_are_counted_by_their_code(run: Run, server: ServerProcess, tmp_path: Path) -> None:
    file = tmp_path / "ids"
    file.write_text("nobody-1\nnobody-2\n")
    result = run(Load(connections=2, ids=file, seconds=0.05, warmup=0.0), server.address)
    assert not result.is_clean
    assert result.error_codes == {"session_not_found": result.errors}
    assert result.errors == result.sent > 0
    assert result.first_error.startswith("session_not_found: ")
    assert result.messages == 0


def test_too_few_sessions_are_told(run: Run, server: ServerProcess, tmp_path: Path) -> None:
    file = tmp_path / "ids"
    file.write_text("one\n")
    with pytest.raises(LoadgenError, match="fewer ids than there are sessions"):
        run(Load(connections=2, ids=file), server.address)


def test_nobody_who_listens_is_told(run: Run) -> None:
    with pytest.raises(LoadgenError, match="refused"):
        run(Load(connections=1), ("127.0.0.1", 1))


def test_without_a_compiler_python_generates_the_load(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(loadgen, "CACHE", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert loadgen.build() == loadgen.build() == PYTHON
    assert capsys.readouterr().err.count("may be the bottleneck") == 1


@pytest.mark.parametrize("nanoseconds", [0, 1, 127, 128, 129, 255, 256, 12_345, 999_999_999, 10**12 + 1])
def test_a_bucket_is_less_than_one_percent_wide(nanoseconds: int) -> None:
    top = bucket_top(bucket_of(nanoseconds))
    assert nanoseconds <= top <= nanoseconds * 1.008
    assert bucket_of(top) == bucket_of(nanoseconds) == bucket_of(top + 1) - 1


def test_a_latency_below_zero_counts_as_none() -> None:
    counts = Counts()
    counts.record(-0.001)
    assert counts.latencies == {0: 1}
