"""The AsyncAPI document says of the wire what is true: real frames, both ways, are held against it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest

from sojourn.gateway.asyncapi import document
from sojourn.gateway.messages import REQUESTS
from tests.integration.conftest import Launch
from tests.integration.server_process import ServerProcess
from tests.integration.wire import Map, Wire

_Validator: Any = importlib.import_module("jsonschema").Draft202012Validator  # it ships no type hints

DOCUMENT = document()
REPLIES = {f"reply.{request.reply.replace(':', '.')}" for request in REQUESTS.values() if request.built}
# A frame by itself names its type; which of the two it is, an answer or a push, `reply_to` says.


def key_of(frame: Map, kind: str) -> str:
    if frame["type"] in {"error", "goodbye"}:
        return cast(str, frame["type"])
    return f"{kind}.{frame['type'].replace(':', '.')}"


class Judge:
    """Holds frames against the document; `seen` are the messages that came."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        components = {"components": {"schemas": DOCUMENT["components"]["schemas"]}}
        self._validators: dict[str, Any] = {
            key: _Validator({**message["payload"], **components})
            for key, message in DOCUMENT["components"]["messages"].items()
        }

    def judge(self, frame: Map, kind: str) -> None:
        """Raise when the frame is not what the document says, or has a key that it does not name."""
        key = key_of(frame, kind)
        assert key in self._validators, f"the document has no message {key}: {frame!r}"
        self._validators[key].validate(frame)
        unknown = set(frame) - set(DOCUMENT["components"]["messages"][key]["payload"]["properties"])
        assert not unknown, f"the document does not name {unknown} of {key}"
        self.seen.add(key)
        for event in frame.get("events", ()) if isinstance(frame.get("events"), list) else ():
            self.judge(event, "event")


class Judged(Wire):
    """A connection whose frames are judged, both ways."""

    def __init__(self, address: tuple[str, int], judge: Judge) -> None:
        super().__init__(address)
        self._judge = judge

    def send_map(self, frame: Map) -> None:
        self._judge.judge(frame, "request")
        super().send_map(frame)

    def recv(self, timeout: float = 5.0) -> Map:
        frame = super().recv(timeout)
        self._judge.judge(frame, "reply" if "reply_to" in frame else "event")
        return frame


@pytest.fixture
def judge() -> Judge:
    return Judge()


Open = Callable[..., Judged]


@pytest.fixture
def enter(judge: Judge) -> Iterator[Open]:
    """Opens judged connections that end with the test."""
    with ExitStack() as stack:

        def open_connection(
            server: ServerProcess, role: str | None = None, identity: str | None = None
        ) -> Judged:
            wire = stack.enter_context(Judged(server.address, judge))
            if role is not None:
                wire.ok("hello", protocol=1, role=role, **({"identity": identity} if identity else {}))
            return wire

        yield open_connection


