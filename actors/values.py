"""What may stand in a session: JSON's values. The wire checks its frames; this is for programs that embed."""

import sys
from collections.abc import Mapping
from math import isfinite
from typing import Any, Final, cast

from .errors import InvalidRequest

TIMERS: Final = ("session_timeout", "keep_alive", "dialog_timeout", "max_lifetime")
"""What a session may be given timeouts of."""
MAX_DEPTH: Final = 60
"""Levels of nesting of one value, so that a frame around it stays below the wire's 64."""
_LEAST: Final = -(2**63)
_MOST: Final = 2**64 - 1


def check_json(value: Any, path: str, levels: int = MAX_DEPTH) -> None:
    """Raise `InvalidRequest` that names the dotted path of the first value that JSON does not have."""
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _wrong(path, "text without lone surrogates", "a lone surrogate") from None
    elif isinstance(value, int):
        if not _LEAST <= value <= _MOST:
            raise _wrong(path, "an integer of 64 bits", "a longer integer")
    elif isinstance(value, float):
        if not isfinite(value):
            raise _wrong(path, "a finite number", repr(value))
    elif levels == 0:
        raise _wrong(path, f"at most {MAX_DEPTH} levels of nesting", "more")
    elif isinstance(value, dict):  # no other mapping has a msgpack form
        for key, item in cast("Mapping[Any, Any]", value).items():
            if not isinstance(key, str):
                raise _wrong(path, "string keys", type(key).__name__)
            check_json(key, path, levels)
            check_json(item, f"{path}.{key}", levels - 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(cast("list[Any]", value)):
            check_json(item, f"{path}.{index}", levels - 1)
    else:
        raise _wrong(path, "a value that JSON has", type(value).__name__)


def check_timeouts(timeouts: Mapping[str, Any], path: str = "timeouts") -> None:
    """Raise `InvalidRequest` unless each is a timer's name with its seconds, or None: never."""
    for name, value in timeouts.items():
        where = f"{path}.{name}"
        if name not in TIMERS:
            raise _wrong(path, f"only {', '.join(TIMERS)}", repr(name))
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _wrong(where, "a finite number of seconds, or None", type(value).__name__)
        # NaN is in no range; an integer may be longer than any float.
        if not 0 <= value <= sys.float_info.max or (value == 0 and name != "keep_alive"):
            expected = "0 seconds or more" if name == "keep_alive" else "seconds above 0"
            got = repr(value) if abs(value) <= sys.float_info.max else "a number out of range"
            raise _wrong(where, f"{expected}, finite, or None", got)


def check_text(value: Any, path: str) -> None:
    """Raise `InvalidRequest` unless it is a text, or None."""
    _check_kind(value, path, str, "a text")


def is_plain_text(value: Any) -> bool:
    """Can it be taken as it is? Not every text is plain: `check_text` decides the rest."""
    return type(value) is str and value.isascii()


def check_map(value: Any, path: str) -> None:
    """Raise `InvalidRequest` unless it is a map that JSON has, or None."""
    _check_kind(value, path, dict, "a map")


def check_list(value: Any, path: str) -> None:
    """Raise `InvalidRequest` unless it is a list that JSON has, or None."""
    _check_kind(value, path, list | tuple, "a list")


def check_user(user: Any) -> None:
    """Raise `InvalidRequest` unless it is a user's map, with a text for a `user_id` if any, or None."""
    check_map(user, "user")
    if user is not None and "user_id" in user and not (isinstance(user["user_id"], str) and user["user_id"]):
        raise _wrong("user.user_id", "a text that is not empty", repr(user["user_id"]))


def check_rating(rating: Any) -> None:
    """Raise `InvalidRequest` unless it is 1, 2, 3, 4 or 5."""
    if isinstance(rating, bool) or not isinstance(rating, int) or rating not in range(1, 6):
        raise _wrong("rating", "a whole number from 1 to 5", repr(rating))


def check_page(after_seq: Any, limit: Any) -> None:
    """Raise `InvalidRequest` unless it is a place in a history, 0 or more, and a number of events above 0."""
    if type(after_seq) is not int or after_seq < 0:
        raise _wrong("after_seq", "a whole number, 0 or more", repr(after_seq))
    if type(limit) is not int or limit < 1:
        raise _wrong("limit", "a whole number above 0", repr(limit))


def check_place(seq: Any, path: str) -> None:
    """Raise `InvalidRequest` unless it is None or the place of an event in a history, 1 or more."""
    if seq is not None and (type(seq) is not int or seq < 1):
        raise _wrong(path, "a whole number above 0", repr(seq))


def _check_kind(value: Any, path: str, kind: Any, expected: str) -> None:
    if value is None:
        return
    if not isinstance(value, kind):
        raise _wrong(path, expected, type(value).__name__)
    check_json(value, path)


def _wrong(path: str, expected: str, got: str) -> InvalidRequest:
    return InvalidRequest(
        f"{path}: expected {expected}, got {got}", details={"key": path, "expected": expected, "got": got}
    )
