"""Messages survive every way of cutting a stream, and the library that everybody uses reads them alike."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from sojourn.gateway.errors import FrameTooLarge, InvalidFrame
from sojourn.gateway.websocket_frames import BINARY, PING, TEXT, Message, MessageDecoder, encode_message

LIMIT = 300

bodies = st.one_of(st.binary(max_size=20), st.binary(min_size=120, max_size=LIMIT))
controls = st.builds(
    Frame, st.sampled_from([Opcode.PING, Opcode.PONG]), st.binary(max_size=125), st.just(value=True)
)


@st.composite
def fragmented(draw: st.DrawFn) -> list[Frame]:
    """One message in pieces, control frames between them."""
    body = draw(bodies)
    cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=3)))
    pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    kind = draw(st.sampled_from([Opcode.TEXT, Opcode.BINARY]))
    frames: list[Frame] = []
    for index, piece in enumerate(pieces):
        frames.append(Frame(Opcode.CONT if index else kind, piece, fin=index == len(pieces) - 1))
        if index < len(pieces) - 1:
            frames += draw(st.lists(controls, max_size=1))
    return frames


streams = st.lists(st.one_of(fragmented(), controls.map(lambda frame: [frame])), max_size=6).map(
    lambda groups: [frame for group in groups for frame in group]
)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """`data` in pieces of those sizes, the last one as long as it takes."""
    pieces: list[bytes] = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [piece for piece in [*pieces, data] if piece]


def told_by_the_library(data: bytes) -> tuple[list[Message], bool]:
    """The messages in `data`, and whether it ends in a fault."""
    protocol = ServerProtocol(state=OPEN, max_size=LIMIT)
    protocol.receive_data(data)
    messages: list[Message] = []
    kind, gathered = 0, b""
    for event in protocol.events_received():
        frame = cast("Frame", event)
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            kind, gathered = frame.opcode or kind, gathered + bytes(frame.data)
            if frame.fin:
                messages.append((int(kind), gathered))
                gathered = b""
        else:
            messages.append((int(frame.opcode), bytes(frame.data)))
    return messages, protocol.parser_exc is not None


@given(frames=streams, sizes=st.lists(st.integers(1, 40), max_size=40))
def test_messages_are_the_same_however_the_bytes_are_cut(frames: list[Frame], sizes: list[int]) -> None:
    data = b"".join(frame.serialize(mask=True) for frame in frames)
    decoder = MessageDecoder(LIMIT)
    messages = [message for piece in cut(data, sizes) for message in decoder.feed(piece)]
    assert decoder.error is None
    assert (messages, False) == told_by_the_library(data)


@given(
    frames=streams,
    noise=st.binary(min_size=1, max_size=30),
    sizes=st.lists(st.integers(1, 40), max_size=10),
)
def test_noise_is_a_fault_where_the_library_finds_one(
    frames: list[Frame], noise: bytes, sizes: list[int]
) -> None:
    data = b"".join(frame.serialize(mask=True) for frame in frames) + noise
    decoder = MessageDecoder(LIMIT)
    messages = [message for piece in cut(data, sizes) for message in decoder.feed(piece)]
    library, faulty = told_by_the_library(data)
    if Opcode.CLOSE in [kind for kind, _ in messages]:
        return  # what follows a close frame, and what it may say, is the connection's matter
    if decoder.error is None:
        assert messages == library
        if faulty:  # the library judges a head that is not yet complete
            decoder.feed(bytes(14))
            assert decoder.error is not None
    else:
        assert messages == library[: len(messages)]


@given(
    body=st.one_of(bodies, st.binary(min_size=65_500, max_size=65_600)),
    kind=st.sampled_from([TEXT, BINARY]),
)
def test_what_is_sent_is_what_the_library_would_send(body: bytes, kind: int) -> None:
    assert encode_message(kind, body) == Frame(Opcode(kind), body).serialize(mask=False)


def test_whole_messages_leave_no_remainder() -> None:
    decoder = MessageDecoder(LIMIT)
    data = b"".join(
        Frame(opcode, body).serialize(mask=True)
        for opcode, body in ((Opcode.BINARY, b"a"), (Opcode.PING, b""), (Opcode.TEXT, b"{}"))
    )
    assert decoder.feed(data) == [(BINARY, b"a"), (PING, b""), (TEXT, b"{}")]


@pytest.mark.parametrize("size", [LIMIT + 1, 65_536, 1 << 40, (1 << 63) - 1])
def test_a_length_above_the_limit_is_refused_with_its_head(size: int) -> None:
    decoder = MessageDecoder(LIMIT)
    head = b"\x82\xfe" + size.to_bytes(2) + bytes(2) if size < 65_536 else b"\x82\xff" + size.to_bytes(8)
    assert decoder.feed(head) == []
    assert isinstance(decoder.error, FrameTooLarge)


def test_fragments_of_nothing_take_no_room() -> None:
    decoder = MessageDecoder(LIMIT)
    first = Frame(Opcode.TEXT, b"", fin=False).serialize(mask=True)
    more = Frame(Opcode.CONT, b"", fin=False).serialize(mask=True)
    assert decoder.feed(first + more * 10_000) == []
    assert decoder.feed(Frame(Opcode.CONT, b"{}").serialize(mask=True)) == [(TEXT, b"{}")]


def test_nothing_is_taken_behind_a_fault() -> None:
    decoder = MessageDecoder(LIMIT)
    good = Frame(Opcode.BINARY, b"good").serialize(mask=True)
    assert decoder.feed(good + b"\x82\x00" + good) == [(BINARY, b"good")]
    assert isinstance(decoder.error, InvalidFrame)
    assert decoder.feed(good) == []
