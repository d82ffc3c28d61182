"""Attachment and section 5: who is told what, in which order, and who is not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.conftest import Connect
from tests.integration.wire import Map, Wire


@pytest.fixture
def other(connect: Connect, session_id: str) -> Wire:
    """A second connection (an agent's, identity `eve`) attached to the session."""
    wire = connect("agent", "eve")
    wire.ok("session:resume", session_id=session_id)
    return wire


def test_a_message_is_pushed_to_the_other_connection_and_not_to_its_sender(
    user: Wire, other: Wire, session_id: str
) -> None:
    reply = user.ok("message:send", session_id=session_id, message_id="m", text="x", data={"a": [1]})
    event = other.push("message:received")
    assert "reply_to" not in event
    assert (event["session_id"], event["seq"]) == (session_id, reply["seq"])
    assert (event["author"], event["message_id"]) == ("user", "m")
    assert (event["text"], event["data"]) == ("x", {"a": [1]})
    assert user.pushed(session_id) == []


def test_what_is_pushed_is_what_the_history_says(
    user: Wire, service: Wire, other: Wire, session_id: str
) -> None:
    user.ok("message:send", session_id=session_id, text="x", attachments=[{"url": "u"}], context={"a": 1})
    user.ok("session:context:update", session_id=session_id, context={"a": None})
    user.ok("session:rate", session_id=session_id, rating=4, feedback="good")
    service.ok("session:tag", session_id=session_id, add=["vip"])
    user.ok("session:close", session_id=session_id, reason="done")
    user.ok("session:reopen", session_id=session_id)
    user.ok("session:close", session_id=session_id)
    user.ok("message:send", session_id=session_id, text="again")
    events = user.history(session_id, after_seq=1)
    assert [event["type"] for event in events] == [
        "session:context:updated",
        "message:received",
        "session:context:updated",
        "session:rated",
        "session:tagged",
        "session:closed",
        "session:reopened",
        "session:closed",
        "session:reopened",
        "message:received",
    ]
    assert other.pushed(session_id) == events


@pytest.mark.parametrize(
    ("kind", "payload", "event", "content"),
    [
        ("session:context:update", {"context": {"a": 1}}, "session:context:updated", {"patch": {"a": 1}}),
        ("session:close", {"reason": "done"}, "session:closed", {"reason": "done"}),
        ("session:rate", {"rating": 5, "feedback": "ok"}, "session:rated", {"rating": 5, "feedback": "ok"}),
    ],
)
def test_each_change_is_pushed_with_its_payload_and_its_author(
    connect: Connect, other: Wire, session_id: str, kind: str, payload: Map, event: str, content: Map
) -> None:
    reply = connect("user", "ada").ok(kind, session_id=session_id, **payload)
    pushed = other.push(event)
    assert (pushed["session_id"], pushed["seq"]) == (session_id, reply["seq"])
    assert isinstance(pushed["at"], float)
    assert {key: pushed[key] for key in content} == content
    assert pushed["by"] == {"role": "user", "id": "ada"}


@pytest.mark.parametrize("role", ["user", "agent", "service"])
@pytest.mark.parametrize("identity", ["carol", None])
def test_by_tells_the_role_and_the_identity(
    connect: Connect, other: Wire, session_id: str, role: str, identity: str | None
) -> None:
    connect(role, identity).ok("session:close", session_id=session_id)
    by = other.push("session:closed")["by"]
    assert by["role"] == role
    assert by.keys() == {"role", "id"}
    if identity is not None:
        assert by["id"] == identity


def test_a_reopening_is_pushed_without_the_session_map(user: Wire, other: Wire, session_id: str) -> None:
    user.ok("session:close", session_id=session_id)
    user.ok("session:reopen", session_id=session_id)
    other.push("session:closed")
    event = other.push("session:reopened")
    assert event["seq"] == 3
    assert "session" not in event
    assert event["by"]["role"] == "user"


def test_a_push_of_a_close_says_until_when_it_reopens(user: Wire, other: Wire, session_id: str) -> None:
    reply = user.ok("session:close", session_id=session_id)
    assert other.push("session:closed")["reopen_until"] == reply["reopen_until"]


@pytest.mark.parametrize("action", ["start", "stop"])
def test_composing_is_pushed_and_never_stored(user: Wire, other: Wire, session_id: str, action: str) -> None:
    reply = user.ok("message:compose", session_id=session_id, action=action)
    assert reply["type"] == "message:composing"
    event = other.push("message:composing")
    assert (event["session_id"], event["action"], event["by"]["role"]) == (session_id, action, "user")
    assert "seq" not in event
    assert user.pushed(session_id) == []
    assert len(user.history(session_id)) == 1


def test_reading_is_pushed_and_never_stored(user: Wire, other: Wire, session_id: str) -> None:
    assert other.ok("message:read", session_id=session_id, read_seq=1)["type"] == "message:read"
    event = user.push("message:read")
    assert (event["session_id"], event["read_seq"]) == (session_id, 1)
    assert event["by"] == {"role": "agent", "id": "eve"}
    assert "seq" not in event
    assert other.pushed(session_id) == []
    assert len(user.history(session_id)) == 1


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("session:resume", {}),
        ("message:send", {"text": "x"}),
        ("session:context:update", {"context": {"a": 1}}),
        ("session:reopen", {}),
    ],
)
@pytest.mark.parametrize("attach", [None, True, False])
def test_resuming_writing_updating_and_reopening_attach_unless_told_not_to(
    connect: Connect, user: Wire, session_id: str, kind: str, payload: Map, attach: bool | None
) -> None:
    if kind == "session:reopen":
        user.ok("session:close", session_id=session_id)
    wire = connect()
    wire.ok(kind, session_id=session_id, attach=attach, **payload)
    user.ok("message:send", session_id=session_id, text="news")
    pushed = [event["type"] for event in wire.pushed(session_id)]
    assert pushed == ([] if attach is False else ["message:received"])


