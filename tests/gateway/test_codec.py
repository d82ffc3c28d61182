"""What is a frame, what is a bad payload, and what comes back as it was."""

import json
import math
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.gateway.codec import (
    MAX_DEPTH,
    decode,
    decode_json,
    encode,
    encode_json,
    inspect,
    usable_id,
)
from sojourn.gateway.errors import InvalidFrame, InvalidPayload, RequestId

_packb: Any = msgpack.packb

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | text
values = st.recursive(
    scalars | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)
frames = st.dictionaries(text, values, max_size=5).map(lambda frame: {**frame, "type": "x"})


def nested(levels: int) -> dict[str, Any]:
    """A frame of so many levels, itself the first."""
    value: Any = 0
    for _ in range(levels - 1):
        value = [value]
    return {"type": "x", "id": 7, "data": value}


@given(frames)
def test_what_was_encoded_is_decoded_alike(frame: dict[str, Any]) -> None:
    decoded = decode(encode(frame))
    assert decoded == frame
    assert repr(decoded) == repr(frame)  # 1, 1.0 and True are equal, and three different things


@given(frames)
def test_json_brings_the_same_frame(frame: dict[str, Any]) -> None:
    assert repr(decode_json(encode_json(frame))) == repr(frame)
    assert repr(decode_json(encode_json(frame).encode())) == repr(frame)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_frame_or_refused(body: bytes) -> None:
    for read in (decode, decode_json):
        try:
            frame = read(body)
        except (InvalidFrame, InvalidPayload):
            continue
        assert isinstance(frame["type"], str)


keys = text | st.integers(-(2**63), 2**64 - 1)
bad_values = values | st.binary() | st.floats()


@given(st.recursive(bad_values, lambda inner: st.dictionaries(keys, inner)))
def test_inspect_judges_as_the_receiver_will(value: Any) -> None:
    frame = {"type": "x", "id": 1, "value": value}

    def verdict(judge: Any, subject: Any) -> str:
        try:
            judge(subject)
        except (InvalidFrame, InvalidPayload) as error:
            return f"{type(error).__name__} {getattr(error, 'key', '')}"
        return "taken"

    assert verdict(inspect, frame) == verdict(decode, _packb(frame))


INVALID_FRAMES = {
    "nothing": b"",
    "a byte that msgpack never uses": b"\xc1",
    "an integer": b"\x01",
    "a list": b"\x91\xa1x",
    "nil": b"\xc0",
    "half a map": b"\x82\xa4type\xa1x",
    "bytes behind the map": encode({"type": "x"}) + b"\x00",
    "two maps": encode({"type": "x"}) * 2,
    "an integer key": _packb({"type": "x", 1: 2}),
    "a binary key": _packb({"type": "x", b"k": 2}),
    "an integer key deep inside": _packb({"type": "x", "a": [{"b": {1: 2}}]}),
    "a binary key deep inside": _packb({"type": "x", "a": [{"b": {b"k": 2}}]}),
    "a nil key": _packb({"type": "x", None: 2}),
    "a list for a key": b"\x82\xa4type\xa1x\x90\x01",
    "no type": _packb({"id": 1}),
    "nil for a type": _packb({"type": None}),
    "an integer for a type": _packb({"type": 1}),
    "binary for a type": _packb({"type": b"ping"}),
    "a list for a type": _packb({"type": ["ping"]}),
    "a string that is not UTF-8": b"\x82\xa4type\xa1x\xa1k\xa2\xff\xfe",
    "a key that is not UTF-8": b"\x82\xa4type\xa1x\xa1\xff\x01",
    "a timestamp of a wrong length": b"\x82\xa4type\xa1x\xa1k\xd4\xff\x00",
    "65 levels": _packb(nested(MAX_DEPTH + 1)),
    "500 levels": _packb(nested(500)),
    "30,000 levels": b"\x82\xa4type\xa1x\xa1k" + b"\x91" * 30_000 + b"\xc0",
    "a list that claims 2**32 items": b"\x82\xa4type\xa1x\xa1k\xdd\xff\xff\xff\xff",
    "a binary key beside a binary value": _packb({"type": "x", "a": b"v", "b": {b"k": 1}}),
}


@pytest.mark.parametrize("name", INVALID_FRAMES)
def test_what_is_no_frame_is_an_invalid_frame(name: str) -> None:
    with pytest.raises(InvalidFrame) as caught:
        decode(INVALID_FRAMES[name])
    assert caught.value.code == "invalid_frame"
    assert caught.value.message


