"""The client's protocol, without a socket: what leaves, what happens, and what survives a lost connection."""

from collections.abc import Mapping
from typing import Any

import pytest

from sojourn.gateway.attachment import Missed
from sojourn.gateway.codec import decode, encode
from sojourn.gateway.errors import ConnectionLost, InvalidFrame, InvalidRequest
from sojourn.gateway.greeting import Greeting
from sojourn.gateway.happenings import (
    Answered,
    Ended,
    Followed,
    Goodbye,
    Happening,
    Lost,
    Pushed,
    Refused,
    Silent,
    Unfollowed,
    Welcomed,
)
from sojourn.gateway.protocol import ClientProtocol, Phase

Frame = dict[str, Any]


class Bench:
    """A client protocol between the test's two hands: what it sends, and what it is told."""

    def __init__(self, **greeting: Any) -> None:
        self.client = ClientProtocol(Greeting(**greeting), max_retries=2)
        self.now = 0.0

    def sent(self) -> list[Frame]:
        """What the client wants to send."""
        return [decode(body) for body in self.client.data_to_send()]

    def gets(self, **frame: Any) -> list[Happening]:
        """The client gets this frame; what happened."""
        self.client.receive(encode(frame), self.now)
        return self.happened()

    def happened(self) -> list[Happening]:
        """What the client has to tell."""
        happenings: list[Happening] = []
        while (happening := self.client.next_event()) is not None:
            happenings.append(happening)
        return happenings

    def connects(self, heartbeat: float | None = None, **limits: int) -> list[Frame]:
        """A connection is made and welcomed; what the client sends behind its greeting."""
        self.client.connected(self.now)
        (hello,) = self.sent()
        assert hello["type"] == "hello"
        self.gets(type="welcome", reply_to=hello["id"], heartbeat=heartbeat, limits=limits)
        return self.sent()

    def asks(self, kind: str, **payload: Any) -> int:
        """The caller makes a request."""
        return self.client.request(kind, payload, self.now)

    def follows(self, seq: int = 5) -> None:
        """The client resumes session s, which is at `seq`."""
        request_id = self.asks("session:resume", session_id="s", resume_token="secret")
        self.sent()
        self.gets(
            type="session:resumed",
            reply_to=request_id,
            session={"seq": seq},
            events=[],
            complete=True,
            more=False,
        )

    def drops(self) -> list[Happening]:
        """The connection is gone."""
        self.client.disconnected(self.now)
        return self.happened()


def resumed(request_id: int, newest: int, *events: Frame, complete: bool = True, more: bool = False) -> Frame:
    """The answer to a resume of session s."""
    return {
        "type": "session:resumed",
        "reply_to": request_id,
        "session": {"seq": newest},
        "events": list(events),
        "complete": complete,
        "more": more,
    }


def page_of(request_id: int, *events: Frame, more: bool = False) -> Frame:
    """The answer to a request for history."""
    return {"type": "session:events", "reply_to": request_id, "events": list(events), "more": more}


def accepted(request_id: int, seq: int, **extra: Any) -> Frame:
    """The receipt of a message to session s."""
    return {"type": "message:accepted", "reply_to": request_id, "session_id": "s", "seq": seq, **extra}


def event(seq: int, kind: str = "message:received", **payload: Any) -> Frame:
    """An event of session s."""
    return {"type": kind, "session_id": "s", "seq": seq, "at": 1.0 * seq, **payload}


def told(happenings: list[Happening]) -> list[Any]:
    """The seqs of the events delivered, and the gaps as pairs."""
    return [
        (each.after_seq, each.until_seq) if isinstance(each, Missed) else each.frame["seq"]
        for each in happenings
        if isinstance(each, Pushed | Missed)
    ]


def test_the_greeting_says_what_was_given_and_nothing_else() -> None:
    bench = Bench(role="agent", identity="ann", heartbeat=2.5)
    bench.client.connected(0.0)
    assert bench.sent() == [
        {"type": "hello", "protocol": 1, "role": "agent", "identity": "ann", "heartbeat": 2.5, "id": 1}
    ]


def test_requests_wait_for_the_welcome_and_leave_in_their_order() -> None:
    bench = Bench()
    asked = [bench.asks("ping"), bench.asks("session:get", session_id="s")]
    assert bench.sent() == []
    assert [frame["id"] for frame in bench.connects()] == asked


