"""Humans over the wire: handover, assignment, release, resolution, watching, and who may ask for what."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.integration.conftest import Connect, Launch
from tests.integration.wire import Map, Wire


@pytest.fixture
def queue() -> str:
    """A queue nobody else uses."""
    return f"queue-{uuid4().hex}"


def types(frames: list[Map]) -> list[str]:
    return [frame["type"] for frame in frames]


def test_a_conversation_goes_to_a_human_and_ends_there(
    user: Wire, agent: Wire, session_id: str, queue: str
) -> None:
    handed = user.ok("session:handover", session_id=session_id, queue=queue, note="a refund")
    assert {key: handed[key] for key in ("type", "handling", "queue", "seq")} == {
        "type": "session:handed_over",
        "handling": "queued",
        "queue": queue,
        "seq": 2,
    }
    assigned = agent.ok("session:assign", session_id=session_id)
    assert (assigned["type"], assigned["assignee"], assigned["seq"]) == ("session:assigned", "bob", 3)
    agent.ok("message:send", session_id=session_id, text="Good day!")
    released = agent.ok("session:release", session_id=session_id)
    assert (released["type"], released["seq"]) == ("session:released", 5)
    assert agent.session(session_id)["handling"] == "ai"
    closed = agent.ok("session:resolve", session_id=session_id)
    assert (closed["type"], closed["reason"]) == ("session:closed", "resolved_by_human")
    pushed = user.pushed(session_id)
    assert types(pushed) == ["session:assigned", "message:received", "session:released", "session:closed"]
    assert [event["seq"] for event in pushed] == [3, 4, 5, 6]
    assert pushed[0]["by"] == {"role": "agent", "id": "bob"}


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("session:assign", {"assignee": "bob"}),
        ("session:release", {}),
        ("session:resolve", {}),
        ("watch", {}),
    ],
)
def test_a_user_may_ask_for_a_human_and_for_nothing_else(
    user: Wire, session_id: str, kind: str, payload: Map
) -> None:
    assert user.refused(kind, session_id=session_id, **payload)["code"] == "forbidden"
    assert user.session(session_id)["seq"] == 1


def test_of_two_humans_who_take_a_session_one_is_told_who_has_it(
    connect: Connect, user: Wire, session_id: str, queue: str
) -> None:
    user.ok("session:handover", session_id=session_id, queue=queue)
    both = {name: connect("agent", name) for name in ("bob", "eve")}
    asked = {name: wire.send("session:assign", session_id=session_id) for name, wire in both.items()}
    replies = {name: wire.reply(asked[name]) for name, wire in both.items()}
    (winner,) = [name for name, reply in replies.items() if reply["type"] == "session:assigned"]
    (loser,) = set(both) - {winner}
    assert replies[loser]["code"] == "illegal_state"
    assert replies[loser]["details"] == {"status": "active", "handling": "human", "assignee": winner}
    assert types(user.pushed(session_id)) == ["session:assigned"]


def test_the_same_again_is_the_same_answer_without_an_event(agent: Wire, session_id: str, queue: str) -> None:
    for kind, payload in (("session:handover", {"queue": queue}), ("session:assign", {})):
        first = agent.ok(kind, session_id=session_id, **payload)
        again = agent.ok(kind, session_id=session_id, **payload)
        assert {**again, "reply_to": 0} == {**first, "reply_to": 0}
    assert agent.session(session_id)["seq"] == 3


def test_a_message_of_an_agent_takes_a_queued_session(
    user: Wire, agent: Wire, session_id: str, queue: str
) -> None:
    user.ok("session:handover", session_id=session_id, queue=queue)
    assert agent.ok("message:send", session_id=session_id, text="Good day!")["seq"] == 4
    assert types(user.pushed(session_id)) == ["session:assigned", "message:received"]
    assert user.session(session_id)["assignee"] == "bob"


def test_an_assignment_needs_somebody(connect: Connect, service: Wire, session_id: str) -> None:
    error = connect("agent").refused("session:assign", session_id=session_id)
    assert (error["code"], error["details"]["key"]) == ("invalid_payload", "assignee")
    assert service.ok("session:assign", session_id=session_id)["assignee"] == "backend"


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("session:handover", "queue", 7),
        ("session:handover", "note", ["x"]),
        ("session:assign", "assignee", ""),
        ("session:assign", "assignee", 1.5),
        ("watch", "queues", "sales"),
        ("watch", "queues", [1]),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(
    agent: Wire, session_id: str, kind: str, key: str, value: Any
) -> None:
    error = agent.refused(kind, session_id=session_id, **{key: value})
    assert error["code"] == "invalid_payload"
    assert error["details"]["key"].split(".")[0] == key
    assert agent.session(session_id)["seq"] == 1


@pytest.mark.parametrize("kind", ["session:handover", "session:assign", "session:release"])
def test_a_closed_session_changes_no_hands(agent: Wire, session_id: str, kind: str) -> None:
    agent.ok("session:close", session_id=session_id)
    assert agent.refused(kind, session_id=session_id)["code"] == "session_closed"


# -- watching ------------------------------------------------------------------------------------------


def test_a_watcher_sees_what_waits_and_then_what_happens_there_without_attaching(
    connect: Connect, user: Wire, queue: str
) -> None:
    first, second = user.create(), user.create()
    user.ok("session:handover", session_id=first, queue=queue)
    watcher = connect("agent", "eve")
    watching = watcher.ok("watch", queues=[queue])
    assert watching["type"] == "watching"
    assert [(each["session_id"], each["queue"]) for each in watching["waiting"]] == [(first, queue)]
    user.ok("session:handover", session_id=second, queue=queue)
    event = watcher.push("session:handed_over")
    assert (event["session_id"], event["queue"], event["seq"]) == (second, queue, 2)
    connect("agent", "bob").ok("session:assign", session_id=first)
    assert watcher.push("session:assigned")["assignee"] == "bob"
    user.ok("message:send", session_id=first, text="Hello?")
    user.ok("session:close", session_id=first)
    assert watcher.push("session:closed")["session_id"] == first
    user.ok("session:reopen", session_id=first)
    assert watcher.push("session:reopened")["session_id"] == first


def test_who_watches_and_is_attached_is_told_once(
    agent: Wire, user: Wire, session_id: str, queue: str
) -> None:
    agent.ok("watch")
    agent.ok("session:resume", session_id=session_id)
    user.ok("session:handover", session_id=session_id, queue=queue)
    assert types(agent.pushed(session_id)) == ["session:handed_over"]


def test_who_caused_an_event_gets_the_reply_and_not_the_push(
    agent: Wire, session_id: str, queue: str
) -> None:
    agent.ok("watch", queues=[queue])
    agent.ok("session:handover", session_id=session_id, queue=queue)
    agent.ok("session:assign", session_id=session_id)
    assert agent.pushed(session_id) == []


def test_a_watch_of_no_queue_hears_nothing(agent: Wire, user: Wire, session_id: str, queue: str) -> None:
    agent.ok("watch", queues=[queue])
    assert agent.ok("watch", queues=[])["waiting"] == []
    user.ok("session:handover", session_id=session_id, queue=queue)
    assert agent.pushed(session_id) == []


def test_a_queue_is_listed(user: Wire, service: Wire, session_id: str, queue: str) -> None:
    user.ok("session:handover", session_id=session_id, queue=queue)
    page = service.ok("session:list", queue=queue, handling="queued")
    assert [each["session_id"] for each in page["sessions"]] == [session_id]


# -- settings ------------------------------------------------------------------------------------------


def test_a_human_whose_connection_is_lost_loses_the_session_to_its_queue(launch: Launch) -> None:
    server = launch(environment={"SOJOURN_HUMAN_TIMEOUT": "0.3"})
    with server.connect("user") as user, server.connect("service", "backend") as service:
        session_id = user.create()
        service.ok("watch")
        with server.connect("agent", "bob") as bob:
            bob.ok("session:assign", session_id=session_id)
            bob.ok("message:send", session_id=session_id, text="Good day!")
            assert service.push("session:assigned")["assignee"] == "bob"
        event = service.push("session:handed_over")
        assert (event["session_id"], event["by"]["role"]) == (session_id, "system")
        assert service.session(session_id)["handling"] == "queued"


def test_a_human_holds_as_many_sessions_as_the_setting_says(launch: Launch) -> None:
    server = launch(environment={"SOJOURN_MAX_HELD": "1"})
    with server.connect("agent", "bob") as bob:
        first, second = bob.create(), bob.create()
        bob.ok("session:assign", session_id=first)
        error = bob.refused("session:assign", session_id=second)
        assert error["code"] == "too_many_sessions"
        assert error["details"] == {"limit": "max_held", "max": 1, "assignee": "bob"}


def test_after_a_reopening_its_human_has_it_again_only_while_they_are_there(connect: Connect) -> None:
    user = connect()
    session_id = user.create()
    with connect("agent", "joan-of-this-test") as joan:
        joan.ok("session:assign", session_id=session_id)
        joan.ok("session:resolve", session_id=session_id)
        assert user.ok("message:send", session_id=session_id, text="one more thing")["reopened"]
        assert user.session(session_id)["assignee"] == "joan-of-this-test"
        joan.ok("session:resolve", session_id=session_id)
        joan.half_close()
        joan.ended()
    user.ok("session:reopen", session_id=session_id)
    found = user.session(session_id)
    assert (found["handling"], found["assignee"]) == ("ai", None)
