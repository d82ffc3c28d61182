"""msgpack bytes for what is kept and sent: payloads, snapshots, and events spliced from stored parts.

An event's payload is encoded once, when it happens. The journal keeps those bytes; a push, a resume and
a page of history put the same bytes behind a head with type, session, seq and instant. Nothing is decoded
and encoded again on the way out.
"""

import struct
from collections.abc import Callable
from types import FunctionType
from typing import Any, Final, cast

import msgpack
import xxhash

EMPTY_MAP: Final = b"\x80"

_packer: Any = msgpack.Packer(autoreset=True)
_unpackb: Any = msgpack.unpackb
pack = cast("Callable[[Any], bytes]", _packer.pack)
"""One value as msgpack; one packer for all, since making one costs a third of a microsecond."""

_hash = xxhash.xxh3_64_intdigest

_FIXMAP: Final = 0x80
_MAX_FIXMAP: Final = 15
_MAP16: Final = 0xDE
_FIXSTR: Final = 0xA0
_MAX_FIXSTR: Final = 31
_STR8: Final = 0xD9
_STR16: Final = 0xDA
_STR32: Final = 0xDB
_MAX_FIXINT: Final = 127
_UINT8: Final = 0xCC
_UINT16: Final = 0xCD
_UINT32: Final = 0xCE
_HEAD_KEYS: Final = 4
_pack_at = struct.Struct(">d").pack


def message_hash(message_id: str) -> int:
    """A message_id's 64-bit hash: the same on every machine and in every run."""
    return _hash(message_id.encode())


def unpack(body: bytes) -> Any:
    """The value that `pack` packed."""
    return _unpackb(body, strict_map_key=False)


def map_header(pairs: int) -> bytes:
    """The msgpack header of a map of `pairs` keys."""
    if pairs <= _MAX_FIXMAP:
        return bytes((_FIXMAP | pairs,))
    return struct.pack(">BH", _MAP16, pairs)


def array_header(items: int) -> bytes:
    """The msgpack header of a list of `items`."""
    return cast("bytes", _packer.pack_array_header(items))


COMPILED: Final = type(map_header) is not FunctionType
"""Is this the compiled build? There bytes that we count and put together ourselves cost less than a call of
msgpack; in plain Python it is the other way round. Where there are both forms, this decides.
"""

_SHORT_HEADERS: Final = [bytes((_FIXSTR | size,)) for size in range(_MAX_FIXSTR + 1)]


def string_header(size: int) -> bytes:
    """The msgpack header of a string of `size` bytes."""
    if size <= _MAX_FIXSTR:
        return _SHORT_HEADERS[size]
    if size < 1 << 8:
        return (_STR8 << 8 | size).to_bytes(2, "big")
    if size < 1 << 16:
        return (_STR16 << 16 | size).to_bytes(3, "big")
    return (_STR32 << 32 | size).to_bytes(5, "big")


def spelled_number(value: int) -> bytes:
    """What `pack` makes of an integer, without the packer for those that counters reach."""
    if not 0 <= value < 1 << 32:
        return pack(value)
    if value <= _MAX_FIXINT:
        return value.to_bytes(1, "big")
    if value < 1 << 8:
        return (_UINT8 << 8 | value).to_bytes(2, "big")
    if value < 1 << 16:
        return (_UINT16 << 16 | value).to_bytes(3, "big")
    return (_UINT32 << 32 | value).to_bytes(5, "big")


_MESSAGE_HEADS: Final = {
    author: b"\x85" + pack("author") + pack(author) + pack("message_id")
    for author in ("user", "ai", "human", "system")
}
_TEXT_KEY: Final = pack("text")
_NOTHING_ELSE: Final = pack("attachments") + pack(None) + pack("data") + pack(None)


def pack_message(author: str, message_id: str, text: str | None) -> bytes:
    """The payload of a message with a text and nothing else, from prepared parts: half the cost of a map."""
    if COMPILED and text is not None:
        return spelled_message(author, message_id, text)
    return b"".join((_MESSAGE_HEADS[author], pack(message_id), _TEXT_KEY, pack(text), _NOTHING_ELSE))


def spelled_message(author: str, message_id: str, text: str) -> bytes:
    """`pack_message` without the packer."""
    encoded_id, encoded = message_id.encode(), text.encode()
    return b"%b%b%b%b%b%b%b" % (
        _MESSAGE_HEADS[author],
        string_header(len(encoded_id)),
        encoded_id,
        _TEXT_KEY,
        string_header(len(encoded)),
        encoded,
        _NOTHING_ELSE,
    )


class EventHeads:
    """Prepared beginnings of events, by type."""

    def __init__(self) -> None:
        self._heads: dict[str, bytes] = {}

    def splice(self, event: str, session_id: str, seq: int, at: float, body: bytes) -> bytes:
        """The whole event as one msgpack map: `body` is the payload's map, at most 15 keys."""
        head = self._heads.get(event)
        if head is None:
            head = pack("type") + pack(event) + pack("session_id")
            self._heads[event] = head
        return b"".join(
            (
                map_header((body[0] & _MAX_FIXMAP) + _HEAD_KEYS),
                head,
                pack(session_id),
                b"\xa3seq",
                pack(seq),
                b"\xa2at\xcb",
                _pack_at(at),
                body[1:],
            )
        )


splice_event = EventHeads().splice
