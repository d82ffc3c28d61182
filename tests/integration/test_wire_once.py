"""Exactly once: one answer for one `message_id`, whatever is sent again, and nothing half done in a burst."""

from __future__ import annotations

from tests.integration.conftest import Connect
from tests.integration.wire import Map, Wire


def without(reply: Map) -> Map:
    """The reply without what belongs to the request or to the first answer alone."""
    return {key: value for key, value in reply.items() if key not in {"reply_to", "resume_token"}}


def test_a_message_sent_again_answers_the_first_answer(connect: Connect, session_id: str) -> None:
    first = connect().ok("message:send", session_id=session_id, message_id="m", text="x")
    for _ in range(3):
        again = connect().ok("message:send", session_id=session_id, message_id="m", text="x")
        assert without(again) == {**without(first), "duplicate": True}
    assert connect().session(session_id)["seq"] == 2


def test_a_first_message_sent_again_answers_created_as_then(
    connect: Connect, service: Wire, user_id: str
) -> None:
    first = connect().ok("message:send", user={"user_id": user_id}, message_id="m", text="x")
    again = connect().ok("message:send", user={"user_id": user_id}, message_id="m", text="x")
    by_session = connect().ok("message:send", session_id=first["session_id"], message_id="m", text="x")
    assert without(again) == without(by_session) == {**without(first), "duplicate": True}
    assert again["created"]
    assert len(service.ok("session:list", user_id=user_id)["sessions"]) == 1


def test_a_duplicate_does_not_reopen_and_answers_reopened_as_then(user: Wire, session_id: str) -> None:
    user.ok("session:close", session_id=session_id)
    first = user.ok("message:send", session_id=session_id, message_id="m", text="x")
    user.ok("session:close", session_id=session_id)
    again = user.ok("message:send", session_id=session_id, message_id="m", text="x")
    assert without(again) == {**without(first), "duplicate": True}
    assert again["reopened"]
    assert user.session(session_id)["status"] == "closed"


def test_a_duplicate_merges_no_context_moves_no_deadline_and_pushes_nothing(
    connect: Connect, user: Wire, session_id: str
) -> None:
    other = connect()
    other.ok("message:send", session_id=session_id, message_id="m", text="x", context={"n": 1})
    user.ok("session:context:update", session_id=session_id, context={"n": 2})
    before = user.session(session_id)
    user.pushed(session_id)
    other.ok("message:send", session_id=session_id, message_id="m", text="another text", context={"n": 1})
    assert user.session(session_id) == before
    assert user.pushed(session_id) == other.pushed(session_id)[1:] == []


def test_a_duplicate_is_answered_even_when_the_session_has_expired_since(user: Wire, user_id: str) -> None:
    session_id = user.create(user={"user_id": user_id}, timeouts={"session_timeout": 0.2})
    first = user.ok("message:send", session_id=session_id, message_id="m", text="x")
    user.push("session:expired")
    again = user.ok("message:send", session_id=session_id, message_id="m", text="x")
    by_user = user.ok("message:send", user={"user_id": user_id}, message_id="m", text="x")
    assert without(again) == without(by_user) == {**without(first), "duplicate": True}
    assert (
        user.refused("message:send", session_id=session_id, message_id="n", text="x")["code"]
        == "session_expired"
    )


def test_addressed_by_user_the_id_is_looked_up_in_all_their_unexpired_sessions(
    user: Wire, user_id: str
) -> None:
    older = user.ok("message:send", user={"user_id": user_id}, message_id="m", text="x")
    user.ok("session:create", user={"user_id": user_id})
    again = user.ok("message:send", user={"user_id": user_id}, message_id="m", text="x")
    assert (again["session_id"], again["duplicate"]) == (older["session_id"], True)


def test_the_same_id_in_another_session_is_another_message(user: Wire, user_id: str, session_id: str) -> None:
    other = user.create(user={"user_id": f"other-{user_id}"})
    replies = [
        user.ok("message:send", session_id=one, message_id="m", text="x") for one in (session_id, other)
    ]
    assert [reply["duplicate"] for reply in replies] == [False, False]


def test_one_message_sent_at_once_from_many_connections_is_stored_once(
    connect: Connect, session_id: str
) -> None:
    wires = [connect() for _ in range(8)]
    sent = [
        (wire, wire.send("message:send", session_id=session_id, message_id="m", text="x")) for wire in wires
    ]
    replies = [wire.reply(request_id) for wire, request_id in sent]
    assert [reply["duplicate"] for reply in replies].count(False) == 1
    assert {reply["seq"] for reply in replies} == {2}
    assert len(wires[0].history(session_id)) == 2


def test_a_message_id_is_free_again_when_the_message_was_refused(user: Wire, session_id: str) -> None:
    assert user.refused("message:send", session_id=session_id, message_id="m", text="x", context={"app.x": 1})
    reply = user.ok("message:send", session_id=session_id, message_id="m", text="x")
    assert not reply["duplicate"]


def test_a_burst_beyond_the_mailbox_is_answered_whole_and_what_is_refused_is_not_stored(
    user: Wire, session_id: str
) -> None:
    burst = 3000
    ids = user.send_many(
        [
            ("message:send", {"session_id": session_id, "message_id": f"m{n}", "text": "x"})
            for n in range(burst)
        ]
    )
    answers = [user.reply(request_id) for request_id in ids]
    accepted = [n for n, answer in enumerate(answers) if answer["type"] == "message:accepted"]
    for answer in answers:
        if answer["type"] == "error":
            assert answer["code"] == "overloaded"
            assert answer["retry_after"] > 0
    stored = [event["message_id"] for event in user.history(session_id, after_seq=1)]
    assert stored == [f"m{n}" for n in accepted]
    for n in sorted(set(range(burst)) - set(accepted))[:50]:
        reply = user.ok("message:send", session_id=session_id, message_id=f"m{n}", text="x")
        assert not reply["duplicate"]
