"""The request table: each wrong value is refused with its path, each right one is taken."""

import math
from typing import Any

import pytest

from sojourn.gateway.checking import ALL, check, check_role
from sojourn.gateway.codec import encode
from sojourn.gateway.errors import (
    ERROR_CODES,
    GOODBYE_CODES,
    FrameTooLarge,
    InvalidFrame,
    InvalidPayload,
    RequestFailed,
    WireError,
    error_frame,
    goodbye_frame,
    request_failed,
)
from sojourn.gateway.messages import REQUESTS, request_of

NOT_A_STRING: list[Any] = [1, 1.5, True, [], {}]
NOT_A_MAP: list[Any] = ["x", 1, 1.5, True, []]
NOT_A_BOOLEAN: list[Any] = [0, 1, "true", [], {}]
NOT_STRINGS: list[Any] = ["x", 1, True, {}]
NOT_A_SEQ: list[Any] = [-1, 1.0, True, "1", [], {}]
NOT_A_DURATION: list[Any] = [0, -1, "60", True, [], math.inf, math.nan]
NOT_A_PAGE: list[Any] = [0, -1, 1001, 2**63, 1.0, True, "10"]

# a whole request of each type, with every key in it
WHOLE: dict[str, dict[str, Any]] = {
    "hello": {
        "protocol": 1,
        "token": "t",
        "role": "agent",
        "identity": "ann",
        "client": "c/1",
        "heartbeat": 0.5,
    },
    "ping": {},
    "session:create": {
        "user": {"user_id": "ada", "display_name": "Ada", "own": [1]},
        "context": {"k": None},
        "metadata": {"m": 1},
        "channel": "web",
        "timeouts": {"session_timeout": 60, "keep_alive": 0, "dialog_timeout": 0.5, "max_lifetime": None},
        "tags": ["a", ""],
        "request_key": "r",
        "attach": False,
    },
    "session:resume": {"session_id": "s", "after_seq": 2**64 - 1, "resume_token": "t", "attach": True},
    "session:get": {"session_id": "s", "scopes": True},
    "session:history": {"session_id": "s", "after_seq": 0, "limit": 1000},
    "session:context:update": {
        "session_id": "s",
        "context": {},
        "expected_version": 1,
        "expected_user_version": 1,
        "attach": False,
    },
    "session:close": {"session_id": "s", "reason": ""},
    "session:reopen": {"session_id": "s", "attach": True},
    "session:detach": {"session_id": "s"},
    "session:rate": {"session_id": "s", "rating": 5, "feedback": "good"},
    "session:handover": {"session_id": "s", "queue": "q", "note": "n"},
    "session:assign": {"session_id": "s", "assignee": "ann"},
    "session:release": {"session_id": "s"},
    "session:resolve": {"session_id": "s"},
    "session:tag": {"session_id": "s", "add": ["a"], "remove": []},
    "session:remind": {"session_id": "s", "name": "later", "after": 0, "data": [1]},
    "session:list": {
        "status": "closed",
        "handling": "queued",
        "user_id": "ada",
        "channel": "web",
        "queue": "q",
        "limit": 1,
        "cursor": "c",
    },
    "message:send": {
        "session_id": "s",
        "user": {"user_id": "ada"},
        "channel": "web",
        "message_id": "m",
        "text": "",
        "attachments": [{}],
        "data": [1],
        "context": {"k": 1},
        "author": "user",
        "author_id": "ada",
        "attach": False,
    },
    "message:compose": {"session_id": "s", "action": "stop"},
    "message:read": {"session_id": "s", "read_seq": 3},
    "broadcast:send": {
        "users": [{"user_id": "ada"}],
        "text": "t",
        "attachments": [],
        "data": {},
        "context": {},
        "channel": "web",
        "broadcast_id": "b",
        "reopen": True,
    },
    "watch": {"queues": ["q"]},
    "session:erase": {"session_id": "s", "user_id": "ada"},
    "session:fork": {"session_id": "s", "at_seq": 3, "channel": "lab", "request_key": "k"},
    "session:why": {"session_id": "s"},
    "webhook:resend": {"dead_id": 7},
}

