"""The requests of the wire, one table (protocol, section 4), and the check of a frame against it.

`check(request, frame)` is the only judge of shapes: behind it the router reads `frame.get(…)` and trusts
what it gets. What a value *means* (is there such a session, does the request fit its state) is decided behind
the router. Keys that the table does not know are ignored; nil counts as absent.

An entry with `built = False` is known (it has a shape) but answered with `unknown_type` by this version.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from . import fields as kinds
from .codec import unpackb, usable_id
from .errors import InvalidPayload, WireError
from .fields import Kind

Frame = dict[str, Any]

PROTOCOL_VERSION = 1
_PLAIN_KEYS = 5
USER, AGENT, SERVICE = "user", "agent", "service"
ALL = frozenset({USER, AGENT, SERVICE})
STAFF = frozenset({AGENT, SERVICE})


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a request: what it holds, whether it must be there, and who may send it."""

    kind: Kind
    required: bool = False
    roles: frozenset[str] = ALL


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One row of the request table. `rule` judges what concerns several keys at once."""

    name: str
    reply: str
    fields: Mapping[str, Field] = field(default_factory=dict[str, Field])
    roles: frozenset[str] = ALL
    rule: Callable[[Frame], None] | None = None
    built: bool = True
    plain: Mapping[str, type | None] = field(init=False)
    required: tuple[str, ...] = field(init=False)
    reserved: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        known = {**self.fields, "id": Field(kinds.ID)}
        # only a key in `plain` can be wrong, and one with a type of its own is judged by a comparison;
        # NoneType stands for "call the check": nil is the one value that needs none
        plain = {name: each.kind.plain or type(None) for name, each in known.items()}
        object.__setattr__(self, "fields", known)
        object.__setattr__(self, "plain", plain)
        object.__setattr__(self, "required", tuple(name for name, each in known.items() if each.required))
        object.__setattr__(self, "reserved", tuple(name for name, each in known.items() if each.roles != ALL))


def plain_message(body: bytes) -> tuple[int, str, str, str] | None:
    """(id, session_id, message_id, text) of a `message:send` that holds just these; None: look closer.

    The one hot request has a door of its own. Whatever this is not sure of goes through `decode` and
    `check`, which say what is wrong with it.
    """
    try:
        frame = unpackb(body)
        if len(frame) != _PLAIN_KEYS or frame["type"] != "message:send":
            return None
        request_id, session_id = frame["id"], frame["session_id"]
        message_id, text = frame["message_id"], frame["text"]
    except (ValueError, TypeError, KeyError, IndexError):
        return None
    if (
        type(session_id) is type(message_id) is type(text) is str
        and type(request_id) is int
        and request_id >= 0
    ):
        return request_id, session_id, message_id, text
    return None


def check(request: Request, frame: Frame) -> None:
    """Raise InvalidPayload unless `frame` fits `request`; its `reply_to` is the frame's id, if usable."""
    try:
        plain = request.plain.get
        for key, value in frame.items():
            kind = plain(key)
            if kind is None or type(value) is kind or value is None:
                continue
            request.fields[key].kind.check(value, key)
        for key in request.required:
            if frame.get(key) is None:
                missing(key, request.fields[key].kind.expected)
        if request.rule is not None:
            request.rule(frame)
    except InvalidPayload as error:
        error.reply_to = usable_id(frame)
        raise


def check_role(request: Request, role: str, frame: Frame) -> None:
    """Raise `forbidden` unless `role` may send this request, and each key in it; InvalidPayload for a key of
    the context that is not its to write.
    """
    if role not in request.roles:
        raise WireError("forbidden", f"{request.name} is not for role {role}", {"role": role})
    for key in request.reserved:
        if frame.get(key) is not None and role not in request.fields[key].roles:
            raise WireError("forbidden", f"{key} is not for role {role}", {"role": role, "key": key})
    if role == USER and "context" in request.fields:
        for key in frame.get("context") or ():
            if key.startswith("_"):  # where a dialog stands, what was asked: not for whoever talks to it
                raise InvalidPayload(
                    f"context.{key}", "a key that does not begin with '_' (for role user)", key
                )


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


def missing(key: str, expected: str) -> NoReturn:
    """Raise InvalidPayload for a key that is not there."""
    raise InvalidPayload(key, expected, "nothing")


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
    Request(name="session:why", reply="session:why", fields=_SESSION),
)

REQUESTS: Mapping[str, Request] = {request.name: request for request in _TABLE}
