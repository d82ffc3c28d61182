"""Frames are cut out of a byte stream however it is split, and a bad length costs nothing."""

import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.gateway.errors import FrameTooLarge, InvalidFrame
from sojourn.gateway.framing import FrameDecoder, encode_frame

bodies = st.lists(st.binary(min_size=1, max_size=200), max_size=20)


def test_a_frame_is_its_length_in_four_bytes_big_endian_and_its_body() -> None:
    assert encode_frame(b"abc") == b"\x00\x00\x00\x03abc"


@given(bodies, st.data())
def test_frames_decode_alike_however_the_bytes_are_split(sent: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(encode_frame, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=30)))
    decoder = FrameDecoder(200)
    received: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += decoder.feed(stream[start:end])
    assert received == sent
    assert decoder.error is None
    assert decoder.partial_bytes == 0


@given(bodies)
def test_frames_decode_alike_byte_by_byte(sent: list[bytes]) -> None:
    decoder = FrameDecoder(200)
    stream = b"".join(map(encode_frame, sent))
    assert [body for byte in stream for body in decoder.feed(bytes([byte]))] == sent


def test_only_the_unfinished_frame_is_held() -> None:
    decoder = FrameDecoder(1000)
    assert decoder.feed(encode_frame(b"whole") + encode_frame(b"cut off")[:-2]) == [b"whole"]
    assert decoder.partial_bytes == 4 + len("cut off") - 2
    assert decoder.feed(b"ff") == [b"cut off"]
    assert decoder.partial_bytes == 0


@pytest.mark.parametrize("size", [1, 99, 100])
def test_a_body_up_to_the_limit_is_taken(size: int) -> None:
    assert FrameDecoder(100).feed(encode_frame(b"x" * size)) == [b"x" * size]


@pytest.mark.parametrize("size", [101, 65536, 2**31, 2**32 - 1])
def test_a_longer_frame_is_refused_by_its_length_alone(size: int) -> None:
    decoder = FrameDecoder(100)
    tracemalloc.start()
    assert decoder.feed(struct.pack(">I", size)) == []
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(decoder.error, FrameTooLarge)
    assert (decoder.error.code, decoder.error.size_bytes, decoder.error.limit_bytes) == (
        "frame_too_large",
        size,
        100,
    )
    assert peak_bytes < 16384


def test_an_empty_frame_is_invalid() -> None:
    decoder = FrameDecoder(100)
    assert decoder.feed(b"\x00\x00\x00\x00") == []
    assert isinstance(decoder.error, InvalidFrame)
    assert decoder.error.code == "invalid_frame"


def test_frames_before_a_bad_length_are_returned_and_nothing_behind_it() -> None:
    decoder = FrameDecoder(100)
    assert decoder.feed(encode_frame(b"good") + b"\xff\xff\xff\xff" + encode_frame(b"lost")) == [b"good"]
    assert decoder.error is not None
    assert decoder.feed(encode_frame(b"lost too")) == []
    assert decoder.partial_bytes == 0


def test_a_bad_length_that_comes_in_pieces_is_seen_with_its_last_byte() -> None:
    decoder = FrameDecoder(100)
    assert decoder.feed(b"\xff\xff\xff") == []
    assert decoder.error is None
    assert decoder.feed(b"\xff") == []
    assert decoder.error is not None


def test_the_limit_may_be_raised_between_reads() -> None:
    decoder = FrameDecoder(3)
    assert decoder.feed(encode_frame(b"abc")) == [b"abc"]
    decoder.max_frame_bytes = 4
    assert decoder.feed(encode_frame(b"abcd")) == [b"abcd"]
