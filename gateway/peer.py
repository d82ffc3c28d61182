"""The server's end of one connection, without the connection: bodies in, bodies out.

A transport (TCP, WebSocket) feeds it what it received and takes away what is to be sent; it knows the
caller's role, what is attached, the heartbeat, and how the conversation ends. It reads no clock and touches
no socket, so both transports and the tests share it.
"""

import logging
import uuid
from collections.abc import Callable
from typing import Any, Final, Protocol

from sojourn.actors import SessionError
from sojourn.actors.mail import Caller

from .acknowledgements import Acknowledgements
from .codec import encode
from .errors import ProtocolError, WireError, error_frame, goodbye_frame

logger = logging.getLogger(__name__)

NO_ROLE: Final = Caller("user")


class Transport(Protocol):
    """What carries a peer's bodies."""

    def flush_soon(self) -> None:
        """There is something in `peer.outgoing`: take it at the end of this turn."""
        ...

    def waiting_bytes(self) -> int:
        """What was flushed and has not left."""
        ...

    def finish(self) -> None:
        """Nothing more will be said: send what waits, then close."""
        ...


class Peer:
    """One connection's state. It is a `Subscriber`: a commit hands it the events of its sessions."""

    __slots__ = (
        "acknowledgements",
        "attached",
        "author",
        "caller",
        "ended",
        "farewell",
        "greeted",
        "heard_at",
        "heartbeat",
        "left",
        "max_attachments",
        "outgoing",
        "resume_token",
        "transport",
        "unanswered",
    )

    def __init__(
        self,
        transport: Transport,
        max_attachments: int,
        left: Callable[["Peer"], None],
        resume_token: Callable[[str], str | None],
    ) -> None:
        """`left` is called once, when the connection is over for us; `resume_token` makes a session's
        token.
        """
        self.resume_token = resume_token
        self.transport = transport
        self.max_attachments = max_attachments
        self.left = left
        self.acknowledgements = Acknowledgements(self)
        self.attached: set[str] = set()
        self.caller = NO_ROLE
        self.author = "user"
        """Whose its messages are, by its role."""
        self.greeted = False
        self.ended = False
        """Goodbye was said, or the connection is gone: nothing more goes out."""
        self.farewell: tuple[bytes, ...] = ()
        """The last frames, when nothing more is taken from the peer but answers are still owed to it."""
        self.heartbeat: float | None = None
        self.heard_at = 0.0
        self.outgoing: list[bytes] = []
        self.unanswered = 0

    def send(self, body: bytes) -> None:
        """Have one body sent, in the order of the calls."""
        if self.ended:
            return
        outgoing = self.outgoing
        if not outgoing:
            self.transport.flush_soon()
        outgoing.append(body)

    def waiting_bytes(self) -> int:
        """Output that the reader has not taken yet: who writes much may wait for it."""
        return self.transport.waiting_bytes() + sum(map(len, self.outgoing))

    def set(self, body: bytes) -> None:
        """A commit hands over an event."""
        self.send(body)

    def set_exception(self, _exc_info: Any = None) -> None:
        """The commit failed: the event never happened."""

    def answer(self, body: bytes) -> None:
        """Send a reply or an error; each request gets exactly one."""
        self.unanswered -= 1
        # `send`, without the call: this is hot.
        if not self.ended:
            outgoing = self.outgoing
            if not outgoing:
                self.transport.flush_soon()
            outgoing.append(body)
        if self.farewell and not self.unanswered:
            self._part()

    def fail(self, error: BaseException, reply_to: int | str | None) -> None:
        """Answer a request with what an exception says."""
        self.refuse(wire_error(error), reply_to)

    def refuse(self, error: WireError | ProtocolError, reply_to: int | str | None) -> None:
        """Answer a request with an error."""
        self.answer(encode(error_frame(error, reply_to)))

    def distrust(self, error: ProtocolError) -> None:
        """Take nothing more from the peer: answer what it asked before, then the error, then goodbye."""
        if self.ended or self.farewell:
            return
        self.farewell = (
            encode(error_frame(error)),
            encode(goodbye_frame("protocol_error", error.message)),
        )
        if not self.unanswered:
            self._part()

    def _part(self) -> None:
        for body in self.farewell:
            self.send(body)
        self.end()
        self.transport.finish()

    def say_goodbye(self, code: str, message: str | None = None, retry_after: float | None = None) -> None:
        """Send the last frame and end: nothing after it."""
        if not self.ended:
            self.send(encode(goodbye_frame(code, message, retry_after)))
            self.end()
            self.transport.finish()

    def end(self) -> None:
        """The connection is over: nothing more goes out, nothing is attached."""
        if not self.ended:
            self.ended = True
            self.left(self)

    def let_go(self) -> None:
        """The connection is gone: end, and hold on to nothing that holds on to this, so that it is freed at
        once.
        """
        self.end()
        self.transport = _GONE
        self.acknowledgements = _NOBODY


class _Gone:
    """The transport and the peer that are no more."""

    def flush_soon(self) -> None: ...

    def waiting_bytes(self) -> int:
        return 0

    def finish(self) -> None: ...

    def answer(self, body: bytes) -> None: ...

    def fail(self, error: BaseException, reply_to: int | str | None) -> None: ...


_GONE: Final = _Gone()
_NOBODY: Final = Acknowledgements(_GONE)


def wire_error(error: BaseException) -> WireError:
    """What the wire says of an exception; what nobody foresaw is logged under the `error_id` that is sent."""
    if isinstance(error, SessionError):
        return WireError(
            error.code, error.message, error.details, error.retry_after, session_id=error.session_id
        )
    if isinstance(error, WireError):
        return error
    error_id = uuid.uuid4().hex
    logger.error("a request failed, error_id %s", error_id, exc_info=error)
    return WireError("internal_error", "the server failed on this request", {"error_id": error_id})
