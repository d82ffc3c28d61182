"""The client by WebSocket: at a real server's door, and at doors that are none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from websockets.frames import Frame, Opcode

from sojourn.actors import Runtime
from sojourn.gateway.client import ConnectOptions, connect
from sojourn.gateway.client_sync import Client
from sojourn.gateway.codec import encode
from sojourn.gateway.errors import ConnectionLost, InvalidRequest
from sojourn.gateway.server import Server, ServerConfig
from tests.gateway.scripted_server import message, scripted_server


@asynccontextmanager
async def served() -> AsyncGenerator[str]:
    """The host and port of a server's HTTP door."""
    async with Runtime(None) as runtime:
        server = Server(runtime, ServerConfig(port=0, http_port=0))
        await server.start()
        assert server.http_address is not None
        try:
            yield "{}:{}".format(*server.http_address)
        finally:
            await server.drain()


def test_a_conversation_by_websocket_is_one_of_channel_web() -> None:
    async def run() -> None:
        async with (
            asyncio.timeout(20),
            served() as at,
            connect(f"ws://{at}/v1/ws") as client,
            connect(f"ws://{at}/v1/ws") as other,
        ):
            session = await client.create(user={"user_id": "ada"})
            listener = other.session(session.id)
            await listener.resume(after_seq=0)
            await session.send("é" * 20_000)  # a frame with a length of two bytes
            first, second = [await listener.next_event(), await listener.next_event()]
            assert first is not None
            assert second is not None
            assert (first.type, second.payload["text"]) == ("session:created", "é" * 20_000)
            assert (await session.get())["channel"] == "web"
            with pytest.raises(InvalidRequest, match="frame_too_large"):
                await session.send("x" * 70_000)

    asyncio.run(run())


def test_plain_code_comes_by_websocket_too() -> None:
    async def run() -> None:
        async with asyncio.timeout(20), served() as at:
            await asyncio.to_thread(talk, f"ws://{at}/v1/ws")

    def talk(url: str) -> None:
        with Client(url) as client:
            assert client.create().send("hello").seq == 2

    asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "why"), [("/v1/other", "HTTP 404: WebSocket is spoken at /v1/ws"), ("/", "HTTP 404")]
)
def test_another_path_is_refused_in_the_servers_words(path: str, why: str) -> None:
    async def run() -> None:
        async with asyncio.timeout(20), served() as at:
            with pytest.raises(ConnectionLost, match=why):
                await connect(f"ws://{at}{path}")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nno\n", "HTTP 502"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n[]", "HTTP 404"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "valid HTTP response"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "Accept"),
        (b"", "the server closed the connection"),
    ],
    ids=["gateway", "no map", "ssh", "no key", "silence"],
)
def test_what_is_no_websocket_is_told_at_once(answer: bytes, why: str) -> None:
    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(take, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with asyncio.timeout(20), server:
            with pytest.raises(ConnectionLost, match=why):
                await connect(f"ws://127.0.0.1:{port}/v1/ws", connect_timeout=15)

    asyncio.run(run())


def test_wss_speaks_tls_first() -> None:
    async def run() -> None:
        first_byte: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            first_byte.set_result(await reader.readexactly(1))
            writer.close()

        server = await asyncio.start_server(take, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with asyncio.timeout(20), server:
            with pytest.raises(OSError, match=None):
                await connect(f"wss://127.0.0.1:{port}/v1/ws")
            assert await first_byte == b"\x16"  # a record of a TLS handshake

    asyncio.run(run())


def test_a_proxy_may_cut_messages_and_ask_whether_one_is_there() -> None:
    async def run() -> None:
        async with asyncio.timeout(20), scripted_server("websocket") as server:
            greeting = asyncio.ensure_future(server.welcome())
            client = await connect(server.host, heartbeat=None, min_backoff=0.001)
            peer = await greeting
            session = client.session("s")
            resuming = asyncio.ensure_future(session.resume())
            await peer.resume(5)
            await resuming
            body = encode(message(6))
            for frame in (
                Frame(Opcode.BINARY, body[:7], fin=False),
                Frame(Opcode.PING, b"there?"),
                Frame(Opcode.CONT, body[7:], fin=True),
            ):
                peer.send_bytes(frame.serialize(mask=False))
            event = await session.next_event()
            assert event is not None
            assert event.seq == 6
            peer.send_bytes(b"\x8b\x00")  # no kind of frame
            peer = await server.welcome()  # so it came back
            await client.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    "host", ["http://localhost/v1/ws", "ws://", "ws:///v1/ws", "ws://localhost/v1/ws#here", "://"]
)
def test_a_url_of_another_kind_is_named(host: str) -> None:
    with pytest.raises(ValueError, match="host must be"):
        ConnectOptions(host=host)
