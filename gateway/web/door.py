"""How HTTP reaches the runtime: each request is a peer without a connection, answered once.

What a frame over TCP goes through, an HTTP request goes through: the request table, the roles, the mailbox,
the commit before the answer.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from sojourn._version import __version__
from sojourn.actors import Runtime
from sojourn.actors.mail import Caller
from sojourn.gateway.codec import inspect, unpackb
from sojourn.gateway.connection_requests import AUTHOR_OF_ROLE
from sojourn.gateway.limits import Limits
from sojourn.gateway.origins import Origins
from sojourn.gateway.peer import Peer, Transport
from sojourn.gateway.router import Router
from sojourn.gateway.routing import Handler

from .streams import EventStream

Frame = dict[str, Any]

CHANNEL = "http"


class Refused(Exception):
    """The server refused the request; `error` is the wire's `error` map."""

    def __init__(self, error: Frame) -> None:
        super().__init__(error["code"])
        self.error = error


class Door:
    """One server's HTTP side of the runtime. Loop thread only."""

    def __init__(
        self, runtime: Runtime, limits: Limits, origins: Origins, max_output_bytes: int, max_streams: int
    ) -> None:
        """`max_output_bytes` bounds what waits for one reader of events, `max_streams` how many there are."""
        self.runtime = runtime
        self.limits = limits
        self.origins = origins
        self.router = Router(runtime, limits, CHANNEL, f"sojourn/{__version__}", _never)
        self.now = runtime.clock.now
        self.streams: dict[Peer, EventStream] = {}
        self.asking = 0
        """Requests that have no answer yet."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._max_output_bytes = max_output_bytes
        self._max_streams = max_streams
        self._leave = runtime.core.shared.audience.leave

    async def ask(self, request: str, frame: Frame, caller: Caller, handler: Handler | None = None) -> Frame:
        """The reply to a request of the wire, without its type; raises `Refused`.

        Raises InvalidFrame and InvalidPayload for what no frame may hold. Nobody is attached by it.
        """
        whole = {**frame, "type": request, "attach": False}
        whole.pop("id", None)
        inspect(whole)
        exchange = _Exchange()
        peer = self._peer(exchange, caller, _nothing_to_leave)
        exchange.peer = peer
        self.asking += 1
        try:
            self.router.request(peer, whole, self.now(), handler)
            reply: Frame = unpackb(await exchange.answer)
        finally:
            self.asking -= 1
            peer.let_go()
        if reply["type"] == "error":
            raise Refused(reply)
        del reply["type"]
        return reply

    def open_stream(self, caller: Caller) -> EventStream:
        """A reader of events that stays; raises `Refused` when there are too many."""
        if len(self.streams) >= self._max_streams:
            raise Refused(
                {
                    "type": "error",
                    "code": "overloaded",
                    "message": "the server holds as many streams as it may",
                    "retry_after": 1.0,
                }
            )
        stream = EventStream(self._max_output_bytes)
        stream.peer = self._peer(stream, caller, self._left)
        self.streams[stream.peer] = stream
        return stream

    def _left(self, peer: Peer) -> None:
        self._leave(peer)
        self.streams.pop(peer, None)

    def keep(self, task: "asyncio.Task[Any]") -> None:
        """Let a task live until it ends, whoever waits for it."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def say_goodbye(self) -> None:
        """End all streams: the server is going down."""
        for peer in tuple(self.streams):
            peer.say_goodbye("draining", retry_after=1.0)

    @property
    def idle(self) -> bool:
        """No request is without its answer."""
        return self.asking == 0 and self.router.idle

    def _peer(self, transport: Transport, caller: Caller, left: Callable[[Peer], None]) -> Peer:
        peer = Peer(transport, self.limits.max_attachments, left, self.router.resume_token)
        peer.caller = caller
        peer.author = AUTHOR_OF_ROLE[caller.role]
        peer.greeted = True
        return peer


class _Exchange:
    """The transport of a peer that is asked once: what it says is the answer."""

    __slots__ = ("_loop", "answer", "peer")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[bytes] = self._loop.create_future()
        self.peer: Peer

    def flush_soon(self) -> None:
        self._loop.call_soon(self._flush)

    def waiting_bytes(self) -> int:
        return 0

    def finish(self) -> None:
        self._flush()

    def _flush(self) -> None:
        if self.peer.outgoing and not self.answer.done():
            self.answer.set_result(self.peer.outgoing[0])


def _nothing_to_leave(_peer: Peer) -> None:
    """It was never attached, and its human was never there: a request is no presence."""


def _never(_peer: Peer) -> None:
    """Nobody asks for a heartbeat here."""