def test_a_reply_settles_the_request_that_it_names() -> None:
    bench = Bench()
    bench.connects()
    first, second = bench.asks("ping"), bench.asks("ping")
    bench.sent()
    (answered,) = bench.gets(type="pong", reply_to=second, server_time=1.0)
    assert isinstance(answered, Answered)
    assert (answered.request_id, answered.reply["server_time"]) == (second, 1.0)
    (refused,) = bench.gets(type="error", reply_to=first, code="forbidden", message="no")
    assert isinstance(refused, Refused)
    assert bench.gets(type="pong", reply_to=first, server_time=1.0) == []


def test_a_push_of_a_session_that_is_not_followed_is_passed_on() -> None:
    bench = Bench()
    bench.connects()
    assert bench.gets(**event(3)) == [Pushed(event(3))]
    assert bench.gets(type="error", code="invalid_frame", message="about the connection") == []


@pytest.mark.parametrize("body", [b"", b"\xc1", encode({"x": 1}), encode({"type": "x"}) + b"\x00"])
def test_a_server_that_speaks_something_else_is_an_invalid_frame(body: bytes) -> None:
    bench = Bench()
    with pytest.raises(InvalidFrame):
        bench.client.receive(body, 0.0)


@pytest.mark.parametrize(
    "payload",
    [
        {"data": {1: 2}},
        {"data": b"x"},
        {"data": float("nan")},
        {"data": ("a", "tuple")},
        {"text": "\ud800"},
        {"text": "x" * 70_000},
    ],
)
def test_what_the_server_would_refuse_to_read_is_refused_here_and_never_sent(payload: Frame) -> None:
    bench = Bench()
    bench.connects()
    with pytest.raises(InvalidRequest):
        bench.asks("message:send", session_id="s", **payload)
    assert bench.sent() == []
    bench.drops()
    assert bench.connects() == []


def test_a_request_that_is_too_long_for_the_next_server_is_refused_then() -> None:
    bench = Bench()
    bench.connects()
    request_id = bench.asks("message:send", session_id="s", message_id="m", text="x" * 1000)
    bench.drops()
    bench.client.connected(0.0)
    (hello,) = bench.sent()
    _, refused = bench.gets(type="welcome", reply_to=hello["id"], limits={"max_frame_bytes": 100})
    assert isinstance(refused, Refused)
    assert (refused.request_id, refused.error["code"]) == (request_id, "frame_too_large")
    assert bench.sent() == []


def test_a_reply_without_what_it_must_hold_is_an_invalid_frame_and_the_request_stays_open() -> None:
    bench = Bench()
    bench.connects()
    request_id = bench.asks("message:send", session_id="s", text="x", message_id="m")
    sent = bench.sent()
    with pytest.raises(InvalidFrame, match="message:accepted lacks"):
        bench.gets(type="message:accepted", reply_to=request_id, session_id="s")
    bench.drops()
    assert bench.connects() == sent


# heartbeats


def test_a_quiet_client_says_ping_at_half_its_heartbeat() -> None:
    bench = Bench(heartbeat=10.0)
    bench.connects(heartbeat=10.0)
    assert bench.client.next_deadline() == 5.0
    bench.client.tick(4.999)
    assert bench.sent() == []
    bench.client.tick(5.0)
    assert [frame["type"] for frame in bench.sent()] == ["ping"]
    assert bench.client.next_deadline() == 10.0


def test_whatever_is_sent_puts_the_ping_off() -> None:
    bench = Bench(heartbeat=10.0)
    bench.connects(heartbeat=10.0)
    bench.now = 4.0
    bench.asks("ping")
    bench.sent()
    assert bench.client.next_deadline() == 9.0


def test_a_server_that_is_silent_for_two_heartbeats_is_gone() -> None:
    bench = Bench(heartbeat=10.0)
    bench.connects(heartbeat=10.0)
    bench.client.tick(19.999)
    assert bench.happened() == []
    bench.client.tick(20.0)
    assert bench.happened() == [Silent()]
    assert bench.client.next_deadline() is None


