"""What a `ClientProtocol` tells the shell around it, in the order in which it happened."""

from dataclasses import dataclass
from typing import Any

from .attachment import Frame, Missed


@dataclass(frozen=True, slots=True)
class Welcomed:
    """The server took the greeting: the whole `welcome` map."""

    welcome: Frame


@dataclass(frozen=True, slots=True)
class Answered:
    """A request has its reply."""

    request_id: int
    reply: Frame


@dataclass(frozen=True, slots=True)
class Refused:
    """A request was refused, and sending it again would not help, or did not: the `error` map."""

    request_id: int
    error: Frame


@dataclass(frozen=True, slots=True)
class Lost:
    """A request has no answer and will have none; `was_sent`: the server may have done it."""

    request_id: int
    reason: str
    was_sent: bool


@dataclass(frozen=True, slots=True)
class Pushed:
    """An event of a session, live or replayed; never twice for a followed session."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class Followed:
    """The client is attached to this session from here on, over every reconnect."""

    session_id: str
    resume_token: str | None


@dataclass(frozen=True, slots=True)
class Unfollowed:
    """No more comes of this session: detached, expired, erased, or refused with the code in `reason`."""

    session_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The server ends this connection; `retry_after` is seconds. `error`: so it refused the greeting."""

    code: str
    message: str
    reconnect: bool
    retry_after: float | None
    error: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Silent:
    """The server has said nothing for two heartbeats: the connection is dead, close it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing will ever come again."""

    reason: str


Happening = (
    Welcomed | Answered | Refused | Lost | Pushed | Missed | Followed | Unfollowed | Goodbye | Silent | Ended
)