# key → values that are refused at that very key, whatever the request
WRONG: dict[str, list[Any]] = {
    "id": [-1, "x" * 65, 1.5, True, [], {}],
    **dict.fromkeys(
        [
            "session_id", "channel", "token", "identity", "request_key", "resume_token", "reason", "feedback",
            "queue", "note", "cursor", "message_id", "text", "author_id", "broadcast_id",
        ],
        NOT_A_STRING,
    ),
    "user_id": NOT_A_STRING,
    "assignee": [*NOT_A_STRING, ""],
    "user": NOT_A_MAP,
    "context": NOT_A_MAP,
    "metadata": NOT_A_MAP,
    "timeouts": NOT_A_MAP,
    "tags": NOT_STRINGS,
    "add": NOT_STRINGS,
    "remove": NOT_STRINGS,
    "queues": NOT_STRINGS,
    "attachments": ["x", 1, True, {}],
    "users": ["x", 1, True, {}],
    "attach": NOT_A_BOOLEAN,
    "reopen": NOT_A_BOOLEAN,
    "after_seq": NOT_A_SEQ,
    "at_seq": [*NOT_A_SEQ, 0],
    "expected_version": NOT_A_SEQ,
    "expected_user_version": NOT_A_SEQ,
    "scopes": NOT_A_BOOLEAN,
    "read_seq": NOT_A_SEQ,
    "dead_id": NOT_A_SEQ,
    "limit": NOT_A_PAGE,
    "rating": [0, 6, -1, 3.0, "3", True, []],
    "protocol": [0, 2, "1", 1.0, True],
    "role": ["admin", "", 1, [], {}],
    "heartbeat": [0, -1, -0.5, "1", True, math.inf, math.nan, []],
    "client": [1, True, []],
    "status": ["gone", "", 1, []],
    "handling": ["nobody", 1],
    "action": ["pause", "", 1, True],
    "author": ["agent", "", 1],
    "name": ["", 1, [], {}],
    "after": NOT_A_DURATION[1:],
}  # fmt: skip

# request, payload that replaces keys of the whole one, and the path that is named
DEEPER: list[tuple[str, dict[str, Any], str]] = [
    *(("session:create", {"timeouts": {name: bad}}, f"timeouts.{name}")
      for name in ("session_timeout", "dialog_timeout", "max_lifetime")
      for bad in NOT_A_DURATION),
    *(("session:create", {"timeouts": {"keep_alive": bad}}, "timeouts.keep_alive")
      for bad in NOT_A_DURATION[1:]),
    ("session:create", {"timeouts": {"sesion_timeout": 60}}, "timeouts.sesion_timeout"),
    ("session:create", {"tags": ["a", 1]}, "tags.1"),
    ("session:create", {"tags": [None]}, "tags.0"),
    ("session:create", {"user": {"user_id": ""}}, "user.user_id"),
    ("session:create", {"user": {"user_id": 7}}, "user.user_id"),
    *(("session:create", {"user": {key: 7}}, f"user.{key}")
      for key in ("display_name", "email", "phone", "language")),
    ("session:tag", {"add": ["a", "b", {}]}, "add.2"),
    ("message:send", {"attachments": [{}, "x"]}, "attachments.1"),
    ("message:send", {"session_id": None, "user": {"display_name": "Ada"}}, "session_id"),
    ("message:send", {"session_id": None, "user": {}}, "session_id"),
    ("message:send", {"session_id": None, "user": None}, "session_id"),
    ("message:send", {"session_id": None, "user": {"user_id": ""}}, "user.user_id"),
    ("message:send", {"session_id": None, "user": {"user_id": None}}, "session_id"),
    ("message:send", {"text": None, "attachments": None, "data": None}, "text"),
    ("broadcast:send", {"users": [{"user_id": "a"}, 7]}, "users.1"),
    ("broadcast:send", {"text": None, "attachments": None, "data": None}, "text"),
    ("session:erase", {"session_id": None, "user_id": None}, "session_id"),
]  # fmt: skip


