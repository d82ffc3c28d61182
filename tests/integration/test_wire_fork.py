"""`session:fork` on the wire: a session with the state as of then, once, for those who may."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.wire import Wire


def a_talk(wire: Wire) -> str:
    created = wire.ok("session:create", user={"user_id": "ada"}, context={"plan": 1}, tags=["new"])
    session_id: str = created["session_id"]
    wire.ok("message:send", session_id=session_id, text="hello", message_id="m1")
    wire.ok("session:context:update", session_id=session_id, context={"plan": 2})
    wire.ok("message:send", session_id=session_id, text="bye", message_id="m2")
    return session_id


def test_a_fork_is_answered_with_its_session_and_its_token(service: Wire) -> None:
    source = a_talk(service)
    forked = service.ok("session:fork", session_id=source, at_seq=2)
    assert forked["type"] == "session:forked"
    assert forked["session"]["session_id"] == forked["session_id"] != source
    assert (forked["session"]["context"], forked["session"]["seq"]) == ({"plan": 1}, 2)
    assert forked["resume_token"]
    events = service.ok("session:history", session_id=forked["session_id"])["events"]
    assert events[0]["forked_from"] == {"session_id": source, "seq": 2}
    assert events[1]["copied_from"]["seq"] == 2


def test_the_same_request_key_again_is_the_same_fork(service: Wire) -> None:
    source = a_talk(service)
    first = service.ok("session:fork", session_id=source, request_key="k")
    again = service.ok("session:fork", session_id=source, request_key="k")
    assert first["session_id"] == again["session_id"]
    assert first["session"]["context"] == {"plan": 2}


@pytest.mark.parametrize("at_seq", [0, -1, 2**64 - 1, 1.5, "2", True])
def test_a_place_that_is_none_is_an_invalid_payload(service: Wire, at_seq: Any) -> None:
    error = service.refused("session:fork", session_id=a_talk(service), at_seq=at_seq)
    assert (error["code"], error["details"]["key"]) == ("invalid_payload", "at_seq")


def test_a_place_that_is_not_there_yet_is_an_invalid_payload(service: Wire) -> None:
    error = service.refused("session:fork", session_id=a_talk(service), at_seq=5)
    assert (error["code"], error["details"]["key"], error["details"]["got"]) == (
        "invalid_payload",
        "at_seq",
        5,
    )


def test_users_fork_nothing_and_nobody_forks_what_is_not_there(service: Wire, user: Wire) -> None:
    assert user.refused("session:fork", session_id=a_talk(service))["code"] == "forbidden"
    assert service.refused("session:fork", session_id="nobody")["code"] == "session_not_found"
    assert service.refused("session:fork")["code"] == "invalid_payload"
