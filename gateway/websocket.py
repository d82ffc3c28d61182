"""WebSocket: one message is one body, binary as msgpack or text as a JSON object. Like TCP it moves bytes.

Frames are the `websockets` library's, but for the one that comes always (`websocket_frames`); what is here is
what they mean, and how a connection ends.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from websockets.exceptions import PayloadTooBig
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request

from .codec import decode_json, encode, encode_json, unpackb
from .connection import SLOW_CONSUMER_GRACE, Host
from .errors import FrameTooLarge, InvalidFrame, InvalidPayload, ProtocolError
from .peer import Peer
from .websocket_frames import BINARY, TEXT, header, whole_message
from .websocket_handshake import Refusal, WebSocketProtocol

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

CONTINUATION: Final = Opcode.CONT


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
        "_between_messages",
        "_ending",
        "_fault",
        "_fixed_kind",
        "_host",
        "_kind",
        "_open",
        "_pieces",
        "_protocol",
        "_transport",
        "peer",
    )

    def __init__(self, host: WebHost) -> None:
        self._host = host
        self._protocol = WebSocketProtocol(host.max_frame_bytes)
        self._transport: asyncio.Transport | None = None
        self._open = False
        """Both shook hands: there is a peer."""
        self._between_messages = False
        """The library holds nothing of an unfinished message, so that one may pass it by."""
        self._fixed_kind: Opcode | None = None
        self._kind: Opcode = TEXT
        """What the client used last, and JSON until it has used anything: every client can read it."""
        self._pieces: tuple[Opcode, bytearray] | None = None
        """Of a message whose fragments come in: its kind, and what has come."""
        self._fault = CloseCode.INVALID_DATA
        """Why a message, whose frames were sound, can't be trusted."""
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
        if self._between_messages and not peer.ended and not peer.farewell:
            host = self._host
            message = whole_message(data, host.max_frame_bytes)
            if message is not None:
                now = host.now()
                peer.heard_at = now
                try:
                    self._take(message[0], message[1], now)
                except ProtocolError as error:
                    self._distrust(error)
                    return
                host.after_read()
                return
        self._read_frames(data)

    def _read_frames(self, data: bytes) -> None:
        """Any frames, and pieces of them, through the library."""
        protocol = self._protocol
        protocol.receive_data(data)
        self._between_messages = protocol.between_messages
        peer = self.peer
        if peer.ended or peer.farewell:
            self._await_close()
            return
        host = self._host
        now = host.now()
        peer.heard_at = now
        try:
            for frame in cast("list[Frame]", protocol.events_received()):
                kind = frame.opcode
                if (kind is BINARY or kind is TEXT) and frame.fin:
                    self._take(kind, cast("bytes", frame.data), now)
                elif kind is BINARY or kind is TEXT or kind is CONTINUATION:
                    self._gather(frame, now)
        except ProtocolError as error:
            self._distrust(error)
            return
        if protocol.parser_exc is not None:
            # The library's close frame is written already, and waits for the last words before it.
            peer.distrust(self._broken(protocol.parser_exc))
        elif protocol.close_rcvd is not None:
            self._part()
        else:
            self._write_waiting()  # pongs
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
        self._protocol.let_go()
        if self._open:
            self.peer.let_go()
            self._host.lost(self)

    # -- what comes --------------------------------------------------------------------------------

    def _shake_hands(self, data: bytes) -> None:
        """The whole request comes at once: uvicorn has read it before."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        protocol = self._protocol
        transport.write(protocol.shake_hands(data, self._host.refusal))
        if not protocol.is_open:
            transport.close()
            return
        self._fixed_kind = protocol.fixed_kind
        self._kind = protocol.fixed_kind or TEXT
        # Above this the loop calls `pause_writing`, as for TCP.
        transport.set_write_buffer_limits(high=self._host.max_output_bytes, low=0)
        self.peer = self._host.accept(self)
        self._open = True
        self._between_messages = protocol.between_messages
        self._host.admit(self.peer)

    def _take(self, kind: Opcode, body: bytes, now: float) -> None:
        """One whole message."""
        if kind is not self._kind:
            if self._fixed_kind is not None:
                raise WrongKind("the sub-protocol of this connection carries the other kind of messages")
            self._kind = kind
        peer = self.peer
        if kind is TEXT:
            try:
                frame = decode_json(body)
            except InvalidPayload as error:
                peer.unanswered += 1
                peer.refuse(error, error.reply_to)
                return
            # What a frame means is decided once, for both kinds alike.
            body = encode(frame)
        self._host.receive(peer, body, now)

    def _gather(self, frame: Frame, now: float) -> None:
        """One fragment of a message; the library has seen that it fits in, and adds up their sizes."""
        pieces = self._pieces
        if pieces is None:
            pieces = self._pieces = (frame.opcode, bytearray())
        pieces[1].extend(frame.data)
        if frame.fin:
            self._pieces = None
            self._take(pieces[0], bytes(pieces[1]), now)

    def _distrust(self, error: ProtocolError) -> None:
        if isinstance(error, WrongKind):
            self._fault = CloseCode.UNSUPPORTED_DATA
        self.peer.distrust(error)

    def _broken(self, fault: Exception) -> ProtocolError:
        """What the wire says of frames that the library can't read on from."""
        if isinstance(fault, PayloadTooBig):
            size = (fault.size or 0) + (fault.current_size or 0)
            return FrameTooLarge(size, self._host.max_frame_bytes)
        return InvalidFrame(f"against the rules of WebSocket: {fault}")

    def _part(self) -> None:
        """The client closes: what is under way is done, and nobody is there to hear of it."""
        self.flush()
        self.peer.end()
        self._close()

    def _await_close(self) -> None:
        """Nothing more is taken from this client; after goodbye a close frame ends the wait for it."""
        protocol = self._protocol
        protocol.events_received()
        if self.peer.ended:
            protocol.data_to_send()
            if protocol.close_rcvd is not None and self._transport is not None:
                self._transport.close()
        elif protocol.is_open:
            protocol.data_to_send()  # no pongs any more; a close frame waits for the last answers

    # -- from the peer -----------------------------------------------------------------------------

    def flush_soon(self) -> None:
        self._host.flush_soon(self)

    def flush(self) -> None:
        """Write what waits, in one go."""
        outgoing = self.peer.outgoing
        transport = self._transport
        kind = self._kind
        if transport is None:
            outgoing.clear()
        elif len(outgoing) == 1 and kind is BINARY:
            body = outgoing.pop()
            transport.write(header(kind, len(body)) + body)
        elif outgoing:
            parts: list[bytes] = []
            for body in outgoing:
                said = body if kind is BINARY else encode_json(unpackb(body)).encode()
                parts.append(header(kind, len(said)))
                parts.append(said)
            outgoing.clear()
            transport.write(b"".join(parts))

    def waiting_bytes(self) -> int:
        """What the loop still holds for the reader."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def ping(self) -> None:
        """Ask whether somebody is there: what comes back counts as heard."""
        if self._protocol.is_open:
            self._protocol.send_ping(b"")
            self._write_waiting()

    def finish(self) -> None:
        """The last frame is said: send what waits and a close frame, and end when the client answers it."""
        said: str = unpackb(self.peer.outgoing[-1])["code"]
        self.flush()
        if self._protocol.is_open:  # else the library closed it at a fault, or answered the client's close
            self._protocol.send_close(CLOSE_CODES.get(said, self._fault))
        self._close()

    def abort(self) -> None:
        """Reset the connection, whatever waits."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def peername(self) -> Any:
        """Where it comes from, for the log."""
        return None if self._transport is None else self._transport.get_extra_info("peername")

    # -- the end -----------------------------------------------------------------------------------

    def _write_waiting(self) -> None:
        """Write the library's own frames."""
        waiting = self._protocol.data_to_send()
        if waiting and self._transport is not None:
            self._transport.write(b"".join(waiting))

    def _close(self) -> None:
        """Send the close frame, and end once the client has sent its own, or soon."""
        self._write_waiting()
        transport = self._transport
        if transport is None:
            return
        # Closed while the client still writes, the connection would be reset, and our last words with it.
        if self._protocol.close_rcvd is not None:
            transport.close()
        elif self._ending is None:
            self._end_within(CLOSE_GRACE, transport.close)

    def _end_within(self, seconds: float, end: Callable[[], None]) -> None:
        if self._ending is not None:
            self._ending.cancel()
        self._ending = asyncio.get_running_loop().call_later(seconds, end)