def refusal(kind: str, frame: dict[str, Any]) -> InvalidPayload:
    """The refusal of `frame`, which must be one that can be sent."""
    with pytest.raises(InvalidPayload) as caught:
        check(REQUESTS[kind], {"type": kind, **frame})
    error = caught.value
    assert error.details is not None
    assert error.details.keys() == {"key", "expected", "got"}
    assert encode(error_frame(error, error.reply_to))
    return error


def test_every_request_of_the_protocol_is_in_the_table() -> None:
    assert REQUESTS.keys() == WHOLE.keys()
    for kind, request in REQUESTS.items():
        assert request.name == kind
        assert request.fields.keys() == WHOLE[kind].keys() | {"id"}


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("request_id", [None, 0, 2**64 - 1, "x" * 64])
def test_a_whole_request_is_taken(kind: str, request_id: Any) -> None:
    check(REQUESTS[kind], {"type": kind, "id": request_id, **WHOLE[kind]})


@pytest.mark.parametrize(
    ("kind", "key"), [(kind, key) for kind, request in REQUESTS.items() for key in request.fields]
)
def test_each_wrong_value_of_each_key_is_refused_by_name(kind: str, key: str) -> None:
    if REQUESTS[kind].fields[key].kind.expected == "any value":
        return
    for bad in WRONG[key]:
        error = refusal(kind, {"id": "seven", **WHOLE[kind], key: bad})
        assert error.key == key
        assert error.reply_to == (None if key == "id" else "seven")


@pytest.mark.parametrize(("kind", "changed", "path"), DEEPER)
def test_each_wrong_value_inside_is_refused_with_its_path(
    kind: str, changed: dict[str, Any], path: str
) -> None:
    assert refusal(kind, {**WHOLE[kind], **changed}).key == path


@pytest.mark.parametrize("kind", WHOLE)
def test_a_required_key_must_be_there_and_nil_counts_as_absent(kind: str) -> None:
    for name in REQUESTS[kind].required:
        without = {key: value for key, value in WHOLE[kind].items() if key != name}
        assert refusal(kind, without).key == name
        assert refusal(kind, {**without, name: None}).got == "nothing"


@pytest.mark.parametrize("kind", WHOLE)
def test_an_optional_key_may_be_nil(kind: str) -> None:
    request = REQUESTS[kind]
    for name in request.fields.keys() - {*request.required, "session_id", "user_id"}:
        check(request, {"type": kind, **WHOLE[kind], name: None})


@pytest.mark.parametrize("kind", WHOLE)
def test_unknown_keys_are_ignored(kind: str) -> None:
    check(REQUESTS[kind], {"type": kind, **WHOLE[kind], "unheard_of": object()})


@pytest.mark.parametrize("content", [{"text": ""}, {"attachments": []}, {"data": False}])
@pytest.mark.parametrize("address", [{"session_id": "s"}, {"user": {"user_id": "ada"}}])
def test_any_one_content_and_any_one_address_is_enough(
    content: dict[str, Any], address: dict[str, Any]
) -> None:
    check(REQUESTS["message:send"], {"type": "message:send", **content, **address})


def test_booleans_are_not_integers_and_what_came_is_named() -> None:
    error = refusal("session:rate", {"session_id": "s", "rating": True})
    assert error.message == "rating: expected an integer from 1 to 5, got a boolean"
    assert refusal("session:rate", {"session_id": "s", "rating": 9}).got == 9


def test_a_long_string_that_is_no_choice_is_shown_in_part() -> None:
    assert refusal("session:list", {"status": "x" * 5000}).got == "x" * 64