def test_whatever_comes_shows_that_the_server_is_there() -> None:
    bench = Bench(heartbeat=10.0)
    bench.connects(heartbeat=10.0)
    bench.now = 15.0
    bench.gets(**event(1))
    bench.client.tick(34.999)
    assert Silent() not in bench.happened()
    bench.client.tick(35.0)
    assert Silent() in bench.happened()


def test_without_a_granted_heartbeat_silence_is_free() -> None:
    bench = Bench()
    bench.connects(heartbeat=None)
    assert bench.client.next_deadline() is None
    bench.client.tick(1e9)
    assert (bench.sent(), bench.happened()) == ([], [])


# after a lost connection


SAFE: list[tuple[str, Mapping[str, Any]]] = [
    ("ping", {}),
    ("session:get", {"session_id": "s"}),
    ("session:history", {"session_id": "s"}),
    ("session:list", {}),
    ("session:close", {"session_id": "s"}),
    ("message:send", {"session_id": "s", "text": "x", "message_id": "m"}),
    ("session:create", {"request_key": "k"}),
]
UNSAFE: list[tuple[str, Mapping[str, Any]]] = [
    ("message:send", {"session_id": "s", "text": "x"}),
    ("session:create", {}),
    ("session:context:update", {"session_id": "s", "context": {}}),
    ("session:reopen", {"session_id": "s"}),
    ("session:rate", {"session_id": "s", "rating": 1}),
    ("session:erase", {"session_id": "s"}),
]


@pytest.mark.parametrize(("kind", "payload"), SAFE)
def test_an_unanswered_request_that_can_be_repeated_is_sent_again(kind: str, payload: Frame) -> None:
    bench = Bench()
    bench.connects()
    request_id = bench.asks(kind, **payload)
    sent = bench.sent()
    assert bench.drops() == []
    assert bench.connects() == sent == [{"type": kind, "id": request_id, **payload}]


@pytest.mark.parametrize(("kind", "payload"), UNSAFE)
def test_an_unanswered_request_that_cannot_be_repeated_is_lost(kind: str, payload: Frame) -> None:
    bench = Bench()
    bench.connects()
    request_id = bench.asks(kind, **payload)
    bench.sent()
    assert bench.drops() == [Lost(request_id, "the connection ended", was_sent=True)]
    assert bench.connects() == []


@pytest.mark.parametrize(("kind", "payload"), UNSAFE)
def test_a_request_that_never_left_is_not_lost(kind: str, payload: Frame) -> None:
    bench = Bench()
    bench.connects()
    bench.drops()
    request_id = bench.asks(kind, **payload)
    assert [frame["id"] for frame in bench.connects()] == [request_id]


def test_an_abandoned_request_is_not_sent_again_and_its_reply_is_no_news() -> None:
    bench = Bench()
    waiting = bench.asks("ping")
    bench.client.abandon(waiting)
    assert bench.connects() == []
    request_id = bench.asks("ping")
    bench.sent()
    bench.client.abandon(request_id)
    assert bench.gets(type="pong", reply_to=request_id, server_time=1.0) == []
    request_id = bench.asks("ping")
    bench.sent()
    bench.client.abandon(request_id)
    assert bench.drops() == []
    assert bench.connects() == []


def test_an_abandoned_message_that_was_stored_still_counts_in_its_session() -> None:
    bench = Bench()
    bench.connects()
    bench.follows(seq=5)
    request_id = bench.asks("message:send", session_id="s", text="x", message_id="m")
    bench.sent()
    bench.client.abandon(request_id)
    assert bench.gets(**accepted(request_id, 6)) == []
    assert told(bench.gets(**event(7))) == [7]


def test_sessions_are_resumed_before_anything_is_sent_again() -> None:
    bench = Bench()
    bench.connects()
    bench.follows(seq=5)
    bench.gets(**event(6))
    request_id = bench.asks("message:send", session_id="s", text="x", message_id="m")
    bench.sent()
    bench.drops()
    resume, message = bench.connects()
    assert (resume["type"], resume["after_seq"], resume["resume_token"]) == ("session:resume", 6, "secret")
    assert (message["type"], message["id"], message["message_id"]) == ("message:send", request_id, "m")


