"""What an operator sets and a client sees: maxima, sensitive keys; and what nobody sees: passivation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.conftest import Connect
from tests.integration.server_process import ServerProcess
from tests.integration.wire import Wire

SECRET = "hunter2-hunter2"
ENVIRONMENT = {
    "SOJOURN_MAXIMA__KEEP_ALIVE": "600",
    "SOJOURN_SENSITIVE_KEYS": "*password*",
    "SOJOURN_MAX_LIVE": "2",
    "SOJOURN_PASSIVATE_AFTER": "0.05",
}


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with a maximum, a sensitive key, and hardly any room in memory."""
    folder = tmp_path_factory.mktemp("strict")
    with ServerProcess(folder, "--durability", "relaxed", environment=ENVIRONMENT) as process:
        yield process
        assert process.stop() == 0
        assert not process.complaints()
        assert SECRET not in process.log.read_text()


@pytest.fixture
def wire(connect: Connect, strict: ServerProcess) -> Wire:
    """A backend's connection to that server."""
    return connect("service", server=strict)


def test_welcome_names_the_maxima_that_are_set(connect: Connect, strict: ServerProcess) -> None:
    limits = connect(server=strict).ok("hello", protocol=1)["limits"]
    assert limits["max_timeouts"]["keep_alive"] == 600


@pytest.mark.parametrize("bad", [600.5, 1e9, None])
def test_above_the_maximum_and_never_are_refused(wire: Wire, user_id: str, bad: float | None) -> None:
    error = wire.refused("session:create", user={"user_id": user_id}, timeouts={"keep_alive": bad})
    assert error["code"] == "invalid_payload"
    assert error["details"]["key"] == "timeouts.keep_alive"
    assert wire.ok("session:list", user_id=user_id)["sessions"] == []


def test_the_maximum_itself_is_taken_and_other_timeouts_have_none(wire: Wire) -> None:
    timeouts = {"keep_alive": 600, "session_timeout": 1e9, "max_lifetime": None}
    session = wire.ok("session:create", timeouts=timeouts)["session"]
    assert timeouts.items() <= session["timeouts"].items()


def test_a_sensitive_value_reads_as_stars_in_every_echo_and_event(
    connect: Connect, strict: ServerProcess, wire: Wire
) -> None:
    listener = connect(server=strict)
    created = wire.ok("session:create", context={"old_password": SECRET, "a": 1})
    session_id = created["session_id"]
    listener.ok("session:resume", session_id=session_id)
    updated = wire.ok("session:context:update", session_id=session_id, context={"password": SECRET})
    wire.ok("message:send", session_id=session_id, text="x", context={"password2": SECRET})
    assert updated["context"] == {"old_password": "***", "password": "***", "a": 1}
    shown: list[Any] = [
        created,
        updated,
        wire.session(session_id),
        wire.history(session_id),
        wire.ok("session:list", limit=1000),
        wire.ok("session:resume", session_id=session_id, after_seq=0),
        listener.pushed(session_id),
    ]
    assert SECRET not in repr(shown)
    assert "***" in repr(shown[-1])


def test_stars_for_a_sensitive_key_are_refused_so_that_an_echo_cannot_overwrite_it(wire: Wire) -> None:
    session_id = wire.create(context={"password": SECRET})
    error = wire.refused("session:context:update", session_id=session_id, context={"password": "***"})
    assert error["code"] == "invalid_payload"
    assert wire.session(session_id)["context_version"] == 1
    reply = wire.ok("session:context:update", session_id=session_id, context={"other": "***"})
    assert reply["context"] == {"password": "***", "other": "***"}


def test_sessions_that_leave_memory_go_on_as_if_they_had_not(wire: Wire, user_id: str) -> None:
    people = [{"user_id": f"{user_id}-{number}"} for number in range(12)]
    made = [wire.create(user=person, context={"n": 0}) for person in people]
    for turn in range(1, 6):
        for person, session_id in zip(people, made, strict=True):
            sent: dict[str, Any] = {"message_id": f"m{turn}", "text": "x", "context": {"n": turn}}
            reply = wire.ok("message:send", user=person, **sent)
            assert (reply["session_id"], reply["seq"], reply["created"]) == (session_id, 1 + 2 * turn, False)
            assert wire.ok("message:send", session_id=session_id, **sent)["duplicate"]
    for session_id in made:
        session = wire.session(session_id)
        assert (session["context"], session["context_version"], session["seq"]) == ({"n": 5}, 6, 11)
        assert [event["seq"] for event in wire.history(session_id)] == list(range(1, 12))


def test_the_attached_hear_of_a_session_that_was_out_of_memory(
    connect: Connect, strict: ServerProcess, wire: Wire
) -> None:
    listener = connect(server=strict)
    session_id = listener.create()
    # The expiry of another session is the clock: by then this one has long been idle.
    wire.create(timeouts={"session_timeout": 0.3})
    wire.push("session:expired")
    wire.ok("message:send", session_id=session_id, text="are you there?")
    assert listener.push("message:received")["seq"] == 2
