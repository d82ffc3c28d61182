"""From a request on the wire to the actors, and the answer back to the connection.

One handler a request type, in a file for each family. Behind `check` a frame's keys are what the request
table says, so handlers only put them into the actors' messages; what a request means is decided there. No
handler waits.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from sojourn.actors import Runtime
from sojourn.actors.messages import SendMessage
from sojourn.actors.sending import take_text

from . import connection_requests, desk_requests, message_requests, session_requests, staff_requests
from .acknowledgements import accepted
from .checking import check, check_role, plain_message
from .codec import decode, usable_id
from .errors import InvalidPayload, ProtocolError, WireError
from .limits import Limits
from .messages import request_of
from .peer import Peer
from .replies import WireMessage
from .routing import Handler, Routing

Frame = dict[str, Any]

HANDLERS: Final[Mapping[str, Handler]] = {
    **connection_requests.HANDLERS,
    **message_requests.HANDLERS,
    **session_requests.HANDLERS,
    **desk_requests.HANDLERS,
    **staff_requests.HANDLERS,
}
"""By the type of the request, for every request of the table that is built."""


class Router:
    """Routes the requests of all connections of one server. Loop thread only."""

    def __init__(
        self,
        runtime: Runtime,
        limits: Limits,
        channel: str,
        server_name: str,
        watch_heartbeat: Callable[[Peer], None],
    ) -> None:
        """`channel` is what sessions get that name none: the transport's."""
        self._routing = Routing(runtime, limits, channel, server_name, watch_heartbeat)
        core = runtime.core
        self._core = core
        self._commits = core.shared.commits
        self._registry = core.registry
        self._live = core.registry.live
        self.resume_token = core.reception.resume_token
        # For the actors a message from the wire is a message.
        core.shared.handlers[WireMessage] = core.shared.handlers[SendMessage]

    def receive(self, peer: Peer, body: bytes, now: float) -> None:
        """Take one body; its reply or error goes out on `peer`, now or after a commit.

        Raises `ProtocolError` when the stream can no longer be trusted.
        """
        peer.unanswered += 1
        frame: Frame = {}
        try:
            plain = plain_message(body)
            if plain is not None and not self._core.draining:
                request_id, session_id, message_id, text = plain
                frame = {"id": request_id}
                actor = self._live.get(session_id)
                if actor is not None and peer.caller.id is None:
                    seq = take_text(actor, peer.author, message_id, text, now, peer)
                    if seq:
                        body = accepted(session_id, message_id, seq, request_id)
                        self._commits.gathering.owed.append((peer.acknowledgements, body))
                        return
                message = WireMessage(peer, request_id, now, peer.author, message_id, text)
                self._registry.deliver(session_id, message)
                return
            frame = decode(body)
            self._handle(peer, frame, now, None)
        except ProtocolError:
            peer.unanswered -= 1
            raise
        except Exception as error:  # noqa: BLE001  # what is ours to mend is no other connection's business
            _refuse(peer, frame, error)

    def request(self, peer: Peer, frame: Frame, now: float, handler: Handler | None = None) -> None:
        """Take one request that is a map already, and was inspected; its reply or error goes out on `peer`.

        `handler` does it in place of the one for all; it is judged by the same table.
        """
        peer.unanswered += 1
        try:
            self._handle(peer, frame, now, handler)
        except Exception as error:  # noqa: BLE001  # see receive
            _refuse(peer, frame, error)

    def _handle(self, peer: Peer, frame: Frame, now: float, handler: Handler | None) -> None:
        request = request_of(frame)
        check(request, frame)
        check_role(request, peer.caller.role, frame)
        if self._core.draining:
            raise WireError("draining", "the server is going down: connect again later", retry_after=1.0)
        (handler or HANDLERS[request.name])(self._routing, peer, frame, now)

    def arrived(self, peer: Peer) -> None:
        """A human agent is present while a connection of that identity is."""
        self._routing.arrived(peer)

    def left(self, peer: Peer) -> None:
        """A connection is gone: it is attached to nothing."""
        self._routing.left(peer)

    @property
    def idle(self) -> bool:
        """No list, no erasure and no broadcast is under way."""
        return self._routing.idle


def _refuse(peer: Peer, frame: Frame, error: Exception) -> None:
    known = error.reply_to if isinstance(error, InvalidPayload) else None
    peer.fail(error, usable_id(frame) if known is None else known)
