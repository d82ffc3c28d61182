"""Raw TCP: a 4-byte length before each body. It moves bytes and keeps nothing; the peer does."""

import asyncio
import logging
from struct import Struct
from typing import Any, cast

from .connection import SLOW_CONSUMER_GRACE, Host
from .errors import ProtocolError
from .framing import FrameDecoder
from .peer import Peer

logger = logging.getLogger(__name__)

_prefix = Struct(">I").pack


class TcpConnection:
    """One TCP connection: an `asyncio.Protocol`, though not by name, for that class can't be compiled."""

    __slots__ = ("_closing", "_decoder", "_half_closed", "_host", "_slow", "_transport", "peer")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._decoder = FrameDecoder(host.max_frame_bytes)
        self._transport: asyncio.Transport | None = None
        self._half_closed = False
        self._closing = False
        self._slow: asyncio.TimerHandle | None = None
        self.peer: Peer

    # -- from the loop -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # Above this the loop calls `pause_writing`: the check costs nothing until it matters.
        self._transport.set_write_buffer_limits(high=self._host.max_output_bytes, low=0)
        self.peer = self._host.accept(self)
        self._host.admit(self.peer)

    def data_received(self, data: bytes) -> None:
        peer = self.peer
        if peer.ended or peer.farewell:
            return
        host = self._host
        now = host.now()
        peer.heard_at = now
        decoder = self._decoder
        try:
            for body in decoder.feed(data):
                host.receive(peer, body, now)
        except ProtocolError as error:
            peer.distrust(error)
            return
        if decoder.error is not None:
            peer.distrust(decoder.error)
        host.after_read()

    def eof_received(self) -> bool:
        """The client says no more, and may still read: it gets its answers."""
        self._half_closed = True
        if self.peer.unanswered == 0:
            self._end_half_closed()
        return True

    def pause_writing(self) -> None:
        """More waits than this connection may hold: the reader does not read."""
        peer = self.peer
        transport = self._transport
        if peer.ended or transport is None:
            return
        transport.pause_reading()
        peer.outgoing.clear()
        peer.say_goodbye("slow_consumer")
        self._slow = asyncio.get_running_loop().call_later(SLOW_CONSUMER_GRACE, transport.abort)

    def resume_writing(self) -> None:
        """All was written; a reader that was told goodbye still has to go."""

    def connection_lost(self, exc: Exception | None) -> None:
        if self._slow is not None:
            self._slow.cancel()
        self.peer.let_go()
        self._transport = None
        self._host.lost(self)

    # -- from the peer -----------------------------------------------------------------------------

    def flush_soon(self) -> None:
        self._host.flush_soon(self)

    def flush(self) -> None:
        """Write what waits, in one go."""
        peer = self.peer
        outgoing = peer.outgoing
        transport = self._transport
        if transport is None:
            outgoing.clear()
            return
        if len(outgoing) == 1:
            body = outgoing.pop()
            transport.write(_prefix(len(body)) + body)
        elif outgoing:
            parts: list[bytes] = []
            for body in outgoing:
                parts.append(_prefix(len(body)))
                parts.append(body)
            outgoing.clear()
            transport.write(b"".join(parts))
        if self._half_closed and peer.unanswered == 0:
            self._end_half_closed()

    def waiting_bytes(self) -> int:
        """What the loop still holds for the reader."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def finish(self) -> None:
        """The last frame is said: send what waits, and close when it has gone."""
        self._closing = True
        self.flush()
        if self._transport is not None:
            # Graceful: the loop sends what it still holds, also to a reader that takes its time.
            self._transport.close()

    def abort(self) -> None:
        """Reset the connection, whatever waits."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def peername(self) -> Any:
        """Where it comes from, for the log."""
        return None if self._transport is None else self._transport.get_extra_info("peername")

    def _end_half_closed(self) -> None:
        if not self._closing:
            self._closing = True
            self.peer.end()
            self.finish()
