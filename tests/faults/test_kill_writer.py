"""The process that writes the file: the server outlives it, and it never outlives the server."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from sojourn.actors.store_frames import pack_batch, pack_failure, unpack_batch
from sojourn.gateway.cli import serve
from sojourn.gateway.settings import Settings
from sojourn.storage import (
    Batch,
    CannotOpen,
    Gone,
    JournalCorrupt,
    NotADatabase,
    ReadFailed,
    SchemaTooNew,
    SessionRow,
    StaleEpoch,
    StorageError,
    StoreLocked,
    Unstorable,
    WriteFailed,
    WriterLost,
    lock,
)
from tests.integration.server_process import ServerProcess
from tests.integration.wire import Map, Wire

MESSAGES = 60
TWO_CORES = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core: a thread writes")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path, environment={"SOJOURN_STORE": "process"}) as process:
        yield process


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def writer_of(server: ServerProcess) -> int:
    (pid,) = children(server.pid)
    return pid


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20.0
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, f"process {pid} is still there"
        os.sched_yield()


def texts_of(wire: Wire, session_id: str) -> list[str]:
    events: list[Map] = []
    more = True
    while more:
        after = events[-1]["seq"] if events else 0
        page = wire.ok("session:history", session_id=session_id, after_seq=after, limit=100)
        events += page["events"]
        more = page["more"]
    return [event["text"] for event in events if event["type"] == "message:received"]


def test_a_thread_goes_on_when_the_process_that_writes_is_killed_under_load(server: ServerProcess) -> None:
    writer = writer_of(server)
    with server.connect() as wire:
        session_id = wire.ok("session:create", user={"user_id": "ada"})["session"]["session_id"]
        acknowledged: list[str] = []
        refused: list[str] = []
        asked = [
            (text, wire.send("message:send", session_id=session_id, message_id=text, text=text))
            for text in (f"m{number}" for number in range(MESSAGES))
        ]
        for number, (text, request_id) in enumerate(asked):
            if number == MESSAGES // 4:
                os.kill(writer, signal.SIGSTOP)  # so that there is a batch in flight when it dies
                asked += [
                    (late, wire.send("message:send", session_id=session_id, message_id=late, text=late))
                    for late in (f"late{number}" for number in range(MESSAGES))
                ]
                wire.ok("ping")
                os.kill(writer, signal.SIGKILL)
            reply = wire.reply(request_id)
            if reply["type"] == "error":
                assert reply["code"] == "storage_failed"
                assert reply["message"].startswith("maybe not stored: ")
                refused.append(text)
            else:
                acknowledged.append(text)
        assert refused
        stored = texts_of(wire, session_id)
        assert len(set(stored)) == len(stored)
        assert set(acknowledged) <= set(stored)
        # What was refused may be stored: said again under its id, it is there once.
        for text in refused:
            wire.ok("message:send", session_id=session_id, message_id=text, text=text)
        assert sorted(texts_of(wire, session_id)) == sorted(text for text, _ in asked)
    assert not children(server.pid)
    log = server.log.read_text()
    assert "a thread of the server writes" in log
    assert server.stop() == 0


def test_one_that_is_killed_while_nobody_writes_is_replaced_before_the_next_write(
    server: ServerProcess,
) -> None:
    with server.connect() as wire:
        session_id = wire.ok("session:create", user={"user_id": "ada"})["session"]["session_id"]
        os.kill(writer_of(server), signal.SIGKILL)
        while children(server.pid):  # the server buries it when it hears of its end
            wire.ok("ping")
        wire.ok("message:send", session_id=session_id, message_id="m1", text="still here")
        assert texts_of(wire, session_id) == ["still here"]


def test_a_file_that_no_thread_can_have_either_is_tried_again_at_each_write(server: ServerProcess) -> None:
    with server.connect() as wire:
        session_id = wire.ok("session:create", user={"user_id": "ada"})["session"]["session_id"]
        os.kill(writer_of(server), signal.SIGKILL)
        while children(server.pid):
            wire.ok("ping")
        with FileLock(f"{server.path}.lock", thread_local=False):
            asked = [
                wire.send("message:send", session_id=session_id, message_id=f"m{number}", text="not yet")
                for number in range(3)
            ]
            replies = [wire.reply(request_id) for request_id in asked]
        assert [(reply["type"], reply.get("code")) for reply in replies] == [("error", "storage_failed")] * 3
        wire.ok("message:send", session_id=session_id, message_id="m0", text="now")
        assert texts_of(wire, session_id) == ["now"]


def test_it_ends_with_its_server_and_the_next_one_has_the_file_at_once(
    server: ServerProcess, tmp_path: Path
) -> None:
    writer = writer_of(server)
    with server.connect() as wire:
        session_id = wire.ok("session:create", user={"user_id": "ada"})["session"]["session_id"]
        wire.ok("message:send", session_id=session_id, message_id="m1", text="before")
        server.kill()
    with ServerProcess(tmp_path) as again, again.connect() as wire:
        assert texts_of(wire, session_id) == ["before"]
    wait_until_gone(writer)


def test_the_lock_names_the_server_not_the_process_that_writes_for_it(
    server: ServerProcess, tmp_path: Path
) -> None:
    with pytest.raises(AssertionError, match=f"process {server.pid} writes it"):
        ServerProcess(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_of_them_lets_the_server_finish_what_is_under_way(
    tmp_path: Path, number: signal.Signals
) -> None:
    with (
        ServerProcess(tmp_path, environment={"SOJOURN_STORE": "process"}) as server,
        server.connect() as wire,
    ):
        session_id = wire.ok("session:create", user={"user_id": "ada"})["session"]["session_id"]
        asked = [
            wire.send("message:send", session_id=session_id, message_id=f"m{each}", text="x")
            for each in range(MESSAGES)
        ]
        wire.reply(asked[0])
        writer = writer_of(server)
        os.kill(writer, number)
        server.signal(number)
        for request_id in asked[1:]:
            wire.reply(request_id)
        assert server.wait() == 0
        wait_until_gone(writer)
    with ServerProcess(tmp_path) as again, again.connect() as wire:
        assert len(texts_of(wire, session_id)) == MESSAGES


@pytest.mark.parametrize(
    ("store", "processes"), [("thread", 0), ("process", 1), pytest.param("auto", 1, marks=TWO_CORES)]
)
def test_who_writes_is_a_setting(tmp_path: Path, store: str, processes: int) -> None:
    with ServerProcess(tmp_path, environment={"SOJOURN_STORE": store}) as server:
        assert len(children(server.pid)) == processes


def test_a_system_that_does_not_say_where_we_may_run_has_all_its_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    for cores, wanted in ((1, False), (8, True), (None, False)):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        assert serve._wants_process(Settings.model_validate({})) is wanted  # pyright: ignore[reportPrivateUsage]


def test_in_memory_there_is_nothing_for_a_process_to_write(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, memory=True, environment={"SOJOURN_STORE": "process"}) as server:
        assert not children(server.pid)


def test_a_file_that_cannot_be_had_is_said_as_ever(tmp_path: Path) -> None:
    (tmp_path / "sessions.db").write_bytes(b"no database" * 1000)
    with pytest.raises(AssertionError, match="not a Sojourn database"):
        ServerProcess(tmp_path, environment={"SOJOURN_STORE": "process"})


PROGRAM = """
import sys
from sojourn import Runtime
from sojourn.actors import StoreProcess
with Runtime(sys.argv[1], store=StoreProcess.fork()) as runtime:
    session = runtime.create(user={"user_id": "ada"})
    session.send("hello").result(10)
    print([event["text"] for event in session.history().result(10).events if "text" in event])
    session.erase().result(10)
