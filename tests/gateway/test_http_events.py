"""Server-sent events of one session: all, in order, once, and a clear end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from sojourn.actors import RuntimeConfig
from sojourn.actors.mail import Caller
from sojourn.gateway.codec import encode
from sojourn.gateway.web.door import Door
from sojourn.gateway.web.sse import Streamed, pushed, told
from sojourn.gateway.web.streams import EventStream
from tests.gateway.http_house import HttpHouse, in_thread

Map = dict[str, Any]
ADA: Map = {"user_id": "ada"}


@pytest.fixture(scope="module")
def house() -> Iterator[HttpHouse]:
    with HttpHouse() as house:
        yield house


def door(house: HttpHouse) -> Door:
    found = house.server._door
    assert found is not None
    return found


def test_events_come_as_they_happen_with_their_seq_as_id(house: HttpHouse) -> None:
    session_id = house.create(user=ADA)
    with house.events(session_id) as events:
        place = events.block()
        assert place is not None
        assert (place.id, place.name) == ("1", None)  # where it stands, though nothing has happened yet
        house.say(session_id, "Hello\nthere")
        event = events.next("message:received")
        assert event.id == "2"
        assert (event.data["text"], event.data["seq"]) == ("Hello\nthere", 2)


def test_an_event_is_written_once_for_all_its_readers(house: HttpHouse) -> None:
    session_id = house.create(user=ADA)
    with ExitStack() as stack:
        readers = [stack.enter_context(house.events(session_id)) for _ in range(5)]
        for reader in readers:
            assert reader.block() is not None
        before = pushed.cache_info()
        for n in range(3):
            house.say(session_id, f"{before.hits}, {n}")
        seen = [[reader.next().data for _ in range(3)] for reader in readers]
        after = pushed.cache_info()
    assert all(each == seen[0] for each in seen)
    assert (after.misses - before.misses, after.hits - before.hits) == (3, 12)


def test_what_is_not_stored_has_no_id(house: HttpHouse) -> None:
    session_id = house.create()
    with house.events(session_id) as events:
        house.ok("POST", f"/v1/sessions/{session_id}/compose", {"action": "start"})
        assert events.next("message:composing").id is None


@pytest.mark.parametrize("how", ["query", "header"])
def test_a_reader_goes_on_behind_what_it_has(house: HttpHouse, how: str) -> None:
    session_id = house.create()
    for text in ("a", "b", "c"):
        house.say(session_id, text)
    query, headers = ("?after_seq=2", {}) if how == "query" else ("?after_seq=0", {"Last_Event_ID": "2"})
    with house.events(session_id, query, **headers) as events:
        assert [events.next().id for _ in range(2)] == ["3", "4"]
        house.say(session_id, "d")
        assert events.next().data["text"] == "d"


def test_nothing_is_missing_or_doubled_while_others_write(house: HttpHouse) -> None:
    """More than one page is behind the reader, and more comes while it reads: pages and pushes join."""
    session_id = house.create()
    house.call(lambda: [house.runtime.send_to(session_id, f"{n}") for n in range(2500)])
    house.do(house.runtime.core.settle())

    def write() -> None:
        for n in range(200):
            house.runtime.send_to(session_id, f"more {n}").result(10)

    with house.events(session_id, "?after_seq=0") as events:
        writer = in_thread(write)
        seqs = [int(events.next().id or 0) for _ in range(2701)]
        writer.join()
    assert seqs == list(range(1, 2702))


def test_a_stream_ends_behind_the_expiry(house: HttpHouse) -> None:
    session_id = house.create(timeouts={"session_timeout": 5})
    with house.events(session_id) as events:
        house.do(house.clock.advance(5.0))
        told = events.rest()
    assert [event.name for event in told] == [None, "session:expired"]
    assert told[-1].data["reason"] == "inactivity"


def test_an_expired_session_is_told_once_and_then_no_more(house: HttpHouse) -> None:
    session_id = house.create(timeouts={"session_timeout": 5})
    house.do(house.clock.advance(5.0))
    with house.events(session_id, "?after_seq=0") as events:
        assert [event.name for event in events.rest()] == [None, "session:created", "session:expired"]
    known = house.ask("GET", f"/v1/sessions/{session_id}/events", Last_Event_ID="2")
    assert known.status_code == 204  # a browser asks no more
    error = house.refused("GET", f"/v1/sessions/{session_id}/events", status=410, Sojourn_Role="user")
    assert error["code"] == "session_expired"


def test_an_erasure_ends_the_stream(house: HttpHouse) -> None:
    session_id = house.create()
    with house.events(session_id) as events:
        house.ok("DELETE", f"/v1/sessions/{session_id}")
        told = events.rest()
    assert told[-1].data["reason"] == "erased"


def test_an_unknown_session_has_no_stream(house: HttpHouse) -> None:
    assert house.refused("GET", "/v1/sessions/nobody/events", status=404)["code"] == "session_not_found"


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "18446744073709551616", "9" * 40])
def test_a_place_that_is_none_is_refused(house: HttpHouse, value: str) -> None:
    path = f"/v1/sessions/{house.create()}/events"
    assert house.refused("GET", path, Last_Event_ID=value)["details"]["key"] == "Last-Event-ID"
    assert house.refused("GET", f"{path}?after_seq={value}")["details"]["key"] == "after_seq"


def test_a_place_beyond_the_newest_is_the_newest(house: HttpHouse) -> None:
    session_id = house.create()
    with house.events(session_id, "?after_seq=99") as events:
        house.say(session_id, "next")
        assert events.next().id == "2"


def test_a_reader_that_leaves_is_forgotten(house: HttpHouse) -> None:
    session_id = house.create()
    with house.events(session_id) as events:
        events.block()
        assert len(door(house).streams) == 1
    # Its going is seen by the server soon, not at once: it is asked until it is.
    for _ in range(1000):
        if not house.call(lambda: door(house).streams):
            break
    assert not door(house).streams
    assert house.ok("GET", f"/v1/sessions/{session_id}/why")["why"]["attached"] == 0


def test_more_streams_than_the_server_allows_are_refused() -> None:
    with HttpHouse(max_connections=1) as house:
        session_id = house.create()
        with house.events(session_id) as events:
            events.block()
            answer = house.ask("GET", f"/v1/sessions/{session_id}/events")
            assert (answer.status_code, answer.json()["code"]) == (429, "overloaded")
            assert int(answer.headers["retry-after"]) >= 1


def test_a_drain_says_goodbye_to_every_stream() -> None:
    with HttpHouse() as house:
        session_id = house.create()
        with house.events(session_id) as events:
            events.block()
            drain = in_thread(lambda: house.do(house.server.drain()))
            told = events.rest()
            drain.join()
        assert (told[-1].name, told[-1].data["code"]) == ("goodbye", "draining")
        assert told[-1].data["reconnect"] is True


def test_requests_while_it_drains_are_told_to_come_back(house: HttpHouse) -> None:
    core = house.runtime.core
    core.draining = True
    try:
        answer = house.ask("POST", "/v1/sessions", {})
    finally:
        core.draining = False
    assert (answer.status_code, answer.json()["code"]) == (503, "draining")
    assert int(answer.headers["retry-after"]) >= 1


def test_who_does_not_read_is_told_once_and_reset() -> None:
    """The bound is on what waits for it here; then it has a goodbye, and no more is kept for it."""
    with HttpHouse(max_output_bytes=200_000, config=RuntimeConfig()) as house:
        session_id = house.create()
        host, port = house.server.http_address or ("", 0)
        with socket.socket() as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect((host, port))
            request = f"GET /v1/sessions/{session_id}/events HTTP/1.1\r\nHost: {house.authority}\r\n\r\n"
            reader.sendall(request.encode())
            assert reader.recv(12) == b"HTTP/1.1 200"
            (stream,) = house.call(lambda: tuple(door(house).streams.values()))
            while house.call(lambda: bool(door(house).streams)):
                house.say(session_id, "x" * 50_000)
            assert house.call(stream.waiting_bytes) < 1000
            assert house.call(lambda: stream._abort is not None)
            # The grace, without its seconds: what would happen behind them.
            assert stream.transport is not None
            house.call(stream.transport.abort)
            received = b""
            while data := reader.recv(1 << 16):
                received += data
            assert not received.endswith(b"0\r\n\r\n")  # cut off, not ended


def test_a_stream_is_bounded_by_what_waits_not_by_what_came(house: HttpHouse) -> None:
    """A reader that takes each frame may have any number of them."""

    async def run() -> int:
        stream = EventStream(1000)
        stream.peer = door(house)._peer(stream, Caller("user"), lambda _peer: None)
        taken = 0
        for n in range(100):
            stream.peer.send(encode({"type": "x", "n": n, "fill": "y" * 500}))
            frame = await stream.frame()
            assert frame is not None
            assert frame["n"] == n
            taken += 1
        stream.close()
        return taken

    assert house.do(run()) == 100


def test_a_silent_stream_is_kept_open_by_comments(house: HttpHouse) -> None:
    async def run() -> list[bytes]:
        something = asyncio.Event()

        async def events() -> AsyncGenerator[bytes]:
            await something.wait()
            yield told("1")

        streamed = Streamed(events(), heartbeat=0.001).body_iterator
        seen: list[bytes] = []
        async for chunk in streamed:
            assert isinstance(chunk, bytes)
            seen.append(chunk)
            something.set()
        return seen

    seen = house.do(run())
    assert set(seen[:-1]) == {b":\n\n"}
    assert seen[-1] == b"data: 1\n\n"


def test_what_a_reader_leaves_behind_is_closed(house: HttpHouse) -> None:
    """It leaves while the next event is waited for, and while one is being sent."""

    async def run(*, sent: bool) -> bool:
        closed = False

        async def events() -> AsyncGenerator[bytes]:
            nonlocal closed
            try:
                if sent:
                    yield told("1")
                await asyncio.Event().wait()
            finally:
                closed = True

        blocked = asyncio.Event()

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                return
            blocked.set()
            await asyncio.Event().wait()

        async def receive() -> Any:
            if sent:
                await blocked.wait()
            return {"type": "http.disconnect"}

        scope: Any = {"type": "http", "asgi": {"spec_version": "2.3"}}
        await Streamed(events())(scope, receive, send)
        return closed

    assert house.do(run(sent=False))
    assert house.do(run(sent=True))
