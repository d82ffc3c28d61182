"""A session as a client holds it: what one can ask of it, and what comes from it."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Protocol
from uuid import uuid4

from .attachment import Frame
from .client_values import Accepted, Assigned, Closed, Context, Erased, Event, HandedOver, Page, event_of
from .event_queue import EventQueue


class Requester(Protocol):
    """What a session needs of its client."""

    async def request(self, kind: str, /, **payload: Any) -> Frame:
        """Make one request and return its reply."""
        ...

    def session(self, session_id: str) -> "RemoteSession":
        """Return the session with this id."""
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
        session: dict[str, Any] = (await self._request("session:get"))["session"]
        return session

    async def history(self, after_seq: int = 0, limit: int | None = None) -> Page:
        """Return a page of the history behind `after_seq`."""
        reply = await self._request("session:history", after_seq=after_seq, limit=limit)
        return Page([event_of(event) for event in reply["events"]], reply["more"])

    async def resume(
        self, after_seq: int | None = None, *, resume_token: str | None = None
    ) -> dict[str, Any]:
        """Attach to the session and return its map; `events()` begins with those behind `after_seq`."""
        token = resume_token or self.resume_token
        reply = await self._request("session:resume", after_seq=after_seq, resume_token=token)
        session: dict[str, Any] = reply["session"]
        return session

    async def update_context(
        self,
        patch: Mapping[str, Any],
        *,
        expected_version: int | None = None,
        expected_user_version: int | None = None,
        attach: bool | None = None,
    ) -> Context:
        """Merge `patch` into the context (RFC 7396), if it has `expected_version` where that is given.

        Keys that begin with `user.` go to the user's scope, whose version is `expected_user_version`.
        """
        reply = await self._request(
            "session:context:update",
            context=patch,
            expected_version=expected_version,
            expected_user_version=expected_user_version,
            attach=attach,
        )
        return Context(reply["context"], reply["context_version"], reply["seq"], reply.get("user_version"))

    async def context(self) -> dict[str, Any]:
        """Return the context of all scopes: the session's keys, the user's as `user.…`, the operator's as
        `app.…` (for agents and services).
        """
        context: dict[str, Any] = (await self._request("session:get", scopes=True))["context"]
        return context

    async def close(self, reason: str | None = None) -> Closed:
        """Close the session; a closed one answers as before."""
        reply = await self._request("session:close", reason=reason)
        return Closed(reply.get("reason"), reply.get("reopen_until"), reply["seq"])

    async def hand_over(self, queue: str | None = None, note: str | None = None) -> HandedOver:
        """Have it wait for a human in that queue; None: in the one it is in, or was in."""
        reply = await self._request("session:handover", queue=queue, note=note)
        return HandedOver(reply.get("queue"), reply["seq"])

    async def assign(self, assignee: str | None = None) -> Assigned:
        """Give it to that human; None: take it. RequestFailed with `illegal_state` says who was faster."""
        reply = await self._request("session:assign", assignee=assignee)
        return Assigned(reply["assignee"], reply["seq"])

    async def release(self) -> int:
        """Give it back to the AI; return the release's place in the history."""
        seq: int = (await self._request("session:release"))["seq"]
        return seq

    async def resolve(self) -> Closed:
        """Close it as resolved by a human."""
        reply = await self._request("session:resolve")
        return Closed(reply.get("reason"), reply.get("reopen_until"), reply["seq"])

    async def reopen(self, *, attach: bool | None = None) -> dict[str, Any]:
        """Reopen the closed session and return its map."""
        session: dict[str, Any] = (await self._request("session:reopen", attach=attach))["session"]
        return session

    async def detach(self) -> None:
        """Hear no more of the session, which lives on."""
        await self._request("session:detach")

    async def rate(self, rating: int, feedback: str | None = None) -> int:
        """Rate the session, 1 to 5; return the rating's place in the history."""
        seq: int = (await self._request("session:rate", rating=rating, feedback=feedback))["seq"]
        return seq

    async def tag(self, add: Iterable[str] = (), remove: Iterable[str] = ()) -> list[str]:
        """Add and remove tags; return all that the session has now."""
        reply = await self._request("session:tag", add=list(add), remove=list(remove))
        tags: list[str] = reply["tags"]
        return tags

    async def compose(self, action: str = "start") -> None:
        """Tell the others that one is writing (`start`), or no longer (`stop`)."""
        await self._request("message:compose", action=action)

    async def read(self, read_seq: int) -> None:
        """Tell the others that one has read up to `read_seq`."""
        await self._request("message:read", read_seq=read_seq)

    async def fork(
        self, at_seq: int | None = None, *, channel: str | None = None, request_key: str | None = None
    ) -> "RemoteSession":
        """Make a new session with the state as of `at_seq` (None: as of now), and return it, not attached.

        One and the same for one `request_key`; an expired session can be forked, too (agents and services).
        """
        key = request_key or uuid4().hex
        reply = await self._request("session:fork", at_seq=at_seq, channel=channel, request_key=key)
        fork = self._client.session(reply["session_id"])
        fork.resume_token = reply.get("resume_token") or fork.resume_token
        return fork

    async def erase(self) -> Erased:
        """Erase the session with its history (services only)."""
        reply = await self._request("session:erase")
        return Erased(reply["sessions"], reply["events"], reply.get("receipt"))

    async def _request(self, kind: str, **payload: Any) -> Frame:
        return await self._client.request(kind, session_id=self.id, **payload)
