"""The client's side of the wire without a socket and without a clock: bodies in, bodies and happenings out.

`ClientProtocol` outlives its connections. The shell around it moves bytes, keeps time, and does what the
happenings say; `now` (seconds on any clock that never goes back) is an argument of whatever depends on it.

    shell                                   protocol
    connected(now)                     →    `hello` is due
    data_to_send()                     ←    bodies, in the order to send them
    receive(body, now)                 →    reply, error, push or goodbye
    next_event()                       ←    Welcomed, Answered, Refused, Lost, Followed, …, Ended
    next_deadline(), tick(now)         ↔    heartbeats, and requests that wait for `retry_after`
    disconnected(now)                  →    what becomes of the requests under way

Requests may be made at any time; they leave when the server has said `welcome`. After a reconnect the
sessions are resumed first, then what was not answered goes out again in the old order, so a session's history
is caught up before an own message can be answered. Only what can be repeated without harm is repeated: reads,
and changes that the server recognises (`message_id`, `request_key`). Everything else that was sent and not
answered is Lost.
"""

from collections import deque
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from .attachment import Attachment, Frame
from .codec import decode, encode, inspect
from .errors import ConnectionLost, InvalidFrame, InvalidRequest, WireError
from .following import Following
from .greeting import Greeting
from .happenings import (
    Answered,
    Ended,
    Goodbye,
    Happening,
    Lost,
    Refused,
    Silent,
    Welcomed,
)
from .heartbeat import Heartbeat
from .pending import Pending, Purpose, is_repeatable

DEFAULT_MAX_FRAME_BYTES = 65536
REPLY_DEPTH = 128
"""Levels of nesting of what a server sends: a request's, inside events, inside pages."""


class Phase(Enum):
    """Where the client is with its server."""

    DOWN = auto()
    GREETING = auto()
    UP = auto()
    LEAVING = auto()
    ENDED = auto()


