"""The requests of the wire, one table (protocol, section 4).

An entry with `built = False` is known (it has a shape) but answered with `unknown_type` by this version.
"""

from collections.abc import Mapping

from . import fields as kinds
from .checking import SERVICE, STAFF, USER, Field, Frame, Request, missing
from .errors import WireError

PROTOCOL_VERSION = 1


def request_of(frame: Frame) -> Request:
    """Return the table's row for `frame`, or raise `unknown_type`, also for what is not built yet."""
    request = REQUESTS.get(frame["type"])
    if request is None or not request.built:
        raise WireError(
            "unknown_type",
            f"no request has the type {frame['type'][:64]!r}",
            {"key": "type", "expected": "the type of a request", "got": frame["type"][:64]},
        )
    return request


def _has_content(frame: Frame) -> None:
    get = frame.get
    if get("text") is None and get("attachments") is None and get("data") is None:
        missing("text", "at least one of text, attachments, data")


def _is_addressed_with_content(frame: Frame) -> None:
    if frame.get("session_id") is None:
        user = frame.get("user")
        if user is None or user.get("user_id") is None:
            missing("session_id", "session_id or user.user_id")
    _has_content(frame)


def _names_session_or_user(frame: Frame) -> None:
    if frame.get("session_id") is None and frame.get("user_id") is None:
        missing("session_id", "session_id or user_id")


_SESSION = {"session_id": Field(kinds.STRING, required=True)}
_ATTACH = {"attach": Field(kinds.BOOLEAN)}
_CONTENT = {
    "text": Field(kinds.STRING),
    "attachments": Field(kinds.MAPS),
    "data": Field(kinds.JSON),
}

