"""The client for asyncio: `async with connect(…) as client`, or `client = await connect(…)`."""

import asyncio
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, Unpack
from uuid import uuid4
from weakref import WeakValueDictionary

from .attachment import Frame, Missed
from .client_connection import ClientConnection
from .client_options import ConnectKeywords, ConnectOptions
from .client_session import RemoteSession
from .client_values import Accepted, Erased, Event, Gap, Listing, Watching, accepted_of, event_of, gap_of
from .errors import ConnectionLost, request_failed
from .happenings import Ended, Followed, Happening, Pushed, Unfollowed

__all__ = ["Accepted", "Client", "ConnectOptions", "Event", "Gap", "Listing", "RemoteSession", "connect"]

_PEACEFUL_ENDS = frozenset({"session:detached", "session:erased", "session_expired"})


class Client:
    """One client: any number of sessions over one connection, and over the next ones when it breaks.

    Belongs to the loop it was opened on. Requests made while there is no connection wait for the next one.
    """

    def __init__(self, options: ConnectOptions) -> None:
        self._options = options
        self._connection = ClientConnection(options, self._on_news)
        self._sessions: WeakValueDictionary[str, RemoteSession] = WeakValueDictionary()
        self._followed: dict[str, RemoteSession] = {}
        self._listeners: dict[object, Callable[[Event], None]] = {}
        self._closing = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect for the first time. Raises OSError, RequestFailed or ConnectionLost."""
        await self._connection.open()

    async def close(self) -> None:
        """End: what has no answer raises ConnectionLost, iterations over events end."""
        self._closing = True
        await self._connection.close()

    @property
    def is_connected(self) -> bool:
        """Is there a connection at this moment, greeted by the server?"""
        return self._connection.is_connected

    @property
    def limits(self) -> Mapping[str, Any]:
        """The server's limits, as its `welcome` names them."""
        return self._connection.limits

    async def request(self, kind: str, /, **payload: Any) -> Frame:
        """Make one request of the wire and return the reply map; keys that are None are left out."""
        return await self._connection.request(kind, payload)

    async def create(
        self,
        *,
        user: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        channel: str | None = None,
        timeouts: Mapping[str, float | None] | None = None,
        tags: Iterable[str] | None = None,
        request_key: str | None = None,
        attach: bool | None = None,
    ) -> RemoteSession:
        """Create a session and return it, attached. One and the same for one `request_key`."""
        reply = await self.request(
            "session:create",
            user=user,
            context=context,
            metadata=metadata,
            channel=channel,
            timeouts=timeouts,
            tags=None if tags is None else list(tags),
            request_key=request_key or (uuid4().hex if self._options.reconnect else None),
            attach=attach,
        )
        session = self.session(reply["session_id"])
        session.resume_token = reply.get("resume_token") or session.resume_token
        return session

    def session(self, session_id: str) -> RemoteSession:
        """Return the session with this id; whether it exists shows with the first request."""
        session = self._sessions.get(session_id)
        if session is None:
            session = RemoteSession(self, session_id, self._options.max_buffered_events)
            self._sessions[session_id] = session
        return session

    async def send(
        self,
        text: str | None = None,
        *,
        user: Mapping[str, Any],
        channel: str | None = None,
        message_id: str | None = None,
        data: Any = None,
        attachments: Sequence[Mapping[str, Any]] | None = None,
        context: Mapping[str, Any] | None = None,
        author: str | None = None,
        author_id: str | None = None,
        attach: bool | None = None,
    ) -> Accepted:
        """Send a message to a user's session on `channel`, a new one if need be; `user` has a `user_id`."""
        return await self.send_message(
            {
                "user": user,
                "channel": channel,
                "message_id": message_id,
                "text": text,
                "data": data,
                "attachments": None if attachments is None else list(attachments),
                "context": context,
                "author": author,
                "author_id": author_id,
                "attach": attach,
            }
        )

    async def send_message(self, payload: dict[str, Any]) -> Accepted:
        """Send a `message:send` with these keys, under a `message_id` made here if it has none."""
        if payload.get("message_id") is None:
            payload["message_id"] = uuid4().hex
        return accepted_of(await self.request("message:send", **payload))

    async def list(
        self,
        *,
        status: str | None = None,
        handling: str | None = None,
        user_id: str | None = None,
        channel: str | None = None,
        queue: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Listing:
        """Return a page of the sessions that match (agents and services only)."""
        reply = await self.request(
            "session:list",
            status=status,
            handling=handling,
            user_id=user_id,
            channel=channel,
            queue=queue,
            limit=limit,
            cursor=cursor,
        )
        return Listing(reply["sessions"], reply["cursor"])

    async def watch(self, queues: Iterable[str] | None = None) -> Watching:
        """Have what happens in these queues (None: in all) told to those who `subscribe`, also after a
        reconnect; return what waits there now. What happened while there was no connection is not told:
        watch again to see what waits then.
        """
        reply = await self.request("watch", queues=None if queues is None else list(queues))
        return Watching(reply["waiting"], reply["more"])

    async def erase_user(self, user_id: str) -> Erased:
        """Erase all sessions of a person (services only)."""
        reply = await self.request("session:erase", user_id=user_id)
        return Erased(reply["sessions"], reply["events"], reply.get("receipt"))

    async def ping(self) -> float:
        """Return the server's time (Unix time)."""
        server_time: float = (await self.request("ping"))["server_time"]
        return server_time

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Call `callback` with every event of every session as it comes; what is returned ends that."""
        key = object()
        self._listeners[key] = callback

        def unsubscribe() -> None:
            self._listeners.pop(key, None)

        return unsubscribe

    def _on_news(self, news: Happening) -> None:
        match news:
            case Pushed(frame):
                self._publish(event_of(frame))
            case Missed():
                self._publish(gap_of(news))
            case Followed(session_id, resume_token):
                session = self._followed[session_id] = self.session(session_id)
                session.resume_token = resume_token or session.resume_token
                session.queue.begin()
            case Unfollowed(session_id, reason):
                peaceful = reason in _PEACEFUL_ENDS
                ended = self._followed.pop(session_id)
                ended.queue.end(None if peaceful else request_failed({"code": reason, "message": ""}))
            case Ended(reason):
                for session in list(self._sessions.values()):
                    session.queue.end(None if self._closing else ConnectionLost(reason))
                self._followed.clear()
            case _:
                raise AssertionError(f"{news} concerns no session")

    def _publish(self, event: Event) -> None:
        session = self._sessions.get(event.session_id)
        if session is not None:
            session.queue.put(event)
        for callback in list(self._listeners.values()):
            try:
                callback(event)
            except Exception as error:  # noqa: BLE001  # a subscriber's failure is its own
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "a subscriber failed on an event", "exception": error}
                )


class Connecting:
    """A client on its way: `await` it, or enter it with `async with`."""

    def __init__(self, options: ConnectOptions) -> None:
        self._options = options
        self._client: Client | None = None

    def __await__(self) -> Generator[Any, None, Client]:
        return self._open().__await__()

    async def __aenter__(self) -> Client:
        self._client = await self._open()
        return self._client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.close()

    async def _open(self) -> Client:
        client = Client(self._options)
        await client.open()
        return client


def connect(host: str = "127.0.0.1", port: int = 7411, **options: Unpack[ConnectKeywords]) -> Connecting:
    """Return a client of the server at `host` and `port`: `await` it or enter it with `async with`.

    `host` may be a URL instead, `ws://host:7412/v1/ws` or `wss://…`: then it comes by WebSocket.
    `options` are those of ConnectOptions. The first attempt must succeed: OSError when nobody answers,
    RequestFailed when the server refuses the greeting.
    """
    return Connecting(ConnectOptions(host=host, port=port, **options))
