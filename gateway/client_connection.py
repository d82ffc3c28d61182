"""What keeps an asyncio client connected: a thin shell around `ClientProtocol`.

It opens sockets, moves bytes, keeps time, settles what was asked, and passes on what happens to sessions.
What is asked in one turn of the loop leaves in one write. Requests made while there is no connection wait for
the next.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sojourn._version import __version__

from .attachment import Frame
from .backoff import Backoff
from .client_link import Link, TcpLink
from .client_options import ConnectOptions
from .errors import ConnectionLost, GatewayError, ProtocolError, RequestFailed, request_failed
from .greeting import Greeting
from .happenings import Answered, Goodbye, Happening, Lost, Refused, Silent, Welcomed
from .protocol import ClientProtocol

_REPLY_SLACK_BYTES = 65536


class ClientConnection:
    """One server as one client sees it, over as many connections as it takes.

    `on_news` is told, in order, what concerns sessions: Pushed, Missed, Followed, Unfollowed, and Ended.
    """

    def __init__(self, options: ConnectOptions, on_news: Callable[[Happening], None]) -> None:
        self._options = options
        self._on_news = on_news
        self._protocol = ClientProtocol(
            Greeting(
                role=options.role,
                identity=options.identity,
                token=options.token,
                client=f"sojourn-python/{__version__}",
                heartbeat=options.heartbeat,
            ),
            max_retries=options.max_retries,
        )
        self._replies: dict[int, asyncio.Future[Frame]] = {}
        self._link: Link | None = None
        self._lost = asyncio.Event()
        self._greeted: asyncio.Future[None] | None = None
        self._goodbye: Goodbye | None = None
        self._fault: str | None = None
        self._reason = "the connection ended"
        self._timer: asyncio.TimerHandle | None = None
        self._flush_is_due = False
        self._keeper: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect for the first time. Raises OSError, RequestFailed or ConnectionLost."""
        try:
            await self._dial()
        except BaseException:
            await self.close()
            raise
        self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def close(self) -> None:
        """End: what has no answer raises ConnectionLost, iterations over events end."""
        self._flush()
        self._protocol.end("the client was closed")
        self._pump()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()
        link = self._link
        if link is not None:
            link.close()
            try:
                async with asyncio.timeout(self._options.connect_timeout):
                    await link.until_closed()
            except TimeoutError:  # the server reads nothing: what was written can't be brought to it
                link.abort()

    @property
    def is_connected(self) -> bool:
        """Is there a connection at this moment, greeted by the server?"""
        return self._link is not None and self._greeted is None

    @property
    def limits(self) -> Mapping[str, Any]:
        """The server's limits, as its `welcome` names them."""
        return self._protocol.limits

    async def request(self, kind: str, payload: Mapping[str, Any]) -> Frame:
        """Make one request of the wire and return the reply map; keys that are None are left out."""
        if self._link is not None and not self._link.is_writable:
            await self._link.until_writable()
        loop = asyncio.get_running_loop()
        request_id = self._protocol.request(kind, payload, loop.time())
        reply: asyncio.Future[Frame] = loop.create_future()
        self._replies[request_id] = reply
        if not self._flush_is_due:
            self._flush_is_due = True
            loop.call_soon(self._flush)
        try:
            return await reply
        except asyncio.CancelledError:
            self._protocol.abandon(request_id)
            raise
        finally:
            self._replies.pop(request_id, None)

    # what the link tells

    def on_connected(self, link: Link) -> None:
        """The connection is open: greet."""
        self._link = link
        self._lost.clear()
        self._goodbye = None
        self._fault = None
        self._protocol.connected(self._now())
        self._flush()

    def on_bodies(self, link: Link, bodies: Sequence[bytes], error: ProtocolError | None) -> None:
        """Take what came, and answer in one write."""
        if link is not self._link:
            return
        now = self._now()
        try:
            for body in bodies:
                self._protocol.receive(body, now)
            if error is not None:
                raise error
        except ProtocolError as broken:
            self._fault = f"the server does not speak the protocol: {broken.message}"
            link.abort()
        self._pump()
        self._flush()

    def on_lost(self, link: Link, reason: str) -> None:
        """The connection is gone."""
        if link is not self._link:
            return
        self._link = None
        goodbye = self._goodbye
        said = f"the server said goodbye: {goodbye.code}: {goodbye.message}" if goodbye else None
        self._reason = said or self._fault or reason
        self._protocol.disconnected(self._now(), self._reason)
        self._pump()
        if self._greeted is not None and not self._greeted.done():
            self._greeted.set_exception(self._refusal() or ConnectionLost(self._reason))
        self._lost.set()

    # inside

    async def _dial(self) -> None:
        options = self._options
        greeted = self._greeted = asyncio.get_running_loop().create_future()
        link: Link | None = None
        try:
            async with asyncio.timeout(options.connect_timeout):
                link = await self._link_up()
                await link.until_open()
                await greeted
        except BaseException:
            link = self._link or link
            if link is not None:
                link.abort()
                self.on_lost(link, "the server did not greet in time")
            raise
        finally:
            if greeted.done() and not greeted.cancelled():
                greeted.exception()  # it was raised already, or another error was
            self._greeted = None

    async def _link_up(self) -> Link:
        options = self._options
        loop = asyncio.get_running_loop()
        if not options.by_websocket:
            _, tcp = await loop.create_connection(
                lambda: TcpLink(self), options.host, options.port, ssl=options.ssl
            )
            return tcp
        # who comes by TCP need not load it
        from websockets.uri import parse_uri  # noqa: PLC0415

        from .client_websocket import WebSocketLink  # noqa: PLC0415

        uri = parse_uri(options.host)
        tls = (options.ssl or True) if uri.secure else None
        _, link = await loop.create_connection(lambda: WebSocketLink(self, uri), uri.host, uri.port, ssl=tls)
        return link

    async def _keep(self) -> None:
        """Come back whenever the connection is lost, as often as it takes."""
        options = self._options
        backoff = Backoff(options.min_backoff, options.max_backoff, options.random)
        while True:
            await self._lost.wait()
            goodbye, self._goodbye = self._goodbye, None
            if not options.reconnect or (goodbye is not None and not goodbye.reconnect):
                self._protocol.end(self._reason)
                self._pump()
                return
            retry_after = goodbye.retry_after if goodbye is not None else None
            await options.sleep(backoff.next(retry_after or 0.0))
            try:
                await self._dial()
                backoff.reset()
            except (OSError, GatewayError) as error:
                self._reason = str(error)

    def _refusal(self) -> RequestFailed | None:
        goodbye = self._goodbye
        return request_failed(goodbye.error) if goodbye is not None and goodbye.error is not None else None

    def _flush(self) -> None:
        self._flush_is_due = False
        link = self._link
        if link is None:
            return
        bodies = self._protocol.data_to_send()
        if bodies:
            link.write(bodies)
        deadline = self._protocol.next_deadline()
        if deadline is not None and (self._timer is None or deadline < self._timer.when()):
            self._arm(deadline)

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._protocol.tick(self._now())
        self._pump()
        self._flush()

    def _pump(self) -> None:
        while (happening := self._protocol.next_event()) is not None:
            self._on_happening(happening)

    def _on_happening(self, happening: Happening) -> None:
        match happening:
            case Answered(request_id, reply):
                self._settle(request_id, reply)
            case Refused(request_id, error):
                self._settle(request_id, request_failed(error))
            case Lost(request_id, reason):
                self._settle(request_id, ConnectionLost(reason))
            case Welcomed():
                self._on_welcome()
            case Goodbye():
                # the first says why: a refused greeting is often followed by a plain goodbye
                self._goodbye = self._goodbye or happening
                if self._link is not None:
                    self._link.close()
            case Silent():
                self._fault = "the server was silent for two heartbeats"
                if self._link is not None:
                    self._link.abort()
            case _:
                self._on_news(happening)

    def _on_welcome(self) -> None:
        limits = self._protocol.limits
        if self._link is not None:
            # a page holds at least one item, also one that is longer than a page should be
            longest = max(limits.get("max_reply_bytes", 0), limits.get("max_frame_bytes", 0))
            self._link.allow_frames_of(longest + _REPLY_SLACK_BYTES)
        if self._greeted is not None and not self._greeted.done():
            self._greeted.set_result(None)

    def _settle(self, request_id: int, result: Frame | Exception) -> None:
        reply = self._replies.get(request_id)
        if reply is None or reply.done():
            return
        if isinstance(result, Exception):
            reply.set_exception(result)
        else:
            reply.set_result(result)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
