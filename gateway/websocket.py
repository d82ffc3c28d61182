"""WebSocket: one message is one body, binary as msgpack or text as a JSON object. Like TCP it moves bytes."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from websockets.exceptions import ProtocolError as MalformedClose
from websockets.frames import Close, CloseCode
from websockets.http11 import Request

from .codec import decode_json, encode, encode_json, unpackb
from .connection import SLOW_CONSUMER_GRACE, Host
from .errors import FrameTooLarge, InvalidFrame, InvalidPayload, ProtocolError
from .peer import Peer
from .websocket_frames import BINARY, CLOSE, PING, PONG, TEXT, MessageDecoder, encode_message
from .websocket_handshake import Refusal, shake_hands

CLOSE_GRACE: Final = 1.0
"""Seconds that a client has to answer a close, before the connection is ended without."""
CLOSE_CODES: Final = {
    "draining": CloseCode.GOING_AWAY,
    "slow_consumer": CloseCode.POLICY_VIOLATION,
    "heartbeat_timeout": CloseCode.POLICY_VIOLATION,
    "unauthorized": CloseCode.POLICY_VIOLATION,
    "too_many_connections": CloseCode.TRY_AGAIN_LATER,
}
"""By the `goodbye` before it; `protocol_error` has the code of its fault."""


class WebHost(Host, Protocol):
    """The server behind the door, and the door's own rules."""

    def refusal(self, request: Request) -> Refusal | None:
        """Why this request may not come in; None: it may."""
        ...


class WrongKind(InvalidFrame):
    """A text message on a connection for binary ones, or the other way round."""


