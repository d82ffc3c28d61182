"""`sojourn erase`, `erasures` and `retention`, beside a server and on a file of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sojourn import Runtime, RuntimeConfig, SessionConfig
from sojourn.actors.testing import VirtualClock
from sojourn.gateway.cli import app
from tests.integration.server_process import ServerProcess

PATIENCE = 20.0
DAY = 86_400.0


def sojourn(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(app, arguments, input=stdin)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two people, and what they said."""
    path = tmp_path / "data" / "sessions.db"
    path.parent.mkdir()
    with Runtime(str(path)) as runtime:
        for user_id, text in (("ada", "the engine weaves"), ("bob", "the engine stands")):
            session = runtime.create(user={"user_id": user_id}, timeouts={"session_timeout": None})
            session.send(text).result(PATIENCE)
    return path


def test_a_person_is_erased_in_a_file_and_it_is_verified(file: Path) -> None:
    result = sojourn("erase", "--user", "ada", "--yes", "--db", str(file), "--verify", "the engine weaves")
    assert result.exit_code == 0, result.output
    assert "erased 1 session with 2 events" in result.output
    assert "none of the texts is in any file" in result.output
    assert b"the engine stands" in file.read_bytes()
    shown = json.loads(sojourn("erasures", "--db", str(file), "--json").stdout)
    assert [(each["subject"], each["sessions"], each["events"]) for each in shown] == [("user", 1, 2)]
    assert shown[0]["insights_at"] is not None
    assert "ada" not in json.dumps(shown)
    assert json.loads(sojourn("erasures", "--db", str(file), "--json", "--user", "ada").stdout) == shown
    assert json.loads(sojourn("erasures", "--db", str(file), "--json", "--user", "bob").stdout) == []
    assert "1 " in sojourn("erasures", "--db", str(file)).stdout


def test_what_is_left_elsewhere_in_the_folder_is_found(file: Path) -> None:
    copy = file.with_name("copy.db")
    copy.write_bytes(file.read_bytes())
    result = sojourn("erase", "--user", "ada", "--yes", "--db", str(file), "--verify", "the engine weaves")
    assert result.exit_code == 1
    assert "copy.db" in result.stderr


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_without_a_yes_nothing_is_erased(file: Path, answer: str) -> None:
    result = sojourn("erase", "--user", "ada", "--db", str(file), stdin=answer)
    assert result.exit_code == 1
    assert b"the engine weaves" in file.read_bytes()


BAD = {
    "nobody is named": ("erase", "--yes"),
    "both are named": ("erase", "--user", "a", "--session", "b", "--yes"),
    "files are searched without a file": ("erase", "--user", "a", "--yes", "--verify", "x"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_wrong_command_line_is_one_line(what: str) -> None:
    result = sojourn(*BAD[what])
    assert result.exit_code == 2
    assert result.stderr.startswith("sojourn: ")


def test_missing_things_are_one_line(file: Path, tmp_path: Path) -> None:
    unknown = sojourn("erase", "--session", "nope", "--yes", "--db", str(file))
    assert (unknown.exit_code, unknown.stderr) == (1, "sojourn: there is no session nope\n")
    missing = sojourn("erase", "--user", "ada", "--yes", "--db", str(tmp_path / "none.db"))
    assert missing.exit_code == 1
    assert not (tmp_path / "none.db").exists()
    nobody = sojourn("erase", "--user", "ada", "--yes", "--port", "1")
    assert nobody.exit_code == 1
    assert "no server answers" in nobody.stderr


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path, insights=True) as process:
        yield process
        assert process.stop() == 0
        assert not process.complaints()


def test_a_running_server_is_asked_and_its_file_is_not_touched_beside_it(server: ServerProcess) -> None:
    with server.connect() as wire:
        wire.ok("message:send", user={"user_id": "ada"}, message_id="1", text="the engine weaves")
    port = str(server.address[1])
    locked = sojourn("erase", "--user", "ada", "--yes", "--db", str(server.path))
    assert locked.exit_code == 1
    assert "ask its server" in locked.stderr
    result = sojourn("erase", "--user", "ada", "--yes", "--port", port, "--json")
    assert result.exit_code == 0, result.output
    receipt = json.loads(result.stdout)
    assert (receipt["sessions"], receipt["events"]) == (1, 2)
    shown = json.loads(sojourn("erasures", "--db", str(server.path), "--json").stdout)
    assert [each["erasure_id"] for each in shown] == [receipt["erasure_id"]]


def test_retention_shows_what_would_go_and_removes_it(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    clock = VirtualClock()  # long ago
    config = RuntimeConfig(session=SessionConfig(session_timeout=60.0))
    with Runtime(str(path), clock=clock, config=config) as runtime:
        for channel in ("web", "web", "email"):
            runtime.create(channel=channel).result(PATIENCE)
        runtime.create(timeouts={"session_timeout": None}).result(PATIENCE)
        runtime.run(clock.advance(20 * DAY), PATIENCE)
    settings = tmp_path / "settings.toml"
    settings.write_text('retention = 864000\n[channels.email]\nretention = "never"\n')
    common = ("--db", str(path), "--settings", str(settings))
    shown = json.loads(sojourn("retention", "--dry-run", "--json", *common).stdout)
    # Two events each: it was created, and it expired. The e-mail's stays, and so does what never ends.
    assert shown == {"sessions": 2, "events": 4, "channels": {"web": {"sessions": 2, "events": 4}}}
    assert "10 d" in sojourn("retention", "--dry-run", *common).stdout
    assert sojourn("retention", *common).stdout == "2 sessions went\n"
    assert sojourn("retention", "--dry-run", *common).stdout == "nothing would go\n"


def test_retention_without_the_setting_is_refused(file: Path) -> None:
    result = sojourn("retention", "--db", str(file))
    assert result.exit_code == 2
    assert "never" in result.stderr
