"""Listen, serve, drain, close."""

import asyncio
import contextlib
import logging
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from sojourn._version import __version__
from sojourn.actors import Runtime
from sojourn.actors.timers import NEVER

from .connection import Connection
from .flushing import Flushing
from .limits import Limits
from .lookout import Lookout
from .origins import Origins
from .peer import Peer
from .router import Router
from .tcp import TcpConnection
from .websocket_door import WebSocketDoor

if TYPE_CHECKING:
    from .http import HttpServer
    from .web.door import Door

logger = logging.getLogger(__name__)

BACKLOG: Final = 1024
"""Connections that may wait to be accepted. (Measured: with the loop's default of 100, 1,000 quick connects
take seconds.)
"""
ACCEPT_AT_ONCE: Final = 128
"""Connections accepted in one turn of the loop: a storm of them comes in between the others' messages."""


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """How a server listens and what it allows; sizes in bytes, durations in seconds."""

    host: str = "127.0.0.1"
    """Loopback unless told otherwise: an open server trusts whoever reaches it."""
    port: int = 7411
    """0 picks a free one."""
    http_port: int | None = 7412
    """None: no HTTP."""
    max_frame_bytes: int = 65_536
    """Longest frame to the server."""
    max_reply_bytes: int = 1 << 20
    """Longest frame from the server; pages are cut there."""
    max_output_bytes: int = 4 << 20
    """What may wait for one reader; beyond it is a slow consumer."""
    max_connections: int = 100_000
    """Connections at once."""
    drain_timeout: float = 10.0
    """How long a drain may take."""
    tls: ssl.SSLContext | None = None
    """TLS on the TCP port."""
    allowed_origins: tuple[str, ...] = ()
    """Other sites whose pages may talk to the HTTP port; `*` for all."""
    allowed_hosts: tuple[str, ...] = ()
    """Other names of the HTTP port; `*` for all."""


