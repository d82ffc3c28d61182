"""What can go wrong at the gateway, and how it is said on the wire.

    GatewayError
    ├── ProtocolError            the peer's bytes can no longer be trusted: `error`, `goodbye`, close
    │   ├── InvalidFrame             empty, not msgpack or JSON, not a map, no string `type`, …
    │   └── FrameTooLarge            longer than the limit
    ├── WireError                one request is refused; the connection lives on
    │   └── InvalidPayload           a value is not what the request table allows
    ├── RequestFailed            client: the server refused the request
    │   ├── InvalidRequest           correct the request
    │   ├── NotAllowed               another token or role is needed
    │   ├── SessionUnavailable       never was, is gone, is closed, or is in another state
    │   ├── VersionConflict          read the context again, then retry
    │   ├── LimitReached             a limit, named in the details
    │   └── TryAgain                 not done, or not known to be: wait `retry_after`, then send again
    └── ConnectionLost           client: no answer came; whether the request was done is not known

`ERROR_CODES` and `GOODBYE_CODES` are the wire's tables (protocol, sections 5 and 6).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

RequestId = int | str
Retry = Literal["no", "after_read", "yes"]


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One row of the error table: what the code means, and whether sending the request again may help."""

    meaning: str
    retry: Retry = "no"


ERROR_CODES: Mapping[str, ErrorCode] = {
    "invalid_frame": ErrorCode("the bytes are no frame of this protocol; the connection closes"),
    "frame_too_large": ErrorCode("the frame is longer than the limit; the connection closes"),
    "unknown_type": ErrorCode("no request has this type"),
    "invalid_payload": ErrorCode("a key is missing or has a value that is not allowed"),
    "unauthorized": ErrorCode("no token, or a bad one"),
    "forbidden": ErrorCode("not for this role, or not for this user"),
    "session_not_found": ErrorCode("the session never existed, or was erased"),
    "session_expired": ErrorCode("the session is gone for good"),
    "session_closed": ErrorCode("the session is closed, and this request does not reopen it"),
    "illegal_state": ErrorCode("the request does not fit the session's state"),
    "version_conflict": ErrorCode("the context has another version than the expected one", "after_read"),
    "context_too_large": ErrorCode("the context would pass a limit"),
    "too_many_sessions": ErrorCode("the server holds as many sessions as it may"),
    "too_many_attachments": ErrorCode("the connection is attached to as many sessions as it may"),
    "rate_limited": ErrorCode("too many requests; nothing was stored", "yes"),
    "overloaded": ErrorCode("too much work waits already; nothing was stored", "yes"),
    "draining": ErrorCode("the server is going down; nothing was stored", "yes"),
    "storage_failed": ErrorCode("the change could not be stored and was not made", "yes"),
    "internal_error": ErrorCode("the server's fault; its log has the same error_id", "yes"),
}


@dataclass(frozen=True, slots=True)
class GoodbyeCode:
    """One way for the server to end a connection; `reconnect` says whether coming back may help."""

    meaning: str
    reconnect: bool


GOODBYE_CODES: Mapping[str, GoodbyeCode] = {
    "draining": GoodbyeCode("the server is going down", True),
    "slow_consumer": GoodbyeCode("the client reads too slowly", True),
    "heartbeat_timeout": GoodbyeCode("the client was silent for two heartbeats", True),
    "protocol_error": GoodbyeCode("the client's bytes are not this protocol", False),
    "unauthorized": GoodbyeCode("no token, or a bad one", False),
    "too_many_connections": GoodbyeCode("the server holds as many connections as it may", True),
}


class GatewayError(Exception):
    """Anything the gateway raises; `code` is the wire's."""

    code: str = "internal_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ProtocolError(GatewayError):
    """The peer's bytes are not this protocol: answer with an error and a goodbye, then close."""

    code = "invalid_frame"


class InvalidFrame(ProtocolError):
    """The bytes are no frame: what is wrong with them is the message."""


