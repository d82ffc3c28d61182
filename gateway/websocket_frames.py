"""WebSocket messages on a byte stream: RFC 6455, section 5, the side of a server. Bytes in, messages out.

The handshake and the mask are the `websockets` library's. The frames are read here: over 1,000 connections
its parser took 6.9 µs a message and 4.1 KB a connection, that of `picows` 2.4 µs and 7.1 KB, this one 1.4 µs
and what a remainder needs (`python -m benchmarks.websocket`). Most reads hold whole frames and no remainder,
as on TCP. A length is judged before a byte behind it is kept. No extension is agreed on, so reserved bits are
faults, and no small frame unfolds into a large message.
"""

from struct import Struct
from typing import Final

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform that the library has no compiled wheel for
    from websockets.utils import apply_mask

from .errors import FrameTooLarge, InvalidFrame, ProtocolError

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

UNMASKED: Final = "a client's WebSocket frame is masked, and this one is not"
LENGTH: Final = "the length of a WebSocket frame is not written as short as it could be"

Message = tuple[int, bytes]
"""One of the kinds above but CONTINUATION, and what it carries."""

_FINAL: Final = 0x80
_WHOLE_BINARY: Final = 0x82
_WHOLE_TEXT: Final = 0x81
_LEAST_HEAD_BYTES: Final = 6
"""Of a masked frame; a length of two bytes is within it."""
_MOST_HEAD_BYTES: Final = 14
_MOST_CONTROL_BYTES: Final = 125
_medium_at = Struct(">H").unpack_from
_long_at = Struct(">Q").unpack_from
_short = Struct(">BB").pack
_medium = Struct(">BBH").pack
_long = Struct(">BBQ").pack


class MessageDecoder:
    """Cuts a byte stream into messages of up to `max_message_bytes`, put together from their fragments."""

    __slots__ = ("_kind", "_need", "_pieces", "_rest", "error", "max_message_bytes")

    def __init__(self, max_message_bytes: int) -> None:
        self.max_message_bytes = max_message_bytes
        self._rest = bytearray()
        self._need = _LEAST_HEAD_BYTES
        self._kind = CONTINUATION
        """Of the message whose fragments are gathered."""
        self._pieces = bytearray()
        self.error: ProtocolError | None = None

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that `data` completes, in order, control frames between them.

        After a fault `error` is set and everything that follows is ignored; what came before is returned.
        """
        if self.error is not None:
            return []
        rest = self._rest
        if rest:
            rest += data
            if len(rest) < self._need:
                return []
            data = bytes(rest)
            rest.clear()
        messages: list[Message] = []
        size = len(data)
        start = 0
        self._need = _LEAST_HEAD_BYTES
        while size - start >= _LEAST_HEAD_BYTES:
            first = data[start]
            length = data[start + 1] - 0x80
            mask_at = start + 2
            if length < 0:
                return self._refuse(messages, InvalidFrame(UNMASKED))
            if length == 126:
                (length,) = _medium_at(data, mask_at)
                mask_at += 2
                if length < 126:
                    return self._refuse(messages, InvalidFrame(LENGTH))
            elif length == 127:
                if size - mask_at < 8:
                    self._need = _MOST_HEAD_BYTES
                    break
                (length,) = _long_at(data, mask_at)
                mask_at += 8
                if length < 65_536 or length >> 63:
                    return self._refuse(messages, InvalidFrame(LENGTH))
            if first & 0x78:
                fault = _fault_of(first, length)
                if fault is not None:
                    return self._refuse(messages, fault)
            elif length + len(self._pieces) > self.max_message_bytes:
                return self._refuse(
                    messages, FrameTooLarge(length + len(self._pieces), self.max_message_bytes)
                )
            body_at = mask_at + 4
            end = body_at + length
            if end > size:
                self._need = end - start
                break
            body = apply_mask(data[body_at:end], data[mask_at:body_at])
            start = end
            if first >= _FINAL | CLOSE or (_WHOLE_TEXT <= first <= _WHOLE_BINARY and not self._kind):
                messages.append((first & 0xF, body))
            else:
                fault = self._gather(first, body, messages)
                if fault is not None:
                    return self._refuse(messages, fault)
        if start < size:
            if size - start >= 2 and data[start + 1] < 0x80:  # it may be all there is: nobody waits for more
                return self._refuse(messages, InvalidFrame(UNMASKED))
            rest += data[start:]
        return messages

    def _gather(self, first: int, body: bytes, messages: list[Message]) -> InvalidFrame | None:
        """One fragment of a message, or what is wrong with it."""
        kind = first & 0xF
        if kind == CONTINUATION:
            if not self._kind:
                return InvalidFrame("a WebSocket message continues that never began")
        elif kind > BINARY:
            return InvalidFrame(f"a WebSocket frame is of the unknown kind {kind}")
        elif self._kind:
            return InvalidFrame("a WebSocket message begins within another")
        else:
            self._kind = kind
        self._pieces += body
        if first & _FINAL:
            messages.append((self._kind, bytes(self._pieces)))
            self._kind = CONTINUATION
            self._pieces = bytearray()
        return None

    def _refuse(self, messages: list[Message], error: ProtocolError) -> list[Message]:
        self.error = error
        self._pieces = bytearray()
        return messages


def _fault_of(first: int, length: int) -> InvalidFrame | None:
    """What is wrong with a frame that is no plain fragment of data; None: a sound control frame."""
    if first & 0x70:
        return InvalidFrame("a WebSocket frame has reserved bits, and no extension was agreed on")
    if first & 0xF not in (CLOSE, PING, PONG):
        return InvalidFrame(f"a WebSocket frame is of the unknown kind {first & 0xF}")
    if not first & _FINAL or length > _MOST_CONTROL_BYTES:
        return InvalidFrame("a WebSocket control frame is whole and has at most 125 bytes")
    return None


def encode_message(kind: int, body: bytes) -> bytes:
    """Return `body` as one whole frame of a server, which masks nothing."""
    size = len(body)
    if size < 126:
        return _short(_FINAL | kind, size) + body
    if size < 65_536:
        return _medium(_FINAL | kind, 126, size) + body
    return _long(_FINAL | kind, 127, size) + body
