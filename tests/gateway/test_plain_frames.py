"""A plain message read from its bytes is what msgpack makes of them, whatever they are."""

from __future__ import annotations

import itertools
import struct
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.actors.packing import COMPILED, map_header, pack
from sojourn.gateway.checking import plain_message
from sojourn.gateway.codec import decode
from sojourn.gateway.plain_frames import read_message

Plain = tuple[int, str, str, str]

KEYS = ("type", "id", "session_id", "message_id", "text")
SEND = {"type": "message:send", "id": 7, "session_id": "s-1", "message_id": "m-1", "text": "hällo"}
BODY = pack(SEND)
# A tag, the struct format behind it, and the first value that it does not hold.
NUMBERS = [
    (0xCC, ">B", 1 << 8),
    (0xCD, ">H", 1 << 16),
    (0xCE, ">I", 1 << 32),
    (0xCF, ">Q", 1 << 63),
    (0xD0, ">b", 1 << 7),
    (0xD1, ">h", 1 << 15),
    (0xD2, ">i", 1 << 31),
    (0xD3, ">q", 1 << 63),
]
STRINGS = [(0xD9, ">B", 1 << 8), (0xDA, ">H", 1 << 16), (0xDB, ">I", 1 << 32)]

values = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(),
    st.integers(-(2**63), 2**64 - 1),
    st.sampled_from(["message:send", "ping", ""]),
    st.text(),
    st.binary(),
    st.lists(st.none(), max_size=2),
)
numbers = st.one_of(
    st.integers(0, 2**63 - 1), st.sampled_from([2**n - less for n in range(64) for less in (0, 1)])
)
numbers = numbers.filter(lambda number: number < 2**63)


def forms_of_number(value: int) -> list[bytes]:
    """Every way in which msgpack can say `value`."""
    longer = [bytes((tag,)) + struct.pack(form, value) for tag, form, end in NUMBERS if value < end]
    return [bytes((value,)), *longer] if value < 0x80 else longer


def forms_of_string(value: str) -> list[bytes]:
    encoded = value.encode()
    size = len(encoded)
    longer = [bytes((tag,)) + struct.pack(form, size) + encoded for tag, form, end in STRINGS if size < end]
    return [bytes((0xA0 | size,)) + encoded, *longer] if size < 32 else longer


def joined(pairs: list[tuple[bytes, bytes]]) -> bytes:
    return map_header(len(pairs)) + b"".join(itertools.chain(*pairs))


def unpacked(body: bytes) -> Plain | None:
    """The message in `body` as msgpack reads it."""
    try:
        frame: Any = msgpack.unpackb(body)
    except (ValueError, TypeError):
        return None
    match frame:
        case {
            "type": "message:send",
            "id": int(request_id),
            "session_id": str(session_id),
            "message_id": str(message_id),
            "text": str(text),
        } if len(frame) == len(KEYS) and type(request_id) is int and request_id >= 0:
            return request_id, session_id, message_id, text
        case _:
            return None


def is_long_winded(body: bytes) -> bool:
    """A map, a key or the type in a longer form than need be, a sixth pair, an id from 2**63."""
    words = [pack(key) for key in KEYS] + [pack("message:send")]
    message = unpacked(body)
    return body[0] != 0x85 or not all(word in body for word in words) or (message or (0,))[0] >= 2**63


def assert_read_as_msgpack_does(body: bytes) -> None:
    expected = unpacked(body)
    read = read_message(body)
    assert read == expected or (read is None and is_long_winded(body))
    assert plain_message(body) == (read if COMPILED else expected)


@given(st.permutations(KEYS), numbers, st.text(), st.text(), st.text(), st.data())
def test_a_message_is_read_in_any_order_and_any_width(
    order: list[str], request_id: int, session_id: str, message_id: str, text: str, data: st.DataObject
) -> None:
    said = {
        "type": [pack("message:send")],
        "id": forms_of_number(request_id),
        "session_id": forms_of_string(session_id),
        "message_id": forms_of_string(message_id),
        "text": forms_of_string(text),
    }
    body = joined([(pack(key), data.draw(st.sampled_from(said[key]))) for key in order])
    assert read_message(body) == (request_id, session_id, message_id, text)
    assert_read_as_msgpack_does(body)


