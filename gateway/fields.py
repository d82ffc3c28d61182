"""What a key of a request may hold: kinds of values, and the checks behind them.

A `Kind` whose `plain` is a Python type needs no call: the request table compares types. All others have a
`check(value, path)` that raises InvalidPayload with the dotted path of what is wrong. Booleans are not
integers. None (nil) never reaches a check: it counts as absent, except inside `timeouts` and in patches.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, NoReturn, cast

from .codec import MAX_ID_BYTES, kind_of, usable_id
from .errors import InvalidPayload

Check = Callable[[Any, str], None]

MAX_SEQ = 2**64 - 1
"""A number of an event or of a context's version may be any unsigned integer of 64 bits."""
MAX_PAGE = 1000
TIMEOUTS = ("session_timeout", "keep_alive", "dialog_timeout", "max_lifetime")
_SHOWN_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value, in words (`expected`); `plain` is the exact type when that is the whole rule.

    `schema` says the same as a JSON Schema, for documents: nobody checks a value by it.
    """

    expected: str
    check: Check
    plain: type | None = None
    schema: Mapping[str, Any] = field(default_factory=dict[str, Any], compare=False)


def wrong(path: str, expected: str, value: object) -> NoReturn:
    """Raise InvalidPayload; the kind of `value` is named, itself it is not shown."""
    raise InvalidPayload(path, expected, kind_of(value))


def _out_of_bounds(path: str, expected: str, value: float | str) -> NoReturn:
    raise InvalidPayload(path, expected, value[:_SHOWN_CHARACTERS] if isinstance(value, str) else value)


def _exactly(kind: type, expected: str, schema: Mapping[str, Any]) -> Kind:
    def check(value: Any, path: str) -> None:
        if type(value) is not kind:
            wrong(path, expected, value)

    return Kind(expected, check, kind, schema)


def integer(low: int, high: int) -> Kind:
    """An integer from `low` to `high`, both allowed."""
    expected = f"an integer from {low} to {high}"

    def check(value: Any, path: str) -> None:
        if type(value) is not int:
            wrong(path, expected, value)
        if not low <= value <= high:
            _out_of_bounds(path, expected, value)

    return Kind(expected, check, schema={"type": "integer", "minimum": low, "maximum": high})


def seconds(*, zero: bool) -> Kind:
    """A finite number of seconds above 0, or from 0 on."""
    expected = "a finite number of seconds, 0 or more" if zero else "a finite number of seconds above 0"

    def check(value: Any, path: str) -> None:
        if type(value) is not float and type(value) is not int:
            wrong(path, expected, value)
        if not isfinite(value) or value < 0 or (value == 0 and not zero):
            _out_of_bounds(path, expected, value)

    bound = {"minimum": 0} if zero else {"exclusiveMinimum": 0}
    return Kind(expected, check, schema={"type": "number", **bound})


def choice(*allowed: str) -> Kind:
    """One of some strings."""
    expected = "one of " + ", ".join(allowed)

    def check(value: Any, path: str) -> None:
        if type(value) is not str:
            wrong(path, expected, value)
        if value not in allowed:
            _out_of_bounds(path, expected, value)

    return Kind(expected, check, schema={"type": "string", "enum": list(allowed)})


def constant(wanted: int) -> Kind:
    """Exactly this integer."""
    expected = str(wanted)

    def check(value: Any, path: str) -> None:
        if type(value) is not int:
            wrong(path, expected, value)
        if value != wanted:
            _out_of_bounds(path, expected, value)

    return Kind(expected, check, schema={"const": wanted})


def list_of(kind: Kind, plural: str) -> Kind:
    """A list, each item of `kind`; `plural` names the items."""
    expected = f"a list of {plural}"

    def check(value: Any, path: str) -> None:
        if type(value) is list:
            for index, item in enumerate(cast("list[object]", value)):
                kind.check(item, f"{path}.{index}")
        else:
            wrong(path, expected, value)

    return Kind(expected, check, schema={"type": "array", "items": kind.schema})


def _check_id(value: Any, path: str) -> None:
    if usable_id({"id": value}) is None:
        expected = f"an unsigned integer or a string of up to {MAX_ID_BYTES} bytes"
        if type(value) is int:
            _out_of_bounds(path, expected, value)
        if type(value) is str:
            raise InvalidPayload(path, expected, "a longer string")
        wrong(path, expected, value)


def _check_name(value: Any, path: str) -> None:
    if type(value) is not str or not value:
        expected = "a string that is not empty"
        if value == "":
            _out_of_bounds(path, expected, value)
        wrong(path, expected, value)


def _check_user(value: Any, path: str) -> None:
    if type(value) is not dict:
        wrong(path, "a map", value)
    user = cast("dict[str, Any]", value)
    if user.get("user_id") is not None:
        _check_name(user["user_id"], f"{path}.user_id")
    for key in ("display_name", "email", "phone", "language"):
        told = user.get(key)
        if told is not None and type(told) is not str:
            wrong(f"{path}.{key}", "a string", told)


def _check_addressee(value: Any, path: str) -> None:
    _check_user(value, path)
    if value.get("user_id") is None:
        wrong(f"{path}.user_id", "a string that is not empty", None)


def _check_timeouts(value: Any, path: str) -> None:
    if type(value) is not dict:
        wrong(path, "a map", value)
    for key, item in cast("dict[str, Any]", value).items():
        if key not in TIMEOUTS:
            # a limit that is silently not kept would be worse than a refusal
            raise InvalidPayload(f"{path}.{key}", "one of " + ", ".join(TIMEOUTS), "another key")
        if item is not None:
            (_GRACE if key == "keep_alive" else _DURATION).check(item, f"{path}.{key}")


def _check_client(value: Any, path: str) -> None:
    if type(value) is not str and type(value) is not dict:
        wrong(path, "a string or a map", value)


def _anything(value: Any, path: str) -> None:
    """JSON has it: that is all."""


_GRACE = seconds(zero=True)
_DURATION = seconds(zero=False)

_MAP_SCHEMA = {"type": "object"}
_NAME_SCHEMA = {"type": "string", "minLength": 1}
_TEXT_SCHEMA = {"type": ["string", "null"]}
_USER_SCHEMA = {
    "type": "object",
    "description": "Who talks; further keys are kept as they are.",
    "properties": {
        "user_id": {"type": ["string", "null"], "minLength": 1},
        "display_name": _TEXT_SCHEMA,
        "email": _TEXT_SCHEMA,
        "phone": _TEXT_SCHEMA,
        "language": _TEXT_SCHEMA,
    },
}

STRING = _exactly(str, "a string", {"type": "string"})
BOOLEAN = _exactly(bool, "a boolean", {"type": "boolean"})
MAP = _exactly(dict, "a map", _MAP_SCHEMA)
NAME = Kind("a string that is not empty", _check_name, schema=_NAME_SCHEMA)
ID = Kind(
    f"an unsigned integer or a string of up to {MAX_ID_BYTES} bytes",
    _check_id,
    schema={
        "anyOf": [
            {"type": "integer", "minimum": 0, "maximum": MAX_SEQ},
            {"type": "string", "maxLength": MAX_ID_BYTES},
        ]
    },
)
JSON = Kind("any value", _anything)
SEQ = integer(0, MAX_SEQ)
PLACE = integer(1, MAX_SEQ)
PAGE = integer(1, MAX_PAGE)
RATING = integer(1, 5)
SECONDS = _DURATION
WAIT = _GRACE
ROLE = choice("user", "agent", "service")
AUTHOR = choice("user", "ai", "human", "system")
USER = Kind("a map", _check_user, schema=_USER_SCHEMA)
ADDRESSEE = Kind("a map with user_id", _check_addressee, schema={**_USER_SCHEMA, "required": ["user_id"]})
STRINGS = list_of(STRING, "strings")
MAPS = list_of(MAP, "maps")
ADDRESSEES = list_of(ADDRESSEE, "maps with user_id")
TIMEOUT_MAP = Kind(
    "a map of timeouts",
    _check_timeouts,
    schema={
        "type": "object",
        "description": "Seconds; null means never.",
        "additionalProperties": False,
        "properties": {
            name: {
                "type": ["number", "null"],
                **({"minimum": 0} if name == "keep_alive" else {"exclusiveMinimum": 0}),
            }
            for name in TIMEOUTS
        },
    },
)
CLIENT = Kind("a string or a map", _check_client, schema={"type": ["string", "object"]})