def test_an_own_message_found_in_the_history_is_no_news() -> None:
    bench = Bench()
    bench.connects()
    bench.follows(seq=5)
    bench.asks("message:send", session_id="s", text="x", message_id="m")
    bench.sent()
    bench.drops()
    resume, message = bench.connects()
    events = [event(6, message_id="other"), event(7, message_id="m"), event(8, message_id="answer")]
    happened = bench.gets(
        type="session:resumed",
        reply_to=resume["id"],
        session={"seq": 8},
        events=events,
        complete=True,
        more=False,
    )
    assert told(happened) == [6, 8]
    happened = bench.gets(
        type="message:accepted", reply_to=message["id"], session_id="s", seq=7, duplicate=True
    )
    assert [type(each) for each in happened] == [Answered]
    assert told(bench.gets(**event(9))) == [9]


def test_the_reply_takes_the_place_of_the_push_in_the_order_of_events() -> None:
    bench = Bench()
    bench.connects()
    bench.follows(seq=5)
    request_id = bench.asks("message:send", session_id="s", text="x", message_id="m", context={"k": 1})
    assert told(bench.gets(**event(6))) == [6]
    bench.gets(**accepted(request_id, 8))
    assert told(bench.gets(**event(9))) == [9]
    assert bench.sent()[1:] == []


def test_what_comes_twice_is_told_once() -> None:
    bench = Bench()
    bench.connects()
    bench.follows(seq=5)
    assert told(bench.gets(**event(6))) == [6]
    assert told(bench.gets(**event(6))) == []
    assert told(bench.gets(**event(4))) == []


def test_a_hole_between_pushes_is_filled_from_the_history_first() -> None:
    bench = Bench()
    bench.connects()
    bench.follows(seq=5)
    assert told(bench.gets(**event(9))) == []
    assert told(bench.gets(**event(10))) == []
    (page,) = bench.sent()
    assert (page["type"], page["after_seq"]) == ("session:history", 5)
    happened = bench.gets(**page_of(page["id"], event(6), event(7), more=True))
    assert told(happened) == [6, 7]
    (page,) = bench.sent()
    assert page["after_seq"] == 7
    events = [event(seq) for seq in (8, 9, 10)]
    happened = bench.gets(**page_of(page["id"], *events))
    assert told(happened) == [8, 9, 10]
    assert told(bench.gets(**event(11))) == [11]
    assert bench.sent() == []


def test_a_resume_that_was_cut_goes_on_by_pages_while_pushes_wait() -> None:
    bench = Bench()
    bench.connects()
    request_id = bench.asks("session:resume", session_id="s", after_seq=0)
    bench.sent()
    happened = bench.gets(**resumed(request_id, 4, event(1), event(2), more=True))
    assert told(happened) == [1, 2]
    assert told(bench.gets(**event(5))) == []
    assert told(bench.gets(type="message:composing", session_id="s", action="start")) == []
    (page,) = bench.sent()
    assert page["after_seq"] == 2
    happened = bench.gets(**page_of(page["id"], event(3), event(4), more=True))
    assert [each.frame.get("seq") for each in happened if isinstance(each, Pushed)] == [3, 4, 5, None]
    assert bench.sent() == []


def test_own_changes_answered_while_catching_up_are_not_replayed_after_another_loss() -> None:
    bench = Bench()
    bench.connects()
    bench.follows(seq=5)
    bench.gets(**event(8))
    request_id = bench.asks("message:send", session_id="s", text="x", message_id="m")
    bench.gets(**accepted(request_id, 9))
    bench.drops()
    (resume,) = bench.connects()
    assert resume["after_seq"] == 5
    events = [event(seq, message_id=f"m{seq}") for seq in range(6, 11)]
    happened = bench.gets(
        type="session:resumed",
        reply_to=resume["id"],
        session={"seq": 10},
        events=events,
        complete=True,
        more=False,
    )
    assert told(happened) == [6, 7, 8, 10]


@pytest.mark.parametrize(
    ("newest", "events", "expected"),
    [
        (9, [8, 9], [(5, 7), 8, 9]),
        (9, [], [(5, 9)]),
        (3, [], [(5, 3)]),
    ],
    ids=["the oldest are gone", "all are gone", "the server knows less than the client"],
)
def test_what_no_longer_exists_is_told_as_missed(newest: int, events: list[int], expected: list[Any]) -> None:
    bench = Bench()
    bench.connects()
    bench.follows(seq=5)
    bench.drops()
    (resume,) = bench.connects()
    happened = bench.gets(**resumed(resume["id"], newest, *map(event, events), complete=False))
    assert told(happened) == expected
    assert told(bench.gets(**event(newest + 1))) == [newest + 1]


