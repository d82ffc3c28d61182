"""Requests of the desk: who handles a session, and watching the queues."""

from collections.abc import Mapping
from typing import Any, Final

from sojourn.actors.messages import Assign, HandOver, Release, Resolve

from . import replies
from .peer import Peer
from .replies import Reply
from .routing import Handler, Routing

Frame = dict[str, Any]

RESOLVED: Final = "resolved_by_human"


def hand_over(routing: Routing, peer: Peer, frame: Frame, now: float) -> None:
    request = HandOver(peer.caller, now, peer, False, frame.get("queue"), frame.get("note"))
    routing.deliver(peer, frame, request, replies.handed_over)


def assign(routing: Routing, peer: Peer, frame: Frame, now: float) -> None:
    request = Assign(peer.caller, now, peer, False, frame.get("assignee"))
    routing.deliver(peer, frame, request, replies.assigned)


def release(routing: Routing, peer: Peer, frame: Frame, now: float) -> None:
    routing.deliver(peer, frame, Release(peer.caller, now, peer, False), replies.released)


def resolve(routing: Routing, peer: Peer, frame: Frame, now: float) -> None:
    request = Resolve(peer.caller, now, peer, False, RESOLVED)
    routing.deliver(peer, frame, request, replies.closed)


def watch(routing: Routing, peer: Peer, frame: Frame, now: float) -> None:
    """What is recorded up to now is in the answer, what is recorded later is pushed behind it."""
    queues: list[str] | None = frame.get("queues")
    desk = routing.core.shared.desk
    desk.watch(peer, queues)
    reply = Reply(peer, frame.get("id"), replies.watching)
    routing.core.reply_when_settled(reply, desk.waiting(queues))


HANDLERS: Final[Mapping[str, Handler]] = {
    "session:handover": hand_over,
    "session:assign": assign,
    "session:release": release,
    "session:resolve": resolve,
    "watch": watch,
}
