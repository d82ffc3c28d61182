"""The asyncio client over real sockets, against a server that breaks off where the test says."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, get_type_hints

import pytest

from sojourn.gateway.client import Accepted, Client, ConnectOptions, Gap, RemoteSession, connect
from sojourn.gateway.client_options import ConnectKeywords
from sojourn.gateway.errors import (
    ConnectionLost,
    InvalidRequest,
    NotAllowed,
    RequestFailed,
    SessionUnavailable,
    TryAgain,
    VersionConflict,
)
from tests.gateway.scripted_server import Door, Peer, ScriptedServer, message, scripted_server

Script = Callable[[ScriptedServer], Coroutine[Any, Any, Any]]


class Pauses:
    """A sleep that takes no time and remembers how long it should have taken."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


by_each_door = pytest.mark.parametrize("door", ["tcp", "websocket"])
"""What a connection does is the same over both; what it carries needs no second look."""


def play(script: Script, door: Door = "tcp") -> None:
    """Run `script` with a server of its own."""

    async def run() -> None:
        async with asyncio.timeout(20), scripted_server(door) as server:
            await script(server)

    asyncio.run(run())


async def meet(server: ScriptedServer, **options: Any) -> tuple[Client, Peer]:
    """A connected client, and its connection as the server has it."""
    options = {"sleep": Pauses(), "heartbeat": None, **options}
    connecting = asyncio.ensure_future(_open(server, options))
    peer = await server.welcome()
    return await connecting, peer


async def _open(server: ScriptedServer, options: dict[str, Any]) -> Client:
    return await connect(server.host, server.port, **options)


async def both(first: Awaitable[Any], second: Awaitable[Any]) -> Any:
    """The result of the client's `first`, while the server does its `second`."""
    task = asyncio.ensure_future(first)
    await second
    return await task


async def follow(client: Client, peer: Peer, seq: int = 5) -> RemoteSession:
    """Session s at `seq`, attached."""
    session = client.session("s")
    await both(session.resume(), peer.resume(seq))
    return session


async def next_seq(session: RemoteSession) -> int | None:
    """The seq of the next event, which must come."""
    event = await session.next_event()
    assert event is not None
    return event.seq


@by_each_door
def test_the_greeting_carries_what_connect_was_told(door: Door) -> None:
    async def script(server: ScriptedServer) -> None:
        connecting = asyncio.ensure_future(
            _open(server, {"role": "agent", "identity": "ann", "token": "t", "heartbeat": 7.5})
        )
        peer = await server.accept()
        hello = await peer.welcome(limits={"max_frame_bytes": 100})
        async with await connecting as client:
            assert client.is_connected
            assert client.limits["max_frame_bytes"] == 100
            with pytest.raises(InvalidRequest, match="frame_too_large"):
                await client.session("s").send("x" * 100)
        assert hello["client"].startswith("sojourn-python/")
        assert {key: hello[key] for key in ("protocol", "role", "identity", "token", "heartbeat")} == {
            "protocol": 1,
            "role": "agent",
            "identity": "ann",
            "token": "t",
            "heartbeat": 7.5,
        }

    play(script, door)


@by_each_door
def test_connect_is_a_context_manager_that_closes(door: Door) -> None:
    async def script(server: ScriptedServer) -> None:
        async def use() -> Client:
            async with connect(server.host, server.port) as client:
                return client

        using = asyncio.ensure_future(use())
        peer = await server.welcome()
        client = await using
        await peer.closed()
        assert not client.is_connected
        with pytest.raises(ConnectionLost):
            await client.ping()

    play(script, door)


def test_nobody_there_is_an_os_error() -> None:
    async def script(server: ScriptedServer) -> None:
        unused = await asyncio.start_server(server.take, "127.0.0.1", 0)
        port = unused.sockets[0].getsockname()[1]
        unused.close()
        await unused.wait_closed()
        with pytest.raises(OSError, match="Connect"):
            await connect("127.0.0.1", port)

    play(script)


