"""What the maps of the wire are made of, as JSON Schemas: values, and maps that several messages hold."""

from collections.abc import Mapping
from typing import Any, Final

from sojourn.actors.lifecycle import Handling, Status

from .errors import ERROR_CODES

Schema = Mapping[str, Any]

TEXT: Final[Schema] = {"type": "string"}
BOOLEAN: Final[Schema] = {"type": "boolean"}
MAP: Final[Schema] = {"type": "object"}
LIST: Final[Schema] = {"type": "array"}
STRINGS: Final[Schema] = {"type": "array", "items": TEXT}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
SEQ: Final[Schema] = {"type": "integer", "minimum": 1, "description": "Place in the session's history."}
INSTANT: Final[Schema] = {"type": "number", "description": "Unix time in seconds, UTC."}
DURATION: Final[Schema] = {"type": "number", "minimum": 0, "description": "Seconds."}
ANYTHING: Final[Schema] = {}


def nullable(schema: Schema) -> Schema:
    """The same, or nothing."""
    return {**schema, "type": [schema["type"], "null"]}


def one_of(*values: str) -> Schema:
    """One of some strings."""
    return {"type": "string", "enum": list(values)}


def ref(name: str) -> Schema:
    """A map of `MAPS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def maps(name: str) -> Schema:
    """A list of them."""
    return {"type": "array", "items": ref(name)}


def shape(description: str, /, optional: Mapping[str, Schema] | None = None, **keys: Schema) -> Schema:
    """A map that holds all of `keys`, and perhaps some of `optional`."""
    properties = {**keys, **(optional or {})}
    made: dict[str, Any] = {"type": "object", "description": description, "properties": properties}
    if keys:
        made["required"] = list(keys)
    return made


STATUS: Final = one_of(*(status.value for status in Status))
HANDLING: Final = one_of(*(handling.value for handling in Handling))
AUTHOR: Final = one_of("user", "ai", "human", "system")
ROLE: Final = one_of("user", "agent", "service")
TIMEOUTS: Final = {
    name: nullable({**DURATION, "description": "Seconds; null is never."})
    for name in ("session_timeout", "keep_alive", "dialog_timeout", "max_lifetime")
}

MAPS: Final[Mapping[str, Schema]] = {
    "By": shape(
        "Who made it happen.", role=one_of("user", "agent", "service", "ai", "system"), id=nullable(TEXT)
    ),
    "User": shape(
        "Who talks; what was not given is missing, and further keys are the caller's own.",
        {name: nullable(TEXT) for name in ("user_id", "display_name", "email", "phone", "language")},
    ),
    "Timeouts": shape("When time ends things.", **TIMEOUTS),
    "Session": shape(
        "One conversation.",
        session_id=TEXT,
        status=STATUS,
        handling={**HANDLING, "description": "Who answers; `queued` waits for a human."},
        assignee=nullable(TEXT),
        queue=nullable(TEXT),
        user=ref("User"),
        context={**MAP, "description": "The variables of the conversation; sensitive ones read `***`."},
        context_version={"type": "integer", "minimum": 1},
        metadata=MAP,
        channel=TEXT,
        tags=STRINGS,
        created_at=INSTANT,
        last_activity_at=INSTANT,
        closed_at=nullable(INSTANT),
        expired_at=nullable(INSTANT),
        close_reason=nullable(TEXT),
        expiry_reason=nullable(TEXT),
        seq=SEQ,
        timeouts=ref("Timeouts"),
        expires_at=nullable({**INSTANT, "description": "When it expires if nothing more happens."}),
        expires_why=nullable(TEXT),
    ),
    "Limits": shape(
        "What this server allows.",
        max_frame_bytes=COUNT,
        max_reply_bytes=COUNT,
        max_context_bytes=COUNT,
        max_context_keys=COUNT,
        max_history_page=COUNT,
        max_attachments=COUNT,
        max_timeouts=ref("Timeouts"),
    ),
    "Waiting": shape(
        "A session that waits for a human.", session_id=TEXT, queue=nullable(TEXT), since=INSTANT
    ),
    "Missed": shape("Whom a broadcast did not reach.", user_id=nullable(TEXT), code=one_of(*ERROR_CODES)),
    "AnyEvent": shape(
        "One durable event: its own keys are those of the pushed event of this type.",
        type=TEXT,
        session_id=TEXT,
        seq=SEQ,
        at=INSTANT,
    ),
}
"""Maps that stand in several messages."""
