"""Calls to a real local web service, and to ones that are down, slow, or answer garbage."""

import asyncio
import json
from typing import Any

import pytest

from sojourn.gateway.calls import MAX_ANSWER_BYTES, CallFailed, Calls


async def post(answer: bytes | None, payload: Any = None, timeout: float = 5) -> tuple[Any, bytes]:
    """What a call to a service that answers so comes to, and what it was sent; None: it is silent."""
    heard = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line
        )
        heard.extend(head + await reader.readexactly(length))
        if answer is None:
            await reader.read()
        else:
            writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, Calls() as call:
        port = server.sockets[0].getsockname()[1]
        value = await call(f"http://127.0.0.1:{port}/orders", payload, timeout)
    return value, bytes(heard)


def http(status: str, body: bytes, more: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


def test_a_payload_is_posted_as_json_and_the_answer_read() -> None:
    value, heard = asyncio.run(post(http("200 OK", b'{"state": "sent"}'), {"id": "ä"}))
    assert value == {"state": "sent"}
    head, _, body = heard.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /orders HTTP/1.1\r\n")
    assert json.loads(body) == {"id": "ä"}


def test_an_empty_answer_is_none() -> None:
    assert asyncio.run(post(http("204 No Content", b"")))[0] is None


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (http("500 Oops", b"{}"), "answered 500"),
        (http("302 Found", b"", "Location: http://127.0.0.1:1/\r\n"), "answered 302"),
        (http("200 OK", b"<html>"), "not JSON"),
        (http("200 OK", b"[" * 100_000), "not JSON"),
        (http("200 OK", b"\xff\xfe{"), "not JSON"),
        (http("200 OK", b" " * (MAX_ANSWER_BYTES + 1)), "more than"),
        (b"garbage\r\n\r\n", "ProtocolError"),
        (b"", "ProtocolError"),
    ],
)
def test_a_service_that_answers_badly_is_a_failure_with_its_reason(answer: bytes, why: str) -> None:
    with pytest.raises(CallFailed, match=why):
        asyncio.run(post(answer))


def test_a_silent_service_is_given_up() -> None:
    with pytest.raises(CallFailed, match="ReadTimeout"):
        asyncio.run(post(None, timeout=0.05))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://", "http://a b/"])
def test_a_service_that_cannot_be_reached_is_a_failure(url: str) -> None:
    async def call() -> None:
        async with Calls() as calls:
            await calls(url, None, 1)

    with pytest.raises(CallFailed):
        asyncio.run(call())