def test_a_page_that_does_not_reach_the_pushes_is_told_as_missed() -> None:
    bench = Bench()
    bench.connects()
    bench.follows(seq=5)
    bench.gets(**event(9))
    (page,) = bench.sent()
    happened = bench.gets(**page_of(page["id"], event(6)))
    assert told(happened) == [6, (6, 8), 9]


def test_a_history_that_is_refused_is_told_as_missed() -> None:
    bench = Bench()
    bench.connects()
    bench.follows(seq=5)
    bench.gets(**event(9))
    (page,) = bench.sent()
    happened = bench.gets(type="error", reply_to=page["id"], code="forbidden", message="no")
    assert told(happened) == [(5, 8), 9]


def test_a_first_message_answered_as_a_duplicate_is_caught_up_from_there() -> None:
    bench = Bench()
    bench.connects()
    first = bench.asks("message:send", user={"user_id": "ada"}, text="x", message_id="m")
    bench.drops()
    (again,) = bench.connects()
    assert again["id"] == first
    happened = bench.gets(
        type="message:accepted",
        reply_to=first,
        session_id="s",
        message_id="m",
        seq=2,
        duplicate=True,
        created=True,
    )
    assert [type(each) for each in happened] == [Followed, Answered]
    (resume,) = bench.sent()
    assert (resume["type"], resume["after_seq"]) == ("session:resume", 2)
    happened = bench.gets(**resumed(resume["id"], 3, event(3, message_id="answer")))
    assert told(happened) == [3]


def test_a_creation_answered_at_the_second_time_brings_what_came_since_the_first() -> None:
    bench = Bench()
    bench.connects()
    request_id = bench.asks("session:create", request_key="k")
    bench.drops()
    bench.connects()
    bench.gets(type="session:created", reply_to=request_id, session_id="s", session={"seq": 2})
    (page,) = bench.sent()
    assert (page["type"], page["after_seq"]) == ("session:history", 1)
    assert told(bench.gets(**page_of(page["id"], event(2)))) == [2]


@pytest.mark.parametrize(
    "kind", ["session:create", "message:send", "session:reopen", "session:context:update"]
)
def test_a_request_with_attach_false_follows_nothing(kind: str) -> None:
    bench = Bench()
    bench.connects()
    request_id = bench.asks(kind, session_id="s", context={}, attach=False)
    bench.gets(type="any", reply_to=request_id, session_id="s", session={"seq": 4}, seq=4)
    assert not bench.client.attachments
    bench.drops()
    assert bench.connects() == []


def test_a_detached_session_is_not_resumed() -> None:
    bench = Bench()
    bench.connects()
    bench.follows()
    request_id = bench.asks("session:detach", session_id="s")
    bench.sent()
    assert Unfollowed("s", "session:detached") in bench.gets(
        type="session:detached", reply_to=request_id, session_id="s"
    )
    bench.drops()
    assert bench.connects() == []


def test_a_session_that_was_being_detached_is_not_resumed_either() -> None:
    bench = Bench()
    bench.connects()
    bench.follows()
    bench.asks("session:detach", session_id="s")
    bench.sent()
    assert bench.drops() == [Unfollowed("s", "session:detached")]
    assert [frame["type"] for frame in bench.connects()] == ["session:detach"]


def test_an_expired_session_is_told_and_followed_no_more() -> None:
    bench = Bench()
    bench.connects()
    bench.follows(seq=5)
    happened = bench.gets(**event(6, "session:expired", reason="inactivity"))
    assert [type(each) for each in happened] == [Pushed, Unfollowed]
    bench.drops()
    assert bench.connects() == []


@pytest.mark.parametrize("code", ["session_expired", "session_not_found", "forbidden"])
def test_a_session_that_cannot_be_resumed_is_followed_no_more(code: str) -> None:
    bench = Bench()
    bench.connects()
    bench.follows()
    bench.drops()
    (resume,) = bench.connects()
    assert bench.gets(type="error", reply_to=resume["id"], code=code, message="") == [Unfollowed("s", code)]


