"""What a session actor may be asked.

Requests come from the gateway's router and from `Runtime`; each has one answer type (`answers.py`) or raises
a `SessionError`. They are plain slotted classes, not frozen ones (freezing costs a microsecond each on the
hot path), and are treated as immutable once sent.

`now` is when the request was read; `origin` is the connection it came on, which gets the answer and is
spared the push; `attach` says whether the request attaches it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import SessionError
from .mail import Mail, Request

Json = Any


@dataclass(slots=True, eq=False)
class SendMessage(Request):
    """Store a message; reopens a closed session when it is the user's. Answer: `Accepted`."""

    message_id: str | None
    author: str
    author_id: str | None
    text: str | None
    attachments: list[Json] | None
    data: Json
    context: dict[str, Json] | None
    created: bool = False
    """The registry made the session for this message."""
    in_reply_to: str | None = None
    """The message_id that the AI answers."""
    addressed: Any = None
    """How it was addressed to a user, when it was: then a session that cannot take it passes it on."""
    verified: bool = False
    """The message_id was looked up and is new, although its hash is known."""


@dataclass(slots=True, eq=False, kw_only=True)
class BroadcastMessage(SendMessage):
    """One person's part of a broadcast, sent by `Broadcasts`. Answer: the outcome, a number."""

    broadcast_id: str
    user_id: str
    reopen: bool


@dataclass(slots=True, eq=False)
class CreateSession(Request):
    """First request of a new session, sent by the registry. Answer: `Created`."""

    user: dict[str, Json]
    context: dict[str, Json]
    metadata: dict[str, Json]
    channel: str
    timeouts: dict[str, float | None]
    tags: list[str]
    request_key: str | None
    token_hash: bytes


@dataclass(slots=True, eq=False)
class GetSession(Request):
    """Answer: `State`; with `scopes` it holds the merged view of all scopes as well."""

    scopes: bool = False


@dataclass(slots=True, eq=False)
class ResumeSession(Request):
    """Attach, and replay what came after `after_seq` (None: nothing). Answer: `Resumed`."""

    after_seq: int | None
    limit: int
    max_bytes: int


@dataclass(slots=True, eq=False)
class ReadHistory(Request):
    """Answer: `Events`, oldest first, at most `limit` and about `max_bytes`."""

    after_seq: int
    limit: int
    max_bytes: int


@dataclass(slots=True, eq=False)
class ReadEvents(Request):
    """The same for a program in this process; `after_seq` None: the last `limit` events. Answer:
    `History`.
    """

    after_seq: int | None
    limit: int
    max_bytes: int


@dataclass(slots=True, eq=False)
class UpdateContext(Request):
    """Merge a patch; `expected_version` makes it a compare-and-set. Answer: `ContextUpdated`."""

    patch: dict[str, Json]
    expected_version: int | None
    expected_user_version: int | None = None
    """The same for the user's scope."""


@dataclass(slots=True, eq=False)
class CloseSession(Request):
    """Answer: `Closed`; a repeated one gets the first answer again."""

    reason: str | None


@dataclass(slots=True, eq=False)
class Resolve(CloseSession):
    """A human, or the AI, says that the matter is settled: a close. Answer: `Closed`."""


@dataclass(slots=True, eq=False)
class HandOver(Request):
    """Put it into a queue for humans; None: the one it is in, or was in. Answer: `HandedOver`."""

    queue: str | None
    note: str | None


@dataclass(slots=True, eq=False)
class Assign(Request):
    """Give it to a human; None: to who asks. Answer: `Assigned`."""

    assignee: str | None


@dataclass(slots=True, eq=False)
class Release(Request):
    """Give it back to the AI. Answer: `Released`."""


@dataclass(slots=True, eq=False)
class Return(Mail):
    """From the desk: the human has been away for too long, so it goes back to its queue. No answer."""

    now: float
    assignee: str
    reply_to: Any = field(default=None, kw_only=True)


@dataclass(slots=True, eq=False)
class ReopenSession(Request):
    """Answer: `Reopened`."""


@dataclass(slots=True, eq=False)
class RateSession(Request):
    """Answer: `Rated`."""

    rating: int
    feedback: str | None


@dataclass(slots=True, eq=False)
class TagSession(Request):
    """Answer: `Tagged`."""

    add: Sequence[str]
    remove: Sequence[str]


@dataclass(slots=True, eq=False)
class DetachSession(Request):
    """Detach `origin`, in its turn behind the requests before it. Answer: `Told`."""


@dataclass(slots=True, eq=False)
class Compose(Request):
    """Tell the others that somebody types; never stored. Answer: `Told`."""

    action: str


@dataclass(slots=True, eq=False)
class MarkRead(Request):
    """Tell the others what was read; never stored. Answer: `Told`."""

    read_seq: int


@dataclass(slots=True, eq=False)
class ExplainSession(Request):
    """What does it wait for? Answer: `Explained`."""


@dataclass(slots=True, eq=False)
class EraseSession(Request):
    """Remove it with its history. Answer: `Erased`."""

    erasure_id: str | None = field(default=None, kw_only=True)
    """The erasure of a person that it belongs to; None: it is one by itself."""


@dataclass(slots=True, eq=False)
class SetReminder(Request):
    """Have `reminder:fired` happen at an instant (epoch seconds). Answer: `ReminderSet`."""

    name: str
    at: float
    data: Json


@dataclass(slots=True, eq=False)
class CancelReminder(Request):
    """Answer: `ReminderCancelled`, also when there is none of that name."""

    name: str


@dataclass(slots=True, eq=False)
class FailMessage(Mail):
    """From the registry: the handling of a request failed for good. No answer."""

    now: float
    message_id: str | None
    code: str
    text: str
    reply_to: Any = field(default=None, kw_only=True)

    @staticmethod
    def of(request: object, error: SessionError, now: float) -> "FailMessage":
        """What is said of `request`, whatever it was."""
        message_id = request.message_id if isinstance(request, SendMessage) else None
        return FailMessage(now, message_id, error.code, error.message)


class Probe(Mail):
    """Answered with None as soon as the session is in memory."""

    __slots__ = ()


class Tick(Mail):
    """The wheel, to an actor's system lane: time has passed."""

    __slots__ = ()
