"""What only the WebSocket door has: who comes in, kinds of messages, frames, pings, close codes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.frames import Frame, Opcode

from tests.integration.server_process import ServerProcess
from tests.integration.web_wire import Kind, Upgrade, WebWire
from tests.integration.wire import Closed, Wire, framed, pack

MAX_FRAME_BYTES = 65_536
PING = pack({"type": "ping", "id": 1})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server that has to outlive all of this, and to write no traceback."""
    folder = tmp_path_factory.mktemp("websocket")
    options = ("--http-port", "0")
    environment = {
        "SOJOURN_ALLOWED_ORIGINS": "https://chat.example.org",
        "SOJOURN_ALLOWED_HOSTS": "chat.example.org",
    }
    with ServerProcess(folder, *options, memory=True, environment=environment) as process:
        yield process
        with WebWire(process.http_address) as wire:
            assert wire.ok("ping")
        assert process.stop() == 0
        assert not process.complaints()


@pytest.fixture(params=["json", "msgpack"])
def wire(request: pytest.FixtureRequest, server: ServerProcess) -> Iterator[WebWire]:
    """A connection that uses one kind of messages."""
    kind: Kind = request.param
    with WebWire(server.http_address, kind) as connection:
        yield connection


def assert_ended(wire: WebWire, code: str, close_code: int) -> None:
    """The server says what was wrong, then goodbye, then closes with that code."""
    error, goodbye = wire.ended()
    assert (error["type"], error["code"]) == ("error", code)
    assert (goodbye["type"], goodbye["code"]) == ("goodbye", "protocol_error")
    assert wire.close_code == close_code


# -- who comes in ----------------------------------------------------------------------------------


def test_a_program_comes_in_without_an_origin(server: ServerProcess) -> None:
    with WebWire(server.http_address) as wire:
        assert wire.ok("ping")


@pytest.mark.parametrize("origin", ["http://{here}", "https://{here}", "https://chat.example.org"])
def test_pages_of_this_server_and_of_allowed_sites_come_in(server: ServerProcess, origin: str) -> None:
    here = "{}:{}".format(*server.http_address)
    with WebWire(server.http_address, headers={"Origin": origin.format(here=here)}) as wire:
        assert wire.ok("ping")


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
        "null",
        "https://chat.example.org.evil.example",
        "https://chat.example.org:444",
        "http://chat.example.org",
        "file://",
        "",
        "chat.example.org",
    ],
)
def test_pages_of_other_sites_do_not_come_in(server: ServerProcess, origin: str) -> None:
    with pytest.raises(Upgrade) as refused:
        WebWire(server.http_address, headers={"Origin": origin})
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:80", "LOCALHOST:1", "chat.example.org", "[::1]:7412"]
)
def test_a_name_of_this_server_is_let_in(server: ServerProcess, host: str) -> None:
    with WebWire(server.http_address, headers={"Host": host}) as wire:
        assert wire.ok("ping")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7412", "127.0.0.1.evil.example", "a@localhost"]
)
def test_a_name_that_was_bound_to_this_address_is_not_let_in(server: ServerProcess, host: str) -> None:
    with pytest.raises(Upgrade) as refused:
        WebWire(server.http_address, headers={"Host": host})
    assert refused.value.response.status_code in (400, 403)


@pytest.mark.parametrize(
    ("headers", "path", "status"),
    [
        ({}, "/v1/other", 404),
        ({}, "/", 404),
        ({"Sec-WebSocket-Version": "12"}, "/v1/ws", 400),
        ({"Sec-WebSocket-Key": "short"}, "/v1/ws", 400),
        ({"Sec-WebSocket-Protocol": "graphql-ws"}, "/v1/ws", 400),
    ],
    ids=["path", "root", "version", "key", "sub-protocol"],
)
def test_a_handshake_that_is_not_ours_is_refused(
    server: ServerProcess, headers: dict[str, str], path: str, status: int
) -> None:
    with pytest.raises(Upgrade) as refused:
        WebWire(server.http_address, headers=headers, path=path)
    assert refused.value.response.status_code == status


def test_compression_is_not_agreed_on(server: ServerProcess) -> None:
    headers = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
    with WebWire(server.http_address, headers=headers) as wire:
        assert "Sec-WebSocket-Extensions" not in wire.response.headers