@by_each_door
def test_a_refused_greeting_raises_its_reason(door: Door) -> None:
    async def script(server: ScriptedServer) -> None:
        connecting = asyncio.ensure_future(_open(server, {"token": "bad"}))
        peer = await server.accept()
        hello = await peer.expect("hello")
        peer.reply(hello, "error", code="unauthorized", message="the token is not known")
        peer.send(type="goodbye", code="unauthorized", message="", reconnect=False)
        with pytest.raises(NotAllowed, match="the token is not known"):
            await connecting
        await peer.closed()

    play(script, door)


def test_a_server_that_goes_before_its_welcome_is_a_lost_connection() -> None:
    async def script(server: ScriptedServer) -> None:
        connecting = asyncio.ensure_future(_open(server, {}))
        peer = await server.accept()
        await peer.expect("hello")
        peer.send(type="goodbye", code="too_many_connections", message="full", reconnect=True)
        with pytest.raises(ConnectionLost, match="too_many_connections: full"):
            await connecting

    play(script)


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\x00\x00\x01\xc1", b"\x00\x00\x00\x00"]
)
def test_another_kind_of_server_is_told_from_a_lost_connection(data: bytes) -> None:
    async def script(server: ScriptedServer) -> None:
        connecting = asyncio.ensure_future(_open(server, {}))
        peer = await server.accept()
        peer.send_bytes(data)
        with pytest.raises(ConnectionLost, match="does not speak the protocol"):
            await connecting

    play(script)


def test_requests_of_one_turn_are_answered_in_any_order() -> None:
    async def script(server: ScriptedServer) -> None:
        client, peer = await meet(server)
        first = asyncio.ensure_future(client.request("session:get", session_id="a"))
        second = asyncio.ensure_future(client.request("session:get", session_id="b"))
        asked = [await peer.expect("session:get") for _ in range(2)]
        for request in reversed(asked):
            peer.reply(request, "session:state", session={"session_id": request["session_id"]})
        assert (await first)["session"]["session_id"] == "a"
        assert (await second)["session"]["session_id"] == "b"
        await client.close()

    play(script)


def test_a_session_is_created_with_everything_that_was_said() -> None:
    async def script(server: ScriptedServer) -> None:
        client, peer = await meet(server)

        async def answer() -> dict[str, Any]:
            request = await peer.expect("session:create")
            peer.reply(request, "session:created", session_id="s", session={"seq": 1}, resume_token="secret")
            return request

        creating = asyncio.ensure_future(
            client.create(
                user={"user_id": "ada"}, tags=("a",), timeouts={"max_lifetime": None}, channel="web"
            )
        )
        request = await answer()
        session = await creating
        assert (session.id, session.resume_token) == ("s", "secret")
        assert request["request_key"]
        assert request["tags"] == ["a"]
        assert request["timeouts"] == {"max_lifetime": None}
        assert "context" not in request
        assert client.session("s") is session
        await client.close()

    play(script)


