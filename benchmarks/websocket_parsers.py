"""What one message costs each parser that could stand behind the WebSocket door, over many connections.

Each connection is fed one masked binary message of 150 bytes in turn, so that none finds its objects in the
processor's cache, as in a server. Handshakes are not counted. `picows` is fed as its own transport would.
"""

import asyncio
import logging
import os
import socket
import statistics
import time
from collections.abc import Callable
from typing import Any

from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from .servers import resident_bytes

CONNECTIONS = 1000
ROUNDS = 30
LIMIT = 65_536
MESSAGE = Frame(Opcode.BINARY, os.urandom(150)).serialize(mask=True)
REQUEST = (
    b"GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

Feed = Callable[[bytes], object]


class _NoTransport:
    """What picows writes to; as a TLS transport, or it would write past it."""

    def __init__(self, plug: socket.socket) -> None:
        self._known = {"socket": plug, "ssl_object": True}

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self._known.get(name, default)

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: bytes) -> None: ...


def of_websockets() -> Feed:
    protocol = ServerProtocol(state=OPEN, max_size=LIMIT)

    def feed(data: bytes) -> None:
        protocol.receive_data(data)
        protocol.events_received()
        protocol.data_to_send()

    return feed


def of_picows(plug: socket.socket) -> Feed:
    import picows  # noqa: PLC0415  # an extra
    from picows import picows as inside  # noqa: PLC0415

    class Listener(picows.WSListener):
        def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
            frame.get_payload_as_bytes()

    def listen(_request: Any) -> picows.WSListener:
        return Listener()

    quiet = logging.getLogger("benchmarks.picows")
    quiet.setLevel(logging.CRITICAL)
    strategy = picows.WSAutoPingStrategy.PING_WHEN_IDLE
    make: Any = getattr(inside, "WSProtocol")  # noqa: B009  # its types leave it out
    protocol: Any = make(
        None, None, False, listen, quiet, True, None,
        False, None, None, strategy, True, LIMIT, None, 2048,
    )  # fmt: skip

    def feed(data: bytes) -> None:
        protocol.get_buffer(-1)[: len(data)] = data
        protocol.buffer_updated(len(data))

    protocol.connection_made(_NoTransport(plug))
    feed(REQUEST)
    return feed


def costs() -> dict[str, tuple[float, float]]:
    """Microseconds a message and bytes a connection, by parser; picows only where it is installed."""

    async def measure() -> dict[str, tuple[float, float]]:
        with socket.socket() as plug:
            makers: dict[str, Callable[[], Feed]] = {
                "websockets": of_websockets,
                "picows": lambda: of_picows(plug),
            }
            found: dict[str, tuple[float, float]] = {}
            for name, make in makers.items():
                before = resident_bytes()
                try:
                    feeds = [make() for _ in range(CONNECTIONS)]
                except ImportError:
                    continue
                size = (resident_bytes() - before) / CONNECTIONS
                found[name] = (statistics.median(_round(feeds) for _ in range(ROUNDS)), size)
            return found

    return asyncio.run(measure())


def _round(feeds: list[Feed]) -> float:
    begun = time.perf_counter()
    for feed in feeds:
        feed(MESSAGE)
    return (time.perf_counter() - begun) / len(feeds) * 1e6
