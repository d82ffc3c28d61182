"""`sojourn search` and `stats`, and the process that gathers beside a server."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner, Result

from sojourn import Runtime
from sojourn.gateway.cli import app
from sojourn.gateway.cli.console import out
from sojourn.gateway.insights_follower import FIRST, LOSING, POLL, give_way
from sojourn.storage.insights import InsightsMissing, InsightsReader
from sojourn.storage.insights.follower import TAKEN_AT_ONCE
from tests.integration.server_process import ServerProcess

PATIENCE = 20.0


def sojourn(*arguments: str, **environment: str) -> Result:
    """The command in this process: what it does besides reading files is printing."""
    unset = dict.fromkeys((key for key in os.environ if key.startswith("SOJOURN_")), None)
    return CliRunner().invoke(app, arguments, env={**unset, **environment})


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """The console took its width from the environment when it was first read, by whatever test."""
    monkeypatch.setattr(out, "width", 200)


def until(true: Callable[[], bool]) -> None:
    """Wait for another process; what it does has no event here."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def follower_of(server: ServerProcess) -> psutil.Process:
    found: list[psutil.Process] = []

    def there() -> bool:
        found[:] = [
            child
            for child in psutil.Process(server.pid).children()
            if "sojourn.gateway.insights_follower" in child.cmdline()
        ]
        return bool(found)

    until(there)
    return found[0]


def count(path: Path, q: str) -> int:
    try:
        with InsightsReader.open(str(path)) as reader:
            return len(reader.search(q).hits)
    except InsightsMissing:
        return 0


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with two talks; who served it is gone."""
    path = tmp_path_factory.mktemp("insights") / "sessions.db"
    with Runtime(str(path), durability="relaxed") as runtime:
        ada = runtime.create(user={"user_id": "ada"}, tags=["vip"])
        ada.send("Where is [bold]my[/] order?\x1b[2J").result(PATIENCE)
        ada.send("On its way.", author="ai").result(PATIENCE)
        ada.rate(4).result(PATIENCE)
        bob = runtime.create(user={"user_id": "bob"})
        bob.send("My order is broken").result(PATIENCE)
        bob.resolve().result(PATIENCE)
    return path


def test_search_finds_what_was_said_and_hides_what_a_terminal_would_obey(path: Path) -> None:
    result = sojourn("search", "ORDER", "--db", str(path))
    assert result.exit_code == 0, result.stderr
    ada, bob = (next(line for line in result.stdout.splitlines() if who in line) for who in ("ada", "bob"))
    assert "Where is [bold]my[/] order?�[2J" in ada
    assert "closed" in bob
    assert "\x1b" not in result.stdout


def test_search_as_json_with_filters_and_pages(path: Path) -> None:
    def found(*options: str) -> dict[str, Any]:
        result = sojourn("search", "--db", str(path), "--json", *options)
        assert result.exit_code == 0, result.stderr
        answer: dict[str, Any] = json.loads(result.stdout)
        return answer

    def users(*options: str) -> list[str]:
        return [hit["user_id"] for hit in found(*options)["hits"]]

    assert users("order") == ["bob", "ada"]
    assert users("order -broken") == ["ada"]
    assert users("order", "--tag", "vip") == ["ada"]
    assert users("order", "--user", "bob", "--status", "closed") == ["bob"]
    assert users("order", "--since", "1h") == ["bob", "ada"]
    assert users("order", "--until", "2020-01-01") == []
    assert users("its", "--author", "ai", "--rating", "4") == ["ada"]
    first = found("order", "--limit", "1")
    assert users("order", "--limit", "1", "--cursor", first["cursor"]) == ["ada"]
    assert found("nothing")["hits"] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["search", "--", "-order"], "name a word to look for"),
        (["search", "order", "--status", "open"], "status: one of active, closed, expired"),
        (["search", "order", "--since", "soon"], "--since 'soon' is no date"),
        (["search", "order", "--since", "99999999w"], "is no date"),
        (["search", "order", "--cursor", "x"], "cursor: not one"),
        (["stats", "--bucket", "second"], "bucket: one of hour, day, week, month"),
    ],
)
def test_a_bad_question_is_one_line_and_exit_code_2(path: Path, arguments: list[str], says: str) -> None:
    command, *rest = arguments
    result = sojourn(command, "--db", str(path), *rest)
    assert result.exit_code == 2
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


@pytest.mark.parametrize("command", [["search", "x"], ["stats"]])
def test_without_a_file_there_is_nothing_to_search(tmp_path: Path, command: list[str]) -> None:
    missing = sojourn(*command, "--db", str(tmp_path / "none.db"))
    assert missing.exit_code == 1
    assert len(missing.stderr.splitlines()) == 1
    memory = sojourn(*command, SOJOURN_DURABILITY="memory")
    assert memory.exit_code == 1
    assert "need a database file" in memory.stderr


def test_stats_counts_and_draws(path: Path) -> None:
    result = sojourn("stats", "--db", str(path))
    assert result.exit_code == 0, result.stderr
    rows = {
        line.rsplit(maxsplit=2)[0].rstrip(" █").strip(): line.split()[-2]
        for line in result.stdout.splitlines()
    }
    assert rows["sessions opened"] == "2"
    assert rows["messages"] == "3"
    assert rows["resolved"] == "1"
    assert "█" in result.stdout
    whole = json.loads(sojourn("stats", "--db", str(path), "--json", "--bucket", "month").stdout)
    assert whole["summary"]["ratings"]["4"] == 1
    assert sum(bucket["opened"] for bucket in whole["buckets"]) == 2
    assert "no sessions" in sojourn("stats", "--db", str(path), "--user", "nobody").stdout


# -- beside a server -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One that gathers; when it is told to end, so does the process that does it."""
    with ServerProcess(tmp_path_factory.mktemp("serving"), insights=True) as server:
        yield server
        follower = follower_of(server)
        assert server.stop() == 0
        assert not follower.is_running()
        assert not server.complaints()


