"""The frames that pass the library by are read and written as it would, whatever comes between them."""

from __future__ import annotations

import asyncio
import struct
from http import HTTPStatus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from sojourn.gateway.connection import Connection
from sojourn.gateway.peer import Peer
from sojourn.gateway.websocket import WebSocketConnection
from sojourn.gateway.websocket_frames import BINARY, TEXT, header, whole_message

LIMIT = 300
REQUEST = (
    b"GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def frame(head: int, payload: bytes, mask: bytes | None = b"\x01\x02\x03\x04", form: int = 0) -> bytes:
    """A client's frame; `form` is the least length field to use (126, 127): it may be longer than need be."""
    size = len(payload)
    bit = 0 if mask is None else 0x80
    if size < 126 > form:
        start = struct.pack(">BB", head, bit | size)
    elif form < 127 and size < 1 << 16:
        start = struct.pack(">BBH", head, bit | 126, size)
    else:
        start = struct.pack(">BBQ", head, bit | 127, size)
    if mask is None:
        return start + payload
    return start + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


BODIES = st.one_of(
    st.sampled_from([b'{"type":"ping","id":1}', b"", b"{", b'{"n": NaN}', b"\x03\xe8", b"a" * 126]),
    st.binary(max_size=40),
    st.sampled_from([125, 127, LIMIT, LIMIT + 1]).map(bytes),
)
HEADS = st.one_of(
    st.sampled_from([0x81, 0x82]),  # whole messages
    # Whole, then fragments, a close, a ping, a pong; then what is against the rules: a fragmented ping,
    # reserved bits, kinds that do not exist.
    st.sampled_from(
        [0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x88, 0x89, 0x8A, 0x09, 0xC2, 0xA1, 0x92, 0x83, 0x8F]
    ),
)
MASKS = st.one_of(st.binary(min_size=4, max_size=4), st.sampled_from([b"\0\0\0\0", None]))
FRAMES = st.builds(frame, HEADS, BODIES, MASKS, st.sampled_from([0, 0, 0, 126, 127]))


class MemoryTransport(asyncio.Transport):
    """Keeps what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_protocol(self) -> asyncio.BaseProtocol:
        return asyncio.Protocol()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...


class Recorder:
    """A host that keeps each body it is handed."""

    max_frame_bytes = LIMIT
    max_output_bytes = 1 << 20

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.dirty: list[Connection] = []

    def refusal(self, request: Request) -> tuple[HTTPStatus, str, str] | None:
        return None

    def accept(self, transport: Connection) -> Peer:
        return Peer(transport, 1, lambda peer: None, lambda session_id: None)

    def admit(self, peer: Peer) -> None: ...

    def receive(self, peer: Peer, body: bytes, now: float) -> None:
        self.bodies.append(body)

    def now(self) -> float:
        return 1.0

    def after_read(self) -> None:
        while self.dirty:
            self.dirty.pop().flush()

    def flush_soon(self, connection: Connection) -> None:
        self.dirty.append(connection)

    def lost(self, connection: Connection) -> None: ...


def heard(reads: list[bytes], *, by_library: bool = False) -> tuple[list[bytes], bytes, bool]:
    """The bodies that a connection takes from these reads, what it writes, and whether it ends.

    `by_library`: with nothing that passes it by.
    """

    async def run() -> tuple[list[bytes], bytes, bool]:
        host = Recorder()
        transport = MemoryTransport()
        connection = WebSocketConnection(host)
        connection.connection_made(transport)
        connection.data_received(REQUEST)
        transport.written.clear()
        for read in reads:
            if by_library:
                setattr(connection, "_between_messages", False)  # noqa: B010  # nobody else needs it
            connection.data_received(read)
        ended = transport.closed
        host.after_read()
        connection.connection_lost(None)
        return host.bodies, bytes(transport.written), ended

    with asyncio.Runner() as runner:
        return runner.run(run())


@settings(max_examples=100, deadline=None)
@given(st.lists(FRAMES, max_size=8), st.data())
def test_reads_are_taken_as_the_library_takes_them(frames: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(frames)
    ends = {sum(map(len, frames[:i])) for i in range(len(frames))}
    ends -= data.draw(st.sets(st.sampled_from(sorted(ends))) if ends else st.just(set[int]()))
    cuts = sorted(ends | data.draw(st.sets(st.integers(0, len(stream)), max_size=3)))
    reads = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True) if a < b]
    assert heard(reads) == heard(reads, by_library=True)


@given(FRAMES, st.sampled_from([0, 125, 126, LIMIT]))
@example(frame(0x82, bytes(1 << 16)), 1 << 20)  # with the longest length field
@example(frame(0x82, bytes(127), form=126)[:-1], LIMIT)  # a byte is missing
@example(frame(0x82, bytes(127)) + b"\x82", LIMIT)  # one too many
@example(b"\x82\xff" + bytes(131), LIMIT)  # as long as its first byte of length would say
@example(b"\x82\xfe\x00\x01\x00\x00", LIMIT)  # ends within its mask
def test_what_passes_the_library_by_is_what_it_would_read(data: bytes, limit: int) -> None:
    library = ServerProtocol(state=OPEN, max_size=limit)
    library.receive_data(data)
    events = library.events_received()
    message = whole_message(data, limit)
    whole = len(events) == 1 and isinstance(events[0], Frame) and events[0].opcode in (TEXT, BINARY)
    whole = whole and events[0].fin and not library.reader.buffer and library.parser_exc is None  # type: ignore[union-attr]
    if message is not None:
        assert whole
        assert message == (events[0].opcode, events[0].data)  # type: ignore[union-attr]
    else:
        assert not whole or data[1] == 0xFF, "only the longest length field is left to the library"


@pytest.mark.parametrize("cut", [2, 6])
def test_a_body_that_looks_like_a_frame_is_a_body(cut: int) -> None:
    """The first read ends after the length, or after the mask; the library has taken all of it."""
    inner = frame(0x82, b"inside")
    mask, rest = (inner[:4], inner[4:]) if cut == 2 else (bytes(4), inner)
    stream = struct.pack(">BB", 0x82, 0x80 | len(rest)) + mask + rest
    body = bytes(byte ^ mask[i % 4] for i, byte in enumerate(rest))
    assert stream[cut:] == inner
    assert heard([stream[:cut], stream[cut:]]) == ([body], b"", False)


def test_a_whole_message_among_fragments_ends_the_connection() -> None:
    bodies, written, _ended = heard([frame(0x02, b"begun"), frame(0x82, b"other")])
    assert bodies == []
    assert b"invalid_frame" in written
    assert b"protocol_error" in written
    assert b"\x03\xeaexpected a continuation frame" in written


@pytest.mark.parametrize("kind", [TEXT, BINARY])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536])
def test_a_frame_goes_out_as_the_library_would_write_it(kind: Opcode, size: int) -> None:
    assert header(kind, size) + bytes(size) == Frame(kind, bytes(size)).serialize(mask=False)
