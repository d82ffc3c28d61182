"""`session:context:update`: merge patch, versions, limits; other scopes are in test_wire_scopes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.conftest import Connect
from tests.integration.wire import Map, Wire, pack

MAX_CONTEXT_BYTES = 32_768
MAX_CONTEXT_KEYS = 100


def test_a_patch_is_merged_and_answered_with_the_whole_context(user: Wire, user_id: str) -> None:
    session_id = user.create(user={"user_id": user_id}, context={"a": 1, "b": {"c": 2, "d": 3}})
    reply = user.ok(
        "session:context:update", session_id=session_id, context={"b": {"c": None, "e": 4}, "f": []}
    )
    assert reply["type"] == "session:context:updated"
    assert reply["context"] == {"a": 1, "b": {"d": 3, "e": 4}, "f": []}
    assert reply["context_version"] == 2
    assert reply["seq"] == 2
    session = user.session(session_id)
    assert (session["context"], session["context_version"], session["seq"]) == (reply["context"], 2, 2)


# RFC 7396, appendix A: every row whose target and patch are both objects.
RFC_7396: list[tuple[Map, Map, Map]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({"a": "foo"}, {"a": {"b": "c"}}, {"a": {"b": "c"}}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ({"a": 1}, {}, {"a": 1}),
    ({"a": {"b": 1}}, {"a": [None, {"c": None}]}, {"a": [None, {"c": None}]}),
]


@pytest.mark.parametrize(("target", "patch", "result"), RFC_7396, ids=repr)
def test_the_merge_is_that_of_rfc_7396(
    user: Wire, user_id: str, target: Map, patch: Map, result: Map
) -> None:
    created = user.ok("session:create", user={"user_id": user_id}, context=target)
    reply = user.ok("session:context:update", session_id=created["session_id"], context=patch)
    assert reply["context"] == result
    assert user.session(created["session_id"])["context"] == result


def test_each_accepted_patch_raises_the_version_by_one(user: Wire, session_id: str) -> None:
    versions = [
        user.ok("session:context:update", session_id=session_id, context={"n": number})["context_version"]
        for number in range(5)
    ]
    assert versions == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("patch", [{}, {"same": 1}, {"never there": None}], ids=repr)
def test_a_patch_that_changes_nothing_is_an_event_too(user: Wire, session_id: str, patch: Map) -> None:
    user.ok("session:context:update", session_id=session_id, context={"same": 1})
    reply = user.ok("session:context:update", session_id=session_id, context=patch)
    assert (reply["context"], reply["context_version"], reply["seq"]) == ({"same": 1}, 3, 3)
    assert user.history(session_id)[-1]["patch"] == patch


def test_the_event_tells_the_patch_the_version_and_by_whom(connect: Connect, session_id: str) -> None:
    desk = connect("agent", "bob")
    patch = {"note": {"mood": "calm", "old": None}}
    reply = desk.ok("session:context:update", session_id=session_id, context=patch)
    event = desk.history(session_id)[-1]
    assert event["type"] == "session:context:updated"
    assert (event["patch"], event["context_version"]) == (patch, 2)
    assert event["seq"] == reply["seq"]
    assert event["by"] == {"role": "agent", "id": "bob"}


def test_the_expected_version_lets_the_patch_through(user: Wire, session_id: str) -> None:
    reply = user.ok("session:context:update", session_id=session_id, context={"a": 1}, expected_version=1)
    assert reply["context_version"] == 2


@pytest.mark.parametrize("expected", [0, 1, 3, 2**63])
def test_another_expected_version_is_a_conflict_that_changes_nothing(
    user: Wire, session_id: str, expected: int
) -> None:
    user.ok("session:context:update", session_id=session_id, context={"a": 1})
    error = user.refused(
        "session:context:update", session_id=session_id, context={"a": 2}, expected_version=expected
    )
    assert error["code"] == "version_conflict"
    assert error["details"]["context_version"] == 2
    session = user.session(session_id)
    assert (session["context"], session["context_version"], session["seq"]) == ({"a": 1}, 2, 2)


def test_of_many_who_expect_the_same_version_exactly_one_wins(connect: Connect, session_id: str) -> None:
    wires = [connect() for _ in range(6)]
    sent = [
        (
            wire,
            wire.send(
                "session:context:update",
                session_id=session_id,
                context={"winner": number},
                expected_version=1,
                attach=False,
            ),
        )
        for number, wire in enumerate(wires)
    ]
    answers = [wire.reply(request_id) for wire, request_id in sent]
    won = [number for number, answer in enumerate(answers) if answer["type"] != "error"]
    assert len(won) == 1
    assert {answer["code"] for answer in answers if answer["type"] == "error"} == {"version_conflict"}
    assert wires[0].session(session_id)["context"] == {"winner": won[0]}


def filling(size: int) -> Map:
    """A context of exactly `size` bytes as msgpack."""
    context = {"k": "x" * (size - len(pack({"k": "x" * 30_000})) + 30_000)}
    assert len(pack(context)) == size
    return context


def test_a_context_of_exactly_the_byte_limit_is_taken(user: Wire, session_id: str) -> None:
    context = filling(MAX_CONTEXT_BYTES)
    assert user.ok("session:context:update", session_id=session_id, context=context)["context"] == context


def test_a_context_above_the_byte_limit_is_refused_and_changes_nothing(user: Wire, session_id: str) -> None:
    error = user.refused(
        "session:context:update", session_id=session_id, context=filling(MAX_CONTEXT_BYTES + 1)
    )
    assert error["code"] == "context_too_large"
    assert names("max_context_bytes", error["details"])
    session = user.session(session_id)
    assert (session["context"], session["context_version"], session["seq"]) == ({}, 1, 1)


def test_the_limit_is_on_the_merged_context_not_on_the_patch(user: Wire, session_id: str) -> None:
    user.ok("session:context:update", session_id=session_id, context={"first": "x" * 20_000})
    too_much = {"second": "x" * 20_000}
    error = user.refused("session:context:update", session_id=session_id, context=too_much)
    assert error["code"] == "context_too_large"
    reply = user.ok("session:context:update", session_id=session_id, context={**too_much, "first": None})
    assert reply["context"] == too_much


def test_the_hundredth_key_is_taken_and_the_next_refused(user: Wire, session_id: str) -> None:
    keys: Map = {f"key {number}": number for number in range(MAX_CONTEXT_KEYS)}
    user.ok("session:context:update", session_id=session_id, context=keys)
    error = user.refused("session:context:update", session_id=session_id, context={"one more": 1})
    assert error["code"] == "context_too_large"
    assert names("max_context_keys", error["details"])
    assert user.session(session_id)["context"] == keys
    user.ok("session:context:update", session_id=session_id, context={"one more": 1, "key 0": None})


def test_keys_below_the_top_are_not_counted(user: Wire, session_id: str) -> None:
    nested = {"all": {f"key {number}": number for number in range(MAX_CONTEXT_KEYS * 2)}}
    assert user.ok("session:context:update", session_id=session_id, context=nested)["context"] == nested


def names(limit: str, details: Map) -> bool:
    """Whether the details of an error name that limit."""
    return limit in details or limit in details.values()


TOO_LARGE: Map = {f"key {number}": number for number in range(MAX_CONTEXT_KEYS + 1)}


def test_a_session_whose_first_context_is_too_large_is_not_made(
    user: Wire, service: Wire, user_id: str
) -> None:
    person = {"user_id": user_id}
    for kind, payload in (("session:create", {}), ("message:send", {"text": "x"})):
        error = user.refused(kind, user=person, context=TOO_LARGE, **payload)
        assert error["code"] == "context_too_large"
    assert service.ok("session:list", user_id=user_id)["sessions"] == []


def test_a_message_whose_context_is_too_large_is_not_stored(user: Wire, session_id: str) -> None:
    error = user.refused("message:send", session_id=session_id, text="x", context=TOO_LARGE)
    assert error["code"] == "context_too_large"
    assert user.session(session_id)["seq"] == 1


@pytest.mark.parametrize("key", ["user.", "user.app.x", "app.motd", "app."])
def test_top_level_keys_that_no_scope_takes_are_refused(
    user: Wire, service: Wire, session_id: str, user_id: str, key: str
) -> None:
    other: dict[str, Any] = {"user": {"user_id": f"other-{user_id}"}, "context": {key: 1}}
    for kind, payload in (
        ("session:context:update", {"session_id": session_id, "context": {key: 1}}),
        ("message:send", {"session_id": session_id, "text": "x", "context": {key: 1}}),
        ("session:create", other),
        ("message:send", {**other, "text": "x"}),
    ):
        assert user.refused(kind, **payload)["code"] == "invalid_payload"
    assert user.session(session_id)["seq"] == 1
    assert service.ok("session:list", user_id=f"other-{user_id}")["sessions"] == []


@pytest.mark.parametrize("patch", [{"user": 1}, {"app": 1}, {"users.x": 1}, {"a": {"user.x": 1}}], ids=repr)
def test_other_keys_are_not_reserved(user: Wire, session_id: str, patch: Map) -> None:
    assert user.ok("session:context:update", session_id=session_id, context=patch)["context"] == patch


def test_context_with_a_message_is_two_events_the_context_first(user: Wire, session_id: str) -> None:
    reply = user.ok("message:send", session_id=session_id, text="x", context={"a": 1})
    update, message = user.history(session_id, after_seq=1)
    assert (update["type"], update["seq"]) == ("session:context:updated", 2)
    assert (update["patch"], update["context_version"]) == ({"a": 1}, 2)
    assert (message["type"], message["seq"]) == ("message:received", 3)
    assert reply["seq"] == 3, "the last event that the request made"
    assert user.session(session_id)["context"] == {"a": 1}


def test_context_with_a_first_message_is_in_the_new_session(user: Wire, user_id: str) -> None:
    reply = user.ok("message:send", user={"user_id": user_id}, text="x", context={"a": 1, "b": None})
    session = user.session(reply["session_id"])
    assert session["context"] == {"a": 1}
    assert session["seq"] == reply["seq"]
    assert user.history(reply["session_id"])[-1]["type"] == "message:received"
