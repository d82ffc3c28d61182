"""Wrong types and values for each key of each request: `invalid_payload` that names the key."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.conftest import Connect
from tests.integration.wire import Map, Wire

NO_STRING: list[Any] = [5, 1.5, True, [], {}]
NO_MAP: list[Any] = [5, "x", True, []]
NO_LIST: list[Any] = [5, "x", True, {}]
NO_COUNT: list[Any] = [-1, 1.5, "1", True, [], {}]
NO_BOOLEAN: list[Any] = [1, "true", [], {}]

TAKES_SESSION: dict[str, Map] = {
    "session:resume": {},
    "session:get": {},
    "session:history": {},
    "session:context:update": {"context": {}},
    "session:close": {},
    "session:reopen": {},
    "session:detach": {},
    "session:rate": {"rating": 3},
    "session:tag": {"add": ["a"]},
    "session:remind": {"name": "later", "after": 60},
    "message:send": {"text": "x"},
    "message:compose": {"action": "start"},
    "message:read": {"read_seq": 1},
}
"""Each request that needs a session, with a payload that is right."""

WRONG: dict[str, dict[str, list[Any]]] = {
    "hello": {
        "role": [*NO_STRING, "boss", ""],
        "identity": NO_STRING,
        "token": NO_STRING,
        "heartbeat": ["5", -1, True, [], {}, float("nan"), float("inf")],
    },
    "session:create": {
        "user": NO_MAP,
        "user.user_id": NO_STRING,
        "context": NO_MAP,
        "metadata": NO_MAP,
        "channel": NO_STRING,
        "timeouts": NO_MAP,
        "timeouts.session_timeout": NO_COUNT[2:],
        "tags": [*NO_LIST, [1], ["a", None], [["a"]]],
        "request_key": NO_STRING,
        "attach": NO_BOOLEAN,
    },
    "session:resume": {"after_seq": NO_COUNT, "resume_token": NO_STRING, "attach": NO_BOOLEAN},
    "session:history": {"after_seq": NO_COUNT, "limit": NO_COUNT},
    "session:context:update": {"context": NO_MAP, "expected_version": NO_COUNT, "attach": NO_BOOLEAN},
    "session:close": {"reason": NO_STRING},
    "session:reopen": {"attach": NO_BOOLEAN},
    "session:rate": {"rating": [*NO_COUNT, 0, 6], "feedback": NO_STRING},
    "session:tag": {"add": [*NO_LIST, [1]], "remove": [*NO_LIST, [1]]},
    "session:remind": {
        "name": [*NO_STRING, ""],
        "after": ["5", -1, True, [], {}, float("nan"), float("inf")],
    },
    "session:list": {
        "status": [*NO_STRING, "open"],
        "handling": [*NO_STRING, "robot"],
        "user_id": NO_STRING,
        "channel": NO_STRING,
        "queue": NO_STRING,
        "limit": NO_COUNT,
    },
    "session:erase": {"session_id": NO_STRING, "user_id": NO_STRING},
    "message:send": {
        "user": NO_MAP,
        "user.user_id": NO_STRING,
        "channel": NO_STRING,
        "message_id": NO_STRING,
        "text": NO_STRING,
        "attachments": NO_LIST,
        "context": NO_MAP,
        "author": [*NO_STRING, "robot"],
        "author_id": NO_STRING,
        "attach": NO_BOOLEAN,
    },
    "message:compose": {"action": [*NO_STRING, "pause"]},
    "message:read": {"read_seq": NO_COUNT},
}
"""Request → key (dotted where it lies deeper) → values it can't have."""

CASES = [
    *((kind, key, bad) for kind, keys in WRONG.items() for key, values in keys.items() for bad in values),
    *((kind, "session_id", bad) for kind in TAKES_SESSION for bad in NO_STRING),
]


def put(payload: Map, path: str, value: Any) -> Map:
    """The payload with that value at the dotted path."""
    head, _, rest = path.partition(".")
    return {**payload, head: put({}, rest, value) if rest else value}


@pytest.mark.parametrize(("kind", "key", "bad"), CASES, ids=repr)
def test_a_wrong_value_is_an_invalid_payload_that_names_the_key(
    connect: Connect, session_id: str, user_id: str, kind: str, key: str, bad: Any
) -> None:
    wire = connect() if kind == "hello" else connect("service")
    payload: Map = dict(TAKES_SESSION.get(kind, {}))
    if kind == "hello":
        payload["protocol"] = 1
    elif kind == "message:send" and key in ("user", "user.user_id", "channel"):
        payload["user"] = {"user_id": user_id}
    elif kind in TAKES_SESSION:
        payload["session_id"] = session_id
    error = wire.refused(kind, **put(payload, key, bad))
    assert error["code"] == "invalid_payload"
    details = error["details"]
    assert details.keys() >= {"key", "expected", "got"}
    # The offending element of a list may be named behind its list.
    assert details["key"] == key or (isinstance(bad, list) and details["key"].startswith(f"{key}."))
    assert wire.session(session_id)["seq"] == 1 if kind != "hello" else wire.ok("ping")


REQUIRED = [
    *((kind, "session_id") for kind in TAKES_SESSION if kind != "message:send"),
    ("session:context:update", "context"),
    ("session:rate", "rating"),
    ("message:compose", "action"),
    ("message:read", "read_seq"),
]


@pytest.mark.parametrize(("kind", "key"), REQUIRED)
@pytest.mark.parametrize("how", ["missing", "nil"])
def test_a_required_key_is_missed_by_its_name(
    service: Wire, session_id: str, kind: str, key: str, how: str
) -> None:
    payload = {"session_id": session_id, **TAKES_SESSION[kind]}
    if how == "missing":
        del payload[key]
    else:
        payload[key] = None
    error = service.refused(kind, **payload)
    assert error["code"] == "invalid_payload"
    assert error["details"]["key"] == key
    assert service.session(session_id)["seq"] == 1


def test_an_error_about_a_session_may_name_it_and_no_other(user: Wire, session_id: str) -> None:
    error = user.refused("session:reopen", session_id=session_id)
    assert error.get("session_id", session_id) == session_id


def test_a_hello_that_was_refused_can_be_said_again(connect: Connect) -> None:
    wire = connect()
    assert wire.refused("hello", protocol=1, role="boss")["code"] == "invalid_payload"
    assert wire.ok("hello", protocol=1, role="agent")["role"] == "agent"
