"""`GET /v1/ws`: who comes in by it, and the server as those connections see it.

uvicorn calls the door for each request that asks for an upgrade, with the connection it came on.
"""

from http import HTTPStatus
from typing import Any, Final, Protocol

from websockets.datastructures import MultipleValuesError
from websockets.http11 import Request

from sojourn.actors import Runtime
from sojourn.actors.timers import NEVER, TimingWheel

from .connection import Connection, Host
from .limits import Limits
from .origins import Origins
from .peer import Peer
from .router import Router
from .websocket import WebSocketConnection
from .websocket_handshake import Refusal

PATH: Final = "/v1/ws"
CHANNEL: Final = "web"
"""Of sessions made here that name none."""


class WebServer(Host, Protocol):
    """The server behind the door."""

    wheel: TimingWheel

    def enter(self, transport: Connection, router: Router) -> Peer:
        """A peer for a new connection whose requests go to `router`."""
        ...

    def watch_heartbeat(self, peer: Peer) -> None: ...


class WebSocketDoor:
    """Makes the connections: uvicorn's `ws=`. Loop thread only."""

    def __init__(
        self, server: WebServer, runtime: Runtime, limits: Limits, server_name: str, origins: Origins
    ) -> None:
        self._server = server
        self._origins = origins
        self.router = Router(runtime, limits, CHANNEL, server_name, self.watch_heartbeat)
        self.max_frame_bytes = server.max_frame_bytes
        self.max_output_bytes = server.max_output_bytes
        self.receive = self.router.receive
        self.now = server.now
        self.admit = server.admit
        self.after_read = server.after_read
        self.flush_soon = server.flush_soon
        self.lost = server.lost
        self.wheel = server.wheel

    def __call__(self, *, config: Any, server_state: Any, app_state: Any) -> WebSocketConnection:
        """A connection for a request that asks for an upgrade; uvicorn's own state is of no use to it."""
        return WebSocketConnection(self)

    def refusal(self, request: Request) -> Refusal | None:
        """Why this request may not come in; None: it may."""
        if request.path.split("?", 1)[0] != PATH:
            return HTTPStatus.NOT_FOUND, "not_found", f"WebSocket is spoken at {PATH}"
        try:
            host = request.headers.get("Host")
            origin = request.headers.get("Origin")
        except MultipleValuesError:
            return HTTPStatus.BAD_REQUEST, "invalid_payload", "one Host and at most one Origin, please"
        if not self._origins.knows_host(host):
            return HTTPStatus.FORBIDDEN, "forbidden", "this server has no such name: see allowed_hosts"
        if not self._origins.allows(origin, host):
            return HTTPStatus.FORBIDDEN, "forbidden", "pages of this origin may not: see allowed_origins"
        return None

    def accept(self, transport: Connection) -> Peer:
        """A peer for a new connection."""
        return self._server.enter(transport, self.router)

    def watch_heartbeat(self, peer: Peer) -> None:
        """Say goodbye to a peer that is silent for two of its heartbeats; ask after one whether it is there.

        A page in the background may not run for a minute, but its browser answers pings.
        """
        self._server.watch_heartbeat(peer)
        _Question(self.wheel, self.now, peer).file()


class _Question:
    """The wheel's entry that pings a peer which is silent for a heartbeat. Nobody else holds it."""

    __slots__ = ("_now", "_peer", "_wheel", "wake_at")

    def __init__(self, wheel: TimingWheel, now: Any, peer: Peer) -> None:
        self._wheel = wheel
        self._now = now
        self._peer = peer
        self.wake_at = NEVER

    def file(self) -> None:
        """Look again when the peer may have been silent for a heartbeat."""
        assert self._peer.heartbeat is not None
        self._wheel.file(self, max(self._peer.heard_at, self._now()) + self._peer.heartbeat)

    def run(self) -> None:
        """Ask a peer that was silent all the time."""
        peer = self._peer
        if peer.ended or peer.heartbeat is None:
            return
        if self._now() >= peer.heard_at + peer.heartbeat and isinstance(peer.transport, WebSocketConnection):
            peer.transport.ping()
        self.file()
