"""The wire over WebSocket: the same blocking client, with the `websockets` library's client side below it."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any, Literal, cast

import pytest
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.typing import Origin, Subprotocol
from websockets.uri import parse_uri

from tests.integration.wire import MAX_REPLY_BYTES, TIMEOUT, Closed, Map, Silence, Wire, pack, unpack

Kind = Literal["msgpack", "json"]


class Upgrade(Exception):
    """The server refused the handshake; `response` is its HTTP answer."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"{response.status_code} {response.body!r}")
        self.response = response


class WebWire(Wire):
    """One WebSocket connection; `kind` is what it sends, `subprotocol` what the server is to keep to."""

    channel = "web"

    def __init__(
        self,
        address: tuple[str, int],
        kind: Kind = "json",
        *,
        receive_buffer: int | None = None,
        subprotocol: str | None = None,
        headers: dict[str, str] | None = None,
        path: str = "/v1/ws",
    ) -> None:
        super().__init__(address, receive_buffer=receive_buffer)
        self.kind: Kind = kind
        self.received_kind: Kind | None = None
        """Of the newest frame from the server."""
        self.close_code: int | None = None
        """The server's, once it closed."""
        self.pongs: list[bytes] = []
        self.answers_pings = True
        self._arrived: list[Frame] = []
        given = dict(headers or {})
        self._protocol = ClientProtocol(
            parse_uri(f"ws://{address[0]}:{address[1]}{path}"),
            origin=cast("Origin | None", given.pop("Origin", None)),
            subprotocols=None if subprotocol is None else [Subprotocol(subprotocol)],
            max_size=MAX_REPLY_BYTES,
        )
        request = self._protocol.connect()
        for name, value in given.items():
            if name in request.headers:
                del request.headers[name]
            request.headers[name] = value
        self._protocol.send_request(request)
        self.write_waiting()
        deadline = time.monotonic() + TIMEOUT
        while not (events := self._protocol.events_received()):
            if self._protocol.handshake_exc is not None:
                break
            self._read(deadline)
        error = self._protocol.handshake_exc
        if isinstance(error, InvalidStatus):
            raise Upgrade(error.response)
        if error is not None:
            raise error
        self.response = cast("Response", events[0])
        self._arrived += cast("list[Frame]", events[1:])

    # -- out ---------------------------------------------------------------------------------------

    def encoded(self, frame: Map) -> bytes:
        if self.kind == "json":
            try:
                text = json.dumps(frame)
            except TypeError as error:
                pytest.skip(f"JSON cannot spell it: {error}")
            self._protocol.send_text(text.encode())
        else:
            self._protocol.send_binary(pack(frame))
        return b"".join(self._protocol.data_to_send())

    def send_message(self, opcode: Opcode, body: bytes) -> None:
        """One whole message, whatever is in it."""
        self.send_frame(Frame(opcode, body))

    def send_frame(self, frame: Frame) -> None:
        """One frame, as bad as it may be."""
        self.send_raw(frame.serialize(mask=True))

    def half_close(self) -> None:
        """A close frame: what was asked before is done all the same, but nobody is told."""
        self._protocol.send_close(1000)
        self.write_waiting()

    def write_waiting(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self.send_raw(data)

    # -- in ----------------------------------------------------------------------------------------

    def readable(self, timeout: float) -> bool:
        return bool(self._arrived) or super().readable(timeout)

    def recv(self, timeout: float = TIMEOUT) -> Map:
        frame = self.recv_frame(timeout)
        if frame.opcode is Opcode.TEXT:
            self.received_kind = "json"
            value: Any = json.loads(bytes(frame.data))
            assert isinstance(value, dict), f"a message from the server is an object, not {value!r}"
            received = cast("Map", value)
        else:
            self.received_kind = "msgpack"
            received = unpack(bytes(frame.data))
        self.longest_frame_bytes = max(self.longest_frame_bytes, len(frame.data))
        return self.hear(received)

    def recv_frame(self, timeout: float = TIMEOUT) -> Frame:
        """The next data frame; pings are answered. `Closed` comes with the server's close code."""
        deadline = time.monotonic() + timeout
        while True:
            while self._arrived:
                frame = self._arrived.pop(0)
                if frame.opcode is Opcode.PONG:
                    self.pongs.append(bytes(frame.data))
                elif frame.opcode in (Opcode.TEXT, Opcode.BINARY):
                    assert frame.fin, "the server sends whole messages"
                    return frame
                elif frame.opcode is Opcode.CLOSE:
                    self.close_code = received.code if (received := self._protocol.close_rcvd) else None
                    raise Closed
            self._read(deadline)
            self._arrived += cast("list[Frame]", self._protocol.events_received())

    def _read(self, deadline: float) -> None:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise Silence
        self._socket.settimeout(remaining)
        try:
            data = self._socket.recv(1 << 18)
        except TimeoutError as error:
            raise Silence from error
        except ConnectionError as error:
            raise Closed from error
        finally:
            self._socket.settimeout(TIMEOUT)
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
            if not self._arrived:
                self.close_code = received.code if (received := self._protocol.close_rcvd) else None
                raise Closed
        if self.answers_pings:
            with suppress(Closed):  # it answers a close: whoever reads on is told of the end
                self.write_waiting()
