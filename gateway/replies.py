"""From the actors' answers to the wire's replies, as bytes.

Each request that is under way has a `Reply`: the actor's answer is set on it, after the commit of what it
speaks of, and it goes out under the request's id. Lists of events are joined from their stored bytes.
"""

from collections.abc import Callable
from typing import Any, Final

from mypy_extensions import mypyc_attr

from sojourn.actors.answers import (
    Accepted,
    Assigned,
    Closed,
    ContextUpdated,
    Created,
    Erased,
    Events,
    Explained,
    HandedOver,
    Rated,
    Released,
    ReminderSet,
    Reopened,
    Resumed,
    State,
    Tagged,
    Told,
)
from sojourn.actors.broadcast import BroadcastOutcome
from sojourn.actors.desk import Waiting
from sojourn.actors.messages import SendMessage
from sojourn.actors.packing import array_header, map_header, pack

from .acknowledgements import accepted
from .peer import Peer

Head = dict[str, Any]
View = Callable[[Any, Head], bytes]
"""Makes the body of an answer; `head` holds `type`, and `reply_to` when the request had an id."""


class Reply:
    """Where the answer to one request goes: Pykka's envelopes hold it as their `reply_to`."""

    __slots__ = ("_id", "_peer", "_view")

    def __init__(self, peer: Peer, request_id: int | str | None, view: View) -> None:
        self._peer = peer
        self._id = request_id
        self._view = view

    def set(self, answer: Any = None) -> None:
        """Send the answer."""
        peer = self._peer
        if peer.ended:
            return
        request_id = self._id
        head = {} if request_id is None else {"reply_to": request_id}
        peer.answer(self._view(answer, head))

    def set_exception(self, exc_info: Any = None) -> None:
        """Send the error that says why there is no answer."""
        self._peer.fail(exc_info[1], self._id)


@mypyc_attr(native_class=False)  # it extends a dataclass that is not
class WireMessage(SendMessage):
    """A `message:send` on its way to its session, and where its answer goes: one object for the hot
    request.
    """

    __slots__ = ("_id", "_peer")

    def __init__(
        self,
        peer: Peer,
        request_id: int | str | None,
        now: float,
        author: str,
        message_id: str | None,
        text: str | None,
    ) -> None:
        """A message that is a text and nothing else; `more` adds what else a frame may hold."""
        self.by = caller = peer.caller
        self.now = now
        self.origin = self._peer = peer
        self._id = request_id
        self.message_id = message_id
        self.author = author
        self.author_id = caller.id
        self.text = text
        self.attach = True
        self.attachments = self.data = self.context = self.in_reply_to = self.addressed = None
        self.created = self.verified = False

    def more(self, frame: Head) -> None:
        """Take the rest from a checked frame."""
        get = frame.get
        self.author = get("author") or self.author
        self.author_id = get("author_id") or self.author_id
        self.attach = get("attach") is not False
        self.attachments = get("attachments")
        self.data = get("data")
        self.context = get("context")

    @property
    def reply_to(self) -> "WireMessage":  # type: ignore[override]  # nobody sets it: it is made here
        """Itself, without holding on to itself."""
        return self

    def set(self, answer: Accepted) -> None:
        """Send `message:accepted`."""
        peer = self._peer
        session_id, message_id, seq, duplicate, created, reopened = answer
        request_id = self._id
        if duplicate or created or reopened or request_id is None:
            peer.answer(pack(self._unusual(answer)))
            return
        peer.answer(accepted(session_id, message_id, seq, request_id))

    def _unusual(self, answer: Accepted) -> Head:
        body: Head = {"type": "message:accepted", **answer._asdict()}
        if self._id is not None:
            body["reply_to"] = self._id
        if answer.created:
            body["resume_token"] = self._peer.resume_token(answer.session_id)
        return body

    def set_exception(self, exc_info: Any = None) -> None:
        """Send the error that says why it is not stored."""
        self._peer.fail(exc_info[1], self._id)


def created(token: Callable[[str], str | None], reply: str = "session:created") -> View:
    def view(answer: Created, head: Head) -> bytes:
        return pack(
            {
                "type": reply,
                **head,
                "session_id": answer.session_id,
                "session": answer.session,
                "resume_token": token(answer.session_id),
            }
        )

    return view