@pytest.mark.parametrize("attach", [None, True, False])
def test_creating_attaches_unless_told_not_to(connect: Connect, user_id: str, attach: bool | None) -> None:
    creator, writer = connect(), connect()
    session_id = creator.create(user={"user_id": user_id}, attach=attach)
    writer.ok("message:send", session_id=session_id, text="news")
    assert len(creator.pushed(session_id)) == (0 if attach is False else 1)


def test_attach_false_does_not_detach_who_is_attached(connect: Connect, user: Wire, session_id: str) -> None:
    user.ok("message:send", session_id=session_id, text="x", attach=False)
    connect().ok("message:send", session_id=session_id, text="news")
    assert len(user.pushed(session_id)) == 1


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("session:get", {}),
        ("session:history", {}),
        ("session:rate", {"rating": 3}),
        ("message:compose", {"action": "start"}),
        ("message:read", {"read_seq": 1}),
        ("session:detach", {}),
    ],
)
def test_no_other_request_attaches(
    connect: Connect, user: Wire, session_id: str, kind: str, payload: dict[str, Any]
) -> None:
    wire = connect()
    wire.ok(kind, session_id=session_id, **payload)
    user.ok("message:send", session_id=session_id, text="news")
    assert wire.pushed(session_id) == []


def test_after_detaching_nothing_is_pushed_any_more(user: Wire, other: Wire, session_id: str) -> None:
    assert other.ok("session:detach", session_id=session_id)["type"] == "session:detached"
    user.ok("message:send", session_id=session_id, text="unheard")
    assert other.pushed(session_id) == []


def test_detaching_what_is_not_attached_is_no_error(connect: Connect, session_id: str) -> None:
    wire = connect()
    for _ in range(2):
        assert wire.ok("session:detach", session_id=session_id)["type"] == "session:detached"


def test_attaching_twice_pushes_once(user: Wire, other: Wire, session_id: str) -> None:
    other.ok("session:resume", session_id=session_id)
    user.ok("message:send", session_id=session_id, text="once")
    assert len(other.pushed(session_id)) == 1


def test_many_connections_on_one_session_all_hear_everything_in_order(
    connect: Connect, session_id: str
) -> None:
    wires = [connect() for _ in range(5)]
    for wire in wires:
        wire.ok("session:resume", session_id=session_id)
    for number in range(20):
        for wire in wires:
            wire.send("message:send", session_id=session_id, text=f"{number}")
    total = 1 + 20 * len(wires)
    for wire in wires:
        seen = [wire.recv()["seq"] for _ in range(total - 1)]
        assert seen == list(range(2, total + 1)), "replies and pushes of one session, in the order of seq"


def test_one_connection_hears_of_many_sessions(connect: Connect, user: Wire, user_id: str) -> None:
    made = [user.create(user={"user_id": f"{user_id}-{number}"}) for number in range(30)]
    writer = connect()
    for session_id in made:
        writer.ok("message:send", session_id=session_id, text=session_id, attach=False)
    heard = [user.push("message:received") for _ in made]
    assert {event["session_id"] for event in heard} == set(made)
    assert all(event["text"] == event["session_id"] for event in heard)


def test_nothing_of_another_session_is_pushed(
    connect: Connect, user: Wire, session_id: str, user_id: str
) -> None:
    stranger = connect()
    theirs = stranger.create(user={"user_id": f"other-{user_id}"})
    user.ok("message:send", session_id=session_id, text="private")
    assert stranger.pushed(session_id) == stranger.pushed(theirs) == []


def test_a_connection_that_ends_is_no_longer_attached_and_harms_nobody(
    connect: Connect, user: Wire, session_id: str
) -> None:
    gone, other = connect(), connect()
    for wire in (gone, other):
        wire.ok("session:resume", session_id=session_id)
    gone.close()
    for _ in range(5):
        user.ok("message:send", session_id=session_id, text="x")
    assert len(other.pushed(session_id)) == 5
