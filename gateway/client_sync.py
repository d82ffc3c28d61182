"""The client for plain code: the asyncio client on a loop in a thread of its own.

Every method waits for its result, from any thread. A `timeout` is seconds; after it TimeoutError is raised,
and whether the request is still done is not known.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from . import client as aio
from .attachment import Frame
from .client_options import ConnectKeywords, ConnectOptions
from .client_session import RemoteSession
from .client_sync_session import ClientSession
from .client_values import (
    Accepted,
    Erased,
    Event,
    Listing,
    Watching,
)
from .errors import ConnectionLost

T = TypeVar("T")


class Client:
    """A client for plain code: `with Client(…) as client`, or `client = Client(…)` and `client.close()`.

    The arguments are those of `connect`. Raises OSError when nobody answers, RequestFailed when the server
    refuses the greeting.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 7411, **options: Unpack[ConnectKeywords]) -> None:
        self._client = aio.Client(ConnectOptions(host=host, port=port, **options))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sojourn-client", daemon=True)
        self._lock = threading.Lock()  # guards _closed: the loop is stopped once
        self._closed = False
        self._thread.start()
        try:
            self.call(self._client.open())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End: what has no answer raises ConnectionLost, iterations over events end. May be repeated."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        asyncio.run_coroutine_threadsafe(self._client.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def is_connected(self) -> bool:
        """Is there a connection at this moment, greeted by the server?"""
        return self._client.is_connected

    @property
    def limits(self) -> Mapping[str, Any]:
        """The server's limits, as its `welcome` names them."""
        return self._client.limits

    def request(self, kind: str, /, *, timeout: float | None = None, **payload: Any) -> Frame:
        """Make one request of the wire and return the reply map; keys that are None are left out."""
        return self.call(self._client.request(kind, **payload), timeout)

    def create(
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
        timeout: float | None = None,
    ) -> ClientSession:
        """Create a session and return it, attached. One and the same for one `request_key`."""
        creation = self._client.create(
            user=user,
            context=context,
            metadata=metadata,
            channel=channel,
            timeouts=timeouts,
            tags=tags,
            request_key=request_key,
            attach=attach,
        )
        return ClientSession(self, self.call(creation, timeout))

    def session(self, session_id: str) -> ClientSession:
        """Return the session with this id; whether it exists shows with the first request."""
        return ClientSession(self, self.call(self._session(session_id)))

    def send(
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
        timeout: float | None = None,
    ) -> Accepted:
        """Send a message to a user's session on `channel`, a new one if need be; `user` has a `user_id`."""
        sending = self._client.send(
            text,
            user=user,
            channel=channel,
            message_id=message_id,
            data=data,
            attachments=attachments,
            context=context,
            author=author,
            author_id=author_id,
            attach=attach,
        )
        return self.call(sending, timeout)

    def list(
        self,
        *,
        status: str | None = None,
        handling: str | None = None,
        user_id: str | None = None,
        channel: str | None = None,
        queue: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        timeout: float | None = None,
    ) -> Listing:
        """Return a page of the sessions that match (agents and services only)."""
        listing = self._client.list(
            status=status,
            handling=handling,
            user_id=user_id,
            channel=channel,
            queue=queue,
            limit=limit,
            cursor=cursor,
        )
        return self.call(listing, timeout)

    def watch(self, queues: Iterable[str] | None = None, *, timeout: float | None = None) -> Watching:
        """Have what happens in these queues (None: in all) told to those who `subscribe`, also after a
        reconnect; return what waits there now.
        """
        return self.call(self._client.watch(queues), timeout)

    def erase_user(self, user_id: str, *, timeout: float | None = None) -> Erased:
        """Erase all sessions of a person (services only)."""
        return self.call(self._client.erase_user(user_id), timeout)

    def ping(self, *, timeout: float | None = None) -> float:
        """Return the server's time (Unix time)."""
        return self.call(self._client.ping(), timeout)

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Call `callback` on the client's own thread with every event; what is returned ends that.

        The callback must not wait for this client: its answers come on the same thread.
        """
        unsubscribe = self.call(self._subscribe(callback))

        def end() -> None:
            self._loop.call_soon_threadsafe(unsubscribe)

        return end

    def call(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run `work` on the client's loop and wait for its result; cancelled after `timeout` seconds."""
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("this is the client's own thread: waiting here would wait for ever")
        if self._closed:
            work.close()
            raise ConnectionLost("the client is closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout)
        except BaseException:
            future.cancel()
            raise

    async def _session(self, session_id: str) -> RemoteSession:
        return self._client.session(session_id)

    async def _subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        return self._client.subscribe(callback)