def test_every_method_of_a_session_makes_its_request() -> None:
    async def script(server: ScriptedServer) -> None:
        client, peer = await meet(server)
        session = await follow(client, peer)

        async def answers(kind: str, reply: str, **payload: Any) -> None:
            request = await peer.expect(kind)
            peer.reply(request, reply, session_id="s", **payload)

        receipt = await both(session.send("hi", context={"k": 1}), peer.accept_message(6))
        assert receipt == Accepted("s", receipt.message_id, 6, duplicate=False, created=False, reopened=False)
        state = {"session_id": "s", "seq": 6}
        assert await both(session.get(), answers("session:get", "session:state", session=state)) == state
        page = await both(
            session.history(5, limit=1),
            answers("session:history", "session:events", events=[message(6, "hi")], more=True),
        )
        assert (page.events[0].text, page.events[0].author, page.more) == ("hi", "ai", True)
        context = await both(
            session.update_context({"k": 2}, expected_version=1),
            answers(
                "session:context:update",
                "session:context:updated",
                context={"k": 2},
                context_version=2,
                seq=7,
            ),
        )
        assert (context.context, context.version, context.seq) == ({"k": 2}, 2, 7)
        closed = await both(
            session.close("done"),
            answers("session:close", "session:closed", reason="done", reopen_until=9.0, seq=8),
        )
        assert (closed.reason, closed.reopen_until, closed.seq) == ("done", 9.0, 8)
        reopened = answers("session:reopen", "session:reopened", session=state, seq=9)
        assert await both(session.reopen(), reopened) == state
        assert await both(session.rate(5, "good"), answers("session:rate", "session:rated", seq=10)) == 10
        tagged = answers("session:tag", "session:tagged", tags=["b"], seq=11)
        assert await both(session.tag(add=["b"], remove={"a"}), tagged) == ["b"]
        await both(session.compose("stop"), answers("message:compose", "message:composing"))
        await both(session.read(11), answers("message:read", "message:read"))
        await both(session.detach(), answers("session:detach", "session:detached"))
        erased = await both(
            session.erase(), answers("session:erase", "session:erased", sessions=1, events=11)
        )
        assert (erased.sessions, erased.events) == (1, 11)
        listing = await both(
            client.list(status="active"),
            answers("session:list", "session:page", sessions=[state], cursor=None),
        )
        assert (listing.sessions, listing.cursor) == ([state], None)
        assert await both(client.ping(), answers("ping", "pong", server_time=1.5)) == 1.5
        await client.close()

    play(script)


@pytest.mark.parametrize(
    ("code", "family"),
    [
        ("session_expired", SessionUnavailable),
        ("version_conflict", VersionConflict),
        ("forbidden", NotAllowed),
        ("invalid_payload", InvalidRequest),
    ],
)
def test_a_refusal_is_raised_as_its_family(code: str, family: type[RequestFailed]) -> None:
    async def script(server: ScriptedServer) -> None:
        client, peer = await meet(server)

        async def refuse() -> None:
            request = await peer.expect("session:get")
            peer.reply(request, "error", code=code, message="no", details={"key": "k"}, session_id="s")

        with pytest.raises(family, match=f"{code}: no") as caught:
            await both(client.session("s").get(), refuse())
        assert (caught.value.details, caught.value.session_id) == ({"key": "k"}, "s")
        await client.close()

    play(script)


def test_an_overloaded_server_is_asked_again_and_gives_up_after_a_while() -> None:
    async def script(server: ScriptedServer) -> None:
        client, peer = await meet(server, max_retries=2)

        async def refuse_for_ever() -> None:
            ids: list[int] = []
            for _ in range(3):
                request = await peer.expect("session:rate")
                ids.append(request["id"])
                peer.reply(request, "error", code="overloaded", message="wait", retry_after=0)
            assert len(set(ids)) == 1

        with pytest.raises(TryAgain, match="overloaded"):
            await both(client.session("s").rate(1), refuse_for_ever())
        await client.close()

    play(script)


def test_events_come_in_order_and_end_with_the_session() -> None:
    async def script(server: ScriptedServer) -> None:
        client, peer = await meet(server)
        session = await follow(client, peer)
        heard: list[str] = []
        stop = client.subscribe(lambda event: heard.append(event.type))
        peer.send(**message(6, "one"))
        peer.send(type="message:composing", session_id="s", action="start", by={"role": "agent", "id": None})
        peer.send(type="session:expired", session_id="s", seq=7, at=7.0, reason="inactivity")
        events = [event async for event in session.events()]
        assert [event.type for event in events] == [
            "message:received",
            "message:composing",
            "session:expired",
        ]
        assert [event.seq for event in events] == [6, None, 7]
        assert events[0].as_map() == message(6, "one")
        assert heard == [event.type for event in events]
        stop()
        await client.close()

    play(script)


def test_an_iteration_that_was_left_is_taken_up_again() -> None:
    async def script(server: ScriptedServer) -> None:
        client, peer = await meet(server)
        session = await follow(client, peer)
        for seq in (6, 7, 8):
            peer.send(**message(seq))
        async for event in session.events():
            assert event.seq == 6
            break
        assert await next_seq(session) == 7
        await client.close()
        assert [event.seq async for event in session.events()] == [8]

    play(script)


