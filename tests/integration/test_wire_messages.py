"""`message:send`: content, authors, first messages."""

from __future__ import annotations

import time

import pytest

from tests.integration.conftest import Connect
from tests.integration.wire import Map, Wire


def test_a_message_is_answered_with_its_place_in_the_history(user: Wire, session_id: str) -> None:
    before = time.time()
    reply = user.ok(
        "message:send",
        session_id=session_id,
        message_id="m1",
        text="hello",
        attachments=[{"url": "https://example.org/a.png", "kind": "image"}],
        data={"form": [1, 2]},
    )
    assert reply == {
        "type": "message:accepted",
        "reply_to": reply["reply_to"],
        "session_id": session_id,
        "message_id": "m1",
        "seq": 2,
        "duplicate": False,
        "created": False,
        "reopened": False,
    }
    assert "resume_token" not in reply
    event = user.history(session_id)[-1]
    assert event["type"] == "message:received"
    assert (event["session_id"], event["seq"], event["message_id"]) == (session_id, 2, "m1")
    assert before <= event["at"] <= time.time()
    assert (event["author"], event["text"]) == ("user", "hello")
    assert event["attachments"] == [{"url": "https://example.org/a.png", "kind": "image"}]
    assert event["data"] == {"form": [1, 2]}


@pytest.mark.parametrize(
    "content",
    [{"text": ""}, {"text": "é漢🙂\x00"}, {"attachments": [{"url": "x"}]}, {"data": {"a": 1}}],
    ids=repr,
)
def test_one_of_text_attachments_and_data_is_enough(user: Wire, session_id: str, content: Map) -> None:
    user.ok("message:send", session_id=session_id, **content)
    event = user.history(session_id)[-1]
    assert {key: event[key] for key in content} == content


@pytest.mark.parametrize("content", [{}, {"text": None, "attachments": None, "data": None}], ids=repr)
def test_a_message_without_content_is_refused(user: Wire, session_id: str, content: Map) -> None:
    assert user.refused("message:send", session_id=session_id, **content)["code"] == "invalid_payload"
    assert user.session(session_id)["seq"] == 1


@pytest.mark.parametrize(
    "address", [{}, {"user": {}}, {"user": {"display_name": "Ada"}}, {"channel": "tcp"}], ids=repr
)
def test_a_message_to_nobody_is_refused(user: Wire, address: Map) -> None:
    assert user.refused("message:send", text="x", **address)["code"] == "invalid_payload"


def test_the_server_makes_a_message_id_where_none_is_given(user: Wire, session_id: str) -> None:
    replies = [user.ok("message:send", session_id=session_id, text="x") for _ in range(20)]
    made = [reply["message_id"] for reply in replies]
    assert len(set(made)) == 20
    assert all(isinstance(message_id, str) and message_id for message_id in made)
    assert [event["message_id"] for event in user.history(session_id, after_seq=1)] == made


# -- authors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "author", "stored"),
    [
        ("user", None, "user"),
        ("agent", None, "human"),
        ("service", None, "system"),
        ("service", "user", "user"),
        ("service", "human", "human"),
        ("service", "ai", "ai"),
        ("service", "system", "system"),
    ],
)
def test_each_role_has_its_author_and_a_service_may_name_another(
    connect: Connect, session_id: str, role: str, author: str | None, stored: str
) -> None:
    wire = connect(role)
    wire.ok("message:send", session_id=session_id, text="x", author=author)
    assert wire.history(session_id)[-1]["author"] == stored


def test_a_service_may_name_the_authors_id(service: Wire, session_id: str) -> None:
    service.ok("message:send", session_id=session_id, text="x", author="human", author_id="desk 7")
    event = service.history(session_id)[-1]
    assert (event["author"], event["author_id"]) == ("human", "desk 7")


@pytest.mark.parametrize("role", ["user", "agent"])
def test_only_a_service_may_speak_as_another(connect: Connect, session_id: str, role: str) -> None:
    wire = connect(role)
    wire.request("message:send", session_id=session_id, text="x", author="system", author_id="root")
    for event in wire.history(session_id, after_seq=1):
        assert event["author"] != "system"
        assert event.get("author_id") != "root"


def test_the_callers_identity_is_the_author_id(agent: Wire, session_id: str) -> None:
    agent.ok("message:send", session_id=session_id, text="x")
    assert agent.history(session_id)[-1]["author_id"] == "bob"


def test_an_agents_message_to_a_session_in_ai_handling_changes_nothing_else(
    agent: Wire, session_id: str
) -> None:
    agent.ok("message:send", session_id=session_id, text="x")
    session = agent.session(session_id)
    assert (session["handling"], session["assignee"], session["queue"], session["seq"]) == (
        "ai",
        None,
        None,
        2,
    )


def test_a_message_relayed_for_the_user_reopens_a_closed_session(service: Wire, session_id: str) -> None:
    service.ok("session:close", session_id=session_id)
    assert service.ok("message:send", session_id=session_id, text="x", author="user")["reopened"]
    assert service.session(session_id)["status"] == "active"


