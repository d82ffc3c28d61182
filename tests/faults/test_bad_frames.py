"""Frames no honest client sends: the connection ends with a word, and nobody else notices."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from tests.integration.server_process import ServerProcess
from tests.integration.wire import Map, Wire, framed, pack

MAX_FRAME_BYTES = 65_536


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server that has to outlive all of this, and to write no traceback."""
    with ServerProcess(tmp_path_factory.mktemp("bad-frames"), memory=True) as process:
        yield process
        with Wire(process.address) as wire:
            assert wire.ok("ping")
        assert process.stop() == 0
        assert not process.complaints()


@pytest.fixture(scope="module")
def witness(server: ServerProcess) -> Iterator[Wire]:
    """A connection that was there before all the bad frames and must never notice one."""
    with Wire(server.address) as wire:
        yield wire
        assert wire.ok("ping")
        assert not wire.pushes


@pytest.fixture
def wire(server: ServerProcess, witness: Wire) -> Iterator[Wire]:
    """The connection that misbehaves; afterwards another one works as before."""
    with Wire(server.address) as connection:
        yield connection
    session_id = witness.create(user={"user_id": "witness"})
    assert witness.ok("message:send", session_id=session_id, text="unharmed")["seq"] == 2
    assert not witness.pushes


def assert_ended(wire: Wire, code: str) -> None:
    """The server says what was wrong, then goodbye, then nothing more."""
    error, goodbye = wire.ended()
    assert (error["type"], error["code"]) == ("error", code)
    assert isinstance(error["message"], str)
    assert error["message"]
    assert (goodbye["type"], goodbye["code"]) == ("goodbye", "protocol_error")
    assert isinstance(goodbye["message"], str)
    assert isinstance(goodbye["reconnect"], bool)


PING = pack({"type": "ping"})

INVALID: dict[str, bytes] = {
    "a byte that msgpack never uses": b"\xc1",
    "a map that ends too early": PING[:-1],
    "a string that ends too early": b"\x81\xa4type\xdb\xff\xff\xff\xffping",
    "a map that announces 4 billion keys": b"\xdf\xff\xff\xff\xff\xa4type\xa4ping",
    "a list that announces 4 billion items": b"\x82\xa4type\xa4ping\xa4list\xdd\xff\xff\xff\xff",
    "bytes behind the map": PING + b"\x00",
    "a second map behind the map": PING + PING,
    "nil": pack(None),
    "an integer": pack(7),
    "a string": pack("ping"),
    "a list": pack(["ping"]),
    "a list of pairs": pack([["type", "ping"]]),
    "json": b'{"type": "ping"}',
    "zeros": bytes(100),
    "an integer key": pack({"type": "ping", 1: 2}),
    "a nil key": pack({"type": "ping", None: 2}),
    "a boolean key": pack({"type": "ping", True: 2}),
    "a float key": pack({"type": "ping", 1.5: 2}),
    "a binary key": pack({"type": "ping", b"key": 2}),
    "a list as a key": b"\x82\xa4type\xa4ping\x91\x01\x02",
    "a map as a key": b"\x82\xa4type\xa4ping\x80\x02",
    "an extension as a key": b"\x82\xa4type\xa4ping\xd4\x2a\x00\x02",
    "an integer key at depth": pack({"type": "ping", "a": {"b": [{"c": {1: 2}}]}}),
    "a binary key at depth": pack({"type": "ping", "a": [[[{b"c": 1}]]]}),
    "an integer key in a known place": pack({"type": "message:send", "session_id": "x", "context": {1: 2}}),
    "invalid utf-8 in a value": b"\x82\xa4type\xa4ping\xa1a\xa2\xff\xfe",
    "invalid utf-8 in a key": b"\x82\xa4type\xa4ping\xa2\xff\xfe\x01",
    "invalid utf-8 in the type": b"\x81\xa4type\xa2\xff\xfe",
    "invalid utf-8 at depth": b"\x82\xa4type\xa4ping\xa1a\x91\x81\xa1b\xa1\x80",
    "an overlong utf-8 sequence": b"\x82\xa4type\xa4ping\xa1a\xa2\xc0\x80",
    "a truncated extension": b"\x82\xa4type\xa4ping\xa1a\xc7\x10\x2a\x00",
    "a timestamp extension of five bytes": b"\x82\xa4type\xa4ping\xa1a\xc7\x05\xff12345",
    "no type": pack({"id": 1}),
    "an empty map": pack({}),
    "a nil type": pack({"type": None}),
    "an integer as the type": pack({"type": 5}),
    "a list as the type": pack({"type": ["ping"]}),
    "a map as the type": pack({"type": {"ping": 1}}),
    "binary as the type": pack({"type": b"ping"}),
}


@pytest.mark.parametrize("name", INVALID)
def test_a_frame_that_is_no_message_ends_the_connection(wire: Wire, name: str) -> None:
    wire.send_raw(framed(INVALID[name]))
    assert_ended(wire, "invalid_frame")


