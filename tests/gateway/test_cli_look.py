"""`sojourn sessions`, `transcript`, `why` and `chat`: looking at what is there, and talking to it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sojourn.gateway.cli import app
from tests.integration.server_process import ServerProcess
from tests.integration.wire import Wire
from tests.prepared import run_sojourn


def sojourn(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith("SOJOURN_") and key != "COLUMNS"
    }
    return run_sojourn(*arguments, environment=inherited | environment, stdin=stdin)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("look")) as process:
        yield process
        assert process.stop() == 0
        assert not process.complaints()


@pytest.fixture(scope="module")
def session_id(server: ServerProcess) -> str:
    """Ada's session with two messages and a context, beside one of Bob's that is closed."""
    with server.connect() as wire:
        bob = wire.ok("session:create", user={"user_id": "bob"})["session_id"]
        wire.ok("session:close", session_id=bob, reason="solved")
        ada = wire.ok("session:create", user={"user_id": "ada"}, context={"password": "hush", "plan": 1})
        assert isinstance(ada["session_id"], str)
        wire.ok("message:send", session_id=ada["session_id"], text="Where is [bold]my[/] order?")
        wire.ok("session:context:update", session_id=ada["session_id"], context={"plan": 2})
    return ada["session_id"]


def port_of(server: ServerProcess) -> tuple[str, str]:
    return "--port", str(server.address[1])


def test_sessions_lists_newest_first_beside_a_running_server(server: ServerProcess, session_id: str) -> None:
    result = sojourn("sessions", "--db", str(server.path))
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    (ada,) = [line for line in lines if session_id in line]
    assert "active, ai" in ada
    assert "(inactivity)" in ada
    (bob,) = [line for line in lines if "bob" in line]
    assert "closed" in bob
    assert "(keep_alive)" in bob
    assert lines.index(ada) < lines.index(bob)


def test_sessions_are_filtered_and_limited(server: ServerProcess, session_id: str) -> None:
    def users(*options: str) -> list[str]:
        result = sojourn("sessions", "--db", str(server.path), "--json", *options)
        return [session["user"]["user_id"] for session in json.loads(result.stdout)]

    assert users("--user", "ada") == ["ada"]
    assert users("--status", "closed") == ["bob"]
    assert users("--status", "expired") == []
    assert users("--limit", "1", "--status", "active") == ["ada"]


def test_sessions_as_json_are_the_wire_s_maps(server: ServerProcess, session_id: str) -> None:
    result = sojourn("sessions", "--db", str(server.path), "--json", "--user", "ada")
    (listed,) = json.loads(result.stdout)
    with server.connect() as wire:
        assert listed == wire.session(session_id)


def test_transcript_reads_as_a_conversation(server: ServerProcess, session_id: str) -> None:
    result = sojourn("transcript", session_id, "--db", str(server.path))
    assert result.returncode == 0, result.stderr
    head, *lines = result.stdout.splitlines()
    assert "ada" in head
    assert session_id in head
    assert [line[21:].strip() for line in lines] == [
        "· created by user",
        "user  Where is [bold]my[/] order?",
        '· context by user: {"plan": 2}',
    ]


def test_transcript_as_json_has_the_whole_history(server: ServerProcess, session_id: str) -> None:
    result = sojourn("transcript", session_id, "--db", str(server.path), "--json")
    shown = json.loads(result.stdout)
    with server.connect() as wire:
        assert shown["events"] == wire.history(session_id)
        assert shown["session"] == wire.session(session_id)


def test_sensitive_keys_read_as_stars(server: ServerProcess, session_id: str) -> None:
    result = sojourn(
        "transcript", session_id, "--db", str(server.path), "--json", SOJOURN_SENSITIVE_KEYS="pass*"
    )
    assert "hush" not in result.stdout
    assert json.loads(result.stdout)["events"][0]["context"] == {"password": "***", "plan": 1}


@pytest.mark.parametrize("command", ["sessions", "transcript"])
def test_missing_and_foreign_files_are_one_line(tmp_path: Path, command: str) -> None:
    foreign = tmp_path / "notes.txt"
    foreign.write_text("not a database at all, but long enough to look at " * 20)
    arguments = [command, "some-id"] if command == "transcript" else [command]
    for path, says in ((tmp_path / "none.db", "none.db"), (foreign, "is not a Sojourn database")):
        result = sojourn(*arguments, "--db", str(path))
        assert result.returncode == 1
        assert says in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert not (tmp_path / "none.db").exists()


def test_unknown_session_is_one_line(server: ServerProcess, session_id: str) -> None:
    asked = sojourn("transcript", "nobody", "--db", str(server.path))
    assert asked.returncode == 1
    assert "there is no session nobody" in asked.stderr
    asked = sojourn("why", "nobody", *port_of(server))
    assert asked.returncode == 1
    assert "session_not_found" in asked.stderr
    assert len(asked.stderr.splitlines()) == 1


def test_why_says_what_a_session_waits_for(server: ServerProcess, session_id: str) -> None:
    with server.connect() as wire:
        wire.ok("session:resume", session_id=session_id)
        result = sojourn("why", session_id, *port_of(server))
        assert result.returncode == 0, result.stderr
        rows = {line.split("  ")[0].strip(): line for line in result.stdout.splitlines()}
        assert "the user's next message" in rows["waits for"]
        assert "by inactivity" in rows["expires"]
        assert "1 connection" in rows["attached"]
        assert "expires: the user has been silent" in rows["session_timeout"]
        answer = json.loads(sojourn("why", session_id, "--json", *port_of(server)).stdout)
        assert answer["until"] == wire.session(session_id)["expires_at"]


@pytest.mark.parametrize("command", [("why", "some-id"), ("chat",)])
def test_no_server_is_one_line(command: tuple[str, ...]) -> None:
    result = sojourn(*command, "--port", "1")
    assert result.returncode == 1
    assert "no server answers at 127.0.0.1:1" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_chat_reads_messages_and_commands_from_a_pipe(server: ServerProcess) -> None:
    lines = ["Hello?", "/context plan=pro seats=3", "/rate 9", "/close done", "/reopen", "/what", "/history"]
    result = sojourn("chat", "--user", "carol", *port_of(server), stdin="\n".join(lines) + "\n")
    assert result.returncode == 0, result.stderr
    assert '{"plan": "pro", "seats": 3} (version 2)' in result.stdout
    assert "invalid_payload" in result.stdout
    assert "closed; /reopen works until" in result.stdout
    assert "there is no command /what" in result.stdout
    assert "user  Hello?" in result.stdout
    with server.connect("service") as wire:
        (session,) = wire.ok("session:list", user_id="carol")["sessions"]
    assert (session["status"], session["context"]) == ("active", {"plan": "pro", "seats": 3})


def test_chat_shows_what_others_say(server: ServerProcess, session_id: str) -> None:
    command = [sys.executable, "-m", "sojourn", "chat", "--session", session_id, *port_of(server)]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as chat,
        server.connect("agent", "bob") as bob,
    ):
        assert chat.stdin is not None
        assert chat.stdout is not None
        assert session_id in chat.stdout.readline()  # it has joined
        say(bob, session_id, "It is on its way.")
        assert chat.stdout.readline().strip() == "human  It is on its way."
        chat.stdin.write("/quit\n")
        chat.stdin.flush()
        assert chat.wait(10) == 0


def say(wire: Wire, session_id: str, text: str) -> None:
    wire.ok("message:send", session_id=session_id, text=text)


def test_version_and_help() -> None:
    assert sojourn("--version").stdout.startswith("sojourn ")
    for command in ("serve", "chat", "sessions", "transcript", "why", "replay", "demo"):
        result = CliRunner().invoke(app, [command, "--help"])
        assert result.exit_code == 0
        assert "Usage" in result.output


def test_demo_ends_by_itself_and_says_where_to_look(tmp_path: Path) -> None:
    db = tmp_path / "demo.db"
    result = sojourn("demo", "--limit", "3", "--db", str(db))
    assert result.returncode == 0, result.stderr
    said = result.stdout.split("▸ ")
    (counted,) = [part for part in said if part.startswith("And it is counted")]
    assert "sessions" in counted
    assert "messages a session" in counted
    assert said[-1].strip() == "The dashboard, while `serve` runs: http://127.0.0.1:7412/"
    again = sojourn("stats", "--json", "--db", str(db))
    assert json.loads(again.stdout)["summary"]["sessions"] == 3