"""


def test_a_program_that_embeds_it_can_have_one_too(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM, "utf-8")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "own.db")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("['hello']\n", "", 0)


def test_memory_has_no_file_for_a_process() -> None:
    program = PROGRAM.replace("sys.argv[1]", "None")
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "a process of its own writes a file" in done.stderr


# -- what travels ----------------------------------------------------------------------------------

ERRORS = (
    CannotOpen("f.db", "no folder"),
    NotADatabase("f.db", "it is empty"),
    SchemaTooNew("f.db", "schema 9", 3),
    StoreLocked("f.db", 12),
    ReadFailed(None, "gone"),
    WriteFailed("f.db", "no space"),
    Unstorable("f.db", "twice"),
    WriterLost("f.db"),
    StaleEpoch("f.db", 1, 2),
    JournalCorrupt("f.db", "twice"),
)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_of_the_store_arrives_as_it_was(error: StorageError) -> None:
    arrived: StorageError = pickle.loads(pack_failure(error, ValueError()))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert arrived.__dict__ == error.__dict__


def test_an_error_that_cannot_travel_is_told_by_another() -> None:
    class Local(Exception):
        """Pickle finds no class within a function."""

    arrived: object = pickle.loads(pack_failure(Local(), WriteFailed(None, "local")))
    assert isinstance(arrived, WriteFailed)


instants = st.floats(0, 4e9)
events = st.tuples(
    st.integers(1, 2**62), st.integers(1), instants, st.integers(1, 16), st.integers(0, 255), st.binary()
)
rows = st.builds(
    SessionRow,
    key=st.integers(1, 2**62),
    session_id=st.text(),
    user_id=st.none() | st.text(),
    channel=st.text(),
    request_key=st.none() | st.text(),
    resume_hash=st.none() | st.binary(),
    created_at=instants,
    status=st.sampled_from(["active", "closed"]),
    handling=st.just("ai"),
    queue=st.none(),
    assignee=st.none(),
    due_at=st.none() | instants,
    seq=st.integers(0),
    snapshot=st.none() | st.binary(),
)


@given(
    st.lists(events),
    st.lists(rows, max_size=3),
    st.dictionaries(st.integers(1), st.builds(Gone, instants), max_size=3),
)
def test_a_batch_arrives_as_it_was(
    happened: list[tuple[int, int, float, int, int, bytes]],
    sessions: list[SessionRow],
    erased: dict[int, Gone],
) -> None:
    batch = Batch()
    batch.events, batch.sessions, batch.erased = happened, sessions, erased
    arrived = unpack_batch(pack_batch(batch))
    for name in Batch.__slots__:
        assert getattr(arrived, name) == getattr(batch, name)


# -- the lock of one whose server is dead ----------------------------------------------------------


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def held(tmp_path: Path) -> Iterator[FileLock]:
    """Somebody holds the lock file of `sessions.db`, in the name of a dead process."""
    path = tmp_path / "sessions.db.lock"
    holder = FileLock(path, thread_local=False)
    holder.acquire()
    path.write_text(f"{dead_process()}\n", "ascii")
    yield holder
    holder.release()


def test_the_last_write_for_a_dead_server_is_waited_for(
    held: FileLock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Event()
    has_ended = lock._has_ended  # pyright: ignore[reportPrivateUsage]

    def and_tell(pid: int) -> bool:
        asked.set()
        return has_ended(pid)

    monkeypatch.setattr(lock, "_has_ended", and_tell)

    def write_and_end() -> None:
        asked.wait()
        held.release()

    last_write = threading.Thread(target=write_and_end)
    last_write.start()
    lock.WriterLock(str(tmp_path / "sessions.db")).release()
    last_write.join()


def test_it_is_not_waited_for_without_end(
    held: FileLock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "ORPHAN", 0.02)
    with pytest.raises(StoreLocked):
        lock.WriterLock(str(tmp_path / "sessions.db"))
    assert held.is_locked
