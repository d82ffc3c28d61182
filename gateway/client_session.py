"""A session as a client holds it: what one can ask of it, and what comes from it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from .attachment import Frame, Missed

_ENVELOPE = ("type", "session_id", "seq", "at")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a session; `seq` and `at` (Unix time) are None for what is not stored."""

    type: str
    session_id: str
    seq: int | None = None
    at: float | None = None
    payload: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def text(self) -> str | None:
        """The text of a message."""
        return self.payload.get("text")

    @property
    def author(self) -> str | None:
        """Who wrote a message: `user`, `ai`, `human` or `system`."""
        return self.payload.get("author")

    def as_map(self) -> dict[str, Any]:
        """Return the event as the wire has it."""
        return {key: getattr(self, key) for key in _ENVELOPE if getattr(self, key) is not None} | {**self.payload}


@dataclass(frozen=True, slots=True)
class Gap(Event):
    """Events behind `after_seq` up to `until_seq` will not come: they no longer exist, or nobody read them in time.

    The second kind is still there for `history(after_seq)`.
    """

    after_seq: int = 0
    until_seq: int = 0


class Accepted(NamedTuple):
    """A message is stored (or was before: `duplicate`). `seq` is its place in the history."""

    session_id: str
    message_id: str
    seq: int
    duplicate: bool
    created: bool
    reopened: bool


class Page(NamedTuple):
    """Part of a history, oldest first; `more`: there are others behind the last."""

    events: list[Event]
    more: bool


class Context(NamedTuple):
    """A session's context after a patch, its version, and the patch's place in the history."""

    context: dict[str, Any]
    version: int
    seq: int


class Closed(NamedTuple):
    """A close: until when (Unix time) the session can be reopened, None = as long as it lives."""

    reason: str | None
    reopen_until: float | None
    seq: int


class Erased(NamedTuple):
    """How many sessions and events are gone."""

    sessions: int
    events: int


def event_of(frame: Frame) -> Event:
    """Return the event in a pushed or replayed map."""
    payload = {key: value for key, value in frame.items() if key not in _ENVELOPE}
    return Event(frame["type"], frame.get("session_id", ""), frame.get("seq"), frame.get("at"), payload)


def gap_of(missed: Missed) -> Gap:
    """Return the gap as readers of events see it."""
    span = {"after_seq": missed.after_seq, "until_seq": missed.until_seq}
    return Gap("gap", missed.session_id, payload=span, **span)


def accepted_of(reply: Frame) -> Accepted:
    """Return the receipt in a `message:accepted` map."""
    return Accepted(*(reply[name] for name in Accepted._fields))


