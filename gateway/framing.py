"""Frames on a byte stream: a 4-byte unsigned big-endian length, then that many bytes (protocol, section 1).

The length is judged before a byte of the body is kept, so an announced 4 GiB costs nothing. The common
read holds whole frames and no remainder: then each body is one slice of the read and nothing else is copied.
A body that comes in pieces is gathered in one growing buffer: dribbled bytes are not copied again and again.
"""

from struct import Struct

from mypy_extensions import i64

from sojourn.actors.packing import COMPILED

from .errors import FrameTooLarge, InvalidFrame, ProtocolError

PREFIX_BYTES = 4
_PREFIX = Struct(">I")
_length_at = _PREFIX.unpack_from
_prefix = _PREFIX.pack


class FrameDecoder:
    """Cuts a byte stream into bodies of 1 to `max_frame_bytes` bytes; the limit may change between reads."""

    __slots__ = ("_need", "_rest", "error", "max_frame_bytes")

    def __init__(self, max_frame_bytes: int) -> None:
        self.max_frame_bytes = max_frame_bytes
        self._rest = bytearray()
        self._need = PREFIX_BYTES
        self.error: ProtocolError | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """Return the bodies that `data` completes, in order.

        After a length that is not allowed `error` is set and everything that follows is ignored; the frames
        before it are still returned.
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
        bodies: list[bytes] = []
        size = len(data)
        limit = self.max_frame_bytes
        start = 0
        while size - start >= PREFIX_BYTES:
            if COMPILED:
                length = big_endian(data, start, PREFIX_BYTES)
            else:
                (length,) = _length_at(data, start)
            if not 0 < length <= limit:
                self.error = FrameTooLarge(length, limit) if length else InvalidFrame("the frame is empty")
                return bodies
            end = start + PREFIX_BYTES + length
            if end > size:
                self._need = end - start
                break
            bodies.append(data[start + PREFIX_BYTES : end])
            start = end
        else:
            self._need = PREFIX_BYTES
        if start < size:
            rest += data[start:]
        return bodies

    @property
    def partial_bytes(self) -> int:
        """How many bytes of an unfinished frame are held: 0 when the stream may end here."""
        return len(self._rest)


def encode_frame(body: bytes) -> bytes:
    """Return `body` behind its length."""
    return _prefix(len(body)) + body


def big_endian(data: bytes, at: i64, width: i64) -> i64:
    """The unsigned integer of `width` bytes at `at`, below 2**63; for the compiled build, which makes machine
    instructions of it. Raises IndexError where `data` ends before it.
    """
    value: i64 = 0
    end = at + width
    while at < end:
        value = value << 8 | data[at]
        at += 1
    return value
