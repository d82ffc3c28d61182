"""Events between the journal's rows and what people see: names, whole maps, sensitive values hidden."""

from typing import Any, Final, cast

from sojourn.storage import EVENT_NAMES, EventRow

from .context import SensitiveKeys
from .lifecycle import NEVER
from .packing import pack, splice_event, unpack
from .state import EXPIRY_REASON, Session

_CONTEXT_KEY: Final = {"session:created": "context", "session:context:updated": "patch"}
"""Where an event's payload holds context values."""


def visible(row: EventRow, session_id: str, sensitive: SensitiveKeys) -> bytes:
    """The whole event as everybody may see it, one msgpack map."""
    _, seq, at, code, _, body = row
    name = EVENT_NAMES[code]
    if sensitive and name in _CONTEXT_KEY:
        payload = cast("dict[str, Any]", unpack(body))
        key = _CONTEXT_KEY[name]
        payload[key] = sensitive.masked(payload[key])
        body = pack(payload)
    return splice_event(name, session_id, seq, at, body)


def event_map(row: EventRow, session_id: str, sensitive: SensitiveKeys) -> dict[str, Any]:
    """The same for a program: what `unpack(visible(…))` gives, without the way through bytes."""
    _, seq, at, code, _, body = row
    name = EVENT_NAMES[code]
    event = cast("dict[str, Any]", unpack(body))
    if sensitive and name in _CONTEXT_KEY:
        key = _CONTEXT_KEY[name]
        event[key] = sensitive.masked(event[key])
    event["type"] = name
    event["session_id"] = session_id
    event["seq"] = seq
    event["at"] = at
    return event


def session_map(session: Session, sensitive: SensitiveKeys) -> dict[str, Any]:
    """The session as everybody may see it (the map that `session:get` answers)."""
    expires_at: float | None = session.expires_at
    expires_why: str | None = EXPIRY_REASON[session.expires_why]
    if session.expired_at is not None:
        expires_at, expires_why = session.expired_at, session.expiry_reason
    elif expires_at == NEVER:
        expires_at = expires_why = None
    return {
        "session_id": session.session_id,
        "status": session.status.value,
        "handling": session.handling.value,
        "assignee": session.assignee,
        "queue": session.queue,
        "user": unpack(session.user),
        "context": sensitive.masked(unpack(session.context)),
        "context_version": session.context_version,
        "metadata": unpack(session.metadata),
        "channel": session.channel,
        "tags": list(session.tags),
        "created_at": session.created_at,
        "last_activity_at": session.last_activity_at,
        "closed_at": session.closed_at,
        "expired_at": session.expired_at,
        "close_reason": session.close_reason,
        "expiry_reason": session.expiry_reason,
        "seq": session.seq,
        "timeouts": session.timeouts.as_map(),
        "expires_at": expires_at,
        "expires_why": expires_why,
    }
