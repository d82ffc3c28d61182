"""A client's request on its way: may it be sent again, and when (pure).

Repeated without harm are reads, and changes that the server recognises: a message by its `message_id`, a
session by its `request_key`, a broadcast by its `broadcast_id`. After a refusal that says that nothing was
done, any request may be sent again.
"""

from dataclasses import dataclass
from enum import Enum, auto

from .attachment import Frame
from .errors import ERROR_CODES

RETRY_DELAY = 0.2
"""Seconds before the first repetition where the server named none; doubled each time."""
RETRY_DELAY_MAX = 10.0
"""Seconds that a repetition waits at most where the server named none."""

_REPEATABLE = frozenset(
    {"ping", "session:get", "session:history", "session:resume", "session:list", "session:detach",
     "session:close", "session:why", "message:compose", "message:read", "watch",
     "session:resolve"}
)  # fmt: skip
_KEYED = {
    "message:send": "message_id",
    "session:create": "request_key",
    "session:fork": "request_key",
    "broadcast:send": "broadcast_id",
}
_NOT_DONE = frozenset(code for code, row in ERROR_CODES.items() if row.retry == "yes") - {"internal_error"}
_RETRY = _NOT_DONE | {"internal_error"}


def is_repeatable(frame: Frame) -> bool:
    """May this request be sent again when nobody knows whether it was done?"""
    key = _KEYED.get(frame["type"])
    return frame["type"] in _REPEATABLE or (key is not None and key in frame)


class Purpose(Enum):
    """Whose request it is: the caller's, or one of the protocol's own."""

    CALLER = auto()
    HELLO = auto()
    PING = auto()
    RESUME = auto()
    HISTORY = auto()
    WATCH = auto()


@dataclass(slots=True)
class Pending:
    """A request that has no answer yet."""

    request_id: int
    frame: Frame
    purpose: Purpose
    repeatable: bool
    sent: int = 0
    refused: int = 0
    not_before: float | None = None
    abandoned: bool = False

    def retry_at(self, code: str, retry_after: float | None, now: float, max_retries: int) -> float | None:
        """When to send again after a refusal with `code`; None when the refusal stands."""
        if self.abandoned or self.refused >= max_retries or code not in _RETRY:
            return None
        if not (self.repeatable or code in _NOT_DONE):
            return None
        own = min(RETRY_DELAY * 2**self.refused, RETRY_DELAY_MAX)
        return now + (own if retry_after is None else retry_after)
