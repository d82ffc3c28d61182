"""The asyncio client's connection by WebSocket, for networks that let nothing but HTTP through.

Handshake and frames are the `websockets` library's; messages are msgpack, as over TCP.
"""

import asyncio
import json
import logging
from collections.abc import Sequence
from typing import Any, Final, cast

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from .client_link import DEFAULT_MAX_REPLY_BYTES, Link, Owner
from .errors import ConnectionLost, InvalidFrame

SUBPROTOCOL: Final = Subprotocol("sojourn.v1.msgpack")
_MESSAGES: Final = (Opcode.BINARY, Opcode.TEXT, Opcode.CONT)

# What the library would tell is in the errors that are raised.
_quiet = logging.getLogger(f"{__name__}.library")
_quiet.setLevel(logging.WARNING)


class WebSocketLink(Link):
    """One WebSocket connection to `uri`; made on the loop that it is used on."""

    def __init__(self, owner: Owner, uri: WebSocketURI) -> None:
        super().__init__(owner)
        self._protocol = ClientProtocol(
            uri, subprotocols=[SUBPROTOCOL], max_size=DEFAULT_MAX_REPLY_BYTES, logger=_quiet
        )
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pieces = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._protocol.send_request(self._protocol.connect())
        self._write_waiting()

    def data_received(self, data: bytes) -> None:
        protocol = self._protocol
        protocol.receive_data(data)
        events = protocol.events_received()
        if not self._opened.done():
            if protocol.handshake_exc is not None:
                self._refuse(_in_words(protocol.handshake_exc))
                return
            if not events:
                return
            if protocol.subprotocol != SUBPROTOCOL:
                self._refuse("the server there speaks another sub-protocol")
                return
            del events[0]  # the server's answer to the handshake
            self._opened.set_result(None)
            self._owner.on_connected(self)
        bodies: list[bytes] = []
        for frame in cast("list[Frame]", events):
            if frame.opcode in _MESSAGES:  # a proxy may have cut a message into fragments
                self._pieces += frame.data
                if frame.fin:
                    bodies.append(bytes(self._pieces))
                    self._pieces = bytearray()
        fault = protocol.parser_exc
        self._owner.on_bodies(
            self, bodies, None if fault is None else InvalidFrame(f"against the rules of WebSocket: {fault}")
        )
        self._write_waiting()  # pongs, and the answer to a close

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.parser.close()  # it and the protocol hold each other
        if not self._opened.done():
            self._refuse(str(exc) if exc else "the server closed the connection")
        super().connection_lost(exc)

    def allow_frames_of(self, max_frame_bytes: int) -> None:
        self._protocol.max_message_size = max(self._protocol.max_message_size or 0, max_frame_bytes)

    def write(self, bodies: Sequence[bytes]) -> None:
        if self._protocol.state is OPEN:
            for body in bodies:
                self._protocol.send_binary(body)
            self._write_waiting()

    async def until_open(self) -> None:
        await self._opened

    def close(self) -> None:
        if self._protocol.state is OPEN:
            self._protocol.send_close(1000)
            self._write_waiting()
        super().close()

    def _write_waiting(self) -> None:
        waiting = b"".join(self._protocol.data_to_send())
        if waiting and self._transport is not None:
            self._transport.write(waiting)

    def _refuse(self, why: str) -> None:
        self._opened.set_exception(ConnectionLost(f"no WebSocket was opened: {why}"))
        self._opened.exception()  # whoever dials raises it, if still there
        self.abort()


def _in_words(fault: Exception) -> str:
    """What a refused handshake says, with the server's own words where it is Sojourn."""
    if not isinstance(fault, InvalidStatus):
        return str(fault)
    response = fault.response
    try:
        said: Any = json.loads(bytes(response.body or b""))
        return f"HTTP {response.status_code}: {said['message']}"
    except (ValueError, KeyError, TypeError):
        return f"HTTP {response.status_code}"