class FrameTooLarge(ProtocolError):
    """The frame announces `size_bytes` bytes, `limit_bytes` are allowed."""

    code = "frame_too_large"

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(f"the frame has {size_bytes} bytes, {limit_bytes} are allowed")
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class WireError(GatewayError):
    """A request is refused with `code`, one of ERROR_CODES; nothing was changed, the connection lives on.

    `retry_after` is seconds. `reply_to` is the request's id where the raiser knows it.
    """

    def __init__(
        self,
        code: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
        session_id: str | None = None,
        reply_to: RequestId | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.details = details
        self.retry_after = retry_after
        self.session_id = session_id
        self.reply_to = reply_to


class InvalidPayload(WireError):
    """The value at `key` (a dotted path) is not what was `expected`; `got` names or shows what came."""

    def __init__(self, key: str, expected: str, got: object) -> None:
        super().__init__(
            "invalid_payload",
            f"{key}: expected {expected}, got {got}",
            {"key": key, "expected": expected, "got": got},
        )
        self.key = key
        self.expected = expected
        self.got = got


def error_frame(error: WireError | ProtocolError, reply_to: RequestId | None = None) -> dict[str, Any]:
    """Return the `error` map for `error`; `reply_to` is the request's id when it had a usable one."""
    frame: dict[str, Any] = {"type": "error"}
    if reply_to is not None:
        frame["reply_to"] = reply_to
    frame["code"] = error.code
    frame["message"] = error.message
    if isinstance(error, WireError):
        if error.session_id is not None:
            frame["session_id"] = error.session_id
        if error.retry_after is not None:
            frame["retry_after"] = error.retry_after
        if error.details is not None:
            frame["details"] = dict(error.details)
    return frame


def goodbye_frame(code: str, message: str | None = None, retry_after: float | None = None) -> dict[str, Any]:
    """Return the `goodbye` map for `code`, one of GOODBYE_CODES; `retry_after` is seconds."""
    reason = GOODBYE_CODES[code]
    frame: dict[str, Any] = {
        "type": "goodbye",
        "code": code,
        "message": message or reason.meaning,
        "reconnect": reason.reconnect,
    }
    if retry_after is not None:
        frame["retry_after"] = retry_after
    return frame


class ConnectionLost(GatewayError):
    """The connection ended before the answer: the request may have been done, or not."""

    code = "connection_lost"


class RequestFailed(GatewayError):
    """The server refused a request: `code` is for programs, the message for people, `details` the wire's.

    `retry_after` is seconds, None where the server named none. Raised as the subclass of the code's family.
    """

    codes: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        code: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
        session_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.details: Mapping[str, Any] = details or {}
        self.retry_after = retry_after
        self.session_id = session_id

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class InvalidRequest(RequestFailed):
    codes = frozenset({"invalid_frame", "frame_too_large", "unknown_type", "invalid_payload"})


class NotAllowed(RequestFailed):
    codes = frozenset({"unauthorized", "forbidden"})


class SessionUnavailable(RequestFailed):
    codes = frozenset({"session_not_found", "session_expired", "session_closed", "illegal_state"})


class VersionConflict(RequestFailed):
    codes = frozenset({"version_conflict"})


class LimitReached(RequestFailed):
    codes = frozenset({"context_too_large", "too_many_sessions", "too_many_attachments"})


class TryAgain(RequestFailed):
    codes = frozenset({"rate_limited", "overloaded", "draining", "storage_failed", "internal_error"})


_FAMILY = {code: family for family in RequestFailed.__subclasses__() for code in family.codes}


def request_failed(frame: Mapping[str, Any]) -> RequestFailed:
    """Return the exception for an `error` frame; an unknown code is a plain RequestFailed."""
    code = str(frame.get("code"))
    return _FAMILY.get(code, RequestFailed)(
        code,
        str(frame.get("message", "")),
        frame.get("details"),
        frame.get("retry_after"),
        frame.get("session_id"),
    )