# -- kinds of messages -----------------------------------------------------------------------------


def test_the_server_answers_in_the_kind_that_was_used_last(server: ServerProcess) -> None:
    with WebWire(server.http_address) as wire:
        kinds: list[Kind] = ["json", "msgpack", "msgpack", "json"]
        for kind in kinds:
            wire.kind = kind
            assert wire.ok("ping")["type"] == "pong"
            assert wire.received_kind == kind


@pytest.mark.parametrize("kind", ["json", "msgpack"])
def test_a_push_comes_in_the_kind_that_was_used_last(server: ServerProcess, kind: Kind) -> None:
    with WebWire(server.http_address, kind) as listener, server.connect() as writer:
        session_id = writer.create()
        listener.ok("session:resume", session_id=session_id)
        writer.ok("message:send", session_id=session_id, text="é\u2028\U0001f600", data={"n": 2**63})
        event = listener.push("message:received")
        assert (event["text"], event["data"]) == ("é\u2028\U0001f600", {"n": 2**63})
        assert listener.received_kind == kind


@pytest.mark.parametrize(("kind", "other"), [("json", "msgpack"), ("msgpack", "json")])
def test_a_sub_protocol_fixes_the_kind(server: ServerProcess, kind: Kind, other: Kind) -> None:
    with WebWire(server.http_address, kind, subprotocol=f"sojourn.v1.{kind}") as wire:
        assert wire.response.headers["Sec-WebSocket-Protocol"] == f"sojourn.v1.{kind}"
        assert wire.ok("ping")
        wire.kind = other
        wire.send("ping")
        assert_ended(wire, "invalid_frame", 1003)
        assert wire.received_kind == kind


def test_a_client_that_said_nothing_yet_is_told_in_json(tmp_path: Path) -> None:
    with (
        ServerProcess(tmp_path, "--http-port", "0", memory=True) as server,
        WebWire(server.http_address) as wire,
    ):
        server.signal(signal.SIGTERM)
        (goodbye,) = wire.ended()
        assert (goodbye["type"], goodbye["code"]) == ("goodbye", "draining")
        assert wire.received_kind == "json"
        assert wire.close_code == 1001


# -- frames ----------------------------------------------------------------------------------------

NO_MESSAGES: dict[str, tuple[Opcode, bytes]] = {
    "empty text": (Opcode.TEXT, b""),
    "empty binary": (Opcode.BINARY, b""),
    "a list": (Opcode.TEXT, b"[]"),
    "a string": (Opcode.TEXT, b'"ping"'),
    "null": (Opcode.TEXT, b"null"),
    "half an object": (Opcode.TEXT, b'{"type":"ping"'),
    "two objects": (Opcode.TEXT, b'{"type":"ping"}{"type":"ping"}'),
    "a comment": (Opcode.TEXT, b'{"type":"ping"} // hello'),
    "single quotes": (Opcode.TEXT, b"{'type':'ping'}"),
    "no type": (Opcode.TEXT, b"{}"),
    "a type that is no string": (Opcode.TEXT, b'{"type":1}'),
    "invalid utf-8": (Opcode.TEXT, b'{"type":"ping","a":"\xff\xfe"}'),
    "a byte order mark": (Opcode.TEXT, b'\xef\xbb\xbf{"type":"ping"}'),
    "msgpack as text": (Opcode.TEXT, PING),
    "json as binary": (Opcode.BINARY, b'{"type":"ping"}'),
    "a frame of tcp": (Opcode.BINARY, framed(PING)),
    "nesting as deep as fits": (Opcode.TEXT, b'{"type":"ping","a":' + b"[" * 30_000 + b"]" * 30_000 + b"}"),
    "deep nesting in a value": (Opcode.TEXT, b'{"type":"ping","a":' + b'{"a":' * 100 + b"1" + b"}" * 101),
}


@pytest.mark.parametrize("name", NO_MESSAGES)
def test_a_message_that_is_no_map_ends_the_connection(server: ServerProcess, name: str) -> None:
    with WebWire(server.http_address) as wire:
        wire.send_message(*NO_MESSAGES[name])
        assert_ended(wire, "invalid_frame", 1007)