def test_an_empty_frame_ends_the_connection(wire: Wire) -> None:
    wire.send_raw(struct.pack(">I", 0))
    error, goodbye = wire.ended()
    assert (error["type"], goodbye["type"]) == ("error", "goodbye")
    assert error["code"] == "invalid_frame"
    assert goodbye["code"] == "protocol_error"


@pytest.mark.parametrize("length", [MAX_FRAME_BYTES + 1, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1])
def test_a_length_above_the_limit_is_refused_before_its_bytes_arrive(wire: Wire, length: int) -> None:
    wire.send_raw(struct.pack(">I", length))
    assert_ended(wire, "frame_too_large")


@pytest.mark.parametrize(
    "opening", [b"GET /", b'{"type":"ping"}\n', b"\x16\x03\x01\x02"], ids=["http", "json", "tls"]
)
def test_another_protocol_is_a_frame_too_large(wire: Wire, opening: bytes) -> None:
    wire.send_raw(opening[:4])
    assert_ended(wire, "frame_too_large")


def test_lone_surrogates_are_refused(wire: Wire) -> None:
    wire.send_raw(framed(b"\x82\xa4type\xa4ping\xa1a\xa3\xed\xa0\x80"))
    assert wire.recv()["code"] in ("invalid_frame", "invalid_payload")


def test_an_invalid_frame_that_is_dribbled_is_refused_all_the_same(wire: Wire) -> None:
    for byte in framed(b"\xc1"):
        wire.send_raw(bytes([byte]))
    assert_ended(wire, "invalid_frame")


@pytest.mark.parametrize("bad", [framed(b"\xc1"), struct.pack(">I", 0), b"\xff\xff\xff\xff"], ids=repr)
def test_what_came_before_the_bad_frame_is_answered_and_what_comes_behind_is_not(
    wire: Wire, witness: Wire, bad: bytes
) -> None:
    session_id = witness.create(attach=False)
    message: Map = {"type": "message:send", "session_id": session_id, "text": "x"}
    good = b"".join(framed(pack({**message, "id": number})) for number in range(10))
    wire.send_raw(good + bad + framed(pack({**message, "id": 99})))
    *answers, error, goodbye = wire.ended()
    assert [(answer["type"], answer["reply_to"]) for answer in answers] == [
        ("message:accepted", number) for number in range(10)
    ]
    assert error["type"] == "error"
    assert (goodbye["type"], goodbye["code"]) == ("goodbye", "protocol_error")
    assert witness.session(session_id)["seq"] == 11


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 20], ids=lambda cut: f"behind byte {cut}")
def test_a_frame_cut_by_a_disconnect_is_not_done(server: ServerProcess, witness: Wire, cut: int) -> None:
    session_id = witness.create(attach=False)
    frame = framed(pack({"type": "session:close", "session_id": session_id}))
    with Wire(server.address) as wire:
        wire.send_raw(frame[:cut])
    assert witness.session(session_id)["status"] == "active"


@pytest.mark.parametrize("cut", [1, 3, 4, 20], ids=lambda cut: f"behind byte {cut}")
def test_a_frame_cut_by_a_half_close_is_not_done(wire: Wire, witness: Wire, cut: int) -> None:
    session_id = witness.create(attach=False)
    frame = framed(pack({"type": "session:close", "session_id": session_id}))
    request_id = wire.send("ping")
    wire.send_raw(frame[:cut])
    wire.half_close()
    assert wire.reply(request_id)["type"] == "pong"
    for rest in wire.ended():
        assert rest["type"] in ("error", "goodbye")
    assert witness.session(session_id)["status"] == "active"


@pytest.mark.parametrize("level", [b"\x91", b"\x81\xa1a"], ids=["lists", "maps"])
def test_nesting_as_deep_as_a_frame_can_hold_harms_nobody(wire: Wire, level: bytes) -> None:
    head = b"\x83\xa4type\xa4ping\xa2id\x01\xa1a"
    depth = (MAX_FRAME_BYTES - len(head) - 1) // len(level)
    wire.send_raw(framed(head + level * depth + b"\xc0"))
    assert wire.recv()["type"] in ("error", "pong")


def test_a_connection_that_sends_nothing_harms_nobody(server: ServerProcess, witness: Wire) -> None:
    silent = [Wire(server.address) for _ in range(50)]
    assert witness.ok("ping")
    for wire in silent:
        wire.close()
    assert witness.ok("ping")


def test_a_connection_that_is_reset_with_answers_under_way_harms_nobody(
    server: ServerProcess, witness: Wire
) -> None:
    session_id = witness.create(attach=False)
    for _ in range(10):
        with Wire(server.address) as wire:  # closed with unread answers, the kernel resets it
            wire.send_many([("message:send", {"session_id": session_id, "text": "x"})] * 50)
    assert witness.ok("message:send", session_id=session_id, text="unharmed", attach=False)
    events = witness.history(session_id)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
