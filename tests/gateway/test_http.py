"""The HTTP port itself: how its connections are made."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest
import uvloop
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from sojourn.gateway.http import HttpServer


async def is_sent_at_once(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that says whether TCP holds back what is written to its own connection."""
    connection = Request(scope).state.transport.get_extra_info("socket")
    answer = str(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0)
    await PlainTextResponse(answer)(scope, receive, send)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_no_part_of_an_answer_waits_for_the_one_before_to_be_acknowledged(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """Held back, the body of every answer behind the first came 40 ms after its head."""

    async def answer() -> bytes:
        server = HttpServer("127.0.0.1", 0, is_sent_at_once, lambda: None, 1.0)
        await server.start()
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        whole = await reader.read()
        writer.close()
        await server.stop()
        return whole

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(answer()).endswith(b"\r\n\r\nTrue")
