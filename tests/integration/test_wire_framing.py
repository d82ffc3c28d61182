"""Section 1: well-formed frames, however they arrive, and the values they may hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.conftest import Connect
from tests.integration.wire import Closed, Map, Wire, extension, framed, pack, timestamp

MAX_FRAME_BYTES = 65_536


def frame_of_size(frame: Map, size: int) -> bytes:
    """`frame` with a key `padding` that makes its body exactly `size` bytes."""
    room = size - len(pack({**frame, "padding": "x" * 40_000})) + 40_000
    body = pack({**frame, "padding": "x" * room})
    assert len(body) == size
    return framed(body)


def test_bytes_that_arrive_one_by_one_make_the_same_frame(user: Wire, user_id: str) -> None:
    frame = {"type": "session:create", "id": "slow", "user": {"user_id": user_id}}
    for byte in framed(pack(frame)):
        user.send_raw(bytes([byte]))
    assert user.reply("slow")["session"]["user"] == {"user_id": user_id}


def test_many_frames_in_one_write_are_all_answered(user: Wire) -> None:
    ids = user.send_many([("ping", {})] * 500)
    assert [user.reply(request_id)["type"] for request_id in ids] == ["pong"] * 500


def test_frames_cut_at_odd_places_are_put_together(user: Wire) -> None:
    stream = b"".join(framed(pack({"type": "ping", "id": number})) for number in range(1, 51))
    for start in range(0, len(stream), 7):
        user.send_raw(stream[start : start + 7])
    assert [user.reply(number)["type"] for number in range(1, 51)] == ["pong"] * 50


def test_a_frame_of_exactly_max_frame_bytes_is_taken(user: Wire) -> None:
    user.send_raw(frame_of_size({"type": "ping", "id": 1}, MAX_FRAME_BYTES))
    assert user.reply(1)["type"] == "pong"


def test_welcome_names_the_default_frame_limits(user: Wire) -> None:
    limits = user.ok("hello", protocol=1)["limits"]
    assert limits["max_frame_bytes"] == MAX_FRAME_BYTES
    assert limits["max_reply_bytes"] == 1 << 20


def test_a_client_that_half_closes_still_gets_its_answers(user: Wire, session_id: str) -> None:
    ids = user.send_many([("message:send", {"session_id": session_id, "text": "x"})] * 20 + [("ping", {})])
    user.half_close()
    assert [user.reply(request_id)["type"] for request_id in ids] == ["message:accepted"] * 20 + ["pong"]


def test_a_half_closed_connection_ends_after_its_answers(user: Wire) -> None:
    request_id = user.send("ping")
    user.half_close()
    assert user.reply(request_id)["type"] == "pong"
    with pytest.raises(Closed):
        while True:
            assert user.recv()["type"] == "goodbye"


GOOD_VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    2**63 - 1,
    -(2**63),
    2**64 - 1,
    0.1,
    -1e308,
    5e-324,
    "",
    "é漢🙂",
    "\x00\x7f",
    [],
    {},
    [None, [1, [2.5, ["three"]]]],
    {"": {"a.b": [{"c": None}]}, "ü": True},
]


@pytest.mark.parametrize("value", GOOD_VALUES, ids=repr)
def test_json_values_are_taken_and_read_back_alike(user: Wire, session_id: str, value: Any) -> None:
    user.ok("message:send", session_id=session_id, text="", data={"value": value})
    data = user.history(session_id)[-1]["data"]
    assert data == {"value": value}
    assert type(data["value"]) is type(value)


BAD_VALUES: dict[str, Any] = {
    "binary": b"bytes",
    "nan": float("nan"),
    "infinity": float("inf"),
    "minus infinity": float("-inf"),
    "extension": extension(42, b"abc"),
    "timestamp extension": timestamp(1),
}
PLACES: dict[str, Callable[[Any], Map]] = {
    "a value": lambda value: {"data": {"value": value}},
    "deep inside": lambda value: {"data": {"list": [1, {"map": [value]}]}},
    "the text": lambda value: {"text": value},
    "the context": lambda value: {"text": "", "context": {"value": value}},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("bad", BAD_VALUES)
def test_values_that_json_lacks_are_an_invalid_payload(
    user: Wire, session_id: str, bad: str, place: str
) -> None:
    error = user.refused("message:send", session_id=session_id, **PLACES[place](BAD_VALUES[bad]))
    assert error["code"] == "invalid_payload"
    assert user.session(session_id)["seq"] == 1


@pytest.mark.parametrize("depth", [10, 50, 63, 64, 65, 100, 500, 1000, 5000, 30_000])
def test_deep_nesting_is_refused_or_can_be_read_back(connect: Connect, user_id: str, depth: int) -> None:
    wire, witness = connect(), connect()
    session_id = witness.create(user={"user_id": user_id})
    # Built by hand: the packer itself refuses such depth. fixarray of one, `depth` times, around nil.
    head = pack(
        {"type": "message:send", "id": 1, "session_id": session_id, "text": "", "data": {"deep": None}}
    )
    wire.send_raw(framed(head[:-1] + b"\x91" * depth + b"\xc0"))
    try:
        answer = wire.reply(1)
    except (Closed, KeyError):
        answer = {"type": "error"}
    accepted = answer["type"] == "message:accepted"
    assert accepted or answer["type"] == "error"
    assert accepted or depth > 50, "only what is deeper than 64 levels may be refused"
    assert witness.session(session_id)["seq"] == (2 if accepted else 1)
    if accepted and depth <= 500:  # deeper than that, this client's own reader is the limit
        deep = witness.history(session_id)[-1]["data"]["deep"]
        for _ in range(depth):
            (deep,) = deep
        assert deep is None
