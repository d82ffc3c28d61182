"""Bytes: what was packed comes back, and an event put together from parts is the whole map packed."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.actors.packing import (
    EMPTY_MAP,
    array_header,
    map_header,
    message_hash,
    pack,
    pack_message,
    spelled_message,
    spelled_number,
    splice_event,
    string_header,
    unpack,
)
from sojourn.storage import EVENT_TYPES

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=9), inner, max_size=20),
    max_leaves=20,
)
HEAD = {"type", "session_id", "seq", "at"}
payloads = st.dictionaries(st.text(max_size=9).filter(lambda key: key not in HEAD), JSON, max_size=15)


@given(JSON)
def test_what_was_packed_comes_back(value: Any) -> None:
    assert unpack(pack(value)) == value


@given(
    st.sampled_from(list(EVENT_TYPES)),
    st.text(max_size=40),
    st.integers(1, 2**40),
    st.floats(0, 1e12),
    payloads,
)
def test_a_spliced_event_is_the_whole_map_packed(
    event: str, session_id: str, seq: int, at: float, payload: dict[str, Any]
) -> None:
    whole = {"type": event, "session_id": session_id, "seq": seq, "at": at, **payload}
    assert splice_event(event, session_id, seq, at, pack(payload)) == pack(whole)


@given(st.sampled_from(("user", "ai", "human", "system")), st.text(max_size=40), st.none() | st.text())
def test_a_plain_message_from_prepared_parts_is_the_map_packed(
    author: str, message_id: str, text: str | None
) -> None:
    payload = {
        "author": author,
        "message_id": message_id,
        "text": text,
        "attachments": None,
        "data": None,
    }
    assert pack_message(author, message_id, text) == pack(payload)
    if text is not None:
        assert spelled_message(author, message_id, text) == pack(payload)


@pytest.mark.parametrize("size", [0, 31, 32, 255, 256, 65_535, 65_536])
def test_strings_of_any_length_are_spelled_as_msgpack_does(size: int) -> None:
    long = "x" * size
    assert string_header(size) + long.encode() == pack(long)
    payload = {"author": "ai", "message_id": long, "text": long, "attachments": None, "data": None}
    assert pack_message("ai", long, long) == spelled_message("ai", long, long) == pack(payload)


@given(st.integers(-(2**63), 2**64 - 1) | st.integers(0, 2**17))
def test_a_number_is_spelled_as_msgpack_does(value: int) -> None:
    assert spelled_number(value) == pack(value)


@pytest.mark.parametrize("value", [-1, 0, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**64 - 1])
def test_a_number_at_the_edge_of_a_width_is_spelled_as_msgpack_does(value: int) -> None:
    assert spelled_number(value) == pack(value)


@pytest.mark.parametrize("form", [pack_message, spelled_message])
def test_a_lone_surrogate_is_refused(form: Callable[[str, str, str], bytes]) -> None:
    with pytest.raises(UnicodeEncodeError):
        form("user", "m-1", "\ud800")


@pytest.mark.parametrize("keys", [0, 1, 11, 12, 15])
def test_the_head_of_an_event_counts_its_keys_in_the_shortest_form(keys: int) -> None:
    payload = {str(number): number for number in range(keys)}
    event = splice_event("message:received", "s-1", 1, 0.5, pack(payload))
    assert event.startswith(map_header(keys + 4))
    assert len(unpack(event)) == keys + 4


def test_a_whole_instant_stays_a_float() -> None:
    event = splice_event("dialog:expired", "s-1", 1, 1_700_000_000, EMPTY_MAP)
    assert type(unpack(event)["at"]) is float


@pytest.mark.parametrize("count", [0, 1, 15, 16, 65_535])
def test_headers_are_those_of_msgpack(count: int) -> None:
    packer = msgpack.Packer()
    assert map_header(count) == packer.pack_map_header(count)
    assert array_header(count) == packer.pack_array_header(count)


def test_an_empty_map_is_one_byte() -> None:
    assert pack({}) == EMPTY_MAP
    assert unpack(EMPTY_MAP) == {}


def test_what_cannot_be_packed_leaves_nothing_behind() -> None:
    """One packer serves all: half a value in it would stand before the next one."""
    with pytest.raises(TypeError):
        pack(["half", object()])
    assert pack(1) == b"\x01"


def test_the_hash_of_an_id_is_the_same_for_ever() -> None:
    """It is stored in snapshots; the value is that of XXH3's reference implementation for no bytes."""
    assert message_hash("") == 0x2D06800538D394C2
    assert message_hash("m-1") != message_hash("m-2")
    assert struct.pack("<Q", message_hash("ä"))
