"""The client for plain code: the same promises, without asyncio."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import pytest

from sojourn.gateway.client_sync import Client
from sojourn.gateway.client_values import Erased
from sojourn.gateway.errors import ConnectionLost, SessionUnavailable
from tests.gateway.scripted_server import Peer, ScriptedServer, message, scripted_server

Script = Callable[[ScriptedServer], Coroutine[Any, Any, None]]


@contextmanager
def played(script: Script) -> Generator[int]:
    """The port of a server that plays `script` in a thread of its own; what fails there fails the test."""
    port: Future[int] = Future()
    outcome: Future[None] = Future()

    async def run() -> None:
        async with asyncio.timeout(20), scripted_server() as server:
            port.set_result(server.port)
            await script(server)

    def thread() -> None:
        try:
            asyncio.run(run())
            outcome.set_result(None)
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=thread, name="scripted-server").start()
    try:
        yield port.result(20)
    finally:
        failure = outcome.exception(20)
    if failure is not None:
        raise failure


async def create(peer: Peer) -> None:
    """Answer a creation: session s, at 1."""
    request = await peer.expect("session:create")
    peer.reply(request, "session:created", session_id="s", session={"seq": 1}, resume_token="secret")


def test_a_conversation_in_plain_code() -> None:
    async def script(server: ScriptedServer) -> None:
        peer = await server.welcome()
        await create(peer)
        said = await peer.accept_message(2)
        peer.send(**message(3, f"you said {said['text']}"))
        peer.send(type="session:expired", session_id="s", seq=4, at=4.0, reason="inactivity")
        await peer.closed()

    with played(script) as port, Client("127.0.0.1", port) as client:
        session = client.create(user={"user_id": "ada"})
        assert (session.id, session.resume_token) == ("s", "secret")
        assert session.send("hello").seq == 2
        assert [(event.type, event.text) for event in session.events()] == [
            ("message:received", "you said hello"),
            ("session:expired", None),
        ]


ANSWERS: list[tuple[str, str, dict[str, Any]]] = [
    (
        "session:resume",
        "session:resumed",
        {"session": {"seq": 2}, "events": [], "complete": True, "more": False},
    ),
    ("session:get", "session:state", {"session": {"seq": 2}}),
    ("session:history", "session:events", {"events": [message(2)], "more": False}),
    (
        "session:context:update",
        "session:context:updated",
        {"context": {}, "context_version": 2, "seq": 3},
    ),
    ("session:close", "session:closed", {"reason": "r", "reopen_until": None, "seq": 4}),
    ("session:reopen", "session:reopened", {"session": {"seq": 5}, "seq": 5}),
    ("session:rate", "session:rated", {"seq": 6}),
    ("session:tag", "session:tagged", {"tags": ["t"], "seq": 7}),
    ("message:compose", "message:composing", {}),
    ("message:read", "message:read", {}),
    ("session:detach", "session:detached", {}),
    ("session:erase", "session:erased", {"sessions": 1, "events": 7}),
    ("session:erase", "session:erased", {"sessions": 2, "events": 8}),
    ("session:list", "session:page", {"sessions": [], "cursor": "c"}),
    ("ping", "pong", {"server_time": 2.5}),
    ("session:why", "session:why", {"why": {}}),
]


def test_every_method_gives_its_result() -> None:
    async def script(server: ScriptedServer) -> None:
        peer = await server.welcome()
        await peer.accept_message(2)
        for kind, reply, payload in ANSWERS:
            peer.reply(await peer.expect(kind), reply, session_id="s", **payload)
        await peer.closed()

    with played(script) as port, Client("127.0.0.1", port) as client:
        assert client.send("hi", user={"user_id": "ada"}).session_id == "s"
        session = client.session("s")
        assert session.resume() == {"seq": 2}
        assert session.get() == {"seq": 2}
        assert session.history().events[0].seq == 2
        assert session.update_context({}).version == 2
        assert session.close().reason == "r"
        assert session.reopen() == {"seq": 5}
        assert session.rate(4) == 6
        assert session.tag(["t"]) == ["t"]
        session.compose()
        session.read(7)
        session.detach()
        assert session.erase() == Erased(1, 7)
        assert client.erase_user("ada") == Erased(2, 8)
        assert client.list().cursor == "c"
        assert client.ping() == 2.5
        assert client.request("session:why", session_id="s")["why"] == {}
        assert client.is_connected


def test_an_event_that_does_not_come_in_time_is_a_timeout_and_not_lost_later() -> None:
    async def script(server: ScriptedServer) -> None:
        peer = await server.welcome()
        await create(peer)
        request = await peer.expect("session:get")
        peer.send(**message(2))
        peer.reply(request, "session:state", session={})
        await peer.closed()

    with played(script) as port, Client("127.0.0.1", port) as client:
        session = client.create()
        with pytest.raises(TimeoutError):
            session.next_event(timeout=0)
        assert list(session.events(timeout=0)) == []
        session.get()
        assert [event.seq for event in session.events(timeout=0)] == [2]


def test_an_answer_that_does_not_come_in_time_is_a_timeout() -> None:
    async def script(server: ScriptedServer) -> None:
        peer = await server.welcome()
        await peer.expect("session:get")
        await peer.closed()

    with played(script) as port, Client("127.0.0.1", port) as client, pytest.raises(TimeoutError):
        client.session("s").get(timeout=0.02)


def test_a_lost_connection_is_made_again_and_the_message_is_stored_once() -> None:
    async def script(server: ScriptedServer) -> None:
        peer = await server.welcome()
        await create(peer)
        first = await peer.expect("message:send")
        peer.drop()
        peer = await server.welcome()
        resume = await peer.resume(2, message(2, message_id=first["message_id"]))
        assert (resume["after_seq"], resume["resume_token"]) == (1, "secret")
        second = await peer.accept_message(2, duplicate=True)
        assert second["message_id"] == first["message_id"]
        await peer.closed()

    with played(script) as port, Client("127.0.0.1", port, min_backoff=0.001) as client:
        receipt = client.create().send("hello")
        assert (receipt.seq, receipt.duplicate) == (2, True)


def test_a_refusal_is_raised_where_the_request_was_made() -> None:
    async def script(server: ScriptedServer) -> None:
        peer = await server.welcome()
        request = await peer.expect("session:get")
        peer.reply(request, "error", code="session_not_found", message="no such session")
        await peer.closed()

    with played(script) as port, Client("127.0.0.1", port) as client:
        session = client.session("s")
        with pytest.raises(SessionUnavailable, match="no such session"):
            session.get()


def test_subscribers_hear_every_event_on_the_clients_own_thread() -> None:
    async def script(server: ScriptedServer) -> None:
        peer = await server.welcome()
        await peer.expect("ping")
        peer.send(**message(1))
        await peer.closed()

    with played(script) as port, Client("127.0.0.1", port) as client:
        heard: Future[tuple[int | None, str, str]] = Future()

        def hear(event: Any) -> None:
            try:
                client.ping()
            except RuntimeError as error:
                heard.set_result((event.seq, threading.current_thread().name, str(error)))

        stop = client.subscribe(hear)
        with pytest.raises(TimeoutError):
            client.ping(timeout=0.02)
        seq, thread, complaint = heard.result(20)
        assert (seq, thread) == (1, "sojourn-client")
        assert "own thread" in complaint
        stop()


def test_many_threads_may_use_one_client() -> None:
    async def script(server: ScriptedServer) -> None:
        peer = await server.welcome()
        for seq in range(1, 41):
            await peer.accept_message(seq)
        await peer.closed()

    with played(script) as port, Client("127.0.0.1", port) as client:
        seqs: list[int] = []

        def talk() -> None:
            seqs.extend(client.session("s").send("hi").seq for _ in range(10))

        threads = [threading.Thread(target=talk) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(seqs) == list(range(1, 41))


def test_a_closed_client_says_so_and_leaves_no_thread() -> None:
    async def script(server: ScriptedServer) -> None:
        peer = await server.welcome()
        await peer.closed()

    with played(script) as port:
        client = Client("127.0.0.1", port)
        client.close()
        client.close()
        assert "sojourn-client" not in [thread.name for thread in threading.enumerate()]
        with pytest.raises(ConnectionLost):
            client.ping()


def test_nobody_there_leaves_no_thread_either() -> None:
    async def script(server: ScriptedServer) -> None:
        await asyncio.sleep(0)

    with played(script) as port:
        pass
    with pytest.raises(OSError, match="Connect"):
        Client("127.0.0.1", port)
    assert "sojourn-client" not in [thread.name for thread in threading.enumerate()]
