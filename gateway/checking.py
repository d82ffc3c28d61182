"""The rows of the request table, and the check of a frame against one.

`check(request, frame)` is the only judge of shapes: behind it the router reads `frame.get(…)` and trusts
what it gets. What a value *means* (is there such a session, does the request fit its state) is decided behind
the router. Keys that the table does not know are ignored; nil counts as absent.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from sojourn.actors.packing import COMPILED

from . import fields as kinds
from .codec import unpackb, usable_id
from .errors import InvalidPayload, WireError
from .fields import Kind
from .plain_frames import read_message

Frame = dict[str, Any]

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
    if COMPILED:
        return read_message(body)
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


def missing(key: str, expected: str) -> NoReturn:
    """Raise InvalidPayload for a key that is not there."""
    raise InvalidPayload(key, expected, "nothing")
