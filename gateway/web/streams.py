"""One reader of events over HTTP: the peer's transport on one side, an iterator of frames on the other."""

import asyncio
from collections import deque
from typing import Any

from sojourn.gateway.codec import encode, unpackb
from sojourn.gateway.connection import SLOW_CONSUMER_GRACE
from sojourn.gateway.errors import goodbye_frame
from sojourn.gateway.peer import Peer

Frame = dict[str, Any]


class EventStream:
    """Frames for one reader, in order; ends behind a `goodbye`. Loop thread only."""

    def __init__(self, max_output_bytes: int) -> None:
        """Beyond `max_output_bytes` the reader is a slow consumer."""
        self.peer: Peer
        self._loop = asyncio.get_running_loop()
        self._max_output_bytes = max_output_bytes
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._arrived = asyncio.Event()
        self._ended = False
        self._abort: asyncio.TimerHandle | None = None
        self.transport: asyncio.Transport | None = None
        """What carries it: reset when its reader does not even take its goodbye."""

    async def frame(self) -> Frame | None:
        """As `body`, decoded."""
        body = await self.body()
        return None if body is None else unpackb(body)

    async def body(self) -> bytes | None:
        """The next frame's body, waited for; None behind the last one."""
        while not self._waiting:
            if self._ended:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        body = self._waiting.popleft()
        self._waiting_bytes -= len(body)
        return body

    def close(self) -> None:
        """The reader has gone, or has all that it will get."""
        self._ended = True
        if self._abort is not None:
            self._abort.cancel()
        self.peer.let_go()

    # -- from the peer -----------------------------------------------------------------------------

    def flush_soon(self) -> None:
        self._loop.call_soon(self._take)

    def waiting_bytes(self) -> int:
        return self._waiting_bytes

    def finish(self) -> None:
        self._take()
        self._ended = True
        self._arrived.set()

    def _take(self) -> None:
        outgoing = self.peer.outgoing
        if not outgoing or self._ended:
            return
        self._waiting.extend(outgoing)
        self._waiting_bytes += sum(map(len, outgoing))
        outgoing.clear()
        if self._waiting_bytes > self._max_output_bytes:
            self._drop()
        self._arrived.set()

    def _drop(self) -> None:
        """The reader does not read: it is told so, if it still takes that."""
        body = encode(goodbye_frame("slow_consumer"))
        self._waiting = deque((body,))
        self._waiting_bytes = len(body)
        self._ended = True
        self.peer.end()
        if self.transport is not None:
            self._abort = self._loop.call_later(SLOW_CONSUMER_GRACE, self.transport.abort)