ROLES = {
    "session:rate": {"user", "service"},
    "session:assign": {"agent", "service"},
    "session:release": {"agent", "service"},
    "session:resolve": {"agent", "service"},
    "session:tag": {"agent", "service"},
    "session:remind": {"agent", "service"},
    "session:fork": {"agent", "service"},
    "session:why": {"agent", "service"},
    "session:list": {"agent", "service"},
    "broadcast:send": {"agent", "service"},
    "watch": {"agent", "service"},
    "session:erase": {"service"},
    "webhook:resend": {"service"},
}


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("role", sorted(ALL))
def test_each_request_is_for_its_roles_only(kind: str, role: str) -> None:
    request = REQUESTS[kind]
    if role in ROLES.get(kind, ALL):
        check_role(request, role, {"type": kind})
    else:
        with pytest.raises(WireError, match=role) as caught:
            check_role(request, role, {"type": kind})
        assert caught.value.code == "forbidden"


@pytest.mark.parametrize("key", ["author", "author_id"])
@pytest.mark.parametrize("role", ["user", "agent"])
def test_only_a_service_names_another_author(key: str, role: str) -> None:
    request = REQUESTS["message:send"]
    frame = {"type": "message:send", key: "user"}
    with pytest.raises(WireError, match=key) as caught:
        check_role(request, role, frame)
    assert caught.value.code == "forbidden"
    check_role(request, "service", frame)
    check_role(request, role, {**frame, key: None})


@pytest.mark.parametrize(
    "kind", [*(k for k, r in REQUESTS.items() if not r.built), "", "x" * 5000, "pong", "error"]
)
def test_what_no_request_is_called_is_an_unknown_type(kind: str) -> None:
    with pytest.raises(WireError) as caught:
        request_of({"type": kind})
    assert caught.value.code == "unknown_type"
    assert len(caught.value.message) < 200


def test_a_built_request_is_found_by_its_type() -> None:
    assert request_of({"type": "ping"}) is REQUESTS["ping"]


@pytest.mark.parametrize(
    "error", [InvalidFrame("no"), FrameTooLarge(9, 3), InvalidPayload("k", "a map", "nil")]
)
def test_an_error_frame_names_code_and_message_and_the_request(error: Any) -> None:
    frame = error_frame(error, "id")
    assert (frame["type"], frame["reply_to"], frame["code"]) == ("error", "id", error.code)
    assert frame["code"] in ERROR_CODES
    assert frame["message"] == error.message
    assert "reply_to" not in error_frame(error)


def test_an_error_frame_carries_what_its_error_knows() -> None:
    error = WireError("overloaded", "wait", {"limit": 1}, retry_after=0.5, session_id="s")
    assert error_frame(error, 0) == {
        "type": "error",
        "reply_to": 0,
        "code": "overloaded",
        "message": "wait",
        "session_id": "s",
        "retry_after": 0.5,
        "details": {"limit": 1},
    }


@pytest.mark.parametrize("code", GOODBYE_CODES)
def test_a_goodbye_says_whether_to_come_back(code: str) -> None:
    frame = goodbye_frame(code, retry_after=2.0)
    assert frame["reconnect"] is (code not in {"protocol_error", "unauthorized"})
    assert (frame["type"], frame["code"], frame["retry_after"]) == ("goodbye", code, 2.0)
    assert frame["message"]


@pytest.mark.parametrize("code", ERROR_CODES)
def test_every_code_has_a_family_of_its_own_at_the_client(code: str) -> None:
    error = request_failed({"code": code, "message": "m", "details": {"a": 1}, "retry_after": 1.5})
    assert type(error) is not RequestFailed
    assert isinstance(error, RequestFailed)
    assert (error.code, error.message, error.details, error.retry_after) == (code, "m", {"a": 1}, 1.5)
    assert str(error) == f"{code}: m"


def test_a_code_of_a_later_version_is_a_plain_failure() -> None:
    assert type(request_failed({"code": "new", "message": ""})) is RequestFailed
