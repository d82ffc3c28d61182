"""What backends and desks ask for: rating, tags, lists, erasure, and which role may ask what."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.conftest import Connect
from tests.integration.wire import Map, Wire


@pytest.mark.parametrize(
    ("role", "kind", "payload"),
    [
        ("agent", "session:rate", {"rating": 3}),
        ("user", "session:tag", {"add": ["a"]}),
        ("user", "session:remind", {"name": "later", "after": 60}),
        ("user", "session:list", {}),
        ("user", "session:erase", {}),
        ("agent", "session:erase", {}),
    ],
)
def test_what_a_role_may_not_send_is_forbidden(
    connect: Connect, user: Wire, session_id: str, role: str, kind: str, payload: Map
) -> None:
    target = {} if kind == "session:list" else {"session_id": session_id}
    assert connect(role).refused(kind, **target, **payload)["code"] == "forbidden"
    assert user.session(session_id)["seq"] == 1


@pytest.mark.parametrize("role", ["user", "agent", "service"])
def test_in_an_open_server_every_role_may_touch_any_session(
    connect: Connect, session_id: str, role: str
) -> None:
    wire = connect(role, "a stranger")
    for kind in ("session:get", "session:history", "session:resume", "session:close", "session:reopen"):
        assert wire.ok(kind, session_id=session_id)


# -- remind ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["agent", "service"])
def test_a_reminder_fires_at_its_instant_unless_the_user_speaks_before(
    connect: Connect, user: Wire, session_id: str, role: str
) -> None:
    wire = connect(role)
    later: Map = {"session_id": session_id, "name": "later", "data": {"n": 1}}
    reply = wire.ok("session:remind", **later, after=3600)
    assert (reply["type"], reply["name"], reply["seq"]) == ("session:reminder_set", "later", 2)
    event = wire.history(session_id)[-1]
    assert (event["type"], event["due_at"]) == ("reminder:set", reply["due_at"])
    assert reply["due_at"] == pytest.approx(event["at"] + 3600)
    user.ok("message:send", session_id=session_id, text="I am back")  # cancels it
    reply = wire.ok("session:remind", **later, after=0)
    set_again, fired = wire.history(session_id)[-2:]
    assert (set_again["type"], set_again["seq"]) == ("reminder:set", reply["seq"])
    assert (fired["type"], fired["name"], fired["data"]) == ("reminder:fired", "later", {"n": 1})
    assert fired["at"] == reply["due_at"]


@pytest.mark.parametrize(("key", "bad"), [("name", "x" * 201), ("after", 1e10)])
def test_a_reminder_too_long_a_name_or_too_far_away_is_refused(
    service: Wire, session_id: str, key: str, bad: Any
) -> None:
    later: Map = {"session_id": session_id, "name": "later", "after": 60, key: bad}
    error = service.refused("session:remind", **later)
    assert (error["code"], error["details"]["key"]) == ("invalid_payload", key)
    assert service.session(session_id)["seq"] == 1


# -- rate and tag ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rating", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("role", ["user", "service"])
def test_a_rating_is_an_event_of_the_history(
    connect: Connect, session_id: str, role: str, rating: int
) -> None:
    wire = connect(role)
    reply = wire.ok("session:rate", session_id=session_id, rating=rating, feedback="fine")
    assert (reply["type"], reply["seq"]) == ("session:rated", 2)
    event = wire.history(session_id)[-1]
    assert (event["type"], event["rating"], event["feedback"]) == ("session:rated", rating, "fine")


@pytest.mark.parametrize("rating", [0, 6, -1, 2.5, "5", True, None, [], float("nan")], ids=repr)
def test_a_rating_is_an_integer_from_one_to_five(user: Wire, session_id: str, rating: Any) -> None:
    error = user.refused("session:rate", session_id=session_id, rating=rating)
    assert error["code"] == "invalid_payload"
    assert error["details"]["key"] == "rating"
    assert user.session(session_id)["seq"] == 1


@pytest.mark.parametrize("role", ["agent", "service"])
def test_tags_are_added_and_removed(connect: Connect, session_id: str, role: str) -> None:
    wire = connect(role)
    reply = wire.ok("session:tag", session_id=session_id, add=["a", "b"])
    assert (reply["type"], sorted(reply["tags"]), reply["seq"]) == ("session:tagged", ["a", "b"], 2)
    reply = wire.ok("session:tag", session_id=session_id, add=["c"], remove=["a"])
    assert (sorted(reply["tags"]), reply["seq"]) == (["b", "c"], 3)
    assert wire.session(session_id)["tags"] == reply["tags"]
    event = wire.history(session_id)[-1]
    assert (event["type"], event["tags"]) == ("session:tagged", reply["tags"])


def test_a_tag_added_twice_is_there_once(service: Wire, session_id: str) -> None:
    service.ok("session:tag", session_id=session_id, add=["a"])
    assert service.ok("session:tag", session_id=session_id, add=["a", "a"], remove=["never there"])[
        "tags"
    ] == ["a"]


# -- list --------------------------------------------------------------------------------------------


def listed(wire: Wire, **filters: Any) -> list[str]:
    """The ids of all sessions that match, over all pages."""
    found: list[str] = []
    cursor: Any = None
    while True:
        page = wire.ok("session:list", cursor=cursor, **filters)
        assert page["type"] == "session:page"
        found += [session["session_id"] for session in page["sessions"]]
        cursor = page["cursor"]
        if cursor is None:
            return found


@pytest.fixture
def made(service: Wire, channel: str, user_id: str) -> list[str]:
    """Seven sessions of two users on a channel of their own, oldest first; the third is closed."""
    ids = [
        service.create(user={"user_id": f"{user_id}-{number % 2}"}, channel=channel) for number in range(7)
    ]
    service.ok("session:close", session_id=ids[2])
    return ids


@pytest.mark.parametrize("role", ["agent", "service"])
def test_a_list_is_newest_created_first(connect: Connect, channel: str, made: list[str], role: str) -> None:
    assert listed(connect(role), channel=channel) == made[::-1]


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 8, 1000])
def test_pages_follow_each_other_without_gap_or_repetition(
    service: Wire, channel: str, made: list[str], limit: int
) -> None:
    page = service.ok("session:list", channel=channel, limit=limit)
    assert len(page["sessions"]) == min(limit, 7)
    assert listed(service, channel=channel, limit=limit) == made[::-1]


def test_sessions_made_meanwhile_do_not_disturb_the_pages(
    service: Wire, channel: str, made: list[str]
) -> None:
    first = service.ok("session:list", channel=channel, limit=3)
    service.ok("session:create", channel=channel)
    rest = service.ok("session:list", channel=channel, cursor=first["cursor"])
    assert [session["session_id"] for session in first["sessions"] + rest["sessions"]] == made[::-1]


def test_a_list_holds_the_session_maps(service: Wire, channel: str, made: list[str]) -> None:
    page = service.ok("session:list", channel=channel)
    assert page["sessions"] == [service.session(session_id) for session_id in made[::-1]]


def test_filters_narrow_the_list(service: Wire, channel: str, user_id: str, made: list[str]) -> None:
    assert listed(service, channel=channel, status="closed") == [made[2]]
    assert listed(service, channel=channel, status="active") == [one for one in made[::-1] if one != made[2]]
    assert listed(service, channel=channel, status="expired") == []
    assert listed(service, user_id=f"{user_id}-1") == [made[5], made[3], made[1]]
    assert listed(service, user_id=f"{user_id}-0", status="active") == [made[6], made[4], made[0]]
    assert listed(service, channel=channel, handling="ai") == made[::-1]
    assert listed(service, channel=channel, handling="queued") == []
    assert listed(service, channel=channel, queue="complaints") == []
    assert listed(service, channel=f"no-{channel}") == []


def test_a_list_shows_what_was_committed_before(service: Wire, channel: str) -> None:
    for number in range(1, 20):
        session_id = service.create(channel=channel)
        assert listed(service, channel=channel)[0] == session_id
        assert len(listed(service, channel=channel)) == number


def test_an_expired_session_is_listed_as_expired(service: Wire, channel: str) -> None:
    session_id = service.create(channel=channel, timeouts={"session_timeout": 0.05})
    service.push("session:expired")
    assert listed(service, channel=channel, status="expired") == [session_id]
    assert listed(service, channel=channel, status="active") == []


@pytest.mark.parametrize("kind", ["session:list", "session:history"])
@pytest.mark.parametrize("limit", [1001, 2**63, -1, 1.5, "10", True], ids=repr)
def test_a_limit_out_of_range_is_an_invalid_payload(
    service: Wire, session_id: str, kind: str, limit: Any
) -> None:
    error = service.refused(kind, session_id=session_id, limit=limit)
    assert error["code"] == "invalid_payload"
    assert error["details"]["key"] == "limit"


# -- erase -------------------------------------------------------------------------------------------


def test_an_erased_session_is_gone_with_its_events(
    user: Wire, service: Wire, session_id: str, user_id: str
) -> None:
    user.ok("message:send", session_id=session_id, text="forget me")
    reply = service.ok("session:erase", session_id=session_id)
    assert (reply["type"], reply["sessions"], reply["events"]) == ("session:erased", 1, 2)
    for wire in (user, service):
        for kind in ("session:get", "session:history", "session:resume"):
            assert wire.refused(kind, session_id=session_id)["code"] == "session_not_found"
        assert wire.refused("message:send", session_id=session_id, text="x")["code"] == "session_not_found"
    assert listed(service, user_id=user_id) == []


def test_erasing_a_person_erases_all_their_sessions(service: Wire, user_id: str) -> None:
    person, neighbour = {"user_id": user_id}, {"user_id": f"{user_id}-2"}
    open_one = service.create(user=person)
    closed = service.create(user=person, channel="sms")
    service.ok("session:close", session_id=closed)
    service.ok("session:create", user=person, timeouts={"session_timeout": 0.05})
    service.push("session:expired")
    kept = service.create(user=neighbour)
    reply = service.ok("session:erase", user_id=user_id)
    assert (reply["sessions"], reply["events"]) == (3, 1 + 2 + 2)
    assert service.refused("session:get", session_id=open_one)["code"] == "session_not_found"
    assert listed(service, user_id=user_id) == []
    assert service.session(kept)["status"] == "active"


def test_an_expired_session_can_be_erased(service: Wire, user_id: str) -> None:
    session_id = service.create(user={"user_id": user_id}, timeouts={"session_timeout": 0.05})
    service.push("session:expired")
    assert service.ok("session:erase", session_id=session_id)["events"] == 2
    assert service.refused("session:get", session_id=session_id)["code"] == "session_not_found"


def test_the_attached_are_told_of_an_erasure(user: Wire, service: Wire, session_id: str) -> None:
    service.ok("session:erase", session_id=session_id)
    event = user.push("session:expired")
    assert (event["session_id"], event["reason"]) == (session_id, "erased")


def test_erasing_what_never_existed_is_not_found(service: Wire) -> None:
    assert service.refused("session:erase", session_id="nobody")["code"] == "session_not_found"


def test_erasing_nobody_is_an_invalid_payload(service: Wire) -> None:
    assert service.refused("session:erase")["code"] == "invalid_payload"


def test_after_erasure_the_same_person_starts_anew(user: Wire, service: Wire, user_id: str) -> None:
    first = user.ok("message:send", user={"user_id": user_id}, message_id="m", text="x")
    service.ok("session:erase", user_id=user_id)
    again = user.ok("message:send", user={"user_id": user_id}, message_id="m", text="x")
    assert (again["created"], again["duplicate"]) == (True, False)
    assert again["session_id"] != first["session_id"]