# -- first messages ----------------------------------------------------------------------------------


def test_a_users_first_message_creates_a_session(user: Wire, user_id: str) -> None:
    reply = user.ok("message:send", user={"user_id": user_id, "display_name": "Ada"}, text="hello")
    assert (reply["created"], reply["reopened"], reply["duplicate"]) == (True, False, False)
    assert isinstance(reply["resume_token"], str)
    session = user.session(reply["session_id"])
    assert session["user"] == {"user_id": user_id, "display_name": "Ada"}
    assert (session["channel"], session["status"]) == (user.channel, "active")
    created, message = user.history(reply["session_id"])
    assert (created["type"], message["type"]) == ("session:created", "message:received")
    assert reply["seq"] == message["seq"] == 2


def test_the_next_message_of_the_user_finds_that_session(connect: Connect, user_id: str) -> None:
    first = connect().ok("message:send", user={"user_id": user_id}, text="one")
    second = connect().ok("message:send", user={"user_id": user_id}, text="two")
    assert second["session_id"] == first["session_id"]
    assert (second["created"], second["seq"]) == (False, 3)
    assert "resume_token" not in second


def test_a_users_message_goes_to_the_newest_session(user: Wire, user_id: str) -> None:
    made = [user.create(user={"user_id": user_id}) for _ in range(3)]
    user.ok("message:send", session_id=made[0], text="the oldest was active last")
    assert user.ok("message:send", user={"user_id": user_id}, text="x")["session_id"] == made[-1]


def test_a_user_has_sessions_of_their_own_on_each_channel(user: Wire, user_id: str) -> None:
    person = {"user_id": user_id}
    usual = user.ok("message:send", user=person, text="x")["session_id"]
    sms = user.ok("message:send", user=person, channel="sms", text="x")
    assert sms["created"]
    assert sms["session_id"] != usual
    assert user.session(sms["session_id"])["channel"] == "sms"
    assert user.ok("message:send", user=person, channel="sms", text="x")["session_id"] == sms["session_id"]
    assert user.ok("message:send", user=person, channel=user.channel, text="x")["session_id"] == usual


def test_a_users_message_reopens_their_newest_closed_session(user: Wire, user_id: str) -> None:
    session_id = user.ok("message:send", user={"user_id": user_id}, text="x")["session_id"]
    user.ok("session:close", session_id=session_id)
    reply = user.ok("message:send", user={"user_id": user_id}, text="y")
    assert (reply["session_id"], reply["created"], reply["reopened"]) == (session_id, False, True)


def test_a_relayed_message_finds_the_session_as_the_users_own_would(service: Wire, user_id: str) -> None:
    session_id = service.create(user={"user_id": user_id})
    service.ok("session:close", session_id=session_id)
    reply = service.ok("message:send", user={"user_id": user_id}, text="x", author="user")
    assert (reply["session_id"], reply["reopened"]) == (session_id, True)


@pytest.mark.parametrize("role", ["agent", "service"])
def test_an_agents_or_services_message_finds_the_newest_active_session(
    connect: Connect, user_id: str, role: str
) -> None:
    wire = connect(role)
    active, closed = (wire.create(user={"user_id": user_id}) for _ in range(2))
    wire.ok("session:close", session_id=closed)
    reply = wire.ok("message:send", user={"user_id": user_id}, text="x")
    assert (reply["session_id"], reply["created"]) == (active, False)


@pytest.mark.parametrize("role", ["agent", "service"])
def test_where_no_session_is_active_an_agents_or_services_message_creates_one(
    connect: Connect, user_id: str, role: str
) -> None:
    wire = connect(role)
    closed = wire.create(user={"user_id": user_id})
    wire.ok("session:close", session_id=closed)
    reply = wire.ok("message:send", user={"user_id": user_id}, text="x")
    assert reply["created"]
    assert reply["session_id"] != closed
    assert wire.session(closed)["status"] == "closed"


def test_after_expiry_a_first_message_makes_a_new_session(user: Wire, user_id: str) -> None:
    old = user.create(user={"user_id": user_id}, timeouts={"session_timeout": 0.05})
    user.push("session:expired")
    reply = user.ok("message:send", user={"user_id": user_id}, text="x")
    assert reply["created"]
    assert reply["session_id"] != old


def test_first_messages_from_many_connections_at_once_make_one_session(
    connect: Connect, service: Wire, user_id: str
) -> None:
    wires = [connect() for _ in range(8)]
    sent = [(wire, wire.send("message:send", user={"user_id": user_id}, text="x")) for wire in wires]
    replies = [wire.reply(request_id) for wire, request_id in sent]
    assert [reply["created"] for reply in replies].count(True) == 1
    (session,) = service.ok("session:list", user_id=user_id)["sessions"]
    assert {reply["session_id"] for reply in replies} == {session["session_id"]}
    assert sorted(reply["seq"] for reply in replies) == list(range(2, 10))
