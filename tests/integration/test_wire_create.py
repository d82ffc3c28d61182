"""`session:create`, `session:get` and section 3: the session map, timeouts, channels, `request_key`."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.integration.conftest import Connect
from tests.integration.wire import Map, Wire

SESSION_KEYS = {
    "session_id",
    "status",
    "handling",
    "assignee",
    "queue",
    "user",
    "context",
    "context_version",
    "metadata",
    "channel",
    "tags",
    "created_at",
    "last_activity_at",
    "closed_at",
    "expired_at",
    "close_reason",
    "expiry_reason",
    "seq",
    "timeouts",
    "expires_at",
    "expires_why",
}
TIMEOUT_KEYS = {"session_timeout", "keep_alive", "dialog_timeout", "max_lifetime"}


def test_a_new_session_is_active_handled_by_the_ai_and_lasts_an_hour(user: Wire, user_id: str) -> None:
    before = time.time()
    reply = user.ok("session:create", user={"user_id": user_id})
    assert reply["type"] == "session:created"
    session = reply["session"]
    assert session.keys() >= SESSION_KEYS
    assert reply["session_id"] == session["session_id"]
    assert (session["status"], session["handling"]) == ("active", "ai")
    assert (session["assignee"], session["queue"]) == (None, None)
    assert (session["context"], session["context_version"]) == ({}, 1)
    assert (session["metadata"], session["tags"], session["channel"]) == ({}, [], user.channel)
    assert before <= session["created_at"] <= time.time()
    assert (session["closed_at"], session["expired_at"]) == (None, None)
    assert (session["close_reason"], session["expiry_reason"]) == (None, None)
    assert session["seq"] == 1
    assert session["timeouts"].keys() >= TIMEOUT_KEYS
    assert session["timeouts"]["session_timeout"] == 3600
    assert session["timeouts"]["keep_alive"] == 120
    assert session["timeouts"]["max_lifetime"] is None
    assert session["timeouts"]["dialog_timeout"] is None
    assert session["expires_at"] == session["created_at"] + 3600
    assert session["expires_why"] == "inactivity"
    assert isinstance(reply["resume_token"], str)
    assert reply["resume_token"]


def test_get_answers_the_same_session_map_as_create(user: Wire, user_id: str) -> None:
    created = user.ok("session:create", user={"user_id": user_id}, context={"a": 1})["session"]
    reply = user.ok("session:get", session_id=created["session_id"])
    assert reply["type"] == "session:state"
    assert reply["session"] == created


def test_a_session_keeps_what_it_was_created_with(user: Wire, user_id: str) -> None:
    given: Map = {
        "user": {
            "user_id": user_id,
            "display_name": "Ada",
            "email": "ada@example.org",
            "phone": "+44 20",
            "language": "en",
            "shoe_size": 38.5,
        },
        "context": {"order": {"id": 7}},
        "metadata": {"source": "advert", "list": [1, None]},
        "channel": "voice",
        "tags": ["vip", "beta"],
    }
    session = user.ok("session:create", **given)["session"]
    assert {key: session[key] for key in given} == given
    assert user.session(session["session_id"]) == session


def test_what_was_not_given_about_the_user_is_missing(user: Wire, user_id: str) -> None:
    assert user.ok("session:create", user={"user_id": user_id})["session"]["user"] == {"user_id": user_id}


def test_a_session_can_be_created_without_a_user(user: Wire) -> None:
    session = user.ok("session:create")["session"]
    assert isinstance(session["user"], dict)
    assert user.session(session["session_id"]) == session


def test_each_create_without_request_key_makes_another_session(user: Wire, user_id: str) -> None:
    made = [user.create(user={"user_id": user_id}) for _ in range(5)]
    assert len(set(made)) == 5


def test_the_context_given_at_creation_is_a_merge_patch_on_an_empty_map(user: Wire, user_id: str) -> None:
    session = user.ok(
        "session:create", user={"user_id": user_id}, context={"gone": None, "kept": {"gone": None, "n": 1}}
    )["session"]
    assert session["context"] == {"kept": {"n": 1}}
    assert session["context_version"] == 1


def test_the_resume_token_is_shown_once_only(user: Wire, user_id: str) -> None:
    created = user.ok("session:create", user={"user_id": user_id})
    token, session_id = created["resume_token"], created["session_id"]
    assert token not in repr(user.ok("session:get", session_id=session_id))
    assert token not in repr(user.ok("session:history", session_id=session_id))
    assert token not in repr(user.ok("session:resume", session_id=session_id, after_seq=0))


def test_the_same_request_key_answers_the_first_session(connect: Connect, user_id: str) -> None:
    first = connect().ok("session:create", user={"user_id": user_id}, request_key=f"key-{user_id}")
    again = connect().ok("session:create", user={"user_id": user_id}, request_key=f"key-{user_id}")
    other = connect().ok("session:create", user={"user_id": user_id}, request_key=f"other-{user_id}")
    assert again["session_id"] == first["session_id"]
    assert other["session_id"] != first["session_id"]
    assert again["session"]["seq"] == 1


def test_one_request_key_sent_from_many_connections_at_once_makes_one_session(
    connect: Connect, service: Wire, user_id: str
) -> None:
    wires = [connect() for _ in range(8)]
    sent = [
        (wire, wire.send("session:create", user={"user_id": user_id}, request_key=f"key-{user_id}"))
        for wire in wires
    ]
    assert len({wire.reply(request_id)["session_id"] for wire, request_id in sent}) == 1
    assert len(service.ok("session:list", user_id=user_id)["sessions"]) == 1


CHANNEL_DEFAULTS = {
    "voice": 300,
    "messenger": 604_800,
    "instagram": 604_800,
    "whatsapp": 604_800,
    "viber": 604_800,
    "sms": 604_800,
    "rcs": 604_800,
    "intercom": 86_400,
    "zendesk": 86_400,
    "front": 86_400,
    "http": 86_400,
    "email": 1_296_000,
    "tcp": 3600,
    "web": 3600,
    "something else": 3600,
}


@pytest.mark.parametrize(("channel", "session_timeout"), CHANNEL_DEFAULTS.items())
def test_each_channel_has_its_default_of_the_session_timeout(
    user: Wire, user_id: str, channel: str, session_timeout: float
) -> None:
    session = user.ok("session:create", user={"user_id": user_id}, channel=channel)["session"]
    assert session["channel"] == channel
    assert session["timeouts"]["session_timeout"] == session_timeout
    assert session["expires_at"] == session["created_at"] + session_timeout


def test_timeouts_given_at_creation_replace_the_defaults_they_name(user: Wire, user_id: str) -> None:
    session = user.ok(
        "session:create", user={"user_id": user_id}, channel="voice", timeouts={"keep_alive": 7.5}
    )["session"]
    assert session["timeouts"]["keep_alive"] == 7.5
    assert session["timeouts"]["session_timeout"] == 300


def test_a_timeout_of_nil_means_never(user: Wire, user_id: str) -> None:
    session = user.ok("session:create", user={"user_id": user_id}, timeouts={"session_timeout": None})[
        "session"
    ]
    assert session["timeouts"]["session_timeout"] is None
    assert (session["expires_at"], session["expires_why"]) == (None, None)


def test_the_earliest_deadline_is_the_one_reported(user: Wire, user_id: str) -> None:
    session = user.ok("session:create", user={"user_id": user_id}, timeouts={"max_lifetime": 60})["session"]
    assert session["expires_at"] == session["created_at"] + 60
    assert session["expires_why"] == "max_lifetime"


BAD_TIMEOUTS: list[Any] = [0, -1, -0.5, "60", True, [], {}, float("nan"), float("inf")]


@pytest.mark.parametrize("name", sorted(TIMEOUT_KEYS))
@pytest.mark.parametrize("bad", BAD_TIMEOUTS, ids=repr)
def test_timeouts_that_are_no_finite_numbers_above_zero_are_refused(
    user: Wire, service: Wire, user_id: str, name: str, bad: Any
) -> None:
    if name == "keep_alive" and bad == 0:  # no grace: allowed
        assert user.ok("session:create", user={"user_id": user_id}, timeouts={name: bad})
        return
    error = user.refused("session:create", user={"user_id": user_id}, timeouts={name: bad})
    assert error["code"] == "invalid_payload"
    assert error["details"]["key"] == f"timeouts.{name}"
    assert service.ok("session:list", user_id=user_id)["sessions"] == []


def test_the_first_event_of_a_history_is_the_creation(connect: Connect, user_id: str) -> None:
    wire = connect("service", "backend")
    session = wire.ok(
        "session:create",
        user={"user_id": user_id},
        context={"a": 1},
        metadata={"m": 2},
        channel="email",
        tags=["t"],
        timeouts={"keep_alive": 9},
    )["session"]
    (event,) = wire.history(session["session_id"])
    assert event["type"] == "session:created"
    assert event["session_id"] == session["session_id"]
    assert (event["seq"], event["at"]) == (1, session["created_at"])
    for key in ("user", "context", "metadata", "channel", "tags", "timeouts"):
        assert event[key] == session[key]
    assert event["by"] == {"role": "service", "id": "backend"}


@pytest.mark.parametrize(
    "unknown", ["nobody", "", "x" * 5000, "00000000-0000-0000-0000-000000000000", "'; --", "\x00"]
)
@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("session:get", {}),
        ("session:resume", {}),
        ("session:history", {}),
        ("session:context:update", {"context": {}}),
        ("session:close", {}),
        ("session:reopen", {}),
        ("session:rate", {"rating": 3}),
        ("message:send", {"text": "x"}),
        ("message:compose", {"action": "start"}),
        ("message:read", {"read_seq": 1}),
    ],
)
def test_an_id_that_never_existed_is_not_found(user: Wire, kind: str, payload: Map, unknown: str) -> None:
    error = user.refused(kind, session_id=unknown, **payload)
    # An id that can't be one may also be called what it is.
    assert error["code"] == "session_not_found" or unknown in ("", "\x00", "x" * 5000)
    assert error["code"] in ("session_not_found", "invalid_payload")
