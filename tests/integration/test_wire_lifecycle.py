"""Close and reopen: what a closed session takes, and what moves the deadline of one that is open."""

from __future__ import annotations

import pytest

from tests.integration.conftest import Connect
from tests.integration.wire import Map, Wire


def close(wire: Wire, session_id: str, reason: str | None = None) -> Map:
    return wire.ok("session:close", session_id=session_id, reason=reason)


def test_a_closed_session_says_why_and_until_when_it_reopens(user: Wire, session_id: str) -> None:
    reply = close(user, session_id, "done")
    assert reply["type"] == "session:closed"
    assert (reply["reason"], reply["seq"]) == ("done", 2)
    session = user.session(session_id)
    assert (session["status"], session["close_reason"], session["seq"]) == ("closed", "done", 2)
    assert session["handling"] == "ai"
    assert reply["reopen_until"] == session["closed_at"] + 120
    assert (session["expires_at"], session["expires_why"]) == (reply["reopen_until"], "keep_alive")


@pytest.mark.parametrize(
    ("timeouts", "why"),
    [
        ({"session_timeout": 60, "max_lifetime": 90}, "inactivity"),
        ({"session_timeout": 90, "max_lifetime": 60}, "max_lifetime"),
        ({"session_timeout": None, "keep_alive": None, "max_lifetime": 60}, "max_lifetime"),
    ],
)
def test_the_grace_period_never_outlives_the_other_deadlines(
    user: Wire, user_id: str, timeouts: Map, why: str
) -> None:
    created = user.ok("session:create", user={"user_id": user_id}, timeouts=timeouts)
    reply = close(user, created["session_id"])
    assert reply["reopen_until"] == created["session"]["created_at"] + 60
    session = user.session(created["session_id"])
    assert (session["expires_at"], session["expires_why"]) == (reply["reopen_until"], why)


def test_closing_again_answers_the_same_and_stores_nothing(
    user: Wire, service: Wire, session_id: str
) -> None:
    first = close(user, session_id, "done")
    again = close(service, session_id, "another reason")
    for key in ("type", "reason", "reopen_until", "seq"):
        assert again[key] == first[key]
    assert user.session(session_id)["seq"] == 2


def test_reopening_brings_everything_back(user: Wire, user_id: str) -> None:
    created = user.ok("session:create", user={"user_id": user_id}, context={"a": 1}, tags=["t"])
    session_id = created["session_id"]
    close(user, session_id, "done")
    reply = user.ok("session:reopen", session_id=session_id)
    assert (reply["type"], reply["seq"]) == ("session:reopened", 3)
    session = reply["session"]
    assert (session["status"], session["context"], session["tags"]) == ("active", {"a": 1}, ["t"])
    assert (session["closed_at"], session["close_reason"]) == (None, None)
    assert session["seq"] == 3
    event = user.history(session_id)[-1]
    assert session["last_activity_at"] == event["at"]
    assert session["expires_at"] == event["at"] + 3600
    assert user.session(session_id) == session


def test_reopening_an_active_session_is_an_illegal_state(user: Wire, session_id: str) -> None:
    error = user.refused("session:reopen", session_id=session_id)
    assert error["code"] == "illegal_state"
    assert error["details"]["status"] == "active"
    assert user.session(session_id)["seq"] == 1


def test_a_users_message_reopens_a_closed_session(user: Wire, session_id: str) -> None:
    close(user, session_id)
    reply = user.ok("message:send", session_id=session_id, text="one more thing", context={"a": 1})
    assert (reply["reopened"], reply["created"], reply["duplicate"]) == (True, False, False)
    types = [event["type"] for event in user.history(session_id, after_seq=2)]
    assert types == ["session:reopened", "session:context:updated", "message:received"]
    assert reply["seq"] == 5
    session = user.session(session_id)
    assert (session["status"], session["closed_at"], session["close_reason"]) == ("active", None, None)


def test_a_session_can_be_closed_and_reopened_again_and_again(user: Wire, session_id: str) -> None:
    for number in range(1, 6):
        assert close(user, session_id, f"round {number}")["seq"] == 2 * number
        assert user.ok("session:reopen", session_id=session_id)["seq"] == 2 * number + 1


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("session:get", {}),
        ("session:history", {}),
        ("session:resume", {"after_seq": 0}),
        ("session:detach", {}),
        ("session:rate", {"rating": 5}),
        ("session:tag", {"add": ["seen"]}),
        ("message:read", {"read_seq": 1}),
        ("message:compose", {"action": "start"}),
        ("session:close", {}),
    ],
)
def test_what_a_closed_session_still_takes_leaves_it_closed(
    user: Wire, service: Wire, session_id: str, kind: str, payload: Map
) -> None:
    close(user, session_id)
    service.ok(kind, session_id=session_id, **payload)
    assert user.session(session_id)["status"] == "closed"


@pytest.mark.parametrize("role", ["agent", "service"])
def test_agents_and_system_messages_do_not_reopen(
    connect: Connect, user: Wire, session_id: str, role: str
) -> None:
    close(user, session_id)
    error = connect(role).refused("message:send", session_id=session_id, text="x")
    assert error["code"] == "session_closed"
    assert user.session(session_id)["seq"] == 2


@pytest.mark.parametrize("role", ["user", "agent", "service"])
def test_a_closed_session_takes_no_context_update(
    connect: Connect, user: Wire, session_id: str, role: str
) -> None:
    close(user, session_id)
    error = connect(role).refused("session:context:update", session_id=session_id, context={"a": 1})
    assert error["code"] == "session_closed"
    assert user.session(session_id)["seq"] == 2


def test_a_users_message_is_activity(user: Wire, session_id: str) -> None:
    user.ok("message:send", session_id=session_id, text="x")
    at = user.history(session_id)[-1]["at"]
    session = user.session(session_id)
    assert (session["last_activity_at"], session["expires_at"]) == (at, at + 3600)


def test_a_message_relayed_for_the_user_is_activity(service: Wire, session_id: str) -> None:
    service.ok("message:send", session_id=session_id, text="x", author="user")
    at = service.history(session_id)[-1]["at"]
    assert service.session(session_id)["expires_at"] == at + 3600


@pytest.mark.parametrize(
    ("role", "kind", "payload"),
    [
        ("agent", "message:send", {"text": "x"}),
        ("service", "message:send", {"text": "x"}),
        ("user", "session:context:update", {"context": {"a": 1}}),
        ("user", "session:resume", {"after_seq": 0}),
        ("user", "session:get", {}),
        ("user", "session:history", {}),
        ("user", "session:detach", {}),
        ("user", "session:rate", {"rating": 4}),
        ("user", "message:compose", {"action": "start"}),
        ("user", "message:read", {"read_seq": 1}),
        ("agent", "session:tag", {"add": ["a"]}),
    ],
)
def test_nothing_else_is_activity(
    connect: Connect, user: Wire, session_id: str, role: str, kind: str, payload: Map
) -> None:
    before = user.session(session_id)
    connect(role).ok(kind, session_id=session_id, **payload)
    after = user.session(session_id)
    assert after["expires_at"] == before["expires_at"]
    assert after["last_activity_at"] == before["last_activity_at"]


def test_an_agents_reopening_is_not_activity(user: Wire, agent: Wire, session_id: str) -> None:
    before = user.session(session_id)
    close(user, session_id)
    assert agent.ok("session:reopen", session_id=session_id)["session"]["expires_at"] == before["expires_at"]
