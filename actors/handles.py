"""What a program that embeds Sojourn holds: sessions by id, messages on their way, subscriptions."""

import logging
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .answers import (
    Accepted,
    Assigned,
    Closed,
    ContextUpdated,
    Created,
    Erased,
    HandedOver,
    History,
    Rated,
    Released,
    ReminderCancelled,
    ReminderSet,
    Reopened,
    State,
    Tagged,
)
from .errors import InvalidRequest
from .futures import PENDING, LoopFuture
from .mail import Caller
from .messages import (
    Assign,
    CancelReminder,
    CloseSession,
    EraseSession,
    GetSession,
    HandOver,
    RateSession,
    ReadEvents,
    Release,
    ReopenSession,
    Resolve,
    SetReminder,
    TagSession,
    UpdateContext,
)
from .packing import unpack
from .turn import check_name, check_seconds
from .values import check_json, check_map, check_page, check_place, check_rating, check_text

if TYPE_CHECKING:
    from .runtime import Runtime

logger = logging.getLogger(__name__)

SERVICE: Final = Caller("service")
USER: Final = Caller("user")
PAGE_BYTES: Final = 16 << 20

Event = dict[str, Any]
"""One event: `type`, `session_id`, `seq`, `at` and its payload, as on the wire."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the history."""

    message_id: str
    author: str
    text: str | None
    data: Any
    seq: int
    at: float


class SentMessage(LoopFuture[Accepted]):
    """A message on its way: await it, or ask for its `result`, to know that it is stored; both raise the
    `SessionError` of a message that was refused.
    """

    __slots__ = ("_answer", "_nobody")

    def __init__(self, nobody: str | None) -> None:
        """`nobody`: why there will be no answer; None: the agent gives one."""
        # As the base class has it, without the call: a program makes one for each message.
        self._value = PENDING
        self._error = None
        self._get_hook = None
        self._callbacks = None
        self._waiter = None
        self.producer = None
        self._nobody = nobody
        self._answer: LoopFuture[Message] | None = LoopFuture() if nobody is None else None

    @property
    def answer(self) -> LoopFuture[Message]:
        """The agent's answer, to be awaited; it fails when the agent does, or when nobody answers."""
        answer = self._answer
        if answer is None:
            answer = self._answer = LoopFuture()
            error = InvalidRequest(f"{self._nobody}: nobody answers")
            answer.set_exception((InvalidRequest, error, None))
        return answer

    def reply(self, timeout: float | None = None) -> Message:
        """Wait for the agent's answer, at most `timeout` seconds (`pykka.Timeout`)."""
        return self.answer.result(timeout)


class Subscription:
    """Has a function called with each event, on the runtime's loop thread, until `cancel`."""

    def __init__(self, callback: Callable[[Event], object], cancel: Callable[["Subscription"], None]) -> None:
        self.attached: set[str] = set()
        self.max_attachments = 1 << 62
        self._callback = callback
        self._cancel = cancel

    def set(self, frame: bytes) -> None:
        """Take one event."""
        try:
            self._callback(unpack(frame))
        except Exception:
            logger.exception("a subscriber of events failed")

    def set_exception(self, _exc_info: Any = None) -> None:
        """The commit failed: nothing happened."""

    def cancel(self) -> None:
        """Stop it; from any thread."""
        self._cancel(self)


