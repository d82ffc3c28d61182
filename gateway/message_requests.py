"""Requests about messages: one that is sent, one that is being written, how far they were read."""

from collections.abc import Mapping
from typing import Any, Final

from sojourn.actors.messages import Compose, MarkRead

from . import replies
from .peer import Peer
from .replies import WireMessage
from .routing import Handler, Routing

Frame = dict[str, Any]


def send(routing: Routing, peer: Peer, frame: Frame, now: float) -> None:
    caller = peer.caller
    message = WireMessage(peer, frame.get("id"), now, peer.author, frame.get("message_id"), frame.get("text"))
    message.more(frame)
    session_id = frame.get("session_id")
    if session_id is not None:
        routing.registry.deliver(session_id, message)
        return
    reception = routing.reception
    session_id = reception.new_id(now)
    creation = reception.creation(
        session_id,
        caller,
        now,
        peer,
        attach=message.attach,
        user=frame["user"],
        channel=frame.get("channel") or routing.channel,
    )
    reception.send_to_user(session_id, creation, message)


def compose(routing: Routing, peer: Peer, frame: Frame, now: float) -> None:
    request = Compose(peer.caller, now, peer, False, frame["action"])
    routing.deliver(peer, frame, request, replies.composing)


def read(routing: Routing, peer: Peer, frame: Frame, now: float) -> None:
    request = MarkRead(peer.caller, now, peer, False, frame["read_seq"])
    routing.deliver(peer, frame, request, replies.marked_read)


HANDLERS: Final[Mapping[str, Handler]] = {
    "message:send": send,
    "message:compose": compose,
    "message:read": read,
}
