"""Servers of their own: settings that reach the wire, and what a restart on the same file keeps."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.integration.conftest import Connect, Launch
from tests.integration.wire import Closed, Wire
from tests.prepared import run_sojourn


def test_the_ready_line_names_the_address_and_no_http_when_that_is_off(launch: Launch) -> None:
    server = launch(memory=True)
    assert server.ready_line.startswith("ready ")
    assert server.address[0] == "127.0.0.1"
    assert server.address[1] != 0
    assert "http=" not in server.ready_line


def test_the_servers_own_timeouts_come_from_its_options(launch: Launch, connect: Connect) -> None:
    server = launch("--session-timeout", "0.3", "--keep-alive", "0.2", "--max-lifetime", "50", memory=True)
    wire = connect(server=server)
    session = wire.ok("session:create", user={"user_id": "ada"})["session"]
    assert session["timeouts"]["session_timeout"] == 0.3
    assert session["timeouts"]["keep_alive"] == 0.2
    assert session["timeouts"]["max_lifetime"] == 50
    event = wire.push("session:expired")
    assert (event["reason"], event["at"]) == ("inactivity", session["created_at"] + 0.3)


def test_a_channels_own_default_goes_before_the_servers(launch: Launch, connect: Connect) -> None:
    wire = connect(server=launch("--session-timeout", "77", memory=True))
    voice = wire.ok("session:create", channel="voice")["session"]["timeouts"]
    other = wire.ok("session:create", channel="tcp")["session"]["timeouts"]
    assert (voice["session_timeout"], other["session_timeout"]) == (300, 77)


def test_settings_come_from_the_environment_too_and_options_go_before(
    launch: Launch, connect: Connect
) -> None:
    environment = {"SOJOURN_SESSION_TIMEOUT": "41", "SOJOURN_KEEP_ALIVE": "42"}
    wire = connect(server=launch("--keep-alive", "43", memory=True, environment=environment))
    timeouts = wire.ok("session:create")["session"]["timeouts"]
    assert (timeouts["session_timeout"], timeouts["keep_alive"]) == (41, 43)


def test_memory_durability_refuses_a_database_path(tmp_path: Path) -> None:
    words = ("serve", "--durability", "memory", "--db", str(tmp_path / "a.db"))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SOJOURN_")}
    ended = run_sojourn(*words, "--port", "0", "--http-port", "off", environment=environment, folder=tmp_path)
    assert ended.returncode != 0
    assert not ended.stdout.startswith("ready ")
    assert ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_everything_acknowledged_is_there_after_a_restart(
    launch: Launch, connect: Connect, durability: str
) -> None:
    first = launch("--durability", durability)
    wire = connect(server=first)
    created = wire.ok(
        "session:create",
        user={"user_id": "ada"},
        context={"a": 1},
        tags=["t"],
        request_key="k",
        metadata={"m": 1},
    )
    session_id, token = created["session_id"], created["resume_token"]
    answer = wire.ok("message:send", session_id=session_id, message_id="m", text="before")
    first_message = wire.ok("message:send", user={"user_id": "bob"}, message_id="n", text="hi")
    wire.ok("session:context:update", session_id=session_id, context={"b": 2})
    wire.ok("session:rate", session_id=session_id, rating=5)
    closed = wire.ok("session:close", session_id=session_id, reason="done")
    session, events = wire.session(session_id), wire.history(session_id)
    assert first.stop() == 0
    assert not first.complaints()

    second = launch("--durability", durability, folder=first.path.parent)
    wire = connect(server=second)
    assert wire.session(session_id) == session
    assert wire.history(session_id) == events
    assert wire.create(user={"user_id": "ada"}, request_key="k") == session_id
    again = wire.ok("session:close", session_id=session_id)
    assert {**again, "reply_to": 0} == {**closed, "reply_to": 0}
    duplicate = wire.ok("message:send", session_id=session_id, message_id="m", text="before")
    assert {**duplicate, "reply_to": 0} == {**answer, "reply_to": 0, "duplicate": True}
    duplicate = wire.ok("message:send", user={"user_id": "bob"}, message_id="n", text="hi")
    for key in ("session_id", "message_id", "seq", "created", "reopened"):
        assert duplicate[key] == first_message[key]
    assert duplicate["duplicate"]
    resumed = wire.ok("session:resume", session_id=session_id, after_seq=2, resume_token=token)
    assert resumed["events"] == events[2:]
    assert resumed["complete"]
    reply = wire.ok("message:send", session_id=session_id, message_id="o", text="after")
    assert (reply["reopened"], reply["seq"]) == (True, session["seq"] + 2)
    assert second.stop() == 0
    for path in second.path.parent.glob("sessions.db*"):
        assert token.encode() not in path.read_bytes(), "stored only as a hash"


def test_erased_stays_erased_after_a_restart(launch: Launch, connect: Connect) -> None:
    first = launch()
    wire = connect("service", server=first)
    gone = wire.create(user={"user_id": "ada"})
    kept = wire.create(user={"user_id": "bob"})
    wire.ok("session:erase", session_id=gone)
    first.kill()
    wire = connect("service", server=launch(folder=first.path.parent))
    assert wire.refused("session:get", session_id=gone)["code"] == "session_not_found"
    assert [session["session_id"] for session in wire.ok("session:list")["sessions"]] == [kept]


def test_a_client_cut_off_by_a_killed_server_resumes_without_a_gap(launch: Launch) -> None:
    first = launch()
    wire = Wire(first.address)
    session_id = wire.create(user={"user_id": "ada"})
    wire.ok("message:send", session_id=session_id, text="one")
    first.kill()
    with pytest.raises(Closed):
        wire.recv()
    wire.close()
    second = launch(folder=first.path.parent)
    with Wire(second.address) as writer, Wire(second.address) as reader:
        writer.ok("message:send", session_id=session_id, text="two")
        reply = reader.ok("session:resume", session_id=session_id, after_seq=2)
        assert [(event["seq"], event["text"]) for event in reply["events"]] == [(3, "two")]
        writer.ok("message:send", session_id=session_id, text="three")
        assert reader.push("message:received")["seq"] == 4