class SessionHandle:
    """One session, live or not, by its id: usable at once, also before its creation is committed.

    Every method returns a future that can be awaited, or waited for with `result(timeout)` from any other
    thread than the loop's; it raises `SessionError` when the request was refused.
    """

    def __init__(
        self, runtime: "Runtime", session_id: str | None, created: LoopFuture[Created] | None = None
    ) -> None:
        self._runtime = runtime
        self._id = session_id
        self._created = created

    def __await__(self) -> Generator[Any, None, "SessionHandle"]:
        """Wait until its creation is committed."""
        if self._created is not None:
            self._id = (yield from self._created.__await__()).session_id
        return self

    def result(self, timeout: float | None = None) -> "SessionHandle":
        """Wait until its creation is committed, at most `timeout` seconds; raises `SessionError` when it
        was refused.
        """
        if self._created is not None:
            self._id = self._created.result(timeout).session_id
        return self

    def __repr__(self) -> str:
        return f"<SessionHandle {self._id}>"

    @property
    def id(self) -> str:
        """The session_id. With a `request_key` it is known only once the creation is: then this waits."""
        if self._id is None:
            assert self._created is not None
            self._id = self._created.result(60.0).session_id
        return self._id

    def send(
        self,
        text: str | None = None,
        *,
        message_id: str | None = None,
        data: Any = None,
        attachments: list[Any] | None = None,
        context: dict[str, Any] | None = None,
        author: str = "user",
        author_id: str | None = None,
    ) -> SentMessage:
        """Store a message: `author` is `user`, `ai`, `human` or `system`; at least one of text, data,
        attachments. `ai` is for a program that answers by itself, rather than with the runtime's `agent`.
        """
        session_id = self._id or self.id
        if data is None and attachments is None and context is None and author_id is None:
            sent = self._runtime.send_text(session_id, author, message_id, text)
            if sent is not None:
                return sent
        return self._runtime.send_to(
            session_id,
            text,
            message_id=message_id,
            data=data,
            attachments=attachments,
            context=context,
            author=author,
            author_id=author_id,
        )

    def get(self) -> LoopFuture[dict[str, Any]]:
        """The session map."""
        return self._ask(GetSession(*self._request()), _session_of)

    def history(self, after_seq: int = 0, limit: int = 100) -> LoopFuture[History]:
        """Events behind `after_seq`, oldest first, at most `limit`."""
        check_page(after_seq, limit)
        return self._ask(ReadEvents(*self._request(), after_seq, limit, PAGE_BYTES))

    def recent(self, limit: int = 20) -> LoopFuture[History]:
        """The last `limit` events, oldest first: what an agent reads before it answers.

        While a session is read from again and again, its newest events are at hand, and no file is asked.
        """
        check_page(0, limit)
        return self._ask(ReadEvents(*self._request(), None, limit, PAGE_BYTES))

    def update_context(
        self,
        patch: dict[str, Any],
        expected_version: int | None = None,
        expected_user_version: int | None = None,
    ) -> LoopFuture[ContextUpdated]:
        """Merge a JSON Merge Patch (None deletes), if the context is still at `expected_version`.

        Keys that begin with `user.` go to the user's scope, if that is still at `expected_user_version`.
        """
        check_map(patch, "context")
        return self._ask(UpdateContext(*self._request(), patch, expected_version, expected_user_version))

    def context(self) -> LoopFuture[dict[str, Any]]:
        """The context of all scopes: the session's keys, the user's as `user.…`, the operator's as `app.…`;
        what is sensitive reads as `***`.
        """
        return self._ask(GetSession(*self._request(), scopes=True), _view_of)

    def close(self, reason: str | None = None) -> LoopFuture[Closed]:
        """Close it; until its grace period ends it can be reopened."""
        check_text(reason, "reason")
        return self._ask(CloseSession(*self._request(), reason))

    def hand_over(self, queue: str | None = None, note: str | None = None) -> LoopFuture[HandedOver]:
        """Have it wait for a human in that queue; None: in the one it is in, or was in."""
        check_text(queue, "queue")
        check_text(note, "note")
        return self._ask(HandOver(*self._request(), queue, note))

    def assign(self, assignee: str) -> LoopFuture[Assigned]:
        """Give it to that human."""
        check_text(assignee, "assignee")
        return self._ask(Assign(*self._request(), assignee))

    def release(self) -> LoopFuture[Released]:
        """Give it back to the AI."""
        return self._ask(Release(*self._request()))

    def resolve(self, reason: str | None = "resolved_by_human") -> LoopFuture[Closed]:
        """Close it as settled; until its grace period ends it can be reopened."""
        check_text(reason, "reason")
        return self._ask(Resolve(*self._request(), reason))

    def reopen(self) -> LoopFuture[Reopened]:
        """Open it again, as the user."""
        return self._ask(ReopenSession(*self._request(USER)))

    def rate(self, rating: int, feedback: str | None = None) -> LoopFuture[Rated]:
        """The user's rating, 1 to 5."""
        check_rating(rating)
        check_text(feedback, "feedback")
        return self._ask(RateSession(*self._request(USER), rating, feedback))

    def tag(self, add: Sequence[str] = (), remove: Sequence[str] = ()) -> LoopFuture[Tagged]:
        """Add and remove tags."""
        for index, tag in enumerate((*add, *remove)):
            check_text(tag, f"tags.{index}")
        return self._ask(TagSession(*self._request(), add, remove))

    def remind(self, name: str, after: float, data: Any = None) -> LoopFuture[ReminderSet]:
        """Have `reminder:fired` happen `after` seconds from now, unless the user speaks or it is closed
        before; the same name again replaces it.
        """
        check_name(name)
        check_seconds(after, "after")
        check_json(data, "data")
        by, now, origin, attach = self._request()
        return self._ask(SetReminder(by, now, origin, attach, name, now + after, data))

    def cancel_reminder(self, name: str) -> LoopFuture[ReminderCancelled]:
        """Cancelling what is not set is no error."""
        check_name(name)
        return self._ask(CancelReminder(*self._request(), name))

    def fork(
        self, at_seq: int | None = None, *, channel: str | None = None, request_key: str | None = None
    ) -> "SessionHandle":
        """A new session with the state as of `at_seq` (None: as of now) and the messages up to there; await
        it to know that it is stored. Expired ones can be forked, too.

        `channel` None: the same. With a `request_key` that was used before it is the session made then.
        """
        check_place(at_seq, "at_seq")
        check_text(channel, "channel")
        check_text(request_key, "request_key")
        return SessionHandle(self._runtime, None, self._runtime.fork(self.id, at_seq, channel, request_key))

    def erase(self) -> LoopFuture[Erased]:
        """Remove it with its history."""
        return self._ask(EraseSession(*self._request()))

    def subscribe(self, callback: Callable[[Event], object]) -> Subscription:
        """Have `callback` called with each event of this session from now on."""
        return self._runtime.attach(self.id, callback)

    def _request(self, by: Caller = SERVICE) -> tuple[Caller, float, None, bool]:
        return by, self._runtime.clock.now(), None, False

    def _ask(self, request: Any, view: Callable[[Any], Any] | None = None) -> LoopFuture[Any]:
        return self._runtime.ask(self.id, request, view)


def _session_of(state: State) -> dict[str, Any]:
    return state.session


def _view_of(state: State) -> dict[str, Any]:
    assert state.view is not None
    return state.view
