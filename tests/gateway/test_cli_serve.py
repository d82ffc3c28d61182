"""`sojourn serve` as an operator meets it: ready line, stop, and one clear line for whatever is wrong."""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.integration.server_process import ServerProcess
from tests.prepared import run_sojourn


def serve(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a serve that ends by itself."""
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith("SOJOURN_") and key != "COLUMNS"
    }
    words = ("serve", "--port", "0", "--http-port", "off", *options)
    return run_sojourn(*words, environment=inherited | environment, folder=folder)


def assert_one_line(result: subprocess.CompletedProcess[str], code: int, says: str) -> None:
    assert result.returncode == code, result.stderr
    assert result.stdout == ""
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert "Traceback" not in result.stderr


def test_ready_line_names_both_ports_and_health_answers(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, "--http-port", "0", fresh=True) as server:
        match = re.fullmatch(r"ready tcp=127\.0\.0\.1:\d+ http=(127\.0\.0\.1:\d+)", server.ready_line)
        assert match
        with urllib.request.urlopen(f"http://{match[1]}/healthz", timeout=5) as answer:
            assert answer.status == 200
        assert server.stop() == 0


def test_ready_line_without_http(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        assert re.fullmatch(r"ready tcp=127\.0\.0\.1:\d+", server.ready_line)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_drains_and_ends_well(tmp_path: Path, number: signal.Signals) -> None:
    with ServerProcess(tmp_path) as server:
        wire = server.connect()
        wire.ok("ping")
        server.signal(number)
        goodbye = wire.recv()
        assert (goodbye["type"], goodbye["code"]) == ("goodbye", "draining")
        assert server.wait() == 0
        assert not server.complaints()


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, environment={"SOJOURN_SESSION_TIMEOUT": "77"}) as server:
        session = server.connect().ok("session:create", user={"user_id": "ada"})["session"]
        assert session["timeouts"]["session_timeout"] == 77


def test_settings_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "sojourn.toml"
    file.write_text("keep_alive = 7\n[channels.voice]\nmax_lifetime = 900\n")
    with ServerProcess(tmp_path, "--settings", str(file)) as server:
        session = server.connect().ok("session:create", channel="voice")["session"]
        assert session["timeouts"] == {
            "session_timeout": 300,
            "keep_alive": 7,
            "dialog_timeout": None,
            "max_lifetime": 900,
        }


def test_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert_one_line(serve(tmp_path, "--port", port), 1, f"127.0.0.1:{port}: address already in use")


def test_http_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert_one_line(serve(tmp_path, "--http-port", port), 1, f"127.0.0.1:{port}: address already in use")


def test_unknown_host(tmp_path: Path) -> None:
    result = serve(tmp_path, "--host", "no-such-host.invalid")
    assert_one_line(result, 1, "cannot listen on no-such-host.invalid")


def test_database_path_is_a_folder(tmp_path: Path) -> None:
    assert_one_line(serve(tmp_path, "--db", str(tmp_path)), 1, str(tmp_path))


def test_database_folder_is_missing(tmp_path: Path) -> None:
    assert_one_line(serve(tmp_path, "--db", "nowhere/x.db"), 1, "nowhere/x.db")


def test_foreign_database_is_left_alone(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.db"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE mine (x)")
    connection.commit()
    connection.close()
    before = foreign.read_bytes()
    assert_one_line(serve(tmp_path, "--db", "foreign.db"), 1, "foreign.db is not a Sojourn database")
    assert foreign.read_bytes() == before


def test_truncated_database(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        assert server.stop() == 0
    server.path.write_bytes(server.path.read_bytes()[:5000])
    assert_one_line(serve(tmp_path, "--db", str(server.path)), 1, "is not a Sojourn database")


def test_newer_schema(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        assert server.stop() == 0
    connection = sqlite3.connect(server.path)
    connection.execute("PRAGMA user_version = 1000")
    connection.close()
    assert_one_line(serve(tmp_path, "--db", str(server.path)), 1, "schema 1000")


def test_second_server_on_one_file_is_refused(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        assert_one_line(serve(tmp_path, "--db", str(server.path)), 1, f"process {server.pid} writes it")
        server.connect().ok("ping")


def test_file_with_memory_is_a_usage_error(tmp_path: Path) -> None:
    assert_one_line(serve(tmp_path, "--db", "x.db", "--durability", "memory"), 2, "leave out db (x.db)")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--port", "70000"), "--port is '70000'; allowed: 0 to 65535"),
        (("--keep-alive", "-1"), "--keep-alive is '-1'; allowed: 0 or more"),
        (("--session-timeout", "0"), "--session-timeout is '0'; allowed: above 0"),
        (("--durability", "maybe"), "--durability is 'maybe'; allowed: full, relaxed, memory"),
    ],
)
def test_flag_out_of_range(tmp_path: Path, options: tuple[str, ...], says: str) -> None:
    assert_one_line(serve(tmp_path, *options), 2, says)


def test_unknown_flag_is_a_usage_error(tmp_path: Path) -> None:
    result = serve(tmp_path, "--prot", "1")
    assert result.returncode == 2
    assert "--prot" in result.stderr
    assert "Traceback" not in result.stderr


def test_settings_file_with_an_unknown_key(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text("keep_alve = 1\n")
    result = serve(tmp_path, "--settings", "s.toml")
    assert_one_line(result, 1, "s.toml: keep_alve is no setting; the nearest is keep_alive")


def test_misspelt_variable_is_warned_of(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, environment={"SOJOURN_PROT": "1"}) as server:
        assert "SOJOURN_PROT is no setting" in server.log.read_text()


def test_open_server_beyond_loopback_is_warned_of(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, "--host", "0.0.0.0") as server:
        assert "without authentication" in server.log.read_text()


def test_loopback_is_not_warned_of(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, "--host", "localhost") as server:
        assert "without authentication" not in server.log.read_text()
