"""What ends is freed by counting references: the collector, which may not run for long, finds nothing."""

import asyncio
import gc
import socket
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest
import uvloop

from sojourn.actors import Runtime, RuntimeConfig
from sojourn.actors.testing import VirtualClock, settle
from sojourn.gateway.codec import decode, encode
from sojourn.gateway.server import Server, ServerConfig

MANY = 200

Frame = dict[str, Any]


@contextmanager
def garbage() -> Generator[Counter[str]]:
    """Types of what, of all that is made inside, only the collector would have freed."""
    found: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        found.update(type(each).__qualname__ for each in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


class Caller:
    """A client of few words, on a blocking socket."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.create_connection(address, timeout=30)
        self._file = self._socket.makefile("rb")

    def write(self, *frames: Frame) -> None:
        bodies = [encode(frame) for frame in frames]
        self._socket.sendall(b"".join(len(body).to_bytes(4, "big") + body for body in bodies))

    def read(self) -> Frame:
        """The next frame; the empty one at the end of the stream."""
        head = self._file.read(4)
        return decode(self._file.read(int.from_bytes(head, "big"))) if head else {}

    def ask(self, **frame: Any) -> Frame:
        self.write({**frame, "id": 1})
        return self.read()

    def create(self, **keys: Any) -> str:
        created = self.ask(type="session:create", **keys)
        session_id: str = created["session_id"]
        return session_id

    def hang_up(self) -> None:
        self._file.close()
        self._socket.close()


def talks_and_leaves(caller: Caller) -> None:
    session_id = caller.create()
    reply = caller.ask(type="message:send", session_id=session_id, message_id="m-1", text="hello")
    assert reply["type"] == "message:accepted"


def leaves_with_an_answer_under_way(caller: Caller) -> None:
    session_id = caller.create()
    caller.write({"type": "message:send", "id": 2, "session_id": session_id, "message_id": "m", "text": "a"})


def is_refused(caller: Caller) -> None:
    session_id = caller.create()
    for frame, code in (
        ({"type": "nonsense"}, "unknown_type"),
        ({"type": "session:close"}, "invalid_payload"),
        ({"type": "session:get", "session_id": "nobody"}, "session_not_found"),
        ({"type": "session:reopen", "session_id": session_id}, "illegal_state"),
    ):
        assert caller.ask(**frame)["code"] == code


def reads_and_ends_a_session(caller: Caller) -> None:
    session_id = caller.create(timeouts={"keep_alive": 0})
    assert caller.ask(type="session:history", session_id=session_id)["type"] == "session:events"
    caller.write({"type": "session:close", "id": 2, "session_id": session_id})
    assert {caller.read()["type"], caller.read()["type"]} == {"session:closed", "session:expired"}


def does_what_is_rare(caller: Caller) -> None:
    key = f"key {id(caller)}"
    session_id = caller.create(request_key=key)
    assert caller.create(request_key=key) == session_id
    caller.write({"type": "message:compose", "id": 2, "session_id": session_id, "action": "start"})
    caller.write({"type": "message:read", "id": 3, "session_id": session_id, "read_seq": 1})
    caller.write({"type": "session:detach", "id": 4, "session_id": session_id})
    found = {caller.read()["type"] for _ in range(3)}
    assert found == {"message:composing", "message:read", "session:detached"}


def breaks_the_protocol(caller: Caller) -> None:
    caller.create()
    caller.write({"no": "type"})
    assert [caller.read().get("type") for _ in range(3)] == ["error", "goodbye", None]


def has_a_heartbeat(caller: Caller) -> None:
    assert caller.ask(type="hello", protocol=1, heartbeat=30.0)["type"] == "welcome"


@pytest.mark.parametrize(
    "visit",
    [
        talks_and_leaves,
        leaves_with_an_answer_under_way,
        is_refused,
        reads_and_ends_a_session,
        does_what_is_rare,
        breaks_the_protocol,
        has_a_heartbeat,
    ],
    ids=lambda visit: visit.__name__,
)
def test_connections_that_come_and_go_leave_nothing_for_the_collector(
    visit: Callable[[Caller], None],
) -> None:
    clock = VirtualClock()

    def come_and_go(address: tuple[str, int], visits: int) -> None:
        for _ in range(visits):
            caller = Caller(address)
            visit(caller)
            caller.hang_up()

    async def run() -> Counter[str]:
        async with Runtime(None, clock=clock) as runtime:
            server = Server(runtime, ServerConfig(port=0, http_port=None))
            await server.start()

            async def visits(count: int) -> None:
                await asyncio.to_thread(come_and_go, server.tcp_address, count)
                while server.connections:  # noqa: ASYNC110  # it tells nobody when the last one is gone
                    await asyncio.sleep(0)
                await settle(runtime)
                await clock.advance(120.0)  # heartbeats are looked at, and forgotten

            await visits(10)  # what the first of all leave behind is for good, and no garbage
            with garbage() as found:
                await visits(MANY)
            await server.drain()
        return found

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(run()) == Counter()


class WebCaller:
    """A WebSocket client of one request, on a blocking socket: a library's would leave its own cycles."""

    def __init__(self, address: tuple[str, int], end: bytes) -> None:
        with socket.create_connection(address, timeout=30) as connection:
            file = connection.makefile("rb")
            connection.sendall(
                b"GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            while file.readline() != b"\r\n":
                pass
            body = b'{"type":"session:create","id":1}'
            connection.sendall(b"\x81" + bytes([0x80 | len(body)]) + bytes(4) + body)
            assert file.read(2)[0] == 0x81
            connection.sendall(end)


@pytest.mark.parametrize(
    "end",
    [b"\x88\x80\x00\x00\x00\x00", b"\x82\x00", b""],
    ids=["closes", "breaks the protocol", "breaks off"],
)
def test_websockets_that_come_and_go_leave_nothing_for_the_collector(end: bytes) -> None:
    def come_and_go(address: tuple[str, int], visits: int) -> None:
        for _ in range(visits):
            WebCaller(address, end)

    async def run() -> Counter[str]:
        async with Runtime(None) as runtime:
            server = Server(runtime, ServerConfig(port=0, http_port=0))
            await server.start()
            address = server.http_address
            assert address is not None

            async def visits(count: int) -> None:
                await asyncio.to_thread(come_and_go, address, count)
                while server.connections:  # noqa: ASYNC110  # it tells nobody when the last one is gone
                    await asyncio.sleep(0)
                await settle(runtime)

            await visits(10)
            with garbage() as found:
                await visits(100)
            await server.drain()
        return found

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(run())
    assert not {kind for kind, count in found.items() if count >= 100}, found


def test_sessions_that_end_leave_nothing_for_the_collector() -> None:
    clock = VirtualClock()

    async def run() -> Counter[str]:
        config = RuntimeConfig(passivate_after=60.0)
        async with Runtime(None, clock=clock, config=config) as runtime:

            async def live_and_end(count: int) -> None:
                for _ in range(count):
                    session = runtime.create(user={"user_id": "ada"}, context={"a": 1})
                    await session.send("hello", message_id="m-1")
                    await session.update_context({"b": 2})
                await clock.advance(120.0)  # they are passivated
                await clock.advance(3600.0)  # they expire

            await live_and_end(10)
            with garbage() as found:
                await live_and_end(MANY)
        return found

    assert asyncio.run(run()) == Counter()
