"""Peers do the work that they are compared at: Sojourn's answers, one a message, kept before they leave."""

import signal
import sqlite3
import struct
import zlib
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from benchmarks import loadgen
from benchmarks.harness import Round, take_turns
from benchmarks.loadgen import Load, LoadgenUnavailable
from benchmarks.peers import PEERS, missing
from benchmarks.servers import HarnessError, ServerProcess, peer, sojourn
from tests.integration.wire import Map, Wire, unpack

FULL = [name for name, entry in PEERS.items() if not entry.is_floor]
STORING = [name for name, entry in PEERS.items() if entry.stores]


def started(name: str, file: Path) -> ServerProcess:
    if reason := missing(name):
        pytest.skip(reason)
    return ServerProcess(peer(name, file if PEERS[name].stores else None))


@pytest.fixture(scope="module", params=FULL)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[ServerProcess]:
    with started(request.param, tmp_path_factory.mktemp("peer") / "peer.db") as process:
        yield process


@pytest.fixture(scope="module")
def answers_of_sojourn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Map, Map]:
    """Its `session:created` and its `message:accepted`."""
    file = tmp_path_factory.mktemp("sojourn") / "sessions.db"
    with ServerProcess(sojourn(file)) as process, Wire(process.address) as wire:
        return converse(wire)


def converse(wire: Wire) -> tuple[Map, Map]:
    made = wire.ok("session:create", channel="tcp")
    return made, wire.ok("message:send", session_id=made["session_id"], message_id="m1", text="Hello")


def test_peer_answers_as_sojourn_does(server: ServerProcess, answers_of_sojourn: tuple[Map, Map]) -> None:
    its_created, its_accepted = answers_of_sojourn
    with Wire(server.address) as wire:
        assert wire.ok("hello", protocol=1)["type"] == "welcome"
        created, accepted = converse(wire)
    assert created.keys() == its_created.keys()
    assert len(created["session_id"]) == len(its_created["session_id"])
    variable = {"session_id": None, "reply_to": None}
    assert accepted | variable == its_accepted | variable
    assert accepted["session_id"] == created["session_id"]


def test_peer_answers_a_message_sent_again_with_its_first_place(server: ServerProcess) -> None:
    with Wire(server.address) as wire:
        session_id = wire.create()
        sent = [
            wire.ok("message:send", session_id=session_id, message_id=message_id, text="Hello")
            for message_id in ("m1", "m2", "m1", "m3")
        ]
    assert [(answer["seq"], answer["duplicate"]) for answer in sent] == [
        (2, False),
        (3, False),
        (2, True),
        (4, False),
    ]


def test_peer_refuses_a_session_that_it_does_not_know(server: ServerProcess) -> None:
    with Wire(server.address) as wire:
        error = wire.request("message:send", session_id="s_unknown", message_id="m1", text="Hello")
        assert (error["type"], error["code"]) == ("error", "session_not_found")
        wire.create()


def test_load_of_many_messages_is_answered_once_each(server: ServerProcess) -> None:
    try:
        loadgen.build()
    except LoadgenUnavailable as error:
        pytest.skip(str(error))
    load = Load(connections=4, sessions=3, outstanding=5, seconds=0.1, warmup=0.05)
    result = loadgen.run(load, server.address)
    assert result.is_clean, result
    assert 0 < result.sent == result.answered


def rows(file: Path) -> list[tuple[int, str]]:
    with sqlite3.connect(file) as database:
        found = database.execute("SELECT seq, message_id FROM messages WHERE seq > 1").fetchall()
    database.close()
    return found


def log_entries(file: Path) -> list[tuple[int, str]]:
    """What the Erlang log holds; each entry is its length, its checksum, and a map."""
    data, at, found = file.read_bytes(), 0, list[tuple[int, str]]()
    while at < len(data):
        length, checksum = struct.unpack_from(">II", data, at)
        body = data[at + 8 : at + 8 + length]
        assert zlib.crc32(body) == checksum
        event = unpack(body)
        if event["type"] == "message:received":
            found.append((event["seq"], event["message_id"]))
        at += 8 + length
    return found


KEPT: dict[str, Callable[[Path], list[tuple[int, str]]]] = dict.fromkeys(STORING, rows)
KEPT["erlang-durable"] = log_entries


@pytest.mark.parametrize("name", STORING)
def test_each_answered_message_is_in_the_file_of_a_peer_that_was_killed(name: str, tmp_path: Path) -> None:
    file = tmp_path / "peer.db"
    with started(name, file) as server, Wire(server.address) as wire:
        session_id = wire.create()
        ids = wire.send_many(
            [
                ("message:send", {"session_id": session_id, "message_id": f"m{n}", "text": "x"})
                for n in range(20)
            ]
        )
        for request_id in ids:
            assert wire.reply(request_id)["type"] == "message:accepted"
        server.kill()
    assert sorted(KEPT[name](file)) == [(n + 2, f"m{n}") for n in range(20)]


@pytest.mark.parametrize("name", PEERS)
def test_peer_ends_when_told(name: str, tmp_path: Path) -> None:
    with started(name, tmp_path / "peer.db") as server, Wire(server.address):
        status = server.stop()
    assert status in (0, -signal.SIGTERM)


def rounds_of(
    name: str, played: list[str], address: tuple[str, int], *, fails: bool = False
) -> Callable[[], Round]:
    """Plays a real, very short round against the smallest peer, which is at `address`, under another name."""

    def one() -> Round:
        played.append(name)
        if fails:
            raise HarnessError("does not run here")
        result = loadgen.run(Load(connections=1, seconds=0.02, warmup=0.0, echo=True), address)
        return Round(
            server=name,
            load=result,
            server_cpu_utilisation=0.0,
            server_cpu_by_thread={},
            others_cpu=0.0,
            server_resident_bytes=0,
            seconds_to_ready=0.0,
        )

    return one


def test_each_peer_is_compared_with_the_round_of_sojourn_before_it_and_a_failing_one_is_left_out() -> None:
    try:
        loadgen.build()
    except LoadgenUnavailable as error:
        pytest.skip(str(error))
    played: list[str] = []
    with ServerProcess(peer("echo")) as echo:
        others = {name: rounds_of(name, played, echo.address, fails=name == "b") for name in "abcd"}
        compared = take_turns(rounds_of("S", played, echo.address), others, rounds=2)
    assert "".join(played) == "SabcSd" + "Sacd"
    assert list(compared) == ["a", "c", "d"]
    assert compared["a"].subject[0] is compared["c"].subject[0]
    assert compared["a"].subject[0] is not compared["d"].subject[0]
    assert [len(comparison.ratios) for comparison in compared.values()] == [2, 2, 2]