class Server:
    """A runtime's TCP and HTTP ports. Start and drain it on the runtime's loop."""

    def __init__(self, runtime: Runtime, config: ServerConfig | None = None) -> None:
        self.runtime = runtime
        self.config = ServerConfig() if config is None else config
        self.max_frame_bytes = self.config.max_frame_bytes
        self.max_output_bytes = self.config.max_output_bytes
        self.now = runtime.clock.now
        self.connections: set[Connection] = set()
        self.tcp_address: tuple[str, int] = (self.config.host, self.config.port)
        self.http_address: tuple[str, int] | None = None
        self._listener: socket.socket | None = None
        self._http: HttpServer | None = None
        self._door: Door | None = None
        self._opening: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        """Set while there is no connection."""
        self._empty.set()
        self._tcp_connections = 0
        self.lookout = Lookout(runtime, self._connections_by_door, self._why_closed)

    async def start(self) -> None:
        """Listen on both ports; raises `OSError` when one cannot be had."""
        config = self.config
        self._loop = loop = asyncio.get_running_loop()
        limits = Limits.of(self.runtime.config, config.max_frame_bytes, config.max_reply_bytes)
        name = f"sojourn/{__version__}"
        self.router = Router(self.runtime, limits, "tcp", name, self.watch_heartbeat)
        self.receive = self.router.receive
        self.wheel = self.runtime.core.shared.wheel
        flushing = Flushing(loop, self.runtime.core.commits)
        self.flush_soon = flushing.soon
        self.after_read = flushing.after_read
        self.origins = Origins(config.host, config.allowed_origins, config.allowed_hosts)
        self.web = WebSocketDoor(self, self.runtime, limits, name, self.origins)
        family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((config.host, config.port))
            listener.listen(BACKLOG)
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
        self._listener = listener
        self.tcp_address = listener.getsockname()[:2]
        self.lookout.start()
        if config.http_port is not None:
            self._http = self._http_server(config.http_port, limits)
            try:
                await self._http.start()
            except BaseException:
                listener.close()
                self.lookout.stop()
                raise
            self.http_address = self._http.address
        loop.add_reader(listener, self._accept_waiting)

    def _http_server(self, port: int, limits: Limits) -> "HttpServer":
        # a web framework takes longer to read than all else
        from .http import HttpServer  # noqa: PLC0415
        from .web.app import application  # noqa: PLC0415
        from .web.door import Door  # noqa: PLC0415

        config = self.config
        # The folder goes by two names in a checkout, for pyright each with classes of its own.
        seen: tuple[Any, Any, Any] = (limits, self.origins, self.lookout)
        self._door = Door(self.runtime, *seen[:2], config.max_output_bytes, config.max_connections)
        app = application(self._door, seen[2])
        return HttpServer(config.host, port, app, self.web, config.drain_timeout)

    # -- what a connection needs -------------------------------------------------------------------

    def accept(self, transport: Connection) -> Peer:
        """A peer for a new TCP connection."""
        return self.enter(transport, self.router)

    def enter(self, transport: Connection, router: Router) -> Peer:
        """A peer for a new connection whose requests go to `router`."""
        peer = Peer(transport, self.runtime.config.max_attachments, router.left, router.resume_token)
        self.connections.add(transport)
        if isinstance(transport, TcpConnection):
            self._tcp_connections += 1
        self._empty.clear()
        return peer

    def admit(self, peer: Peer) -> None:
        """Say goodbye at once to whom there is no room for."""
        if len(self.connections) > self.config.max_connections:
            peer.say_goodbye("too_many_connections", retry_after=1.0)
        elif self.runtime.core.draining:
            peer.say_goodbye("draining", retry_after=1.0)

    def lost(self, connection: Connection) -> None:
        """A connection is gone."""
        if connection in self.connections:
            self.connections.remove(connection)
            self._tcp_connections -= isinstance(connection, TcpConnection)
        if not self.connections:
            self._empty.set()

    def _accept_waiting(self) -> None:
        """Accept who waits. The loop's own server takes one connection a turn, which under load is 125 a
        second.
        """
        listener = self._listener
        if listener is None:
            return
        for _ in range(ACCEPT_AT_ONCE):
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                logger.warning("a connection could not be accepted: %s", error)
                return
            connection.setblocking(False)
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = self._loop.create_task(self._open(connection))
            self._opening.add(task)
            task.add_done_callback(self._opened)

    def _opened(self, task: "asyncio.Task[None]") -> None:
        self._opening.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("a connection could not be opened", exc_info=task.exception())

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: cast("asyncio.Protocol", TcpConnection(self)), connection, ssl=self.config.tls
            )
        except (OSError, ssl.SSLError) as error:
            logger.info("a connection ended before it began: %s", error)
            connection.close()

    def watch_heartbeat(self, peer: Peer) -> None:
        """Say goodbye to a peer that is silent for two of its heartbeats."""
        _Silence(self, peer).file()

    def _connections_by_door(self) -> dict[str, int]:
        tcp = self._tcp_connections
        streams = 0 if self._door is None else len(self._door.streams)
        return {"tcp": tcp, "web": len(self.connections) - tcp, "http": streams + self.lookout.readers}

    def _why_closed(self) -> str | None:
        return None if self._listener is not None else "not listening"

    # -- the end -----------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Accept no more, finish what is in flight, say goodbye to everybody, within `drain_timeout`."""
        core = self.runtime.core
        core.draining = True
        # Who knocked before is let in, to be told goodbye.
        self._accept_waiting()
        listener, self._listener = self._listener, None
        if listener is not None:
            self._loop.remove_reader(listener)
            listener.close()
        if self._opening:
            await asyncio.wait(self._opening)
        try:
            async with asyncio.timeout(self.config.drain_timeout):
                while not (
                    core.dispatcher.idle
                    and core.commits.idle
                    and core.reads.idle
                    and self.router.idle
                    and self.web.router.idle
                    and (self._door is None or self._door.idle)
                ):
                    await core.commits.flushed()
                    await asyncio.sleep(0)
                for connection in tuple(self.connections):
                    connection.peer.say_goodbye("draining", retry_after=1.0)
                if self._door is not None:
                    self._door.say_goodbye()
                await self._empty.wait()
        except TimeoutError:
            logger.warning("drain: %d connections did not take their goodbye in time", len(self.connections))
            for connection in tuple(self.connections):
                connection.abort()
        self.lookout.stop()
        if self._http is not None:
            await self._http.stop()


class _Silence:
    """The wheel's entry for a peer with a heartbeat. Nobody else holds it: a closure that files itself again
    would be a cycle.
    """

    __slots__ = ("_peer", "_server", "wake_at")

    def __init__(self, server: Server, peer: Peer) -> None:
        self._server = server
        self._peer = peer
        self.wake_at = NEVER

    def file(self) -> None:
        """Look again when the peer may have been silent for two of its heartbeats."""
        self._server.wheel.file(self, self._ends_at())

    def _ends_at(self) -> float:
        heartbeat = self._peer.heartbeat
        assert heartbeat is not None
        return self._peer.heard_at + 2 * heartbeat

    def run(self) -> None:
        """Say goodbye to a peer that was silent all the time."""
        peer = self._peer
        if peer.ended:
            return
        if self._server.now() >= self._ends_at():
            peer.say_goodbye("heartbeat_timeout")
        else:
            self.file()
