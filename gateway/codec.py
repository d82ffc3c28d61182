"""Bodies to maps and back: msgpack for TCP and binary messages, JSON for text messages (protocol, section 1).

Two kinds of fault are told apart. A body that is no map of this protocol is an `InvalidFrame`: the stream
can no longer be trusted. A sound map with a value that JSON does not have is an `InvalidPayload`: it carries
the frame's id, so that the one request can be refused. The first kind wins when a frame has both.

Most frames are flat: one loop over the items sees only strings and integers. Containers alone cost a walk.
"""

import json
from collections.abc import Iterable
from contextlib import suppress
from math import isfinite
from typing import Any, NoReturn, cast

import msgpack

from .errors import InvalidFrame, InvalidPayload, RequestId

Map = dict[str, Any]

MAX_DEPTH = 64
"""Levels of nesting of a frame, the frame itself being the first."""
MAX_ID_BYTES = 64
_SHOWN_PATH = 256
_INT64 = range(-(2**63), 2**64)
_PLAIN = frozenset({str, int, bool, type(None)})
unpackb: Any = msgpack.unpackb  # pyright: ignore[reportUnknownMemberType] -- msgpack has no types
_pack: Any = msgpack.Packer(autoreset=True).pack  # pyright: ignore[reportUnknownMemberType]
_to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def decode(body: bytes, max_depth: int = MAX_DEPTH) -> Map:
    """Return the map in `body`: string keys at every depth, JSON's values, a string `type`.

    Raises InvalidFrame (close the connection) or InvalidPayload (refuse the request named by its `reply_to`).
    """
    try:
        decoded: object = unpackb(body)
    except ValueError as error:  # the ancestor of all that msgpack raises for bad bytes
        _refuse(body, error, max_depth)
    if type(decoded) is not dict:
        raise InvalidFrame(f"the frame is no map but {kind_of(decoded)}")
    frame = cast("Map", decoded)
    for key, value in cast("dict[str, object]", frame).items():
        kind = type(value)
        if (kind is str or kind is int) and type(key) is str:
            continue
        if kind not in _PLAIN or type(key) is not str:
            inspect(frame, max_depth)
            break
    if type(frame.get("type")) is not str:
        raise InvalidFrame("the frame has no string 'type'")
    return frame


def encode(frame: Map) -> bytes:
    """Return `frame` as msgpack."""
    return cast("bytes", _pack(frame))


def decode_json(text: str | bytes, max_depth: int = MAX_DEPTH) -> Map:
    """Return the map in the JSON object `text`; the same rules and errors as `decode`."""
    frame = read_json(text)
    # JSON, unlike msgpack, can spell lone surrogates and numbers of any size, so every frame is walked
    inspect(frame, max_depth)
    return frame


def read_json(text: str | bytes) -> Map:
    """Return the map in the JSON object `text`, which is a frame, or part of one, that is still to be
    inspected. Raises InvalidFrame.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode()
        decoded = _from_json(text)
    except (ValueError, RecursionError) as error:
        raise InvalidFrame(f"the frame is no JSON: {error}") from error
    if type(decoded) is not dict:
        raise InvalidFrame(f"the frame is no map but {kind_of(decoded)}")
    return cast("Map", decoded)


def encode_json(frame: Map) -> str:
    """Return `frame` as one JSON object without spaces."""
    return _to_json(frame)


def usable_id(frame: Map) -> RequestId | None:
    """Return the frame's `id` when a reply can name it: an unsigned integer or a string of up to 64 bytes."""
    value = frame.get("id")
    if type(value) is int:
        return value if 0 <= value < _INT64.stop else None
    if type(value) is str:
        return value if len(value) <= MAX_ID_BYTES and _utf8_bytes(value) <= MAX_ID_BYTES else None
    return None


def _from_json(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        # an integer of thousands of digits, which Python refuses to read: sound JSON, a value out of range
        return json.loads(text, parse_int=_bounded_int)


def _bounded_int(digits: str) -> int:
    return int(digits) if len(digits) <= 20 else _INT64.stop


def _refuse(body: bytes, error: ValueError, max_depth: int) -> NoReturn:
    """Raise what is wrong with `body`: InvalidPayload when lone surrogates are its only fault."""
    if isinstance(error, UnicodeDecodeError):
        with suppress(ValueError):
            frame: object = unpackb(body, unicode_errors="surrogatepass")
            if type(frame) is dict:
                inspect(cast("Map", frame), max_depth)
        raise InvalidFrame("the frame has a string that is not UTF-8") from error
    raise InvalidFrame(f"the frame is no msgpack: {error or type(error).__name__}") from error


def inspect(frame: Map, max_depth: int = MAX_DEPTH) -> None:
    """Raise what `decode` would raise for `frame` after its journey, so that a sender can find out before.

    The whole frame is walked: faults of the frame come first, then the first fault of its values.
    """
    faults: list[InvalidPayload] = []
    _walk(frame, (), max_depth, faults)
    if type(frame.get("type")) is not str:
        raise InvalidFrame("the frame has no string 'type'")
    if faults:
        faults[0].reply_to = usable_id(frame)
        raise faults[0]


def _walk(value: object, path: tuple[str, ...], levels: int, faults: list[InvalidPayload]) -> None:
    if levels == 0:
        raise InvalidFrame("the frame is nested too deeply")
    pairs: Iterable[tuple[object, object]]
    if type(value) is dict:
        for key in cast("dict[object, object]", value):
            if type(key) is not str:
                raise InvalidFrame(f"a map key is {kind_of(key)}, not a string")
            if not _is_text(key):
                faults.append(_fault((*path, key), "a key without lone surrogates", "lone surrogate"))
        pairs = cast("dict[object, object]", value).items()
    else:
        pairs = enumerate(cast("list[object]", value))
    for key, item in pairs:
        kind = type(item)
        if kind is str:
            if not _is_text(cast("str", item)):
                faults.append(_fault((*path, str(key)), "text", "lone surrogate"))
        elif kind is int:
            if item not in _INT64:
                faults.append(_fault((*path, str(key)), "an integer of 64 bits", "a longer integer"))
        elif kind is dict or kind is list:
            _walk(item, (*path, str(key)), levels - 1, faults)
        elif kind is float:
            if not isfinite(cast("float", item)):
                faults.append(_fault((*path, str(key)), "a finite number", repr(item)))
        elif kind not in _PLAIN:
            faults.append(_fault((*path, str(key)), "a value that JSON has", kind_of(item)))


def _fault(path: tuple[str, ...], expected: str, got: str) -> InvalidPayload:
    # the path is sent back, so it must be text even when the key was not, and not longer than it helps
    return InvalidPayload(".".join(path)[:_SHOWN_PATH].encode(errors="replace").decode(), expected, got)


def _is_text(value: str) -> bool:
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _utf8_bytes(value: str) -> int:
    return len(value.encode(errors="replace"))


_KINDS: dict[Any, str] = {
    dict: "a map",
    list: "a list",
    str: "a string",
    int: "an integer",
    float: "a float",
    bool: "a boolean",
    type(None): "nil",
    bytes: "binary",
    msgpack.ExtType: "an extension type",
    msgpack.Timestamp: "an extension type",
}


def kind_of(value: object) -> str:
    """Return what `value` is called on the wire, with its article: `a string`, `nil`, …"""
    return _KINDS.get(type(value), type(value).__name__)
