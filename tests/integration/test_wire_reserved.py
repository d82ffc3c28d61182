"""Context keys that begin with `_` are not for users to write: a dialog's position, a question that waits."""

from __future__ import annotations

import pytest

from tests.integration.conftest import Connect
from tests.integration.wire import Map, Wire

RESERVED = [{"_dialog": {"node": "paid"}}, {"a": 1, "_ask": None}, {"_": 1}]


@pytest.mark.parametrize("context", RESERVED)
def test_a_user_writes_no_reserved_key_on_any_way(user: Wire, session_id: str, context: Map) -> None:
    key = f"context.{next(name for name in context if name.startswith('_'))}"
    for kind, payload in (
        ("session:create", {}),
        ("session:context:update", {"session_id": session_id}),
        ("message:send", {"session_id": session_id, "text": "x"}),
        ("message:send", {"user": {"user_id": "reserved"}, "text": "x"}),
    ):
        error = user.refused(kind, context=context, **payload)
        assert (error["code"], error["details"]["key"]) == ("invalid_payload", key)
    assert len(user.history(session_id)) == 1


def test_inner_keys_and_those_of_the_users_scope_are_not_reserved(user: Wire, session_id: str) -> None:
    patch = {"a": {"_b": 1}, "user._c": 2}
    shown = user.ok("session:context:update", session_id=session_id, context=patch)["context"]
    assert shown == patch


@pytest.mark.parametrize("role", ["agent", "service"])
def test_agents_and_services_write_them_and_users_read_them(
    connect: Connect, user: Wire, session_id: str, role: str
) -> None:
    other = connect(role, "bob")
    other.ok("session:context:update", session_id=session_id, context={"_dialog": {"node": "begin"}})
    assert user.session(session_id)["context"] == {"_dialog": {"node": "begin"}}