def test_unread_events_beyond_the_bound_become_a_gap() -> None:
    async def script(server: ScriptedServer) -> None:
        client, peer = await meet(server, max_buffered_events=2)
        session = await follow(client, peer)
        for seq in range(6, 11):
            peer.send(**message(seq))
        peer.close()
        await server.welcome()
        await client.close()
        gap, *events = [event async for event in session.events()]
        assert isinstance(gap, Gap)
        assert (gap.after_seq, gap.until_seq) == (5, 8)
        assert [event.seq for event in events] == [9, 10]

    play(script)


def test_two_readers_of_one_session_are_told_so() -> None:
    async def script(server: ScriptedServer) -> None:
        client, peer = await meet(server)
        session = await follow(client, peer)
        first = asyncio.ensure_future(session.next_event())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="subscribe"):
            await session.next_event()
        peer.send(**message(6))
        event = await first
        assert event is not None
        assert event.seq == 6
        await client.close()

    play(script)


def test_a_subscriber_that_fails_harms_nobody() -> None:
    async def script(server: ScriptedServer) -> None:
        client, peer = await meet(server)
        session = await follow(client, peer)
        complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

        def fail(_: object) -> None:
            raise ValueError("mine")

        client.subscribe(fail)
        peer.send(**message(6))
        event = await session.next_event()
        assert event is not None
        assert [str(complaint["exception"]) for complaint in complaints] == ["mine"]
        await client.close()

    play(script)


# connections that break


@by_each_door
@pytest.mark.parametrize("message_id", [None, "mine"])
def test_an_unacknowledged_message_is_sent_again_under_its_message_id(
    message_id: str | None, door: Door
) -> None:
    async def script(server: ScriptedServer) -> None:
        client, peer = await meet(server)
        session = await follow(client, peer)
        sending = asyncio.ensure_future(session.send("hello", message_id=message_id))
        first = await peer.expect("message:send")
        peer.drop()
        peer = await server.welcome()
        await peer.resume(6, message(6, "hello", message_id=first["message_id"], author="user"))
        second = await peer.accept_message(6, duplicate=True)
        assert second == first
        assert message_id is None or second["message_id"] == message_id
        receipt = await sending
        assert (receipt.seq, receipt.duplicate) == (6, True)
        peer.send(**message(7, "the answer"))
        assert await next_seq(session) == 7
        await client.close()

    play(script, door)


@by_each_door
def test_sessions_are_resumed_behind_the_last_event_without_gap_or_duplicate(door: Door) -> None:
    async def script(server: ScriptedServer) -> None:
        client, peer = await meet(server)
        session = await follow(client, peer)
        peer.send(**message(6))
        event = await session.next_event()
        assert event is not None
        peer.drop()
        peer = await server.welcome()
        resume = await peer.resume(11, message(7), message(8), more=True)
        assert resume["after_seq"] == 6
        peer.send(**message(12))
        page = await peer.expect("session:history")
        assert page["after_seq"] == 8
        peer.reply(page, "session:events", events=[message(9), message(10)], more=True)
        page = await peer.expect("session:history")
        assert page["after_seq"] == 10
        peer.reply(page, "session:events", events=[message(11), message(12)], more=False)
        peer.send(**message(13))
        seqs: list[int | None] = []
        async for event in session.events():
            seqs.append(event.seq)
            if event.seq == 13:
                break
        assert seqs == [7, 8, 9, 10, 11, 12, 13]
        await client.close()

    play(script, door)


@by_each_door
def test_a_connection_that_breaks_again_and_again_loses_nothing(door: Door) -> None:
    async def script(server: ScriptedServer) -> None:
        client, peer = await meet(server)
        session = await follow(client, peer, seq=0)
        for seq in range(1, 20, 2):
            peer.send(**message(seq))
            assert await next_seq(session) == seq
            peer.drop()
            peer = await server.welcome()
            resume = await peer.resume(seq + 1, message(seq + 1))
            assert resume["after_seq"] == seq
            assert await next_seq(session) == seq + 1
        await client.close()

    play(script, door)


