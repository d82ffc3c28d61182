"""Heartbeats over WebSocket, on a clock that is moved by hand: the server asks, the browser answers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.frames import Opcode

from sojourn.actors import Runtime
from sojourn.actors.testing import VirtualClock
from sojourn.gateway.server import Server, ServerConfig

HEARTBEAT = 10.0


async def hello(client: ClientConnection) -> Any:
    await client.send(json.dumps({"type": "hello", "id": 1, "protocol": 1, "heartbeat": HEARTBEAT}))
    return json.loads(await client.recv())


def test_a_page_that_sleeps_is_kept_as_long_as_its_browser_answers_pings() -> None:
    async def run() -> None:
        clock = VirtualClock()
        async with Runtime(None, clock=clock) as runtime:
            server = Server(runtime, ServerConfig(port=0, http_port=0))
            await server.start()
            assert server.http_address is not None
            async with connect("ws://{}:{}/v1/ws".format(*server.http_address)) as client:
                assert (await hello(client))["heartbeat"] == HEARTBEAT
                (connection,) = server.connections
                for _ in range(5):  # the library answers pings by itself
                    await clock.advance(HEARTBEAT)
                    while connection.peer.heard_at < clock.now():  # noqa: ASYNC110  # a socket is between
                        await asyncio.sleep(0)
                assert not connection.peer.ended
                await client.send(json.dumps({"type": "ping", "id": 2}))
                assert json.loads(await client.recv())["type"] == "pong"
            await server.drain()

    asyncio.run(run())


def test_a_client_that_answers_nothing_is_told_goodbye_after_two_heartbeats() -> None:
    async def run() -> None:
        clock = VirtualClock()
        async with Runtime(None, clock=clock) as runtime:
            server = Server(runtime, ServerConfig(port=0, http_port=0))
            await server.start()
            assert server.http_address is not None
            async with connect("ws://{}:{}/v1/ws".format(*server.http_address)) as client:
                await hello(client)
                _keep_pongs_back(client)
                await clock.advance(2 * HEARTBEAT)
                goodbye = json.loads(await client.recv())
                assert (goodbye["type"], goodbye["code"]) == ("goodbye", "heartbeat_timeout")
                await client.wait_closed()
                assert client.close_code == 1008
            await server.drain()

    asyncio.run(run())


def _keep_pongs_back(client: ClientConnection) -> None:
    """As a machine that sleeps: the library's own pongs stay where they are."""
    send_frame = client.protocol.send_frame

    def send(frame: Any) -> None:
        if frame.opcode is not Opcode.PONG:
            send_frame(frame)

    client.protocol.send_frame = send  # type: ignore[method-assign]
