"""The client for plain code: the asyncio client on a loop in a thread of its own.

Every method waits for its result, from any thread. A `timeout` is seconds; after it TimeoutError is raised,
and whether the request is still done is not known.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from . import client as aio
from .attachment import Frame
from .client_options import ConnectKeywords, ConnectOptions
from .client_session import RemoteSession
from .client_values import (
    Accepted,
    Assigned,
    Closed,
    Context,
    Erased,
    Event,
    HandedOver,
    Listing,
    Page,
    Watching,
)
from .errors import ConnectionLost

T = TypeVar("T")


class ClientSession:
    """One session on the server, for plain code: RemoteSession with results instead of awaitables."""

    def __init__(self, client: "Client", session: RemoteSession) -> None:
        self._client = client
        self._session = session

    def __repr__(self) -> str:
        return f"<ClientSession {self.id}>"

    @property
    def id(self) -> str:
        """The session's id."""
        return self._session.id

    @property
    def resume_token(self) -> str | None:
        """What proves that this client made the session; None where it did not."""
        return self._session.resume_token

    def send(
        self,
        text: str | None = None,
        *,
        message_id: str | None = None,
        data: Any = None,
        attachments: Sequence[Mapping[str, Any]] | None = None,
        context: Mapping[str, Any] | None = None,
        author: str | None = None,
        author_id: str | None = None,
        attach: bool | None = None,
        timeout: float | None = None,
    ) -> Accepted:
        """Send a message and return its receipt once it is stored."""
        sending = self._session.send(
            text,
            message_id=message_id,
            data=data,
            attachments=attachments,
            context=context,
            author=author,
            author_id=author_id,
            attach=attach,
        )
        return self._client.call(sending, timeout)

    def events(self, timeout: float | None = None) -> Iterator[Event]:
        """Yield what others cause; ends with the session, or when nothing came for `timeout` seconds."""
        while True:
            try:
                event = self.next_event(timeout)
            except TimeoutError:
                return
            if event is None:
                return
            yield event

    def next_event(self, timeout: float | None = None) -> Event | None:
        """Return the next event, None at the end; TimeoutError when none came in time."""
        return self._client.call(_within(self._session, timeout))

    def get(self, *, timeout: float | None = None) -> dict[str, Any]:
        """Return the session map."""
        return self._client.call(self._session.get(), timeout)

    def history(self, after_seq: int = 0, limit: int | None = None, *, timeout: float | None = None) -> Page:
        """Return a page of the history behind `after_seq`."""
        return self._client.call(self._session.history(after_seq, limit), timeout)

    def resume(
        self,
        after_seq: int | None = None,
        *,
        resume_token: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Attach to the session and return its map; `events()` begins with those behind `after_seq`."""
        return self._client.call(self._session.resume(after_seq, resume_token=resume_token), timeout)

    def update_context(
        self,
        patch: Mapping[str, Any],
        *,
        expected_version: int | None = None,
        expected_user_version: int | None = None,
        attach: bool | None = None,
        timeout: float | None = None,
    ) -> Context:
        """Merge `patch` into the context (RFC 7396), if it has `expected_version` where that is given."""
        update = self._session.update_context(
            patch,
            expected_version=expected_version,
            expected_user_version=expected_user_version,
            attach=attach,
        )
        return self._client.call(update, timeout)

    def context(self, *, timeout: float | None = None) -> dict[str, Any]:
        """Return the context of all scopes: the session's keys, the user's as `user.…`, the operator's as
        `app.…` (for agents and services).
        """
        return self._client.call(self._session.context(), timeout)

    def close(self, reason: str | None = None, *, timeout: float | None = None) -> Closed:
        """Close the session; a closed one answers as before."""
        return self._client.call(self._session.close(reason), timeout)

    def hand_over(
        self, queue: str | None = None, note: str | None = None, *, timeout: float | None = None
    ) -> HandedOver:
        """Have it wait for a human in that queue; None: in the one it is in, or was in."""
        return self._client.call(self._session.hand_over(queue, note), timeout)

    def assign(self, assignee: str | None = None, *, timeout: float | None = None) -> Assigned:
        """Give it to that human; None: take it. RequestFailed with `illegal_state` says who was faster."""
        return self._client.call(self._session.assign(assignee), timeout)

    def release(self, *, timeout: float | None = None) -> int:
        """Give it back to the AI; return the release's place in the history."""
        return self._client.call(self._session.release(), timeout)

    def resolve(self, *, timeout: float | None = None) -> Closed:
        """Close it as resolved by a human."""
        return self._client.call(self._session.resolve(), timeout)

    def reopen(self, *, attach: bool | None = None, timeout: float | None = None) -> dict[str, Any]:
        """Reopen the closed session and return its map."""
        return self._client.call(self._session.reopen(attach=attach), timeout)

    def detach(self, *, timeout: float | None = None) -> None:
        """Hear no more of the session, which lives on."""
        self._client.call(self._session.detach(), timeout)

    def rate(self, rating: int, feedback: str | None = None, *, timeout: float | None = None) -> int:
        """Rate the session, 1 to 5; return the rating's place in the history."""
        return self._client.call(self._session.rate(rating, feedback), timeout)

    def tag(
        self, add: Iterable[str] = (), remove: Iterable[str] = (), *, timeout: float | None = None
    ) -> list[str]:
        """Add and remove tags; return all that the session has now."""
        return self._client.call(self._session.tag(add, remove), timeout)

    def compose(self, action: str = "start", *, timeout: float | None = None) -> None:
        """Tell the others that one is writing (`start`), or no longer (`stop`)."""
        self._client.call(self._session.compose(action), timeout)

    def read(self, read_seq: int, *, timeout: float | None = None) -> None:
        """Tell the others that one has read up to `read_seq`."""
        self._client.call(self._session.read(read_seq), timeout)

    def erase(self, *, timeout: float | None = None) -> Erased:
        """Erase the session with its history (services only)."""
        return self._client.call(self._session.erase(), timeout)


class Client:
    """A client for plain code: `with Client(…) as client`, or `client = Client(…)` and `client.close()`.

    The keywords are those of `connect`. Raises OSError when nobody answers, RequestFailed when the server
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


async def _within(session: RemoteSession, timeout: float | None) -> Event | None:
    """The wait is cut on the loop itself, so that an event that comes at that instant is not lost."""
    async with asyncio.timeout(timeout):
        return await session.next_event()