_TABLE = (
    Request(
        name="hello",
        reply="welcome",
        fields={
            "protocol": Field(kinds.constant(PROTOCOL_VERSION), required=True),
            "token": Field(kinds.STRING),
            "role": Field(kinds.ROLE),
            "identity": Field(kinds.STRING),
            "client": Field(kinds.CLIENT),
            "heartbeat": Field(kinds.SECONDS),
        },
    ),
    Request(name="ping", reply="pong"),
    Request(
        name="session:create",
        reply="session:created",
        fields={
            "user": Field(kinds.USER),
            "context": Field(kinds.MAP),
            "metadata": Field(kinds.MAP),
            "channel": Field(kinds.STRING),
            "timeouts": Field(kinds.TIMEOUT_MAP),
            "tags": Field(kinds.STRINGS),
            "request_key": Field(kinds.STRING),
            **_ATTACH,
        },
    ),
    Request(
        name="session:resume",
        reply="session:resumed",
        fields={
            **_SESSION,
            "after_seq": Field(kinds.SEQ),
            "resume_token": Field(kinds.STRING),
            **_ATTACH,
        },
    ),
    Request(name="session:get", reply="session:state", fields={**_SESSION, "scopes": Field(kinds.BOOLEAN)}),
    Request(
        name="session:history",
        reply="session:events",
        fields={**_SESSION, "after_seq": Field(kinds.SEQ), "limit": Field(kinds.PAGE)},
    ),
    Request(
        name="session:context:update",
        reply="session:context:updated",
        fields={
            **_SESSION,
            "context": Field(kinds.MAP, required=True),
            "expected_version": Field(kinds.SEQ),
            "expected_user_version": Field(kinds.SEQ),
            **_ATTACH,
        },
    ),
    Request(name="session:close", reply="session:closed", fields={**_SESSION, "reason": Field(kinds.STRING)}),
    Request(name="session:reopen", reply="session:reopened", fields={**_SESSION, **_ATTACH}),
    Request(name="session:detach", reply="session:detached", fields=_SESSION),
    Request(
        name="session:rate",
        reply="session:rated",
        roles=frozenset({USER, SERVICE}),
        fields={
            **_SESSION,
            "rating": Field(kinds.RATING, required=True),
            "feedback": Field(kinds.STRING),
        },
    ),
    Request(
        name="session:handover",
        reply="session:handed_over",
        fields={**_SESSION, "queue": Field(kinds.STRING), "note": Field(kinds.STRING)},
    ),
    Request(
        name="session:assign",
        reply="session:assigned",
        roles=STAFF,
        fields={**_SESSION, "assignee": Field(kinds.NAME)},
    ),
    Request(name="session:release", reply="session:released", roles=STAFF, fields=_SESSION),
    Request(name="session:resolve", reply="session:closed", roles=STAFF, fields=_SESSION),
    Request(
        name="session:tag",
        reply="session:tagged",
        roles=STAFF,
        fields={**_SESSION, "add": Field(kinds.STRINGS), "remove": Field(kinds.STRINGS)},
    ),
    Request(
        name="session:remind",
        reply="session:reminder_set",
        roles=STAFF,
        fields={
            **_SESSION,
            "name": Field(kinds.NAME, required=True),
            "after": Field(kinds.WAIT, required=True),
            "data": Field(kinds.JSON),
        },
    ),
    Request(
        name="session:list",
        reply="session:page",
        roles=STAFF,
        fields={
            "status": Field(kinds.choice("active", "closed", "expired")),
            "handling": Field(kinds.choice("ai", "queued", "human")),
            "user_id": Field(kinds.STRING),
            "channel": Field(kinds.STRING),
            "queue": Field(kinds.STRING),
            "limit": Field(kinds.PAGE),
            "cursor": Field(kinds.STRING),
        },
    ),
    Request(
        name="message:send",
        reply="message:accepted",
        fields={
            "session_id": Field(kinds.STRING),
            "user": Field(kinds.USER),
            "channel": Field(kinds.STRING),
            "message_id": Field(kinds.STRING),
            **_CONTENT,
            "context": Field(kinds.MAP),
            "author": Field(kinds.AUTHOR, roles=frozenset({SERVICE})),
            "author_id": Field(kinds.STRING, roles=frozenset({SERVICE})),
            **_ATTACH,
        },
        rule=_is_addressed_with_content,
    ),
    Request(
        name="message:compose",
        reply="message:composing",
        fields={**_SESSION, "action": Field(kinds.choice("start", "stop"), required=True)},
    ),
    Request(
        name="message:read",
        reply="message:read",
        fields={**_SESSION, "read_seq": Field(kinds.SEQ, required=True)},
    ),
    Request(
        name="broadcast:send",
        reply="broadcast:sent",
        roles=STAFF,
        fields={
            "users": Field(kinds.MAPS, required=True),
            **_CONTENT,
            "context": Field(kinds.MAP),
            "channel": Field(kinds.STRING),
            "broadcast_id": Field(kinds.STRING),
            "reopen": Field(kinds.BOOLEAN),
        },
        rule=_has_content,
    ),
    Request(
        name="watch",
        reply="watching",
        roles=STAFF,
        fields={"queues": Field(kinds.STRINGS)},
    ),
    Request(
        name="session:erase",
        reply="session:erased",
        roles=frozenset({SERVICE}),
        fields={"session_id": Field(kinds.STRING), "user_id": Field(kinds.STRING)},
        rule=_names_session_or_user,
    ),
    Request(
        name="webhook:resend",
        reply="webhook:resent",
        roles=frozenset({SERVICE}),
        fields={"dead_id": Field(kinds.SEQ)},
    ),
    Request(
        name="session:fork",
        reply="session:forked",
        roles=STAFF,
        fields={
            **_SESSION,
            "at_seq": Field(kinds.PLACE),
            "channel": Field(kinds.STRING),
            "request_key": Field(kinds.STRING),
        },
    ),
    Request(name="session:why", reply="session:why", roles=STAFF, fields=_SESSION),
)

REQUESTS: Mapping[str, Request] = {request.name: request for request in _TABLE}
