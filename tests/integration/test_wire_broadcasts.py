"""Broadcasts and webhooks over the wire, by the command, and across `kill -9`."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier  # pyright: ignore[reportMissingTypeStubs]

from tests.integration.conftest import Launch
from tests.integration.server_process import ServerProcess
from tests.integration.wire import Closed, Map, Wire
from tests.prepared import run_sojourn

SECRET = "whsec_" + base64.b64encode(bytes(range(24))).decode()


def people(channel: str, count: int) -> list[Map]:
    return [{"user_id": f"{channel}-{number}"} for number in range(count)]


def numbers(reply: Map) -> tuple[int, int, int, int]:
    return reply["created"], reply["delivered"], reply["reopened"], len(reply["failed"])


def messages(wire: Wire, channel: str) -> Counter[str]:
    """How many messages each user of the channel has."""
    found: Counter[str] = Counter()
    cursor = None
    while True:
        page = wire.ok("session:list", channel=channel, limit=1000, cursor=cursor)
        for session in page["sessions"]:
            events = wire.history(session["session_id"])
            found[session["user"]["user_id"]] += sum(each["type"] == "message:received" for each in events)
        cursor = page["cursor"]
        if cursor is None:
            return found


def test_everybody_has_an_outcome(service: Wire, user: Wire, channel: str) -> None:
    live = user.create(user={"user_id": f"{channel}-0"}, channel=channel)
    closed = user.create(user={"user_id": f"{channel}-1"}, channel=channel)
    user.ok("session:close", session_id=closed)
    users = [*people(channel, 3), {"user_id": ""}, {"user_id": f"{channel}-2"}]
    reply = service.ok("broadcast:send", users=users, text="news", channel=channel, broadcast_id=channel)
    assert reply["type"] == "broadcast:sent"
    assert reply["broadcast_id"] == channel
    assert numbers(reply) == (1, 2, 0, 1)
    assert reply["failed"] == [{"user_id": "", "code": "invalid_payload"}]
    pushed = {frame["session_id"]: frame for frame in user.pushed(live) + user.pushed(closed)}
    assert {frame["text"] for frame in pushed.values()} == {"news"}
    assert pushed.keys() == {live, closed}
    assert user.session(closed)["status"] == "closed"
    again = service.ok("broadcast:send", users=users, text="news", channel=channel, broadcast_id=channel)
    assert {**again, "reply_to": None} == {**reply, "reply_to": None}
    assert set(messages(service, channel).values()) == {1}


def test_an_agent_reopens_by_a_broadcast(agent: Wire, user: Wire, channel: str) -> None:
    closed = user.create(user={"user_id": f"{channel}-0"}, channel=channel)
    user.ok("session:close", session_id=closed)
    reply = agent.ok("broadcast:send", users=people(channel, 1), text="news", channel=channel, reopen=True)
    assert numbers(reply) == (0, 0, 1, 0)
    assert user.session(closed)["status"] == "active"
    event = user.history(closed)[-1]
    assert (event["author"], event["author_id"]) == ("human", "bob")


def test_requests_under_one_id_each_answer_for_their_own(service: Wire, channel: str) -> None:
    users = people(channel, 30)
    given: Map = {"text": "news", "channel": channel, "broadcast_id": channel}
    first = service.send("broadcast:send", users=users[:20], **given)
    second = service.send("broadcast:send", users=users[10:], **given)
    assert numbers(service.reply(first)) == numbers(service.reply(second)) == (20, 0, 0, 0)
    assert messages(service, channel) == Counter({each["user_id"]: 1 for each in users})


def test_nobody_is_nobody(service: Wire) -> None:
    assert numbers(service.ok("broadcast:send", users=[], text="news")) == (0, 0, 0, 0)


def test_no_user_may_send_one(user: Wire) -> None:
    assert user.refused("broadcast:send", users=[], text="news")["code"] == "forbidden"


@pytest.mark.parametrize(
    "wrong", [{"users": ["ada"]}, {"users": {}}, {"text": None}, {"reopen": 1}], ids=repr
)
def test_a_wrong_request_reaches_nobody(service: Wire, channel: str, wrong: Map) -> None:
    given: Map = {"users": people(channel, 1), "text": "news", "channel": channel, **wrong}
    assert service.refused("broadcast:send", **given)["code"] == "invalid_payload"
    assert service.ok("session:list", channel=channel)["sessions"] == []


def test_killed_in_the_middle_it_is_finished_and_nobody_hears_it_twice(
    launch: Launch, tmp_path: Path
) -> None:
    folder = tmp_path / "killed"
    folder.mkdir()
    users = people("c", 3000)
    pages = [users[start : start + 500] for start in range(0, len(users), 500)]
    given: Map = {"text": "news", "channel": "c", "broadcast_id": "b"}
    first = launch(folder=folder)
    wire = first.connect("service")
    ids = [wire.send("broadcast:send", users=page, **given) for page in pages]
    assert numbers(wire.reply(ids[0])) == (500, 0, 0, 0)
    first.kill()
    with pytest.raises(Closed):
        wire.reply(ids[-1])
    second = launch(folder=folder)
    service = second.connect("service")
    for page in pages:
        assert numbers(service.ok("broadcast:send", users=page, **given)) == (500, 0, 0, 0)
    assert messages(service, "c") == Counter({each["user_id"]: 1 for each in users})


# -- the command ---------------------------------------------------------------------------------------


def sojourn(*words: str) -> subprocess.CompletedProcess[str]:
    return run_sojourn(*words, environment={**os.environ, "COLUMNS": "250"})


def command(server: ServerProcess, *words: str) -> subprocess.CompletedProcess[str]:
    return sojourn(*words, "--port", str(server.address[1]))


def test_the_command_sends_to_a_file_of_people(
    server: ServerProcess, service: Wire, channel: str, tmp_path: Path
) -> None:
    file = tmp_path / "users.jsonl"
    users = [*people(channel, 1200), {"user_id": ""}]
    file.write_text("".join(json.dumps(each) + "\n" for each in users) + "\n")
    words = ("broadcast", "--file", str(file), "--text", "news", "--channel", channel)
    ended = command(server, *words, "--broadcast-id", channel)
    assert ended.returncode == 1, ended.stderr  # one of them has failed
    assert "1,200 created, 0 delivered, 0 reopened, 1 failed" in ended.stdout
    again = command(server, *words, "--broadcast-id", channel, "--json")
    outcome = json.loads(again.stdout)
    assert numbers(outcome) == (1200, 0, 0, 1)
    assert service.ok("session:list", channel=channel, limit=1)["sessions"][0]["seq"] == 2


@pytest.mark.parametrize(
    ("line", "why"),
    [("{", "not JSON"), ("[]", "a user is a map"), ('{"user_id": "\\ud800"}', "a user is a map")],
)
def test_a_wrong_line_is_named_before_anybody_hears_it(tmp_path: Path, line: str, why: str) -> None:
    file = tmp_path / "users.jsonl"
    file.write_text('{"user_id": "ada"}\n' + line + "\n")
    ended = sojourn("broadcast", "--file", str(file), "--text", "news", "--port", "1")
    assert ended.returncode == 1
    assert f"{file}:2: {why}" in ended.stderr


def test_no_server_and_no_file_are_said_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "users.jsonl"
    missing = sojourn("broadcast", "--file", str(file), "--text", "news")
    assert missing.stderr.count("\n") == 1
    assert "cannot be read" in missing.stderr
    file.write_text('{"user_id": "ada"}\n')
    alone = sojourn("broadcast", "--file", str(file), "--text", "news", "--port", "1")
    assert "no server answers" in alone.stderr


# -- webhooks ------------------------------------------------------------------------------------------


class Taking:
    """A receiver in a thread, which verifies what comes with the specification's library."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.status = 204
        self.enough = threading.Condition()
        taking = self
        verifier: Any = Verifier(SECRET)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                verifier.verify(body, {name.lower(): value for name, value in self.headers.items()})
                with taking.enough:
                    taking.ids.append(self.headers["webhook-id"])
                    taking.enough.notify_all()
                self.send_response(taking.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's name
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"

    def wait_for(self, ids: set[str]) -> None:
        with self.enough:
            assert self.enough.wait_for(lambda: ids <= set(self.ids), 20), ids - set(self.ids)


@contextmanager
def taking() -> Generator[Taking]:
    receiver = Taking()
    thread = threading.Thread(target=receiver.server.serve_forever)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.server.shutdown()
        thread.join()
        receiver.server.server_close()


def settings(folder: Path, url: str) -> tuple[str, str]:
    file = folder / "settings.toml"
    file.write_text(f'[[webhooks]]\nurl = "{url}"\nsecret = "{SECRET}"\nevents = ["message:*"]\n')
    return "--settings", str(file)


def test_killed_in_the_middle_every_event_arrives_under_its_id_in_order(
    launch: Launch, tmp_path: Path
) -> None:
    with taking() as receiver:
        options = settings(tmp_path, receiver.url)
        folder = tmp_path / "killed"
        folder.mkdir()
        first = launch(*options, folder=folder)
        wire = first.connect()
        sessions = [wire.create() for _ in range(5)]
        sent = [wire.send("message:send", session_id=each, text="x") for _ in range(60) for each in sessions]
        expected = {f"{(reply := wire.reply(each))['session_id']}:{reply['seq']}" for each in sent}
        with receiver.enough:
            assert receiver.enough.wait_for(lambda: len(receiver.ids) >= 20, 20)
        first.kill()
        launch(*options, folder=folder)
        receiver.wait_for(expected)
        assert set(receiver.ids) == expected
        for session_id in sessions:
            seqs = [int(each.partition(":")[2]) for each in receiver.ids if each.startswith(session_id)]
            assert list(dict.fromkeys(seqs)) == list(range(2, 62))


def test_dead_letters_are_listed_and_sent_again(launch: Launch, tmp_path: Path) -> None:
    with taking() as receiver:
        receiver.status = 410
        server = launch(*settings(tmp_path, receiver.url))
        wire = server.connect("service")
        session_id = wire.create()
        seq = wire.ok("message:send", session_id=session_id, text="x")["seq"]
        receiver.wait_for({f"{session_id}:{seq}"})
        listed: list[Map] = []
        while not listed:  # the letter is written down behind the answer
            listed = json.loads(sojourn("webhooks", "dead", "--json", "--db", str(server.path)).stdout)
        assert (listed[0]["session_id"], listed[0]["seq"]) == (session_id, seq)
        assert (listed[0]["hook"], listed[0]["type"]) == (receiver.url, "message:received")
        shown = sojourn("webhooks", "dead", "--db", str(server.path))
        assert "answered 410" in shown.stdout
        assert SECRET not in shown.stdout
        receiver.status = 204
        again = command(server, "webhooks", "resend", str(listed[0]["id"]))
        assert "1 event on the way again" in again.stdout
        with receiver.enough:
            assert receiver.enough.wait_for(lambda: len(receiver.ids) == 2, 20)
        missing = command(server, "webhooks", "resend", str(listed[0]["id"]))
        assert "there is no dead letter" in missing.stderr
        assert command(server, "webhooks", "resend").returncode == 2


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ('url = "nowhere"\nsecret = "SECRET"', "url"),
        ('url = "http://example.org"\nsecret = "open sesame"', "whsec_"),
        ('url = "http://example.org"', "secret"),
        ('url = "http://example.org"\nsecret = "SECRET"\nevents = ["nothing"]', "events"),
        ('url = "http://example.org"\nsecret = "SECRET"\nevenst = ["*"]', "events"),
    ],
)
def test_a_wrong_receiver_is_named_at_the_start(tmp_path: Path, table: str, why: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[[webhooks]]\n" + table.replace("SECRET", SECRET))
    ended = sojourn("serve", "--settings", str(file), "--db", str(tmp_path / "x.db"))
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert why in ended.stderr
    assert "sesame" not in ended.stderr
    assert SECRET not in ended.stderr
