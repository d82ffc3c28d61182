"""The wire's requests over HTTP: the same answers, the same errors, each under its status."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.actors import RuntimeConfig
from sojourn.gateway.errors import ERROR_CODES
from sojourn.gateway.web.answers import STATUS
from sojourn.storage.erasure import digest_of
from tests.gateway.http_house import HttpHouse

Map = dict[str, Any]
ADA: Map = {"user_id": "ada"}


@pytest.fixture(scope="module")
def house() -> Iterator[HttpHouse]:
    with HttpHouse(config=RuntimeConfig(max_context_keys=5)) as house:
        yield house


def test_a_session_lives_and_ends_over_http(house: HttpHouse) -> None:
    made = house.ask("POST", "/v1/sessions", {"user": ADA, "channel": "chat", "context": {"step": 1}})
    assert made.status_code == 201
    session_id: str = made.json()["session_id"]
    path = made.headers["location"]
    assert path == f"/v1/sessions/{session_id}"
    assert made.json()["resume_token"]

    sent = house.say(session_id, "Where is my order?")
    assert (sent["seq"], sent["duplicate"], sent["created"]) == (2, False, False)
    assert house.ok("POST", f"{path}/handover", {"queue": "orders"})["handling"] == "queued"
    assert house.ok("GET", "/v1/desk?queue=orders")["waiting"][0]["session_id"] == session_id
    assert house.ok("GET", "/v1/desk?queue=others") == {"waiting": []}
    assigned = house.ok("POST", f"{path}/assign", Sojourn_Role="agent", Sojourn_Identity="bob")
    assert assigned["assignee"] == "bob"
    assert house.ok("POST", f"{path}/messages", {"text": "On its way."}, Sojourn_Role="agent")["seq"] == 5
    assert house.ok("POST", f"{path}/tags", {"add": ["order"]})["tags"] == ["order"]
    assert house.ok("POST", f"{path}/compose", {"action": "start"}) == {"session_id": session_id}
    assert house.ok("POST", f"{path}/read", {"read_seq": 5}) == {"session_id": session_id}
    assert house.ok("POST", f"{path}/resolve")["reason"] == "resolved_by_human"
    assert house.ok("POST", f"{path}/rate", {"rating": 5})["seq"] == 8
    assert house.ok("POST", f"{path}/reopen")["session"]["status"] == "active"
    assert house.ok("POST", f"{path}/release")["seq"] == 9  # bob is not there: the AI has it already
    assert house.ok("POST", f"{path}/close", {"reason": "done"})["reason"] == "done"

    history = house.ok("GET", f"{path}/history?after_seq=1&limit=2")
    assert [event["seq"] for event in history["events"]] == [2, 3]
    assert history["more"] is True
    why = house.ok("GET", f"{path}/why")["why"]
    assert why["status"] == "closed"
    assert house.ok("GET", path)["session"]["seq"] == 10
    erased = house.ok("DELETE", path)
    assert (erased["sessions"], erased["receipt"]["subject"]) == (1, "session")
    assert house.refused("GET", path, status=404)["code"] == "session_not_found"


def test_sessions_made_here_have_the_channel_http_unless_they_name_one(house: HttpHouse) -> None:
    assert house.ok("POST", "/v1/sessions", {}, 201)["session"]["channel"] == "http"
    by_message = house.ok("POST", "/v1/messages", {"user": {"user_id": "channels"}, "text": "hi"})
    assert by_message["created"] is True
    session = house.ok("GET", f"/v1/sessions/{by_message['session_id']}")["session"]
    assert session["channel"] == "http"


def test_list_filters_and_pages(house: HttpHouse) -> None:
    made = [house.create(user={"user_id": "list"}, channel="listed") for _ in range(3)]
    first = house.ok("GET", "/v1/sessions?channel=listed&limit=2")
    assert [each["session_id"] for each in first["sessions"]] == [made[2], made[1]]
    rest = house.ok("GET", f"/v1/sessions?channel=listed&limit=2&cursor={first['cursor']}")
    assert [each["session_id"] for each in rest["sessions"]] == [made[0]]
    assert rest["cursor"] is None
    assert house.ok("GET", "/v1/sessions?channel=listed&status=closed")["sessions"] == []


def test_erasing_a_person_erases_all_their_sessions(house: HttpHouse) -> None:
    user_id = "a/b?c d"  # an address has to be written for it, and read back
    for _ in range(2):
        house.create(user={"user_id": user_id}, channel="erased")
    erased = house.ok("DELETE", "/v1/users/a%2Fb%3Fc%20d")
    assert erased["sessions"] == 2
    receipt = erased["receipt"]
    assert (receipt["subject"], receipt["sessions"], receipt["events"]) == ("user", 2, erased["events"])
    assert receipt["digest"] == digest_of(receipt["erasure_id"], user_id)
    assert user_id not in str(erased)
    assert house.ok("GET", "/v1/sessions?channel=erased")["sessions"] == []


# -- once ----------------------------------------------------------------------------------------------------


def test_idempotency_key_is_the_message_id(house: HttpHouse) -> None:
    session_id = house.create(user=ADA)
    first = house.say(session_id, "once", Idempotency_Key="k-1")
    again = house.say(session_id, "once", Idempotency_Key='"k-1"')  # as the draft standard writes it
    assert first["message_id"] == "k-1"
    assert again == {**first, "duplicate": True}


def test_idempotency_key_of_a_creation_is_its_request_key(house: HttpHouse) -> None:
    first = house.ok("POST", "/v1/sessions", {}, 201, Idempotency_Key="make-one")
    again = house.ok("POST", "/v1/sessions", {}, 201, Idempotency_Key="make-one")
    assert again["session_id"] == first["session_id"]


def test_a_fork_has_the_state_as_of_an_event_and_is_made_once(house: HttpHouse) -> None:
    source = house.create(user={"user_id": "ada"}, context={"plan": 1})
    house.say(source, "Hello")
    house.ok("PATCH", f"/v1/sessions/{source}/context", {"plan": 2})
    path = f"/v1/sessions/{source}/fork"
    first, again = (house.ok("POST", path, {"at_seq": 2}, Idempotency_Key="f1") for _ in range(2))
    assert first["session_id"] == again["session_id"] != source
    assert (first["session"]["context"], first["session"]["seq"]) == ({"plan": 1}, 2)
    assert first["resume_token"]
    newest = house.ok("POST", path)
    assert newest["session"]["context"] == {"plan": 2}
    events = house.ok("GET", f"/v1/sessions/{newest['session_id']}/history")["events"]
    assert events[0]["forked_from"] == {"session_id": source, "seq": 3}


@pytest.mark.parametrize("at_seq", [0, -1, 2, 2**64 - 1, 1.5, "1", True, []])
def test_a_fork_of_what_is_no_place_is_refused(house: HttpHouse, at_seq: Any) -> None:
    error = house.refused("POST", f"/v1/sessions/{house.create()}/fork", {"at_seq": at_seq})
    assert (error["code"], error["details"]["key"]) == ("invalid_payload", "at_seq")


def test_only_staff_forks_and_only_what_is_there(house: HttpHouse) -> None:
    path = f"/v1/sessions/{house.create()}/fork"
    assert house.refused("POST", path, {}, 403, Sojourn_Role="user")["code"] == "forbidden"
    assert house.refused("POST", "/v1/sessions/nobody/fork", {}, 404)["code"] == "session_not_found"


def test_a_reminder_fires_at_its_instant(house: HttpHouse) -> None:
    session_id = house.create()
    path = f"/v1/sessions/{session_id}/reminders"
    told = house.ok("POST", path, {"name": "call", "after": 60, "data": {"n": 1}})
    assert (told["name"], told["due_at"]) == ("call", house.clock.now() + 60)
    with house.events(session_id) as events:
        house.do(house.clock.advance(60.0))
        fired = events.next("reminder:fired").data
    assert (fired["name"], fired["data"], fired["at"]) == ("call", {"n": 1}, told["due_at"])


@pytest.mark.parametrize(
    ("body", "key"),
    [({"after": 60}, "name"), ({"name": "x"}, "after"), ({"name": "x", "after": -1}, "after")],
)
def test_a_reminder_that_is_wrong_is_refused(house: HttpHouse, body: Map, key: str) -> None:
    error = house.refused("POST", f"/v1/sessions/{house.create()}/reminders", body)
    assert (error["code"], error["details"]["key"]) == ("invalid_payload", key)


def test_idempotency_key_that_contradicts_the_body_is_refused(house: HttpHouse) -> None:
    session_id = house.create()
    error = house.refused(
        "POST", f"/v1/sessions/{session_id}/messages", {"text": "x", "message_id": "a"}, Idempotency_Key="b"
    )
    assert error["details"]["key"] == "Idempotency-Key"


# -- context -------------------------------------------------------------------------------------------------


def test_if_match_is_the_expected_version(house: HttpHouse) -> None:
    path = f"/v1/sessions/{house.create(context={'a': 1})}/context"
    read = house.ask("GET", path)
    assert (read.json()["context"], read.headers["etag"]) == ({"a": 1}, '"1"')
    patched = house.ask("PATCH", path, {"a": None, "b": 2}, If_Match='"1"')
    assert (patched.json()["context"], patched.headers["etag"]) == ({"b": 2}, '"2"')
    error = house.refused("PATCH", path, {"b": 3}, 409, If_Match='"1"')
    assert (error["code"], error["details"]["context_version"]) == ("version_conflict", 2)
    assert house.ok("PATCH", path, {"b": 4}, If_Match="*")["context_version"] == 3
    assert house.ask("GET", path, If_None_Match='"3"').status_code == 304
    assert house.ask("GET", path, If_None_Match='"2"').status_code == 200


@pytest.mark.parametrize("value", ["1", 'W/"1"', '"one"', '"1", "2"', '"-1"'])
def test_if_match_that_is_no_version_is_refused(house: HttpHouse, value: str) -> None:
    path = f"/v1/sessions/{house.create()}/context"
    assert house.refused("PATCH", path, {"a": 1}, If_Match=value)["details"]["key"] == "If-Match"


def test_a_patch_may_hold_keys_that_are_names_elsewhere(house: HttpHouse) -> None:
    path = f"/v1/sessions/{house.create()}/context"
    assert house.ok("PATCH", path, {"type": "x", "id": {}, "session_id": 1})["context"]["type"] == "x"


# -- refusals ------------------------------------------------------------------------------------------------


def test_every_code_of_the_wire_has_a_status() -> None:
    assert set(ERROR_CODES) <= set(STATUS)


@pytest.mark.parametrize(
    ("path", "body", "key"),
    [
        ("/v1/sessions", {"tags": "one"}, "tags"),
        ("/v1/sessions", {"timeouts": {"keep_alive": -1}}, "timeouts.keep_alive"),
        ("/v1/sessions", {"user": {"user_id": ""}}, "user.user_id"),
        ("/v1/messages", {"text": "to nobody"}, "session_id"),
        ("/v1/messages", {"user": ADA}, "text"),
        ("/v1/broadcasts", {"text": "to nobody"}, "users"),
        ("/v1/sessions?limit=x", None, "limit"),
        ("/v1/sessions?limit=0", None, "limit"),
        ("/v1/sessions?limit=99999999999999999999999999", None, "limit"),
        ("/v1/sessions?status=gone", None, "status"),
        ("/v1/sessions?cursor=%00", None, "cursor"),
    ],
)
def test_the_request_table_judges(house: HttpHouse, path: str, body: Map | None, key: str) -> None:
    error = house.refused("GET" if body is None else "POST", path, body)
    assert error["code"] == "invalid_payload"
    assert error["details"]["key"] == key


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"[]", "invalid_frame"),
        (b"{", "invalid_frame"),
        (b"\xff", "invalid_frame"),
        (b"null", "invalid_frame"),
        (b'{"a":' * 80 + b"1" + b"}" * 80, "invalid_frame"),
        (b"[" * 60000, "invalid_frame"),
        (b'{"metadata":{"a":NaN}}', "invalid_payload"),
        (b'{"metadata":{"a":1e999}}', "invalid_payload"),
        (b'{"metadata":{"a":"\\ud800"}}', "invalid_payload"),
        (b'{"metadata":{"a":' + b"9" * 5000 + b"}}", "invalid_payload"),
    ],
)
def test_a_bad_body_is_refused_as_a_bad_frame_is(house: HttpHouse, body: bytes, code: str) -> None:
    assert house.refused("POST", "/v1/sessions", body)["code"] == code


@given(
    body=st.one_of(
        st.binary(max_size=64),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["user", "context", "text", "users", "rating", "type", "id", "attach"])
                    | st.text(string.printable, max_size=3),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=8,
        ).map(lambda value: json.dumps(value).encode()),
    ),
    path=st.sampled_from(
        ["/v1/sessions", "/v1/messages", "/v1/broadcasts"]
        + [f"/v1/sessions/nobody/{verb}" for verb in ("messages", "close", "rate", "assign", "tags")]
    ),
)
def test_whatever_is_posted_is_answered_in_json_and_never_our_fault(
    house: HttpHouse, body: bytes, path: str
) -> None:
    answer = house.ask("POST", path, body)
    assert answer.status_code in {200, 201, 400, 403, 404, 409, 413}, answer.text
    assert isinstance(answer.json(), dict)


def test_roles_are_those_of_the_wire(house: HttpHouse) -> None:
    assert house.refused("GET", "/v1/sessions", status=403, Sojourn_Role="user")["code"] == "forbidden"
    assert house.refused("GET", "/v1/desk", status=403, Sojourn_Role="user")["code"] == "forbidden"
    session_id = house.create()
    error = house.refused("DELETE", f"/v1/sessions/{session_id}", status=403, Sojourn_Role="agent")
    assert error["code"] == "forbidden"
    for none in ("root", "", "Service"):
        assert house.refused("GET", "/v1/sessions", Sojourn_Role=none)["details"]["key"] == "Sojourn-Role"


def test_identity_is_utf_8(house: HttpHouse) -> None:
    session_id = house.create()
    path = f"/v1/sessions/{session_id}"
    headers = {"Sojourn-Role": "agent", "Sojourn-Identity": "Zoë".encode()}
    assigned = house.http.post(f"{path}/assign", headers=headers)  # type: ignore[arg-type]
    assert assigned.json()["assignee"] == "Zoë"
    wrong = house.http.post(f"{path}/assign", headers={"Sojourn-Identity": b"\xff"})  # type: ignore[arg-type]
    assert wrong.json()["details"]["key"] == "Sojourn-Identity"


def test_an_expired_session_is_gone_for_writers(house: HttpHouse) -> None:
    session_id = house.create(timeouts={"session_timeout": 5})
    house.do(house.clock.advance(5.0))
    error = house.refused("POST", f"/v1/sessions/{session_id}/messages", {"text": "late"}, 410)
    assert error["code"] == "session_expired"
    assert house.ok("GET", f"/v1/sessions/{session_id}")["session"]["status"] == "expired"


def test_a_context_beyond_its_limit_is_too_large(house: HttpHouse) -> None:
    path = f"/v1/sessions/{house.create()}/context"
    error = house.refused("PATCH", path, {f"k{n}": n for n in range(6)}, 413)
    assert error["code"] == "context_too_large"


def test_a_body_beyond_a_frame_is_refused_before_it_is_read(house: HttpHouse) -> None:
    announced = house.ask("POST", "/v1/sessions", b"x" * 70_000)
    assert (announced.status_code, announced.json()["code"]) == (413, "frame_too_large")
    assert announced.headers["connection"] == "close"

    def chunks() -> Iterator[bytes]:
        for _ in range(70):
            yield b" " * 1000

    assert house.http.post("/v1/sessions", content=chunks()).status_code == 413


def test_unknown_addresses_and_methods_are_errors_of_the_same_form(house: HttpHouse) -> None:
    assert house.refused("GET", "/v1/nothing", status=404)["code"] == "not_found"
    assert house.refused("GET", "/v1/sessions/", status=404)["code"] == "not_found"
    wrong = house.ask("PUT", "/v1/sessions", {})
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert {"GET", "POST"} & set(wrong.headers["allow"].split(", "))


def test_head_is_get_without_its_body(house: HttpHouse) -> None:
    path = f"/v1/sessions/{house.create()}"
    head, get = house.ask("HEAD", path), house.ask("GET", path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]
    assert house.ask("HEAD", f"{path}/events").status_code == 405


# -- broadcasts ----------------------------------------------------------------------------------------------


def test_broadcast_answers_with_what_became_of_it(house: HttpHouse) -> None:
    body = {"users": [{"user_id": "b1"}, {"user_id": "b2"}, {}], "text": "News", "channel": "cast"}
    sent = house.ok("POST", "/v1/broadcasts", body, Idempotency_Key="cast-1")
    assert (sent["created"], sent["delivered"]) == (2, 0)
    assert sent["failed"] == [{"user_id": None, "code": "invalid_payload"}]
    assert house.ok("POST", "/v1/broadcasts", body, Idempotency_Key="cast-1") == sent


def test_broadcast_tells_how_far_it_is(house: HttpHouse) -> None:
    body = {"users": [{"user_id": f"p{n}"} for n in range(200)], "text": "News", "channel": "far"}
    with house.stream("POST", "/v1/broadcasts", body, Accept="text/event-stream") as events:
        told = events.rest()
    assert [event.name for event in told[:-1]] == ["progress"] * (len(told) - 1)
    assert len(told) > 1
    reached = [event.data["created"] for event in told]
    assert reached == sorted(reached)
    assert (told[-1].name, reached[-1], told[0].data["total"]) == ("result", 200, 200)


def test_a_broadcast_that_is_wrong_is_refused_before_it_streams(house: HttpHouse) -> None:
    error = house.refused("POST", "/v1/broadcasts", {"users": 7, "text": "x"}, Accept="text/event-stream")
    assert error["details"]["key"] == "users"