BAD_VALUES: dict[str, Any] = {
    "binary": b"x",
    "not a number": math.nan,
    "infinity": math.inf,
    "minus infinity": -math.inf,
    "an extension": msgpack.ExtType(5, b"x"),
    "a timestamp": msgpack.Timestamp(1, 0),
}


@pytest.mark.parametrize("name", BAD_VALUES)
@pytest.mark.parametrize("path", ["text", "data.a.1.b"])
def test_values_that_json_lacks_are_a_bad_payload_at_their_path(name: str, path: str) -> None:
    bad = BAD_VALUES[name]
    payload = {"text": bad} if path == "text" else {"data": {"a": [0, {"b": bad}]}}
    with pytest.raises(InvalidPayload) as caught:
        decode(_packb({"type": "x", "id": 7, **payload}))
    error = caught.value
    assert (error.code, error.key, error.reply_to) == ("invalid_payload", path, 7)
    assert error.details is not None
    assert encode(dict(error.details))


@pytest.mark.parametrize("bad_id", [b"x", -1, "x" * 65, 1.5, None])
def test_a_bad_payload_without_a_usable_id_names_none(bad_id: Any) -> None:
    with pytest.raises(InvalidPayload) as caught:
        decode(_packb({"type": "x", "id": bad_id, "text": b"x"}))
    assert caught.value.reply_to is None


def test_a_lone_surrogate_is_a_bad_payload_in_both_forms() -> None:
    packed = b"\x83\xa4type\xa1x\xa2id\x07\xa4text\xa3\xed\xa0\x80"
    for read, body in ((decode, packed), (decode_json, b'{"type":"x","id":7,"text":"\\ud800"}')):
        with pytest.raises(InvalidPayload) as caught:
            read(body)
        assert (caught.value.key, caught.value.reply_to) == ("text", 7)


def test_a_lone_surrogate_in_a_key_is_a_bad_payload_that_can_be_answered() -> None:
    with pytest.raises(InvalidPayload) as caught:
        decode_json('{"type":"x","id":7,"a":{"\\udfff":1}}')
    assert caught.value.details is not None
    assert encode(dict(caught.value.details))


def test_a_surrogate_pair_in_json_is_one_character() -> None:
    assert decode_json('{"type":"x","text":"\\ud83d\\ude42"}')["text"] == "🙂"


@pytest.mark.parametrize("levels", [2, 10, MAX_DEPTH])
def test_nesting_up_to_the_limit_is_taken(levels: int) -> None:
    assert decode(encode(nested(levels))) == nested(levels)
    assert decode_json(json.dumps(nested(levels))) == nested(levels)


INVALID_JSON: dict[str, str | bytes] = {
    "nothing": "",
    "a word": "hello",
    "a list": "[]",
    "a number": "1",
    "text behind the map": '{"type":"x"} {}',
    "no type": '{"id":1}',
    "a number for a type": '{"type":1}',
    "65 levels": json.dumps(nested(MAX_DEPTH + 1)),
    "100,000 levels": "[" * 100_000,
    "not UTF-8": b'{"type":"\xff"}',
}


@pytest.mark.parametrize("name", INVALID_JSON)
def test_what_is_no_json_frame_is_an_invalid_frame(name: str) -> None:
    with pytest.raises(InvalidFrame):
        decode_json(INVALID_JSON[name])


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "18446744073709551616", "9" * 5000]
)
def test_json_numbers_out_of_range_are_a_bad_payload(number: str) -> None:
    with pytest.raises(InvalidPayload) as caught:
        decode_json(f'{{"type":"x","id":"a","data":{number}}}')
    assert (caught.value.key, caught.value.reply_to) == ("data", "a")


@pytest.mark.parametrize("number", [0, 2**63, 2**64 - 1, -(2**63)])
def test_integers_of_64_bits_come_through_both_forms(number: int) -> None:
    frame = {"type": "x", "data": number}
    assert decode(encode(frame)) == decode_json(encode_json(frame)) == frame


@pytest.mark.parametrize("good", [0, 1, 2**64 - 1, "", "a", "x" * 64, "é" * 32])
def test_a_usable_id_is_an_unsigned_integer_or_a_short_string(good: RequestId) -> None:
    assert usable_id({"id": good}) == good


@pytest.mark.parametrize("bad", [-1, 2**64, True, False, 1.0, "x" * 65, "é" * 33, b"a", [], {}, None])
def test_other_ids_are_not_usable(bad: Any) -> None:
    assert usable_id({"id": bad}) is None


def test_a_failed_encoding_leaves_nothing_behind() -> None:
    with pytest.raises(TypeError):
        encode({"type": "x", "data": [1, object()]})
    assert encode({"type": "y"}) == _packb({"type": "y"})
