"""What may stand in a session: JSON's values. The wire checks its frames; this is for programs that embed."""

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final, cast

from .errors import InvalidRequest

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


def _wrong(path: str, expected: str, got: str) -> InvalidRequest:
    return InvalidRequest(
        f"{path}: expected {expected}, got {got}", details={"key": path, "expected": expected, "got": got}
    )