class ClientProtocol:
    """One client's memory of its requests and sessions, over any number of connections."""

    def __init__(self, greeting: Greeting, *, max_retries: int = 5) -> None:
        self.greeting = greeting
        self.phase = Phase.DOWN
        self.limits: Mapping[str, Any] = {}
        self._max_retries = max_retries
        self._last_id = 0
        self._pending: dict[int, Pending] = {}
        self._waiting: dict[int, float] = {}
        self._unacknowledged: dict[str, int] = {}
        self._out: list[bytes] = []
        self._events: deque[Happening] = deque()
        self._heartbeat = Heartbeat(None, 0.0)
        self._watch: Frame | None = None
        self._following = Following(self._own_request, self._events.append, self._unacknowledged)

    @property
    def attachments(self) -> Mapping[str, Attachment]:
        """The sessions that are followed, by id."""
        return self._following.attachments

    # what the caller wants

    def request(self, kind: str, payload: Mapping[str, Any], now: float) -> int:
        """Make a request of type `kind`; return the id under which Answered, Refused or Lost will come.

        Raises InvalidRequest for what the server could not read or would close the connection for, and
        ConnectionLost when this client has ended.
        """
        if self.phase is Phase.ENDED:
            raise ConnectionLost("the client is closed")
        frame: Frame = {"type": kind, "id": self._last_id + 1}
        frame.update((key, value) for key, value in payload.items() if value is not None)
        body = self._encoded(frame)
        self._last_id += 1
        pending = Pending(self._last_id, frame, Purpose.CALLER, is_repeatable(frame))
        self._pending[self._last_id] = pending
        if kind == "message:send" and "message_id" in frame:
            self._unacknowledged[frame["message_id"]] = self._last_id
        if self.phase is Phase.UP:
            self._send(pending, now, body)
        return self._last_id

    def abandon(self, request_id: int) -> None:
        """Nobody waits for this request any more: it is not sent (again); a reply is still understood."""
        pending = self._pending.get(request_id)
        if pending is None:
            return
        pending.abandoned = True
        pending.repeatable = False
        if not pending.sent or pending.not_before is not None:
            self._forget(pending)

    def end(self, reason: str) -> None:
        """End for good: everything that has no answer is Lost."""
        if self.phase is Phase.ENDED:
            return
        self.phase = Phase.ENDED
        self._out.clear()
        self._lose(list(self._pending.values()), reason)
        self._events.append(Ended(reason))

    # what the connection brings

    def connected(self, now: float) -> None:
        """A new connection is open: greet."""
        self.phase = Phase.GREETING
        self._heartbeat = Heartbeat(None, now)
        self._own_request(Purpose.HELLO, self.greeting.frame(), now)

    def disconnected(self, now: float, reason: str = "the connection ended") -> None:
        """The connection is gone, and nothing more comes from it."""
        if self.phase is Phase.ENDED:
            return
        self.phase = Phase.DOWN
        self._heartbeat = Heartbeat(None, now)
        self._out.clear()
        self._following.on_disconnect()
        lost: list[Pending] = []
        for pending in list(self._pending.values()):
            if pending.purpose is not Purpose.CALLER:
                self._forget(pending)
            elif pending.sent and not pending.repeatable and pending.not_before is None:
                lost.append(pending)
            elif pending.frame["type"] == "session:detach":
                self._following.unfollow(pending.frame["session_id"], "session:detached")
        self._lose(lost, reason)

    def receive(self, body: bytes, now: float) -> None:
        """Take one frame's body. Raises InvalidFrame when the server does not speak the protocol."""
        try:
            frame = decode(body, REPLY_DEPTH)
        except WireError as error:
            raise InvalidFrame(
                f"the server sent what is no value of the protocol: {error.message}"
            ) from error
        self._heartbeat.received(now)
        reply_to = frame.get("reply_to")
        if reply_to is not None:
            pending = self._pending.get(reply_to)
            if pending is not None:
                self._on_answer(pending, frame, now)
        elif frame["type"] == "goodbye":
            self._on_goodbye(frame)
        elif frame["type"] != "error":  # an error without reply_to is about the connection: a goodbye follows
            self._following.on_push(frame, now)

    def data_to_send(self) -> list[bytes]:
        """Return the bodies to send now, in order, and forget them."""
        out, self._out = self._out, []
        return out

    def next_event(self) -> Happening | None:
        """Return what happened next, or None."""
        return self._events.popleft() if self._events else None

    def next_deadline(self) -> float | None:
        """When `tick` has something to do if nothing comes before."""
        if self.phase is not Phase.UP:
            return None
        waiting = min(self._waiting.values(), default=None)
        due = self._heartbeat.due
        return waiting if due is None or (waiting is not None and waiting < due) else due

    def tick(self, now: float) -> None:
        """Do what is due: repeat requests, say `ping`, notice a server that fell silent."""
        if self.phase is not Phase.UP:
            return
        for request_id in [each for each, when in self._waiting.items() if when <= now]:
            self._send(self._pending[request_id], now)
        if self._heartbeat.is_silent(now):
            self.phase = Phase.LEAVING
            self._events.append(Silent())
        elif self._heartbeat.is_ping_due(now):
            self._own_request(Purpose.PING, {"type": "ping"}, now)

    # inside

    def _on_goodbye(self, frame: Frame) -> None:
        self.phase = Phase.LEAVING
        self._events.append(
            Goodbye(
                str(frame.get("code")),
                str(frame.get("message", "")),
                bool(frame.get("reconnect")),
                frame.get("retry_after"),
            )
        )

    def _on_answer(self, pending: Pending, frame: Frame, now: float) -> None:
        if frame["type"] == "error":
            self._on_error(pending, frame, now)
            return
        if pending.purpose is Purpose.HELLO:
            self._forget(pending)
            self._on_welcome(frame, now)
            return
        if pending.purpose is not Purpose.PING:
            try:
                self._following.on_reply(pending, frame, now)
            except KeyError as error:  # the request stays open: it is repeated or lost with the connection
                raise InvalidFrame(f"the server's {frame['type']} lacks {error}") from error
        self._forget(pending)
        if frame["type"] == "watching":
            self._watch = {key: value for key, value in pending.frame.items() if key != "id"}
        if pending.purpose is Purpose.CALLER and not pending.abandoned:
            self._events.append(Answered(pending.request_id, frame))

    def _on_error(self, pending: Pending, frame: Frame, now: float) -> None:
        code, retry_after = str(frame.get("code")), frame.get("retry_after")
        again = pending.retry_at(code, retry_after, now, self._max_retries)
        if pending.purpose is Purpose.HELLO:
            self._forget(pending)
            self.phase = Phase.LEAVING
            message = str(frame.get("message", ""))
            self._events.append(Goodbye(code, message, again is not None, retry_after, frame))
            return
        if again is not None:
            pending.refused += 1
            pending.not_before = self._waiting[pending.request_id] = again
            return
        self._forget(pending)
        if pending.purpose is not Purpose.CALLER:
            self._following.on_refusal(pending, code, now)
        elif not pending.abandoned:
            self._events.append(Refused(pending.request_id, frame))

    def _on_welcome(self, welcome: Frame, now: float) -> None:
        self.phase = Phase.UP
        self.limits = welcome.get("limits") or {}
        self._heartbeat = Heartbeat(welcome.get("heartbeat"), now)
        self._events.append(Welcomed(welcome))
        unanswered = list(self._pending.values())
        self._following.resume_all(now)
        if self._watch is not None:
            self._own_request(Purpose.WATCH, self._watch, now)
        for pending in unanswered:
            if pending.not_before is None:
                self._send(pending, now)

    def _encoded(self, frame: Frame) -> bytes:
        try:
            inspect(frame)
            body = encode(frame)
        except WireError as error:
            raise InvalidRequest(error.code, error.message, error.details) from error
        except InvalidFrame as error:
            raise InvalidRequest("invalid_payload", error.message) from error
        limit: int = self.limits.get("max_frame_bytes", DEFAULT_MAX_FRAME_BYTES)
        if len(body) > limit:
            # sent, it would cost the connection, and again after every reconnect
            raise InvalidRequest("frame_too_large", f"the request has {len(body)} bytes, {limit} are allowed")
        return body

    def _own_request(self, purpose: Purpose, frame: Frame, now: float) -> None:
        self._last_id += 1
        frame["id"] = self._last_id
        pending = self._pending[self._last_id] = Pending(self._last_id, frame, purpose, repeatable=True)
        self._send(pending, now)

    def _send(self, pending: Pending, now: float, body: bytes | None = None) -> None:
        try:
            body = body or self._encoded(pending.frame)
        except InvalidRequest as error:  # another server, with a lower limit
            self._forget(pending)
            self._events.append(Refused(pending.request_id, {"code": error.code, "message": error.message}))
            return
        self._waiting.pop(pending.request_id, None)
        pending.not_before = None
        pending.sent += 1
        self._out.append(body)
        self._heartbeat.sent(now)

    def _forget(self, pending: Pending) -> None:
        self._pending.pop(pending.request_id, None)
        self._waiting.pop(pending.request_id, None)
        message_id = pending.frame.get("message_id")
        if message_id is not None and self._unacknowledged.get(message_id) == pending.request_id:
            del self._unacknowledged[message_id]

    def _lose(self, pendings: list[Pending], reason: str) -> None:
        for pending in pendings:
            self._forget(pending)
            if pending.purpose is Purpose.CALLER and not pending.abandoned:
                self._events.append(Lost(pending.request_id, reason, pending.sent > 0))