# refusals that may pass


@pytest.mark.parametrize("code", ["rate_limited", "overloaded", "draining", "storage_failed"])
def test_what_was_not_done_is_sent_again_after_the_time_that_the_server_names(code: str) -> None:
    bench = Bench()
    bench.connects()
    request_id = bench.asks("session:rate", session_id="s", rating=1)
    sent = bench.sent()
    assert bench.gets(type="error", reply_to=request_id, code=code, message="", retry_after=3.5) == []
    assert bench.client.next_deadline() == 3.5
    bench.client.tick(3.4)
    assert bench.sent() == []
    bench.client.tick(3.5)
    assert bench.sent() == sent
    assert bench.client.next_deadline() is None


def test_without_a_time_the_delays_double() -> None:
    bench = Bench()
    bench.connects()
    request_id = bench.asks("ping")
    delays: list[float] = []
    for _ in range(2):
        bench.gets(type="error", reply_to=request_id, code="overloaded", message="")
        deadline = bench.client.next_deadline()
        assert deadline is not None
        delays.append(deadline - bench.now)
        bench.now = deadline
        bench.client.tick(deadline)
    assert delays == [0.2, pytest.approx(0.4)]
    (refused,) = bench.gets(type="error", reply_to=request_id, code="overloaded", message="")
    assert isinstance(refused, Refused)


def test_an_internal_error_is_repeated_only_where_that_is_harmless() -> None:
    bench = Bench()
    bench.connects()
    unsafe = bench.asks("session:rate", session_id="s", rating=1)
    safe = bench.asks("session:get", session_id="s")
    (refused,) = bench.gets(type="error", reply_to=unsafe, code="internal_error", message="")
    assert isinstance(refused, Refused)
    assert bench.gets(type="error", reply_to=safe, code="internal_error", message="") == []


def test_a_request_that_waits_for_its_second_time_outlives_the_connection() -> None:
    bench = Bench()
    bench.connects()
    request_id = bench.asks("session:rate", session_id="s", rating=1)
    bench.sent()
    bench.gets(type="error", reply_to=request_id, code="draining", message="", retry_after=2.0)
    assert bench.drops() == []
    bench.now = 1.0
    assert bench.connects() == []
    bench.client.tick(2.0)
    assert [frame["id"] for frame in bench.sent()] == [request_id]


# endings


def test_after_a_goodbye_nothing_is_sent_on_that_connection() -> None:
    bench = Bench()
    bench.connects()
    (goodbye,) = bench.gets(type="goodbye", code="draining", message="bye", reconnect=True, retry_after=2.0)
    assert goodbye == Goodbye("draining", "bye", reconnect=True, retry_after=2.0)
    request_id = bench.asks("ping")
    assert bench.sent() == []
    bench.drops()
    assert [frame["id"] for frame in bench.connects()] == [request_id]


@pytest.mark.parametrize(
    ("code", "again"), [("unauthorized", False), ("invalid_payload", False), ("overloaded", True)]
)
def test_a_refused_greeting_is_a_goodbye(code: str, again: bool) -> None:
    bench = Bench(token="bad")
    bench.client.connected(0.0)
    (hello,) = bench.sent()
    (goodbye,) = bench.gets(type="error", reply_to=hello["id"], code=code, message="no")
    assert isinstance(goodbye, Goodbye)
    assert (goodbye.code, goodbye.reconnect) == (code, again)
    assert bench.client.phase is Phase.LEAVING


def test_the_end_loses_what_is_open_and_refuses_what_comes() -> None:
    bench = Bench()
    bench.connects()
    sent = bench.asks("ping")
    bench.sent()
    bench.client.end("enough")
    assert bench.happened() == [Lost(sent, "enough", was_sent=True), Ended("enough")]
    with pytest.raises(ConnectionLost):
        bench.asks("ping")
    bench.client.end("again")
    assert bench.happened() == []


def test_the_welcome_is_told_with_its_limits() -> None:
    bench = Bench()
    bench.client.connected(0.0)
    (hello,) = bench.sent()
    (welcomed,) = bench.gets(type="welcome", reply_to=hello["id"], limits={"max_frame_bytes": 9})
    assert isinstance(welcomed, Welcomed)
    assert bench.client.limits == {"max_frame_bytes": 9}