def test_events_that_no_longer_exist_are_a_gap() -> None:
    async def script(server: ScriptedServer) -> None:
        client, peer = await meet(server)
        session = await follow(client, peer)
        peer.drop()
        peer = await server.welcome()
        await peer.resume(9, message(9), complete=False)
        gap = await session.next_event()
        assert isinstance(gap, Gap)
        assert (gap.session_id, gap.after_seq, gap.until_seq) == ("s", 5, 8)
        assert await next_seq(session) == 9
        await client.close()

    play(script)


@pytest.mark.parametrize("code", ["session_expired", "session_not_found"])
def test_a_session_that_is_gone_ends_its_events(code: str) -> None:
    async def script(server: ScriptedServer) -> None:
        client, peer = await meet(server)
        session = await follow(client, peer)
        peer.drop()
        peer = await server.welcome()
        resume = await peer.expect("session:resume")
        peer.reply(resume, "error", code=code, message="gone")
        if code == "session_expired":
            assert [event async for event in session.events()] == []
        else:
            with pytest.raises(SessionUnavailable, match=code):
                await session.next_event()
        await client.close()

    play(script)


def test_requests_that_cannot_be_repeated_raise_connection_lost_and_the_others_are_repeated() -> None:
    async def script(server: ScriptedServer) -> None:
        client, peer = await meet(server)
        session = client.session("s")
        rating = asyncio.ensure_future(session.rate(5))
        reading = asyncio.ensure_future(session.get())
        await peer.expect("session:rate")
        await peer.expect("session:get")
        peer.drop()
        peer = await server.welcome()
        with pytest.raises(ConnectionLost):
            await rating
        request = await peer.expect("session:get")
        peer.reply(request, "session:state", session={"seq": 1})
        assert await reading == {"seq": 1}
        await client.close()

    play(script)


def test_requests_made_while_there_is_no_connection_wait_for_the_next() -> None:
    async def script(server: ScriptedServer) -> None:
        may_return = asyncio.Event()
        gone = asyncio.Event()

        async def sleep(_: float) -> None:
            gone.set()
            await may_return.wait()

        client, peer = await meet(server, sleep=sleep)
        peer.drop()
        await gone.wait()
        assert not client.is_connected
        rating = asyncio.ensure_future(client.session("s").rate(5))
        await asyncio.sleep(0)
        may_return.set()
        peer = await server.welcome()
        request = await peer.expect("session:rate")
        peer.reply(request, "session:rated", session_id="s", seq=3)
        assert await rating == 3
        await client.close()

    play(script)


def test_attempts_back_off_exponentially_and_begin_anew_after_a_success() -> None:
    async def script(server: ScriptedServer) -> None:
        pauses = Pauses()
        client, peer = await meet(server, sleep=pauses, random=lambda: 1.0, min_backoff=0.5, max_backoff=4.0)
        peer.drop()
        for _ in range(5):
            peer = await server.accept()
            await peer.expect("hello")
            peer.drop()
        peer = await server.welcome()
        await both(client.ping(), _pong(peer))
        assert pauses.slept == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
        peer.drop()
        await server.welcome()
        assert pauses.slept[6:] == [0.5]
        await client.close()

    play(script)


async def _pong(peer: Peer) -> None:
    peer.reply(await peer.expect("ping"), "pong", server_time=0.0)


def test_chance_shortens_a_pause_by_up_to_half() -> None:
    async def script(server: ScriptedServer) -> None:
        pauses = Pauses()
        client, peer = await meet(server, sleep=pauses, random=lambda: 0.0, min_backoff=1.0)
        peer.drop()
        await server.welcome()
        assert pauses.slept == [0.5]
        await client.close()

    play(script)


