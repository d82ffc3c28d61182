"""Section 2 and the requests without a session: ids, replies, unknown things, `hello`, `ping`, heartbeat."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.integration.conftest import Connect
from tests.integration.web_wire import WebWire
from tests.integration.wire import Map, Wire


@pytest.mark.parametrize("request_id", [0, 1, 127, 2**32, 2**63, 2**64 - 1, "a", "x" * 64, "é" * 32, "7"])
def test_reply_to_is_the_request_id_unchanged(user: Wire, request_id: int | str) -> None:
    user.send_map({"type": "ping", "id": request_id})
    reply = user.reply(request_id)
    assert reply["reply_to"] == request_id
    assert type(reply["reply_to"]) is type(request_id)


@pytest.mark.parametrize("frame", [{}, {"id": None}], ids=["no id", "nil id"])
def test_a_request_without_id_gets_a_reply_without_reply_to(user: Wire, frame: Map) -> None:
    user.send_map({"type": "ping", **frame})
    assert user.recv().keys() >= {"type", "server_time"}
    user.send_map({"type": "ping", **frame})
    assert "reply_to" not in user.recv()


@pytest.mark.parametrize("frame", [{}, {"id": None}], ids=["no id", "nil id"])
def test_an_error_without_request_id_has_no_reply_to(user: Wire, frame: Map) -> None:
    user.send_map({"type": "no:such:type", **frame})
    error = user.recv()
    assert error["type"] == "error"
    assert "reply_to" not in error


BAD_IDS: list[Any] = [-1, 1.5, 1.0, True, False, "x" * 65, "é" * 33, [], [1], {}, {"a": 1}, b"abc"]


@pytest.mark.parametrize("bad", BAD_IDS, ids=repr)
def test_a_bad_id_is_answered_without_reply_to_and_the_connection_lives_on(user: Wire, bad: Any) -> None:
    user.send_map({"type": "ping", "id": bad})
    error = user.recv()
    assert (error["type"], error["code"]) == ("error", "invalid_payload")
    assert "reply_to" not in error
    assert user.ok("ping")


def test_a_request_with_a_bad_id_is_not_done(user: Wire, session_id: str) -> None:
    user.send_map({"type": "message:send", "id": -1, "session_id": session_id, "text": "no"})
    assert user.recv()["type"] == "error"
    assert user.session(session_id)["seq"] == 1


def test_every_request_gets_exactly_one_answer(user: Wire, session_id: str) -> None:
    kinds: list[tuple[str, Map]] = [
        ("ping", {}),
        ("message:send", {"session_id": session_id, "text": "hello"}),
        ("session:get", {"session_id": session_id}),
        ("session:get", {"session_id": "nobody"}),
        ("no:such:type", {}),
        ("message:send", {"session_id": session_id}),
        ("session:context:update", {"session_id": session_id, "context": {"a": 1}}),
    ]
    ids = user.send_many(kinds * 60)
    answers = [user.recv()["reply_to"] for _ in ids]
    assert sorted(answers) == sorted(ids)
    assert user.pushed(session_id) == []


def test_requests_to_one_session_are_handled_in_the_order_sent(user: Wire, session_id: str) -> None:
    texts = [f"message {number}" for number in range(300)]
    ids = user.send_many([("message:send", {"session_id": session_id, "text": text}) for text in texts])
    seqs = [user.reply(request_id)["seq"] for request_id in ids]
    assert seqs == sorted(seqs)
    assert [event["text"] for event in user.history(session_id, after_seq=1)] == texts


def test_replies_of_one_session_leave_in_the_order_of_seq(user: Wire, session_id: str) -> None:
    ids = user.send_many([("message:send", {"session_id": session_id, "text": "x"})] * 200)
    replies = [user.recv() for _ in ids]
    assert [reply["seq"] for reply in replies] == list(range(2, 202))


def test_a_read_shows_what_the_same_connection_wrote_before(user: Wire, session_id: str) -> None:
    for number in range(2, 30):
        _, read = user.send_many(
            [
                ("message:send", {"session_id": session_id, "text": "x"}),
                ("session:get", {"session_id": session_id}),
            ]
        )
        assert user.reply(read)["session"]["seq"] == number


def test_unknown_keys_are_ignored(user: Wire, session_id: str) -> None:
    reply = user.ok("message:send", session_id=session_id, text="x", colour="red", nested={"a": [1]})
    assert reply["type"] == "message:accepted"
    assert "colour" not in user.history(session_id)[-1]


@pytest.mark.parametrize(
    "kind", ["no:such:type", "", "session:creat", "SESSION:GET", "pong", "welcome", "é" * 99]
)
def test_unknown_types_are_answered_with_unknown_type(user: Wire, kind: str) -> None:
    error = user.refused(kind)
    assert error["code"] == "unknown_type"
    assert error["details"]["key"] == "type"


UNBUILT = ["session:handover", "session:assign", "session:release", "session:resolve"]


@pytest.mark.parametrize("kind", UNBUILT)
def test_requests_that_come_later_are_answered_and_the_connection_lives_on(
    service: Wire, user: Wire, session_id: str, kind: str
) -> None:
    assert service.request(kind, session_id=session_id)["type"]
    assert service.ok("ping")
    assert user.session(session_id)["session_id"] == session_id


@pytest.mark.parametrize(("kind", "payload"), [("broadcast:send", {"users": [], "text": "x"}), ("watch", {})])
def test_requests_without_a_session_that_come_later_are_answered(
    service: Wire, kind: str, payload: Map
) -> None:
    assert service.request(kind, **payload)["type"]
    assert service.ok("ping")


def test_an_optional_key_given_as_nil_counts_as_absent(user: Wire, user_id: str) -> None:
    reply = user.ok(
        "session:create",
        user={"user_id": user_id},
        context=None,
        metadata=None,
        channel=None,
        timeouts=None,
        tags=None,
        request_key=None,
        attach=None,
    )
    session = reply["session"]
    assert (session["context"], session["metadata"], session["tags"]) == ({}, {}, [])
    assert session["channel"] == user.channel
    accepted = user.ok(
        "message:send",
        session_id=session["session_id"],
        text="x",
        message_id=None,
        attachments=None,
        data=None,
        context=None,
        attach=None,
    )
    assert isinstance(accepted["message_id"], str)


def test_a_required_key_given_as_nil_is_missing(user: Wire) -> None:
    error = user.refused("session:get", session_id=None)
    assert error["code"] == "invalid_payload"
    assert error["details"]["key"] == "session_id"


# -- hello, ping, heartbeat --------------------------------------------------------------------------


def test_hello_is_answered_with_welcome(connect: Connect) -> None:
    before = time.time()
    welcome = connect().ok("hello", protocol=1, client="test/1")
    assert welcome["type"] == "welcome"
    assert welcome["protocol"] == 1
    assert isinstance(welcome["server"], str)
    assert before <= welcome["server_time"] <= time.time()
    assert welcome["role"] == "user"
    assert "heartbeat" in welcome
    assert welcome["limits"].keys() >= {
        "max_frame_bytes",
        "max_reply_bytes",
        "max_context_bytes",
        "max_context_keys",
        "max_history_page",
        "max_attachments",
        "max_timeouts",
    }
    assert welcome["limits"]["max_context_bytes"] == 32_768
    assert welcome["limits"]["max_context_keys"] == 100
    assert welcome["limits"]["max_history_page"] == 1000
    assert welcome["limits"]["max_attachments"] == 10_000


@pytest.mark.parametrize("role", ["user", "agent", "service"])
def test_an_open_server_gives_the_role_that_is_asked_for(connect: Connect, role: str) -> None:
    assert connect().ok("hello", protocol=1, role=role)["role"] == role


@pytest.mark.parametrize("protocol", [0, 2, 2**40, -1, "1", None, True])
def test_another_protocol_version_is_an_invalid_payload(connect: Connect, protocol: Any) -> None:
    error = connect().refused("hello", protocol=protocol)
    assert error["code"] == "invalid_payload"
    assert error["details"]["key"] == "protocol"


def test_a_second_hello_is_an_illegal_state(connect: Connect) -> None:
    wire = connect()
    wire.ok("hello", protocol=1, role="agent")
    assert wire.refused("hello", protocol=1, role="service")["code"] == "illegal_state"
    assert wire.refused("session:erase", session_id="x")["code"] == "forbidden"


def test_hello_is_optional_in_an_open_server(connect: Connect, user_id: str) -> None:
    assert connect().ok("message:send", user={"user_id": user_id}, text="first frame")["created"]


def test_ping_is_answered_with_pong_and_the_time_of_the_server(user: Wire) -> None:
    before = time.time()
    pong = user.ok("ping")
    assert pong["type"] == "pong"
    assert before <= pong["server_time"] <= time.time()


def test_a_silent_client_that_asked_for_a_heartbeat_is_told_goodbye(connect: Connect) -> None:
    lively, silent = connect(), connect()
    if isinstance(silent, WebWire):
        silent.answers_pings = False  # as a machine that sleeps
    lively.ok("hello", protocol=1, heartbeat=0.5)
    granted = silent.ok("hello", protocol=1, heartbeat=0.5)["heartbeat"]
    assert granted > 0
    while not silent.readable(granted / 2):
        lively.ok("ping")
    goodbye, *rest = silent.ended()
    assert (goodbye["type"], goodbye["code"]) == ("goodbye", "heartbeat_timeout")
    assert isinstance(goodbye["message"], str)
    assert isinstance(goodbye["reconnect"], bool)
    assert rest == []
    assert lively.ok("ping"), "its pings kept the other one alive"
