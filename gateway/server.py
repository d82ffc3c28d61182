"""Listen, serve, drain, close."""

import asyncio
import contextlib
import logging
import socket
import ssl
from dataclasses import dataclass
from typing import Final, cast

from sojourn._version import __version__
from sojourn.actors import Runtime
from sojourn.actors.timers import NEVER

from .http import HttpServer
from .limits import Limits
from .peer import Peer
from .router import Router
from .tcp import TcpConnection

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


class Server:
    """A runtime's TCP and HTTP ports. Start and drain it on the runtime's loop."""

    def __init__(self, runtime: Runtime, config: ServerConfig | None = None) -> None:
        self.runtime = runtime
        self.config = ServerConfig() if config is None else config
        self.max_frame_bytes = self.config.max_frame_bytes
        self.max_output_bytes = self.config.max_output_bytes
        self.now = runtime.clock.now
        self.connections: set[TcpConnection] = set()
        self.tcp_address: tuple[str, int] = (self.config.host, self.config.port)
        self.http_address: tuple[str, int] | None = None
        self._listener: socket.socket | None = None
        self._http: HttpServer | None = None
        self._dirty: list[TcpConnection] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        """Set while there is no connection."""
        self._empty.set()

    async def start(self) -> None:
        """Listen on both ports; raises `OSError` when one cannot be had."""
        config = self.config
        self._loop = loop = asyncio.get_running_loop()
        limits = Limits.of(self.runtime.config, config.max_frame_bytes, config.max_reply_bytes)
        self.router = Router(self.runtime, limits, "tcp", f"sojourn/{__version__}", self.watch_heartbeat)
        self.receive = self.router.receive
        self.wheel = self.runtime.core.shared.wheel
        self._commits = self.runtime.core.commits
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
        if config.http_port is not None:
            self._http = HttpServer(config.host, config.http_port)
            try:
                await self._http.start()
            except BaseException:
                listener.close()
                raise
            self.http_address = self._http.address
        loop.add_reader(listener, self._accept_waiting)

    # -- what a connection needs -------------------------------------------------------------------

    def accept(self, transport: TcpConnection) -> Peer:
        """A peer for a new connection."""
        peer = Peer(
            transport, self.runtime.config.max_attachments, self.router.left, self.router.resume_token
        )
        self.connections.add(transport)
        self._empty.clear()
        return peer

    def admit(self, peer: Peer) -> None:
        """Say goodbye at once to whom there is no room for."""
        if len(self.connections) > self.config.max_connections:
            peer.say_goodbye("too_many_connections", retry_after=1.0)
        elif self.runtime.core.draining:
            peer.say_goodbye("draining", retry_after=1.0)

    def lost(self, connection: TcpConnection) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    def flush_soon(self, connection: TcpConnection) -> None:
        """Have what waits on a connection written at the end of this turn, with what comes until then."""
        dirty = self._dirty
        if not dirty:
            self._loop.call_soon(self._flush)
        dirty.append(connection)

    def after_read(self) -> None:
        """Pace the commits within a long turn; who is answered by one need not wait for the turn's end."""
        if self._commits.pace():
            self._flush()

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for connection in dirty:
            connection.flush()

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
                    core.dispatcher.idle and core.commits.idle and core.reads.idle and self.router.idle
                ):
                    await core.commits.flushed()
                    await asyncio.sleep(0)
                for connection in tuple(self.connections):
                    connection.peer.say_goodbye("draining", retry_after=1.0)
                await self._empty.wait()
        except TimeoutError:
            logger.warning("drain: %d connections did not take their goodbye in time", len(self.connections))
            for connection in tuple(self.connections):
                connection.abort()
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
