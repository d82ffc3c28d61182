"""Requests about one session: its life cycle, its context, its history."""

from collections.abc import Mapping
from typing import Any, Final

from sojourn.actors.answers import Told
from sojourn.actors.errors import SessionError
from sojourn.actors.messages import (
    CloseSession,
    DetachSession,
    ExplainSession,
    GetSession,
    RateSession,
    ReadHistory,
    ReopenSession,
    ResumeSession,
    SetReminder,
    TagSession,
    UpdateContext,
)
from sojourn.actors.turn import check_name, check_seconds

from . import replies
from .peer import Peer
from .replies import Reply
from .routing import Handler, Routing

Frame = dict[str, Any]

MAX_EVENTS: Final = 1000
DEFAULT_PAGE: Final = 100


def create(routing: Routing, peer: Peer, frame: Frame, now: float) -> None:
    get = frame.get
    reception = routing.reception
    session_id = reception.new_id(now)
    creation = reception.creation(
        session_id,
        peer.caller,
        now,
        peer,
        attach=get("attach") is not False,
        user=get("user"),
        context=get("context"),
        metadata=get("metadata"),
        channel=get("channel") or routing.channel,
        timeouts=get("timeouts"),
        tags=get("tags"),
        request_key=get("request_key"),
        reply_to=Reply(peer, get("id"), routing.created),
    )
    reception.create(session_id, creation)


def resume(routing: Routing, peer: Peer, frame: Frame, now: float) -> None:
    request = ResumeSession(
        peer.caller,
        now,
        peer,
        frame.get("attach") is not False,
        frame.get("after_seq"),
        MAX_EVENTS,
        routing.page_bytes,
    )
    routing.deliver(peer, frame, request, replies.resumed)


def state(routing: Routing, peer: Peer, frame: Frame, now: float) -> None:
    request = GetSession(peer.caller, now, peer, False, frame.get("scopes") is True)
    routing.deliver(peer, frame, request, replies.state)


def history(routing: Routing, peer: Peer, frame: Frame, now: float) -> None:
    request = ReadHistory(
        peer.caller,
        now,
        peer,
        False,
        frame.get("after_seq") or 0,
        frame.get("limit") or DEFAULT_PAGE,
        routing.page_bytes,
    )
    routing.deliver(peer, frame, request, replies.events)


def update_context(routing: Routing, peer: Peer, frame: Frame, now: float) -> None:
    request = UpdateContext(
        peer.caller,
        now,
        peer,
        frame.get("attach") is not False,
        frame["context"],
        frame.get("expected_version"),
        frame.get("expected_user_version"),
    )
    routing.deliver(peer, frame, request, replies.context_updated)


def close(routing: Routing, peer: Peer, frame: Frame, now: float) -> None:
    request = CloseSession(peer.caller, now, peer, False, frame.get("reason"))
    routing.deliver(peer, frame, request, replies.closed)


def reopen(routing: Routing, peer: Peer, frame: Frame, now: float) -> None:
    request = ReopenSession(peer.caller, now, peer, frame.get("attach") is not False)
    routing.deliver(peer, frame, request, replies.reopened)


def detach(routing: Routing, peer: Peer, frame: Frame, now: float) -> None:
    session_id: str = frame["session_id"]
    target = _DetachedAnyway(Reply(peer, frame.get("id"), replies.detached), session_id)
    routing.registry.deliver(session_id, DetachSession(peer.caller, now, peer, False, reply_to=target))


def rate(routing: Routing, peer: Peer, frame: Frame, now: float) -> None:
    request = RateSession(peer.caller, now, peer, False, frame["rating"], frame.get("feedback"))
    routing.deliver(peer, frame, request, replies.rated)


def tag(routing: Routing, peer: Peer, frame: Frame, now: float) -> None:
    request = TagSession(peer.caller, now, peer, False, frame.get("add") or (), frame.get("remove") or ())
    routing.deliver(peer, frame, request, replies.tagged)


def fork(routing: Routing, peer: Peer, frame: Frame, now: float) -> None:
    routing.core.forks.start(
        frame["session_id"],
        frame.get("at_seq"),
        by=peer.caller,
        now=now,
        reply_to=Reply(peer, frame.get("id"), routing.forked),
        channel=frame.get("channel"),
        request_key=frame.get("request_key"),
    )


def remind(routing: Routing, peer: Peer, frame: Frame, now: float) -> None:
    name, after = frame["name"], frame["after"]
    check_name(name)
    check_seconds(after, "after")
    request = SetReminder(peer.caller, now, peer, False, name, now + after, frame.get("data"))
    routing.deliver(peer, frame, request, replies.reminder_set)


def why(routing: Routing, peer: Peer, frame: Frame, now: float) -> None:
    routing.deliver(peer, frame, ExplainSession(peer.caller, now, peer, False), replies.explained)


class _DetachedAnyway:
    """Detaching what is not attached is no error, nor is detaching from what does not exist."""

    __slots__ = ("_reply", "_session_id")

    def __init__(self, reply: Reply, session_id: str) -> None:
        self._reply = reply
        self._session_id = session_id

    def set(self, answer: Any = None) -> None:
        self._reply.set(answer)

    def set_exception(self, exc_info: Any = None) -> None:
        error = exc_info[1]
        if isinstance(error, SessionError) and error.code == "session_not_found":
            self._reply.set(Told(self._session_id))
        else:
            self._reply.set_exception(exc_info)


HANDLERS: Final[Mapping[str, Handler]] = {
    "session:create": create,
    "session:resume": resume,
    "session:get": state,
    "session:history": history,
    "session:context:update": update_context,
    "session:close": close,
    "session:reopen": reopen,
    "session:detach": detach,
    "session:rate": rate,
    "session:tag": tag,
    "session:fork": fork,
    "session:remind": remind,
    "session:why": why,
}
