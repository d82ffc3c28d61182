"""Requests about the connection itself: `hello` and `ping`."""

from collections.abc import Mapping
from typing import Any, Final

from sojourn.actors.mail import Caller

from .errors import WireError
from .limits import grant_heartbeat
from .messages import PROTOCOL_VERSION
from .peer import Peer
from .routing import Handler, Routing

Frame = dict[str, Any]

AUTHOR_OF_ROLE: Final[Mapping[str, str]] = {"user": "user", "agent": "human", "service": "system"}
"""Whose messages they are unless they say."""


def hello(routing: Routing, peer: Peer, frame: Frame, now: float) -> None:
    if peer.greeted:
        raise WireError("illegal_state", "hello was said already: once a connection")
    peer.greeted = True
    role = frame.get("role") or "user"
    peer.caller = Caller(role, frame.get("identity"))
    peer.author = AUTHOR_OF_ROLE[role]
    heartbeat = grant_heartbeat(frame.get("heartbeat"))
    peer.heartbeat = heartbeat
    peer.heard_at = now
    routing.arrived(peer)
    if heartbeat is not None:
        routing.watch_heartbeat(peer)
    routing.answer(
        peer,
        frame,
        {
            "type": "welcome",
            "protocol": PROTOCOL_VERSION,
            "server": routing.server_name,
            "server_time": now,
            "role": role,
            "heartbeat": heartbeat,
            "limits": routing.limits.as_map(),
        },
    )


def ping(routing: Routing, peer: Peer, frame: Frame, now: float) -> None:
    routing.answer(peer, frame, {"type": "pong", "server_time": now})


HANDLERS: Final[Mapping[str, Handler]] = {
    "hello": hello,
    "ping": ping,
}
