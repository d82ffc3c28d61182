"""The WebSocket frame that comes always, and the one that goes always; all others are the library's.

A client's message is nearly always one whole frame, alone in its read. Reading that one by hand, the mask
through the library's C, and writing ours, brought WebSocket from 0.66 of TCP's rate to TCP's own
(`benchmarks/websocket.py`); whatever is not exactly such a frame is left to the library, untouched.
"""

from struct import Struct
from typing import Final

from websockets.frames import Opcode

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform the library has no compiled wheel for
    from websockets.utils import apply_mask

TEXT: Final = Opcode.TEXT
BINARY: Final = Opcode.BINARY

_FIN: Final = 0x80
_MASKED: Final = 0x80
_MASK_BYTES: Final = 4
_SHORT: Final = Struct(">BB").pack
_MEDIUM: Final = Struct(">BBH").pack
_LONG: Final = Struct(">BBQ").pack


def whole_message(data: bytes, max_bytes: int) -> tuple[Opcode, bytes] | None:
    """Return kind and body, if `data` is one masked frame with a whole message of below 64 KB and no more.

    None: something else, which the library has to read and judge.
    """
    size = len(data)
    if size < 2 + _MASK_BYTES:
        return None
    head = data[0]
    if head != _FIN | 0x1 and head != _FIN | 0x2:
        return None
    length = data[1] - _MASKED
    start = 2 + _MASK_BYTES
    if length == 126 and size >= 4 + _MASK_BYTES:
        length = data[2] << 8 | data[3]
        start = 4 + _MASK_BYTES
    elif not 0 <= length < 126:
        return None
    if length > max_bytes or size != start + length:
        return None
    body = apply_mask(data[start:], data[start - _MASK_BYTES : start])
    return BINARY if head & 0x2 else TEXT, body


def header(kind: Opcode, length: int) -> bytes:
    """What stands before a body of `length` bytes, in a server's frame with a whole message."""
    head = _FIN | (0x1 if kind is TEXT else 0x2)
    if length < 126:
        return _SHORT(head, length)
    if length < 1 << 16:
        return _MEDIUM(head, 126, length)
    return _LONG(head, 127, length)
