"""Context in three scopes over the wire: `user.` keys, the merged view, the user's version, erasure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Connect, Launch
from tests.integration.wire import Map, Wire


def whole(wire: Wire, session_id: str) -> Map:
    """The reply to `session:get` with all scopes."""
    return wire.ok("session:get", session_id=session_id, scopes=True)


def test_a_users_keys_are_written_in_one_session_and_read_in_another(user: Wire, user_id: str) -> None:
    first = user.create(user={"user_id": user_id}, context={"topic": "order"})
    second = user.create(user={"user_id": user_id}, channel="web")
    reply = user.ok("session:context:update", session_id=first, context={"user.language": "de", "n": 1})
    assert reply["context"] == {"topic": "order", "n": 1, "user.language": "de"}
    assert (reply["context_version"], reply["user_version"], reply["seq"]) == (2, 2, 2)
    assert user.session(first)["context"] == {"topic": "order", "n": 1}
    assert user.history(first)[-1]["patch"] == {"user.language": "de", "n": 1}
    shown = whole(user, second)
    assert (shown["context"], shown["user_version"]) == ({"user.language": "de"}, 2)
    assert shown["session"]["context"] == {}


def test_replies_without_the_users_scope_are_what_they_were(user: Wire, session_id: str) -> None:
    reply = user.ok("session:context:update", session_id=session_id, context={"a": 1})
    assert "user_version" not in reply
    assert set(user.ok("session:get", session_id=session_id)) == {
        "type",
        "reply_to",
        "session_id",
        "session",
    }
    assert "context" not in user.ok("session:get", session_id=session_id, scopes=False)


def test_a_message_may_write_to_the_user(user: Wire, user_id: str) -> None:
    person = {"user_id": user_id}
    first = user.ok("message:send", user=person, text="hello", context={"user.name": "Ada", "own": 1})
    assert (first["created"], first["seq"]) == (True, 3)
    assert whole(user, first["session_id"])["context"] == {"own": 1, "user.name": "Ada"}


def test_attached_others_are_told_of_the_users_keys_in_the_patch(
    connect: Connect, user: Wire, session_id: str
) -> None:
    desk = connect("agent", "bob")
    desk.ok("session:resume", session_id=session_id)
    user.ok("session:context:update", session_id=session_id, context={"user.mood": "calm"})
    pushed = desk.push()
    assert (pushed["type"], pushed["patch"]) == ("session:context:updated", {"user.mood": "calm"})


@pytest.mark.parametrize("expected", [0, 1, 3, 2**63])
def test_another_version_of_the_user_is_a_conflict_that_changes_nothing(
    user: Wire, session_id: str, expected: int
) -> None:
    patch: Map = {"user.a": 1}
    user.ok("session:context:update", session_id=session_id, context=patch, expected_user_version=1)
    error = user.refused(
        "session:context:update",
        session_id=session_id,
        context={"user.a": 2, "b": 1},
        expected_user_version=expected,
    )
    assert error["code"] == "version_conflict"
    assert error["details"] == {"user_version": 2}
    shown = whole(user, session_id)
    assert (shown["context"], shown["user_version"], shown["session"]["seq"]) == ({"user.a": 1}, 2, 2)


def test_of_many_sessions_that_expect_the_same_version_exactly_one_wins(
    connect: Connect, user: Wire, user_id: str
) -> None:
    wires = [connect() for _ in range(6)]
    sessions = [
        wire.create(user={"user_id": user_id}, channel=f"c{number}") for number, wire in enumerate(wires)
    ]
    sent = [
        (
            wire,
            wire.send(
                "session:context:update",
                session_id=session_id,
                context={"user.winner": number},
                expected_user_version=1,
            ),
        )
        for number, (wire, session_id) in enumerate(zip(wires, sessions, strict=True))
    ]
    answers = [wire.reply(request_id) for wire, request_id in sent]
    won = [number for number, answer in enumerate(answers) if answer["type"] != "error"]
    assert len(won) == 1
    assert {answer["code"] for answer in answers if answer["type"] == "error"} == {"version_conflict"}
    assert whole(user, sessions[0])["context"] == {"user.winner": won[0]}


BAD: list[tuple[str, Any]] = [
    ("expected_user_version", -1),
    ("expected_user_version", "1"),
    ("expected_user_version", True),
]


@pytest.mark.parametrize(("key", "value"), BAD, ids=repr)
def test_a_version_that_is_none_is_refused(user: Wire, session_id: str, key: str, value: Any) -> None:
    error = user.refused(
        "session:context:update", session_id=session_id, context={"user.a": 1}, **{key: value}
    )
    assert (error["code"], error["details"]["key"]) == ("invalid_payload", key)
    assert user.refused("session:get", session_id=session_id, scopes=1)["code"] == "invalid_payload"


def test_a_session_without_user_has_only_its_own_scope(user: Wire) -> None:
    session_id = user.create(context={"a": 1})
    error = user.refused("session:context:update", session_id=session_id, context={"user.a": 1})
    assert error["code"] == "invalid_payload"
    shown = whole(user, session_id)
    assert (shown["context"], shown["user_version"]) == ({"a": 1}, None)


def test_erasing_a_person_takes_what_was_kept_of_the_person(user: Wire, service: Wire, user_id: str) -> None:
    session_id = user.create(user={"user_id": user_id})
    user.ok("session:context:update", session_id=session_id, context={"user.secret": "sesame"})
    assert service.ok("session:erase", user_id=user_id)["sessions"] == 1
    shown = whole(user, user.create(user={"user_id": user_id}))
    assert (shown["context"], shown["user_version"]) == ({}, 1)


def test_the_operators_scope_is_read_by_agents_and_services_and_written_by_nobody(
    connect: Connect, launch: Launch, tmp_path: Path
) -> None:
    settings = tmp_path / "sojourn.toml"
    settings.write_text(
        'sensitive_keys = ["pin"]\n[app]\nname = "Shop"\npin = "1234"\n[app.hours]\nfrom = 9\n'
    )
    server = launch("--settings", str(settings))
    wires = [
        connect(server=server),
        connect("agent", "bob", server=server),
        connect("service", server=server),
    ]
    session_id = wires[0].create(user={"user_id": "ada"})
    app = {"app.name": "Shop", "app.pin": "***", "app.hours": {"from": 9}}
    assert [whole(wire, session_id)["context"] for wire in wires] == [{}, app, app]
    for wire in wires:
        for kind, payload in (("session:context:update", {}), ("message:send", {"text": "x"})):
            error = wire.refused(kind, session_id=session_id, context={"app.name": "Mine"}, **payload)
            assert (error["code"], error["details"]["key"]) == ("invalid_payload", "context.app.name")
            assert "read-only" in error["message"]


def test_the_users_scope_survives_the_servers_restart(connect: Connect, launch: Launch) -> None:
    first = launch()
    wire = connect(server=first)
    session_id = wire.create(user={"user_id": "ada"})
    wire.ok("session:context:update", session_id=session_id, context={"user.language": "de"})
    first.stop()
    again = connect(server=launch(folder=first.path.parent))
    shown = whole(again, again.create(user={"user_id": "ada"}, channel="web"))
    assert (shown["context"], shown["user_version"]) == ({"user.language": "de"}, 2)
