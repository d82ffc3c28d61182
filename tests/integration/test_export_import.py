"""Out of one server's file and into another's, by the command line: the same bytes, also when cut off."""

from __future__ import annotations

import hashlib
import resource
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sojourn.actors import Runtime
from sojourn.gateway.cli import app
from tests.integration.server_process import ServerProcess

ADA = {"user_id": "ada"}


def sojourn(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_what_one_server_had_another_has_byte_by_byte(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    secret = {"SOJOURN_SENSITIVE_KEYS": "pin"}
    for folder in (old, new):
        folder.mkdir()
    with ServerProcess(old, environment=secret) as server, server.connect("service") as wire:
        talk = wire.ok("session:create", user=ADA, context={"pin": "hunter-2"}, tags=["vip"])
        session_id, token = talk["session_id"], talk["resume_token"]
        wire.ok("message:send", session_id=session_id, text='é 😀 "\n', message_id="m1", author="user")
        wire.ok("session:context:update", session_id=session_id, context={"user.pin": 7, "user.lang": "de"})
        wire.ok("session:remind", session_id=session_id, name="later", after=3000)
        wire.ok("session:close", session_id=wire.create(user={"user_id": "bob"}))
        wire.ok("session:fork", session_id=session_id)
        wire.ok("broadcast:send", broadcast_id="news", users=[ADA, {"user_id": "eve"}], text="Hear")
    with ServerProcess(new) as empty:
        assert empty.stop() == 0

    sojourn("export", "1.jsonl", "--db", server.path, "--with-secrets")
    sojourn("export", "1-masked.jsonl", "--db", server.path)
    assert "4 sessions with" in sojourn("import", "1.jsonl", "--into", empty.path)
    with ServerProcess(new, environment=secret) as served:
        sojourn("export", "2.jsonl", "--db", served.path, "--with-secrets")
        sojourn("export", "2-masked.jsonl", "--db", served.path)
        with served.connect("service") as wire:
            assert wire.session(session_id)["context"] == {"pin": "***"}
            sent = {"session_id": session_id, "message_id": "m1", "author": "user"}
            assert wire.ok("message:send", **sent, text="again")["duplicate"] is True
            again = wire.ok("broadcast:send", broadcast_id="news", users=[ADA], text="Hear")
            assert (again["delivered"], again["created"]) == (1, 0)
        with served.connect() as wire:
            resumed = wire.ok("session:resume", session_id=session_id, resume_token=token, after_seq=0)
            assert [event["seq"] for event in resumed["events"]] == [1, 2, 3, 4]
        sojourn("export", "later.jsonl", "--db", served.path)
        assert Path("later.jsonl").read_bytes().count(b'"text":"Hear"') == 2  # ada and eve, once
    first, second = Path("1.jsonl").read_bytes(), Path("2.jsonl").read_bytes()
    assert first == second
    assert b"hunter-2" in first
    masked = Path("1-masked.jsonl").read_bytes()
    assert Path("2-masked.jsonl").read_bytes() == masked
    assert b"hunter-2" not in masked
    assert b'"pin":"***"' in masked

    sojourn("import", "1-masked.jsonl", "--into", "masked.db")
    sojourn("export", "3.jsonl", "--db", "masked.db", "--with-secrets")
    assert Path("3.jsonl").read_bytes().splitlines()[1:] == masked.splitlines()[1:]


@contextmanager
def room_for(size: int) -> Generator[None]:
    """No file grows beyond `size` bytes: as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.mark.parametrize("rows", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_a_long_export_that_ran_out_of_disk_goes_on_where_it_was(tmp_path: Path, rows: int) -> None:
    """Sessions of 2,500 events, so that it is cut within one; twice, and a table as well."""
    db = tmp_path / "sojourn.db"
    with Runtime(str(db), durability="relaxed") as runtime:
        for _ in range(rows // 2500):
            session = runtime.create(ADA)
            for number in range(2498):
                session.send(f"message {number}")
            session.send("the last").result(60)
    for name in ("out.jsonl", "out.csv"):
        file = tmp_path / name
        sojourn("export", file, "--db", db)
        size, whole = file.stat().st_size, digest(file)
        file.unlink()
        for share in (0.4, 0.9):
            with room_for(int(size * share)):
                more = () if share == 0.4 else ("--resume",)
                assert "cannot be written" in sojourn("export", file, "--db", db, *more, code=1)
            assert not file.exists()
        sojourn("export", file, "--db", db, "--resume")
        assert digest(file) == whole