def resumed(answer: Resumed, head: Head) -> bytes:
    session_id = answer.session["session_id"]
    fixed = {"type": "session:resumed", **head, "session_id": session_id, "session": answer.session}
    return _with_events(fixed, answer.events, {"complete": answer.complete, "more": answer.more})


def events(answer: Events, head: Head) -> bytes:
    return _with_events(
        {"type": "session:events", **head, "session_id": answer.session_id},
        answer.events,
        {"more": answer.more},
    )


def state(answer: State, head: Head) -> bytes:
    session = answer.session
    body: Head = {"type": "session:state", **head, "session_id": session["session_id"], "session": session}
    if answer.view is not None:
        body["context"] = answer.view
        body["user_version"] = answer.user_version
    return pack(body)


def context_updated(answer: ContextUpdated, head: Head) -> bytes:
    body: Head = {"type": "session:context:updated", **head, **answer._asdict()}
    if answer.user_version is None:
        del body["user_version"]
    return pack(body)


def closed(answer: Closed, head: Head) -> bytes:
    return pack({"type": "session:closed", **head, **answer._asdict()})


def reopened(answer: Reopened, head: Head) -> bytes:
    session = answer.session
    return pack(
        {
            "type": "session:reopened",
            **head,
            "session_id": session["session_id"],
            "session": session,
            "seq": answer.seq,
        }
    )


def handed_over(answer: HandedOver, head: Head) -> bytes:
    return pack({"type": "session:handed_over", **head, **answer._asdict()})


def assigned(answer: Assigned, head: Head) -> bytes:
    return pack({"type": "session:assigned", **head, **answer._asdict()})


def released(answer: Released, head: Head) -> bytes:
    return pack({"type": "session:released", **head, **answer._asdict()})


MOST_WAITING: Final = 1000
"""Sessions in a `watching`: who works a queue off begins at its head."""


def watching(answer: list[Waiting], head: Head) -> bytes:
    """What waits at that moment, who is next first; what comes of it is pushed from then on."""
    waiting = [
        {"session_id": each.session_id, "queue": each.queue, "since": each.since}
        for each in answer[:MOST_WAITING]
    ]
    return pack({"type": "watching", **head, "waiting": waiting, "more": len(answer) > MOST_WAITING})


def rated(answer: Rated, head: Head) -> bytes:
    return pack({"type": "session:rated", **head, **answer._asdict()})


def tagged(answer: Tagged, head: Head) -> bytes:
    return pack({"type": "session:tagged", **head, **answer._asdict()})


def reminder_set(answer: ReminderSet, head: Head) -> bytes:
    return pack({"type": "session:reminder_set", **head, **answer._asdict()})


def composing(answer: Told, head: Head) -> bytes:
    return pack({"type": "message:composing", **head, "session_id": answer.session_id})


def marked_read(answer: Told, head: Head) -> bytes:
    return pack({"type": "message:read", **head, "session_id": answer.session_id})


def detached(answer: Told, head: Head) -> bytes:
    return pack({"type": "session:detached", **head, "session_id": answer.session_id})


def explained(answer: Explained, head: Head) -> bytes:
    return pack({"type": "session:why", **head, "session_id": answer.session_id, "why": answer.why})


def broadcast_sent(answer: BroadcastOutcome, head: Head) -> bytes:
    return pack({"type": "broadcast:sent", **head, **answer.as_map()})


def resent(answer: int, head: Head) -> bytes:
    return pack({"type": "webhook:resent", **head, "events": answer})


def erased(answer: Erased, head: Head) -> bytes:
    body: Head = {"sessions": answer.sessions, "events": answer.events}
    if answer.receipt is not None:
        body["receipt"] = answer.receipt
    return pack({"type": "session:erased", **head, **body})


PAGE_OVERHEAD: Final = 1024
"""Bytes of a reply around its list of events."""


def _with_events(fixed: Head, listed: list[bytes], rest: Head) -> bytes:
    """One map: the fixed keys, `events` joined from their bytes, the rest."""
    parts = [map_header(len(fixed) + 1 + len(rest))]
    for key, value in fixed.items():
        parts += (pack(key), pack(value))
    parts += (pack("events"), array_header(len(listed)), *listed)
    for key, value in rest.items():
        parts += (pack(key), pack(value))
    return b"".join(parts)