@pytest.mark.parametrize("size", [0, 31, 32, 255, 256, 65_535, 65_536])
@pytest.mark.parametrize("key", KEYS[2:])
def test_a_string_of_any_length_is_read(key: str, size: int) -> None:
    body = pack({**SEND, key: "x" * size})
    assert read_message(body) == unpacked(body) is not None
    assert read_message(body[:-1]) is None


@pytest.mark.parametrize("behind", [b"\0" * 8, b"\xff" * 8, b"\x7f" + b"\xff" * 7])
@pytest.mark.parametrize("key", KEYS)
def test_every_first_byte_of_a_value_is_taken_as_msgpack_takes_it(key: str, behind: bytes) -> None:
    pairs = [(pack(each), pack(SEND[each])) for each in KEYS if each != key]
    for tag in range(256):
        for width in range(len(behind) + 1):
            value = bytes((tag,)) + behind[:width]
            assert_read_as_msgpack_does(joined([*pairs, (pack(key), value)]))


def test_a_message_that_ends_too_soon_or_too_late_is_not_read() -> None:
    assert read_message(BODY) == (7, "s-1", "m-1", "hällo")
    for end in range(len(BODY)):
        assert read_message(BODY[:end]) is None
        assert_read_as_msgpack_does(BODY[:end] or b"\0")
    assert read_message(BODY + b"\0") is None


@given(st.data())
def test_a_message_with_bytes_changed_is_read_as_msgpack_reads_it(data: st.DataObject) -> None:
    order = data.draw(st.permutations(KEYS))
    body = bytearray(pack({key: SEND[key] for key in order}))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 1))] = data.draw(st.binary(max_size=2))
    assert_read_as_msgpack_does(bytes(body) or b"\0")


@given(st.lists(st.tuples(st.sampled_from((*KEYS, "attach", "data")), values), max_size=7))
def test_any_pairs_are_read_as_msgpack_reads_them(pairs: list[tuple[str, Any]]) -> None:
    """Keys that are missing, unknown and there twice."""
    assert_read_as_msgpack_does(joined([(pack(key), pack(value)) for key, value in pairs]))


@given(st.fixed_dictionaries({key: st.just(SEND[key]) | values for key in KEYS}))
def test_any_values_of_the_five_keys_are_read_as_msgpack_reads_them(frame: dict[str, Any]) -> None:
    assert_read_as_msgpack_does(pack(frame))


@given(st.binary(min_size=1) | values.map(pack))
def test_what_is_no_message_is_read_as_msgpack_reads_it(body: bytes) -> None:
    assert_read_as_msgpack_does(body)


REST = BODY[1 + len(pack("type") + pack("message:send")) :]
LONG_WINDED = {
    "a map of 16 bits": b"\xde\x00\x05" + BODY[1:],
    "a key of 8 bits": b"\x85\xd9\x04type" + pack("message:send") + REST,
    "a type of 8 bits": b"\x85" + pack("type") + b"\xd9\x0cmessage:send" + REST,
    "a sixth pair": b"\x86" + pack("text") + pack("overruled") + BODY[1:],
}


@pytest.mark.parametrize("body", LONG_WINDED.values(), ids=LONG_WINDED)
def test_what_is_said_at_length_is_left_to_the_general_way(body: bytes) -> None:
    assert read_message(body) is None
    assert decode(body) == SEND
    assert_read_as_msgpack_does(body)


def test_an_id_that_no_machine_integer_holds_is_left_to_the_general_way() -> None:
    body = pack({**SEND, "id": 2**63})
    assert read_message(body) is None
    assert decode(body)["id"] == 2**63
    assert read_message(pack({**SEND, "id": 2**63 - 1})) == (2**63 - 1, "s-1", "m-1", "hällo")
