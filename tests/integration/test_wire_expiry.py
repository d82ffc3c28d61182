"""Expiry: on time, once, at the deadline itself, and what is left to do with an expired session.

The timers are the server's own, set short for one session; a test waits for the push, never for time.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.conftest import Connect
from tests.integration.wire import Map, Wire


@pytest.fixture
def expired(user: Wire, user_id: str) -> Map:
    """A session that expired of inactivity, as the creation answered it: with its `expires_at`."""
    created = user.ok("session:create", user={"user_id": user_id}, timeouts={"session_timeout": 0.05})
    assert user.push("session:expired")["session_id"] == created["session_id"]
    session: Map = created["session"]
    return session


def test_expiry_is_pushed_with_the_deadline_as_its_instant(user: Wire, user_id: str) -> None:
    session = user.ok("session:create", user={"user_id": user_id}, timeouts={"session_timeout": 0.1})[
        "session"
    ]
    event = user.push("session:expired")
    assert event["session_id"] == session["session_id"]
    assert (event["reason"], event["seq"]) == ("inactivity", 2)
    assert event["at"] == session["expires_at"] == session["created_at"] + 0.1


def test_an_expired_session_says_when_and_why(service: Wire, expired: Map) -> None:
    session = service.session(expired["session_id"])
    assert (session["status"], session["expiry_reason"]) == ("expired", "inactivity")
    assert session["expired_at"] == expired["expires_at"]
    assert session["seq"] == 2


def test_the_grace_period_ends_in_expiry(user: Wire, service: Wire, user_id: str) -> None:
    session_id = user.create(user={"user_id": user_id}, timeouts={"keep_alive": 0.05})
    reopen_until = user.ok("session:close", session_id=session_id)["reopen_until"]
    event = user.push("session:expired")
    assert (event["reason"], event["at"]) == ("keep_alive", reopen_until)
    session = service.session(session_id)
    assert session["expired_at"] == session["closed_at"] + 0.05
    assert session["expiry_reason"] == "keep_alive"


def test_no_grace_at_all_expires_with_the_close(user: Wire, service: Wire, user_id: str) -> None:
    session_id = user.create(user={"user_id": user_id}, timeouts={"keep_alive": 0})
    user.ok("session:close", session_id=session_id)
    session = service.session(session_id)
    assert (session["status"], session["expiry_reason"]) == ("expired", "keep_alive")
    closed, gone = service.history(session_id, after_seq=1)
    assert (closed["type"], gone["type"]) == ("session:closed", "session:expired")
    assert closed["at"] == gone["at"] == session["expired_at"] == session["closed_at"]


def test_the_cap_ends_a_session_that_is_talked_in(user: Wire, user_id: str) -> None:
    session = user.ok("session:create", user={"user_id": user_id}, timeouts={"max_lifetime": 0.3})["session"]
    talk: list[Map] = []
    while not talk or talk[-1]["type"] == "message:accepted":
        talk.append(user.request("message:send", session_id=session["session_id"], text="still here"))
    assert talk[-1]["code"] == "session_expired"
    event = user.push("session:expired")
    assert (event["reason"], event["at"]) == ("max_lifetime", session["created_at"] + 0.3)
    assert event["seq"] == len(talk) + 1, "creation, every accepted message, the expiry"


def test_an_expired_session_stores_nothing_any_more(connect: Connect, expired: Map) -> None:
    session_id = expired["session_id"]
    for role in ("user", "agent", "service"):
        wire = connect(role)
        for kind, payload in WRITES:
            error = wire.refused(kind, session_id=session_id, **payload)
            assert error["code"] == "session_expired", f"{role} {kind}"
    assert connect("service").session(session_id)["seq"] == 2


WRITES: list[tuple[str, dict[str, Any]]] = [
    ("message:send", {"text": "x"}),
    ("session:context:update", {"context": {"a": 1}}),
    ("session:reopen", {}),
    ("session:resume", {"after_seq": 0}),
]


def test_a_message_relayed_for_the_user_does_not_revive_an_expired_session(
    service: Wire, expired: Map
) -> None:
    error = service.refused("message:send", session_id=expired["session_id"], text="x", author="user")
    assert error["code"] == "session_expired"


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("session:get", {}),
        ("session:history", {}),
        ("session:close", {}),
        ("session:rate", {"rating": 1}),
        ("message:compose", {"action": "start"}),
        ("message:read", {"read_seq": 1}),
    ],
)
def test_a_user_gets_session_expired_for_everything(
    user: Wire, expired: Map, kind: str, payload: Map
) -> None:
    assert user.refused(kind, session_id=expired["session_id"], **payload)["code"] == "session_expired"


@pytest.mark.parametrize("role", ["agent", "service"])
def test_agents_and_services_can_still_read_an_expired_session(
    connect: Connect, expired: Map, user_id: str, role: str
) -> None:
    wire = connect(role)
    session = wire.session(expired["session_id"])
    assert session["status"] == "expired"
    created, gone = wire.history(expired["session_id"])
    assert (created["type"], gone["type"]) == ("session:created", "session:expired")
    assert wire.ok("session:list", user_id=user_id, status="expired")["sessions"] == [session]


def test_expiry_comes_once(connect: Connect, user: Wire, service: Wire, user_id: str) -> None:
    watcher = connect()
    session_id = user.create(user={"user_id": user_id}, timeouts={"session_timeout": 0.1})
    watcher.ok("session:resume", session_id=session_id)
    for wire in (user, watcher):
        wire.push("session:expired")
    for _ in range(3):
        assert user.refused("message:send", session_id=session_id, text="x")["code"] == "session_expired"
    assert [event["type"] for event in service.history(session_id)] == ["session:created", "session:expired"]
    assert user.pushed(session_id) == watcher.pushed(session_id) == []


def test_the_ais_memory_lapses_and_the_session_stays(user: Wire, user_id: str) -> None:
    created = user.ok(
        "session:create", user={"user_id": user_id}, context={"a": 1}, timeouts={"dialog_timeout": 0.1}
    )
    session_id = created["session_id"]
    user.ok("message:send", session_id=session_id, text="x")
    event = user.push("dialog:expired")
    message = user.history(session_id, after_seq=1)[0]
    assert event["session_id"] == session_id
    assert (event["seq"], event["at"]) == (3, message["at"] + 0.1)
    session = user.session(session_id)
    assert (session["status"], session["context"], session["seq"]) == ("active", {"a": 1}, 3)
    assert session["expires_at"] == message["at"] + 3600