@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "-Infinity", "1e999", "18446744073709551616", "1" * 5000, '"\\ud800"']
)
def test_a_value_that_the_wire_does_not_have_is_refused_and_the_connection_lives_on(
    server: ServerProcess, value: str
) -> None:
    with WebWire(server.http_address) as wire:
        wire.send_message(Opcode.TEXT, f'{{"type":"ping","id":7,"a":{value}}}'.encode())
        error = wire.reply(7)
        assert (error["type"], error["code"]) == ("error", "invalid_payload")
        assert wire.ok("ping")


BAD_FRAMES: dict[str, bytes] = {
    "not masked": b"\x82\x05hello",
    "an empty frame that is not masked": b"\x82\x00",
    "a ping that is not masked": b"\x89\x00",
    "reserved bit 1, as compression sets it": b"\xc2\x81\x00\x00\x00\x00x",
    "reserved bit 2": b"\xa2\x81\x00\x00\x00\x00x",
    "reserved bit 3": b"\x92\x81\x00\x00\x00\x00x",
    "an unknown kind of data": b"\x83\x81\x00\x00\x00\x00x",
    "an unknown kind of control": b"\x8b\x80\x00\x00\x00\x00",
    "a ping in pieces": b"\x09\x80\x00\x00\x00\x00",
    "a ping of 126 bytes": b"\x89\xfe\x00\x7e\x00\x00\x00\x00" + b"x" * 126,
    "a continuation of nothing": b"\x80\x81\x00\x00\x00\x00x",
    "a message within another": b"\x02\x81\x00\x00\x00\x00x\x82\x81\x00\x00\x00\x00x",
    "http": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_a_frame_against_the_rules_ends_the_connection(wire: WebWire, name: str) -> None:
    wire.ok("ping")
    wire.send_raw(BAD_FRAMES[name])
    assert_ended(wire, "invalid_frame", 1002)


def test_what_came_before_the_bad_frame_is_answered(server: ServerProcess) -> None:
    with WebWire(server.http_address, "msgpack") as wire:
        session_id = wire.create(attach=False)
        message = {"type": "message:send", "session_id": session_id, "text": "x"}
        good = b"".join(wire.encoded({**message, "id": 100 + number}) for number in range(10))
        wire.send_raw(good + BAD_FRAMES["not masked"] + wire.encoded({**message, "id": 999}))
        *answers, error, goodbye = wire.ended()
        assert [(answer["type"], answer["reply_to"]) for answer in answers] == [
            ("message:accepted", 100 + number) for number in range(10)
        ]
        assert (error["type"], goodbye["type"], wire.close_code) == ("error", "goodbye", 1002)


@pytest.mark.parametrize(
    "head",
    [b"\x82\xff\x00\x00\x00\x00\x00\x01\x00\x01", b"\x81\xff" + b"\x7f" * 8, b"\x82\xff" + b"\xff" * 8],
    ids=["a byte too long", "64 bits", "negative"],
)
def test_a_length_above_the_limit_is_refused_before_its_bytes_arrive(wire: WebWire, head: bytes) -> None:
    wire.ok("ping")
    wire.send_raw(head)
    assert_ended(wire, "frame_too_large", 1009)


def test_words_reach_a_client_that_goes_on_writing(wire: WebWire) -> None:
    wire.send_message(Opcode.BINARY, b"x" * (MAX_FRAME_BYTES * 8))
    assert_ended(wire, "frame_too_large", 1009)


def test_fragments_count_together(wire: WebWire) -> None:
    wire.send_frame(Frame(Opcode.BINARY, b"x" * 40_000, fin=False))
    wire.send_frame(Frame(Opcode.CONT, b"x" * 40_000, fin=True))
    assert_ended(wire, "frame_too_large", 1009)


def test_a_message_of_exactly_max_frame_bytes_is_taken_in_one_piece_and_in_many(wire: WebWire) -> None:
    body = b'{"type":"ping","id":1,"a":"' + b"x" * (MAX_FRAME_BYTES - 29) + b'"}'
    assert len(body) == MAX_FRAME_BYTES
    wire.send_message(Opcode.TEXT, body)
    assert wire.reply(1)["type"] == "pong"
    wire.send_frame(Frame(Opcode.TEXT, body[:1], fin=False))
    for start in range(1, len(body), 1000):
        wire.send_frame(Frame(Opcode.PING, b"between"))
        wire.send_frame(Frame(Opcode.CONT, body[start : start + 1000], fin=False))
    wire.send_frame(Frame(Opcode.CONT, b"", fin=True))
    assert wire.reply(1)["type"] == "pong"
    assert wire.pongs == [b"between"] * 66


def test_a_character_may_be_cut_by_fragments(server: ServerProcess) -> None:
    with WebWire(server.http_address) as wire:
        body = '{"type":"ping","id":1,"a":"é"}'.encode()
        cut = body.index("é".encode()) + 1
        wire.send_frame(Frame(Opcode.TEXT, body[:cut], fin=False))
        wire.send_frame(Frame(Opcode.CONT, body[cut:], fin=True))
        assert wire.reply(1)["type"] == "pong"


def test_bytes_that_arrive_one_by_one_make_the_same_message(wire: WebWire) -> None:
    for byte in wire.encoded({"type": "ping", "id": "slow", "padding": "x" * 200}):
        wire.send_raw(bytes([byte]))
    assert wire.reply("slow")["type"] == "pong"


# -- the end ---------------------------------------------------------------------------------------


def test_a_client_that_closes_is_answered_in_kind(wire: WebWire) -> None:
    wire.ok("ping")
    wire.half_close()
    with pytest.raises(Closed):
        wire.recv()
    assert wire.close_code == 1000


@pytest.mark.parametrize(
    ("body", "close_code"),
    [(b"\x03", 1002), (b"\x00\x00", 1002), (b"\x03\xe8\xff\xff", 1007)],
    ids=["short", "code", "utf-8"],
)
def test_a_close_frame_against_the_rules_ends_the_connection(
    wire: WebWire, body: bytes, close_code: int
) -> None:
    wire.send_frame(Frame(Opcode.CLOSE, body))
    assert_ended(wire, "invalid_frame", close_code)


def test_what_was_asked_before_the_close_is_done(server: ServerProcess) -> None:
    with server.connect() as witness:
        session_id = witness.create(attach=False)
        with WebWire(server.http_address) as wire:
            wire.send_many([("message:send", {"session_id": session_id, "text": "x"})] * 20)
            wire.half_close()
            with pytest.raises(Closed):
                while True:
                    wire.recv()
        while witness.session(session_id)["seq"] < 21:
            pass
        assert len(witness.history(session_id)) == 21


def test_connections_of_both_kinds_count_together(tmp_path: Path) -> None:
    environment = {"SOJOURN_MAX_CONNECTIONS": "2"}
    with (
        ServerProcess(tmp_path, "--http-port", "0", memory=True, environment=environment) as server,
        Wire(server.address) as first,
        WebWire(server.http_address) as second,
    ):
        assert first.ok("ping")
        assert second.ok("ping")
        with WebWire(server.http_address) as third:
            (goodbye,) = third.ended()
            assert (goodbye["code"], goodbye["reconnect"]) == ("too_many_connections", True)
            assert third.close_code == 1013
        with Wire(server.address) as fourth:
            (goodbye,) = fourth.ended()
            assert goodbye["code"] == "too_many_connections"
        assert second.ok("ping")


def test_a_reader_that_stops_reading_is_let_go(tmp_path: Path) -> None:
    with (
        ServerProcess(tmp_path, "--http-port", "0", memory=True) as server,
        server.connect() as writer,
        WebWire(server.http_address, receive_buffer=4096) as sleeper,
    ):
        session_id = writer.create()
        sleeper.ok("session:resume", session_id=session_id)
        for _ in range(400):  # 24 MB: more than the server's bound and the sockets' buffers hold together
            writer.ok("message:send", session_id=session_id, text="x" * 60_000)
        frames = sleeper.ended(timeout=15)
        goodbyes = [frame["code"] for frame in frames if frame["type"] == "goodbye"]
        assert goodbyes in ([], ["slow_consumer"])
        heard = [frame["seq"] for frame in frames if frame["type"] == "message:received"]
        assert len(heard) < 400
        assert heard == list(range(2, len(heard) + 2)), "what did arrive has no gap"
        assert writer.ok("ping")