def say(server: ServerProcess, text: str, user_id: str = "ada") -> None:
    with server.connect(role="service") as wire:
        wire.ok("message:send", user={"user_id": user_id}, text=text, author="user")


def test_a_server_gathers_while_it_serves_and_commands_read_beside_it(server: ServerProcess) -> None:
    say(server, "quetzal")
    until(lambda: count(server.path, "quetzal") == 1)
    result = sojourn("search", "quetzal", "--db", str(server.path), "--json")
    assert [hit["user_id"] for hit in json.loads(result.stdout)["hits"]] == ["ada"]


def test_a_follower_that_dies_is_started_again(server: ServerProcess) -> None:
    first = follower_of(server)
    until(lambda: Path(f"{server.path}-insights").exists())
    first.kill()
    say(server, "narwhal")
    until(lambda: count(server.path, "narwhal") == 1)
    assert follower_of(server).pid != first.pid


def test_what_is_erased_leaves_the_files_of_a_running_server(server: ServerProcess) -> None:
    for number in range(5):
        say(server, f"xylophone{number}", "eve")
    say(server, "stays", "bob")
    until(lambda: count(server.path, "xylo*") == 5)
    with server.connect(role="service") as wire:
        wire.ok("session:erase", user_id="eve")
    target = Path(f"{server.path}-insights")

    def held() -> bytes:
        return b"".join(each.read_bytes() for each in target.parent.glob(f"{target.name}*"))

    until(lambda: b"xylophone" not in held())
    assert count(server.path, "stays") == 1


def test_slices_grow_while_the_processor_is_free_and_are_short_when_it_is_not() -> None:
    limits = [FIRST]
    for _ in range(8):
        limit, rest = give_way(limits[-1], 0.06, 0.05, losing=False)
        limits.append(limit)
        assert not rest
    assert limits[:3] == [FIRST, 2 * FIRST, 4 * FIRST]
    assert limits[-1] == TAKEN_AT_ONCE
    assert give_way(TAKEN_AT_ONCE, 2.0, 0.02, losing=False) == (FIRST, POLL)
    assert give_way(FIRST, 0.02, 0.001, losing=False) == (2 * FIRST, 0.0)  # so short a time says nothing


def test_who_cannot_keep_up_with_the_journal_rests_most_of_the_time() -> None:
    assert give_way(FIRST, 0.06, 0.05, losing=True) == (2 * FIRST, LOSING * 0.06)
    assert give_way(TAKEN_AT_ONCE, 2.0, 0.02, losing=True) == (FIRST, POLL)


def test_when_the_server_is_killed_its_follower_ends_and_a_command_goes_on(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, insights=True) as server:
        follower = follower_of(server)
        say(server, "xylophone")
        server.kill()
        psutil.wait_procs([follower], PATIENCE)
        assert not follower.is_running()
        result = sojourn("search", "xylophone", "--db", str(server.path), "--json")
        assert len(json.loads(result.stdout)["hits"]) == 1


def test_insights_can_be_turned_off_and_memory_has_none(tmp_path: Path) -> None:
    alone = {"SOJOURN_INSIGHTS": "false", "SOJOURN_STORE": "thread"}
    with ServerProcess(tmp_path, insights=True, environment=alone) as server:
        server.connect().ok("ping")
        assert psutil.Process(server.pid).children() == []
    with ServerProcess(tmp_path, memory=True, insights=True) as server:
        server.connect().ok("ping")
        assert psutil.Process(server.pid).children() == []
