"""The one hot request, read from its bytes with no object for a key: in the compiled build a third of the
time that msgpack's map takes, in plain Python many times as much (`COMPILED` decides which is used).

It reads what packers write. Sound msgpack that is not read here, for another to look closer: a map, a key or
the type in a longer form than need be; a sixth pair, though with a key that came before; an id from 2**63.
"""

from typing import Final

from mypy_extensions import i64

from sojourn.actors.packing import map_header, pack

from .framing import big_endian

_PAIRS: Final = 5
_HEADER: Final = map_header(_PAIRS)
_TYPE: Final = pack("type") + pack("message:send")
_ID: Final = pack("id")
_SESSION_ID: Final = pack("session_id")
_MESSAGE_ID: Final = pack("message_id")
_TEXT: Final = pack("text")


def read_message(body: bytes) -> tuple[int, str, str, str] | None:
    """(id, session_id, message_id, text) of a `message:send` that holds just these; None: look closer."""
    is_send = False
    request_id: i64 = -1
    session_id: str | None = None
    message_id: str | None = None
    text: str | None = None
    at: i64 = len(_HEADER)
    try:
        if not _stands(_HEADER, body, 0):
            return None
        for _ in range(_PAIRS):
            if _stands(_TYPE, body, at):
                is_send = True
                at += len(_TYPE)
            elif _stands(_ID, body, at):
                request_id, at = _number(body, at + len(_ID))
            elif _stands(_SESSION_ID, body, at):
                session_id, at = _string(body, at + len(_SESSION_ID))
            elif _stands(_MESSAGE_ID, body, at):
                message_id, at = _string(body, at + len(_MESSAGE_ID))
            elif _stands(_TEXT, body, at):
                text, at = _string(body, at + len(_TEXT))
            else:
                return None
    except (ValueError, IndexError):
        return None
    if not is_send or request_id < 0 or session_id is None or message_id is None or text is None:
        return None  # of five pairs, one came twice
    if at < len(body):
        return None
    return request_id, session_id, message_id, text


# These raise ValueError for what they do not read; a read past the end is an IndexError.


def _stands(word: bytes, body: bytes, at: i64) -> bool:
    """Does `word` stand in `body` at `at`? No part of it is copied to find out."""
    size: i64 = len(word)
    i: i64 = 0
    while i < size:
        if body[at + i] != word[i]:
            return False
        i += 1
    return True


def _number(body: bytes, at: i64) -> tuple[i64, i64]:
    """The integer at `at`, which is not negative, and where it ends."""
    tag: i64 = body[at]
    at += 1
    if tag < 0x80:
        return tag, at
    if not 0xCC <= tag <= 0xD3:  # unsigned of 1, 2, 4 and 8 bytes, then signed
        raise ValueError
    if tag >= 0xCF and body[at] >= 0x80:  # below zero, or too long for an i64
        raise ValueError
    width: i64 = 1 << (tag & 3)
    return big_endian(body, at, width), at + width


def _string(body: bytes, at: i64) -> tuple[str, i64]:
    """The string at `at`, and where it ends."""
    size: i64 = body[at]
    at += 1
    if 0xA0 <= size <= 0xBF:
        size &= 0x1F
    elif 0xD9 <= size <= 0xDB:  # the length in 1, 2 or 4 bytes
        width: i64 = 1 << (size - 0xD9)
        size = big_endian(body, at, width)
        at += width
    else:
        raise ValueError
    end = at + size
    if end > len(body):
        raise ValueError
    return body[at:end].decode(), end
