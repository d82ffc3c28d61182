"""A server on a real socket that does what a test tells it to, frame by frame, over TCP or WebSocket."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Literal, cast

from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from sojourn.gateway.codec import decode, encode
from sojourn.gateway.framing import FrameDecoder, encode_frame

Frame = dict[str, Any]
Door = Literal["tcp", "websocket"]


class Peer:
    """One accepted connection, seen from the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = FrameDecoder(65536)
        self._bodies: list[bytes] = []

    async def receive(self) -> Frame:
        """Return the client's next frame; EOFError when it has closed."""
        while not self._bodies:
            data = await self._reader.read(65536)
            if not data:
                raise EOFError
            self._bodies += self.bodies_in(data)
        return decode(self._bodies.pop(0))

    async def expect(self, kind: str) -> Frame:
        """Return the client's next frame, which must have this type."""
        frame = await self.receive()
        assert frame["type"] == kind, frame
        return frame

    def send(self, **frame: Any) -> None:
        """Send one frame."""
        self.send_bytes(self.framed(encode(frame)))

    def bodies_in(self, data: bytes) -> list[bytes]:
        """The bodies that `data` completes."""
        return self._decoder.feed(data)

    def framed(self, body: bytes) -> bytes:
        """`body` as this transport carries it."""
        return encode_frame(body)

    def send_bytes(self, data: bytes) -> None:
        """Send these bytes, whatever they are."""
        self._writer.write(data)

    def reply(self, request: Frame, kind: str, **payload: Any) -> None:
        """Answer `request`."""
        self.send(type=kind, reply_to=request["id"], **payload)

    async def welcome(self, **payload: Any) -> Frame:
        """Take the greeting and return it."""
        hello = await self.expect("hello")
        self.reply(hello, "welcome", protocol=1, role=hello.get("role"), **{"limits": {}, **payload})
        return hello

    async def accept_message(self, seq: int, **payload: Any) -> Frame:
        """Take a message, answer that it is stored at `seq`, and return it."""
        message = await self.expect("message:send")
        receipt = {
            "session_id": message.get("session_id", "s"),
            "message_id": message["message_id"],
            "seq": seq,
            "duplicate": False,
            "created": False,
            "reopened": False,
        }
        self.reply(message, "message:accepted", **{**receipt, **payload})
        return message

    async def resume(self, newest: int, *events: Frame, complete: bool = True, more: bool = False) -> Frame:
        """Take a resume, answer it with `events`, and return it."""
        request = await self.expect("session:resume")
        self.reply(
            request,
            "session:resumed",
            session={"session_id": request["session_id"], "seq": newest},
            events=list(events),
            complete=complete,
            more=more,
        )
        return request

    async def closed(self) -> None:
        """Wait until the client has closed; it must not send anything before."""
        try:
            frame = await self.receive()
        except (EOFError, ConnectionResetError):
            return
        raise AssertionError(f"the client sent {frame}")

    def drop(self) -> None:
        """Break the connection: what was sent before may not arrive."""
        self._writer.transport.abort()

    def close(self) -> None:
        """Close the connection behind what was sent."""
        self._writer.close()


class WebSocketPeer(Peer):
    """A connection that was opened by a WebSocket handshake."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self._protocol = ServerProtocol(subprotocols=[Subprotocol("sojourn.v1.msgpack")])

    async def shake_hands(self) -> None:
        """Take the client's request and accept it."""
        while not (events := self._protocol.events_received()):
            self._protocol.receive_data(await self._reader.read(65536))
        self._protocol.send_response(self._protocol.accept(cast("Request", events[0])))
        self._writer.write(b"".join(self._protocol.data_to_send()))

    def bodies_in(self, data: bytes) -> list[bytes]:
        self._protocol.receive_data(data)
        frames = cast("list[WebSocketFrame]", self._protocol.events_received())
        return [bytes(frame.data) for frame in frames if frame.opcode is Opcode.BINARY]

    def framed(self, body: bytes) -> bytes:
        return WebSocketFrame(Opcode.BINARY, body).serialize(mask=False)


class ScriptedServer:
    """Accepts connections and hands them to the test."""

    def __init__(self, door: Door = "tcp") -> None:
        self.door = door
        self.port = 0
        self._peers: asyncio.Queue[Peer] = asyncio.Queue()

    @property
    def host(self) -> str:
        """As `connect` takes it."""
        return "127.0.0.1" if self.door == "tcp" else f"ws://127.0.0.1:{self.port}/v1/ws"

    async def accept(self) -> Peer:
        """Return the next connection."""
        return await self._peers.get()

    async def welcome(self, **payload: Any) -> Peer:
        """Return the next connection once it is greeted."""
        peer = await self.accept()
        await peer.welcome(**payload)
        return peer

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep a new connection until the test asks for it."""
        if self.door == "tcp":
            await self._peers.put(Peer(reader, writer))
            return
        peer = WebSocketPeer(reader, writer)
        await peer.shake_hands()
        await self._peers.put(peer)


@asynccontextmanager
async def scripted_server(door: Door = "tcp") -> AsyncGenerator[ScriptedServer]:
    """Listen on a free port of this machine."""
    scripted = ScriptedServer(door)
    server = await asyncio.start_server(scripted.take, "127.0.0.1", 0)
    scripted.port = server.sockets[0].getsockname()[1]
    try:
        yield scripted
    finally:
        server.close()


def message(seq: int, text: str = "", **payload: Any) -> Frame:
    """A message of somebody else in session s, as it is pushed."""
    return {
        "type": "message:received",
        "session_id": "s",
        "seq": seq,
        "at": float(seq),
        "author": "ai",
        "message_id": f"m{seq}",
        "text": text,
        **payload,
    }