def test_a_goodbye_that_says_when_to_come_back_is_heeded() -> None:
    async def script(server: ScriptedServer) -> None:
        pauses = Pauses()
        client, peer = await meet(server, sleep=pauses)
        peer.send(type="goodbye", code="draining", message="", reconnect=True, retry_after=30.0)
        await peer.closed()
        await server.welcome()
        assert pauses.slept == [30.0]
        await client.close()

    play(script)


@by_each_door
def test_a_goodbye_for_good_ends_the_client(door: Door) -> None:
    async def script(server: ScriptedServer) -> None:
        client, peer = await meet(server)
        session = await follow(client, peer)
        asking = asyncio.ensure_future(session.get())
        await peer.expect("session:get")
        peer.send(type="goodbye", code="unauthorized", message="the token was revoked", reconnect=False)
        with pytest.raises(ConnectionLost, match="the token was revoked"):
            await asking
        with pytest.raises(ConnectionLost, match="the token was revoked"):
            await session.next_event()
        with pytest.raises(ConnectionLost):
            await session.get()
        await client.close()

    play(script, door)


def test_without_reconnect_the_first_loss_ends_the_client() -> None:
    async def script(server: ScriptedServer) -> None:
        client, peer = await meet(server, reconnect=False)
        session = await follow(client, peer)
        peer.drop()
        with pytest.raises(ConnectionLost):
            await session.next_event()
        with pytest.raises(ConnectionLost):
            await client.ping()
        await client.close()

    play(script)


@by_each_door
def test_closing_ends_what_is_open_and_leaves_no_task(door: Door) -> None:
    async def script(server: ScriptedServer) -> None:
        before = asyncio.all_tasks()
        client, peer = await meet(server)
        session = await follow(client, peer)
        asking = asyncio.ensure_future(session.get())
        await peer.expect("session:get")
        await client.close()
        with pytest.raises(ConnectionLost, match="closed"):
            await asking
        assert [event async for event in session.events()] == []
        await peer.closed()
        await client.close()
        assert asyncio.all_tasks() == before

    play(script, door)


def test_closing_while_the_client_waits_to_come_back_ends_the_wait() -> None:
    async def script(server: ScriptedServer) -> None:
        gone = asyncio.Event()

        async def sleep(_: float) -> None:
            gone.set()
            await asyncio.Event().wait()

        client, peer = await meet(server, sleep=sleep)
        peer.drop()
        await gone.wait()
        await client.close()

    play(script)


@by_each_door
def test_a_silent_server_is_left_for_a_new_connection(door: Door) -> None:
    async def script(server: ScriptedServer) -> None:
        connecting = asyncio.ensure_future(_open(server, {"sleep": Pauses()}))
        peer = await server.welcome(heartbeat=0.02)
        client = await connecting
        await peer.expect("ping")
        peer = await server.welcome()
        await both(client.ping(), _pong(peer))
        await client.close()

    play(script, door)


@by_each_door
def test_a_server_that_never_greets_is_given_up(door: Door) -> None:
    async def script(server: ScriptedServer) -> None:
        with pytest.raises(TimeoutError):
            await connect(server.host, server.port, connect_timeout=0.02)
        peer = await server.accept()
        await peer.expect("hello")
        await peer.closed()

    play(script, door)


def test_a_cancelled_request_leaves_the_client_usable() -> None:
    async def script(server: ScriptedServer) -> None:
        client, peer = await meet(server)
        asking = asyncio.ensure_future(client.session("s").get())
        request = await peer.expect("session:get")
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        peer.reply(request, "session:state", session={})
        await both(client.ping(), _pong(peer))
        await client.close()

    play(script)


def test_the_keywords_of_connect_are_the_options() -> None:
    assert get_type_hints(ConnectKeywords).keys() == get_type_hints(ConnectOptions).keys() - {"host", "port"}


@pytest.mark.parametrize(
    "options",
    [
        {"connect_timeout": 0},
        {"min_backoff": -1},
        {"max_backoff": 0},
        {"max_buffered_events": 0},
        {"heartbeat": 0},
    ],
)
def test_an_option_out_of_range_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        ConnectOptions(**options)