class WebSocketConnection:
    """One WebSocket connection: an `asyncio.Protocol`, though not by name, like `TcpConnection`."""

    __slots__ = (
        "_closed_by_client",
        "_decoder",
        "_ending",
        "_fault",
        "_fixed_kind",
        "_host",
        "_kind",
        "_open",
        "_transport",
        "peer",
    )

    def __init__(self, host: WebHost) -> None:
        self._host = host
        self._decoder = MessageDecoder(host.max_frame_bytes)
        self._transport: asyncio.Transport | None = None
        self._open = False
        """Both shook hands: there is a peer."""
        self._fixed_kind: int | None = None
        self._kind = TEXT
        """What the client used last, and JSON until it has used anything: every client can read it."""
        self._fault = CloseCode.PROTOCOL_ERROR
        """Why the frames can no longer be trusted."""
        self._closed_by_client = False
        self._ending: asyncio.TimerHandle | None = None
        self.peer: Peer

    # -- from the loop -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # The HTTP protocol and its parser hold each other, and nobody else tells it that it is out.
        before: object = self._transport.get_protocol()
        if isinstance(before, asyncio.Protocol):
            before.connection_lost(ConnectionResetError("the connection speaks WebSocket now"))

    def data_received(self, data: bytes) -> None:
        if not self._open:
            self._shake_hands(data)
            return
        peer = self.peer
        if peer.ended or peer.farewell:
            self._await_close(data)
            return
        host = self._host
        now = host.now()
        peer.heard_at = now
        decoder = self._decoder
        try:
            for kind, body in decoder.feed(data):
                if kind <= BINARY:  # or text: what is left out are control frames
                    self._take(kind, body, now)
                elif kind == PING:
                    self._write(encode_message(PONG, body))
                elif kind == CLOSE:
                    self._part(body)
                    return
        except ProtocolError as error:
            wrong_kind = isinstance(error, WrongKind)
            self._distrust(error, CloseCode.UNSUPPORTED_DATA if wrong_kind else CloseCode.INVALID_DATA)
            return
        if decoder.error is not None:
            too_large = isinstance(decoder.error, FrameTooLarge)
            self._distrust(
                decoder.error, CloseCode.MESSAGE_TOO_BIG if too_large else CloseCode.PROTOCOL_ERROR
            )
            return
        host.after_read()

    def eof_received(self) -> bool:
        """Without a close frame before it: the connection broke off."""
        return False

    def pause_writing(self) -> None:
        """More waits than this connection may hold: the reader does not read."""
        transport = self._transport
        if transport is None or not self._open or self.peer.ended:
            return
        transport.pause_reading()
        self.peer.outgoing.clear()
        self.peer.say_goodbye("slow_consumer")
        self._end_within(SLOW_CONSUMER_GRACE, transport.abort)
        transport.close()

    def resume_writing(self) -> None:
        """All was written; a reader that was told goodbye still has to go."""

    def connection_lost(self, exc: Exception | None) -> None:
        if self._ending is not None:
            self._ending.cancel()
        self._transport = None
        if self._open:
            self.peer.let_go()
            self._host.lost(self)

    # -- what comes --------------------------------------------------------------------------------

    def _shake_hands(self, data: bytes) -> None:
        """The whole request comes at once: uvicorn has read it before."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        handshake = shake_hands(data, self._host.refusal)
        transport.write(handshake.answer)
        if not handshake.accepted:
            transport.close()
            return
        self._fixed_kind = handshake.fixed_kind
        self._kind = handshake.fixed_kind or TEXT
        # Above this the loop calls `pause_writing`, as for TCP.
        transport.set_write_buffer_limits(high=self._host.max_output_bytes, low=0)
        self.peer = self._host.accept(self)
        self._open = True
        self._host.admit(self.peer)

    def _take(self, kind: int, body: bytes, now: float) -> None:
        """One whole message."""
        if kind != self._kind:
            if self._fixed_kind is not None:
                raise WrongKind("the sub-protocol of this connection carries the other kind of messages")
            self._kind = kind
        peer = self.peer
        if kind == TEXT:
            try:
                frame = decode_json(body)
            except InvalidPayload as error:
                peer.unanswered += 1
                peer.refuse(error, error.reply_to)
                return
            # What a frame means is decided once, for both kinds alike.
            body = encode(frame)
        self._host.receive(peer, body, now)

    def _distrust(self, error: ProtocolError, code: CloseCode) -> None:
        self._fault = code
        self.peer.distrust(error)

    def _part(self, body: bytes) -> None:
        """The client closes: what is under way is done, and nobody is there to hear of it."""
        self.flush()
        self.peer.end()
        self._closed_by_client = True
        try:
            Close.parse(body)
        except (MalformedClose, UnicodeDecodeError):
            body = Close(CloseCode.PROTOCOL_ERROR, "").serialize()
        self._close(body)

    def _await_close(self, data: bytes) -> None:
        """Nothing more is taken from this client; after goodbye a close frame ends the wait for it."""
        for kind, _ in self._decoder.feed(data):
            if kind == CLOSE:
                self._closed_by_client = True
                if self.peer.ended and self._transport is not None:
                    self._transport.close()

    # -- from the peer -----------------------------------------------------------------------------

    def flush_soon(self) -> None:
        self._host.flush_soon(self)

    def flush(self) -> None:
        """Write what waits, in one go."""
        outgoing = self.peer.outgoing
        if outgoing and self._transport is not None:
            if self._kind == BINARY:
                parts = [encode_message(BINARY, body) for body in outgoing]
            else:
                parts = [encode_message(TEXT, encode_json(unpackb(body)).encode()) for body in outgoing]
            outgoing.clear()
            self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))
        else:
            outgoing.clear()

    def waiting_bytes(self) -> int:
        """What the loop still holds for the reader."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def ping(self) -> None:
        """Ask whether somebody is there: what comes back counts as heard."""
        self._write(encode_message(PING, b""))

    def finish(self) -> None:
        """The last frame is said: send what waits and a close frame, and end when the client answers it."""
        outgoing = self.peer.outgoing
        said: str = unpackb(outgoing[-1])["code"]
        self.flush()
        self._close(Close(CLOSE_CODES.get(said, self._fault), "").serialize())

    def abort(self) -> None:
        """Reset the connection, whatever waits."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def peername(self) -> Any:
        """Where it comes from, for the log."""
        return None if self._transport is None else self._transport.get_extra_info("peername")

    # -- the end -----------------------------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _close(self, body: bytes) -> None:
        """Send the close frame, and end once the client has sent its own, or soon."""
        transport = self._transport
        if transport is None:
            return
        transport.write(encode_message(CLOSE, body))
        # Closed while the client still writes, the connection would be reset, and our last words with it.
        if self._closed_by_client:
            transport.close()
        elif self._ending is None:
            self._end_within(CLOSE_GRACE, transport.close)

    def _end_within(self, seconds: float, end: Callable[[], None]) -> None:
        if self._ending is not None:
            self._ending.cancel()
        self._ending = asyncio.get_running_loop().call_later(seconds, end)
