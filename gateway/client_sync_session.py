"""One session of the client for plain code.

Every method waits for its result, from any thread. A `timeout` is seconds; after it TimeoutError is raised,
and whether the request is still done is not known.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .client_session import RemoteSession
from .client_values import Accepted, Assigned, Closed, Context, Erased, Event, HandedOver, Page

if TYPE_CHECKING:
    from .client_sync import Client


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

    def fork(
        self,
        at_seq: int | None = None,
        *,
        channel: str | None = None,
        request_key: str | None = None,
        timeout: float | None = None,
    ) -> "ClientSession":
        """Make a new session with the state as of `at_seq` (None: as of now), and return it, not attached.

        One and the same for one `request_key`; an expired session can be forked, too (agents and services).
        """
        fork = self._session.fork(at_seq, channel=channel, request_key=request_key)
        return ClientSession(self._client, self._client.call(fork, timeout))

    def compose(self, action: str = "start", *, timeout: float | None = None) -> None:
        """Tell the others that one is writing (`start`), or no longer (`stop`)."""
        self._client.call(self._session.compose(action), timeout)

    def read(self, read_seq: int, *, timeout: float | None = None) -> None:
        """Tell the others that one has read up to `read_seq`."""
        self._client.call(self._session.read(read_seq), timeout)

    def erase(self, *, timeout: float | None = None) -> Erased:
        """Erase the session with its history (services only)."""
        return self._client.call(self._session.erase(), timeout)


async def _within(session: RemoteSession, timeout: float | None) -> Event | None:
    """The wait is cut on the loop itself, so that an event that comes at that instant is not lost."""
    async with asyncio.timeout(timeout):
        return await session.next_event()