class EventQueue:
    """The events of one session that nobody has read yet, `limit` at most: then the oldest become a Gap."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._events: deque[Event] = deque()
        self._gap: Gap | None = None
        self._reader: asyncio.Future[None] | None = None
        self._ended = False
        self._error: Exception | None = None

    def put(self, event: Event) -> None:
        """Add the newest event."""
        if len(self._events) >= self._limit:
            self._drop(self._events.popleft())
        self._events.append(event)
        self._wake()

    def begin(self) -> None:
        """More may come again."""
        self._ended, self._error = False, None

    def end(self, error: Exception | None = None) -> None:
        """No more comes: a reader gets what is left, then the end, or `error`."""
        self._ended, self._error = True, error
        self._wake()

    async def get(self) -> Event | None:
        """Return the next event, None at the end. One reader at a time."""
        while not self._events and self._gap is None:
            if self._error is not None:
                raise self._error
            if self._ended:
                return None
            if self._reader is not None:
                raise RuntimeError("another task is reading this session's events: use subscribe() for several readers")
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        gap, self._gap = self._gap, None
        return gap or self._events.popleft()

    def _drop(self, event: Event) -> None:
        if isinstance(event, Gap):
            after, until = event.after_seq, event.until_seq
        elif event.seq is not None:
            after, until = event.seq - 1, event.seq
        else:
            return
        first = self._gap.after_seq if self._gap is not None else after
        self._gap = gap_of(Missed(event.session_id, first, until))

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


class Requester(Protocol):
    """What a session needs of its client."""

    async def request(self, kind: str, /, **payload: Any) -> Frame:
        """Make one request and return its reply."""
        ...

    async def send_message(self, payload: dict[str, Any]) -> Accepted:
        """Send one message."""
        ...


class RemoteSession:
    """One session on the server. Every method may raise RequestFailed or ConnectionLost.

    `resume_token` is known where this client created the session.
    """

    def __init__(self, client: Requester, session_id: str, max_buffered_events: int) -> None:
        self._client = client
        self.id = session_id
        self.resume_token: str | None = None
        self.queue = EventQueue(max_buffered_events)

    def __repr__(self) -> str:
        return f"<RemoteSession {self.id}>"

    async def send(
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
    ) -> Accepted:
        """Send a message and return its receipt once it is stored.

        It is stored once, however often the connection breaks: under `message_id`, or one made here.
        `context` is a merge patch that goes before the message, in the same commit.
        """
        return await self._client.send_message(
            {
                "session_id": self.id,
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

    async def events(self) -> AsyncIterator[Event]:
        """Yield what others cause, from the moment this client is attached; ends when the session does.

        Over a reconnect nothing is missing and nothing comes twice; what cannot be had any more is a Gap.
        An iteration that was left can be taken up again: what came meanwhile is kept, up to a bound.
        """
        while (event := await self.queue.get()) is not None:
            yield event

    async def next_event(self) -> Event | None:
        """Return the next of `events()`, None at the end."""
        return await self.queue.get()

    async def get(self) -> dict[str, Any]:
        """Return the session map."""
        return (await self._request("session:get"))["session"]

    async def history(self, after_seq: int = 0, limit: int | None = None) -> Page:
        """Return a page of the history behind `after_seq`."""
        reply = await self._request("session:history", after_seq=after_seq, limit=limit)
        return Page([event_of(event) for event in reply["events"]], reply["more"])

    async def resume(self, after_seq: int | None = None, *, resume_token: str | None = None) -> dict[str, Any]:
        """Attach to the session and return its map; the events behind `after_seq` come first in `events()`."""
        token = resume_token or self.resume_token
        return (await self._request("session:resume", after_seq=after_seq, resume_token=token))["session"]

    async def update_context(
        self, patch: Mapping[str, Any], *, expected_version: int | None = None, attach: bool | None = None
    ) -> Context:
        """Merge `patch` into the context (RFC 7396), if it has `expected_version` where that is given."""
        reply = await self._request(
            "session:context:update", context=patch, expected_version=expected_version, attach=attach
        )
        return Context(reply["context"], reply["context_version"], reply["seq"])

    async def close(self, reason: str | None = None) -> Closed:
        """Close the session; a closed one answers as before."""
        reply = await self._request("session:close", reason=reason)
        return Closed(reply.get("reason"), reply.get("reopen_until"), reply["seq"])

    async def reopen(self, *, attach: bool | None = None) -> dict[str, Any]:
        """Reopen the closed session and return its map."""
        return (await self._request("session:reopen", attach=attach))["session"]

    async def detach(self) -> None:
        """Hear no more of the session, which lives on."""
        await self._request("session:detach")

    async def rate(self, rating: int, feedback: str | None = None) -> int:
        """Rate the session, 1 to 5; return the rating's place in the history."""
        return (await self._request("session:rate", rating=rating, feedback=feedback))["seq"]

    async def tag(self, add: Iterable[str] = (), remove: Iterable[str] = ()) -> list[str]:
        """Add and remove tags; return all that the session has now."""
        return (await self._request("session:tag", add=list(add), remove=list(remove)))["tags"]

    async def compose(self, action: str = "start") -> None:
        """Tell the others that one is writing (`start`), or no longer (`stop`)."""
        await self._request("message:compose", action=action)

    async def read(self, read_seq: int) -> None:
        """Tell the others that one has read up to `read_seq`."""
        await self._request("message:read", read_seq=read_seq)

    async def erase(self) -> Erased:
        """Erase the session with its history (services only)."""
        reply = await self._request("session:erase")
        return Erased(reply["sessions"], reply["events"])

    async def _request(self, kind: str, **payload: Any) -> Frame:
        return await self._client.request(kind, session_id=self.id, **payload)