def test_a_conversation_is_as_described(server: ServerProcess, enter: Open, judge: Judge) -> None:
    person, channel, queue = (f"{name}-{uuid4().hex}" for name in ("user", "channel", "queue"))
    user, other = enter(server), enter(server)
    agent, service = enter(server, "agent", "bob"), enter(server, "service", "backend")
    agent.ok("watch", queues=[queue])
    made = user.ok(
        "session:create",
        user={"user_id": person, "display_name": "Ada", "shoe_size": 38},
        context={"plan": "gold"},
        metadata={"from": "test"},
        channel=channel,
        tags=["new"],
        timeouts={"session_timeout": 600, "max_lifetime": None, "keep_alive": 5},
    )
    session_id = made["session_id"]
    of = {"session_id": session_id}
    other.ok("session:resume", **of, after_seq=0)
    user.ok("message:send", **of, text="hello", message_id="m1")
    user.ok("message:send", **of, text="hello", message_id="m1")
    user.ok("message:send", **of, data={"a": [1, None]}, attachments=[{"url": "x"}], context={"b": 2})
    user.ok("message:send", user={"user_id": f"{person}-2"}, channel=channel, text="first")
    user.ok("message:compose", **of, action="start")
    user.ok("message:read", **of, read_seq=1)
    user.ok("session:context:update", **of, context={"user.name": "Ada", "plan": None}, expected_version=2)
    user.ok("session:get", **of, scopes=True)
    user.ok("session:rate", **of, rating=4, feedback="fine")
    user.ok("session:handover", **of, queue=queue, note="angry")
    agent.ok("session:assign", **of)
    agent.ok("message:send", **of, text="I am Bob")
    agent.ok("session:tag", **of, add=["vip"], remove=["new"])
    agent.ok("session:why", **of)
    agent.ok("session:release", **of)
    agent.ok("session:handover", **of, queue=queue)
    service.ok("session:assign", **of, assignee="eve")
    agent.ok("session:list", user_id=person, limit=1)
    service.ok("session:remind", **of, name="soon", after=0.01, data={"a": 1})
    other.pushed(session_id)
    while user.push()["type"] != "reminder:fired":
        pass
    service.ok("session:resolve", **of)
    user.ok("session:reopen", **of)
    user.ok("session:close", **of, reason="done")
    user.ok("session:history", **of, after_seq=0, limit=100)
    service.ok(
        "broadcast:send",
        users=[{"user_id": person}, {"user_id": f"{person}-3"}],
        text="news",
        channel=channel,
    )
    service.ok("webhook:resend")
    service.ok("session:fork", **of, at_seq=3)
    user.ok("session:detach", **of)
    other.pushed(session_id)
    service.ok("session:erase", **of)
    other.push("session:expired")
    user.refused("session:get", **of)
    user.ok("ping")
    built = {f"request.{request.name.replace(':', '.')}" for request in REQUESTS.values() if request.built}
    unsaid = built - judge.seen
    assert not unsaid, "requests that this conversation lacks"
    assert not REPLIES - judge.seen
    # What an agent writes, and what time does, is below.
    assert {key for key in DOCUMENT["components"]["messages"] if key.startswith("event.")} - judge.seen <= {
        "event.message.delta",
        "event.message.failed",
        "event.dialog.expired",
        "event.reminder.cancelled",
    }


AGENT = '''
async def answer(turn):
    """Writes in pieces, or fails; has itself reminded."""
    if turn.text == "fail":
        raise ValueError("no")
    await turn.write("Hel")
    await turn.write("lo")
'''


def test_what_an_agent_says_is_as_described(
    launch: Launch, enter: Open, judge: Judge, tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(AGENT)
    server = launch("--agent", "shop:answer", folder=tmp_path)
    user = enter(server)
    session_id = user.create(timeouts={"dialog_timeout": 0.05})
    user.ok("message:send", session_id=session_id, text="hi")
    pushed: set[str] = set()
    while not {"message:received", "dialog:expired"} <= pushed:
        pushed.add(user.push()["type"])
    user.ok("message:send", session_id=session_id, text="fail")
    while "message:failed" not in pushed:
        pushed.add(user.push()["type"])
    user.history(session_id)
    assert {"event.message.delta", "event.message.failed", "event.dialog.expired"} <= judge.seen


def test_the_end_of_a_connection_is_as_described(server: ServerProcess, enter: Open, judge: Judge) -> None:
    wire = enter(server)
    wire.send_raw(b"\x00\x00\x00\x01\xc1")
    assert [frame["type"] for frame in wire.ended()] == ["error", "goodbye"]
    assert {"error", "goodbye"} <= judge.seen


@pytest.mark.parametrize(
    ("kind", "frame"),
    [
        ("reply", {"type": "session:rated", "session_id": "s", "seq": 0}),
        ("reply", {"type": "session:rated", "seq": 1}),
        ("event", {"type": "message:received", "session_id": "s", "seq": 1, "at": 1.0}),
        ("event", {"type": "session:expired", "session_id": "s", "at": 1.0, "reason": "boredom"}),
        ("request", {"type": "session:rate", "session_id": "s", "rating": 6}),
        ("request", {"type": "session:get"}),
        ("reply", {"type": "error", "code": "no_such_code", "message": "x"}),
    ],
)
def test_the_judge_refuses_what_the_document_does_not_say(judge: Judge, kind: str, frame: Map) -> None:
    with pytest.raises(importlib.import_module("jsonschema").ValidationError):
        judge.judge(frame, kind)
