"""Server-sent events: frames as events of a browser's `EventSource`.

An event's `id` is its `seq`, so a reader that comes back says how far it was in `Last-Event-ID`; what is not
stored (typing, pieces of an answer, a goodbye) has none.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from sojourn.gateway.codec import encode_json, unpackb

Frame = dict[str, Any]

HEARTBEAT: Final = 15.0
"""Seconds of silence after which a comment keeps a stream open."""
RETRY: Final = 1000
"""Milliseconds until a reader comes back whose stream ended."""
_PING: Final = b":\n\n"


def event_of(frame: Frame) -> bytes:
    """A frame as an event: of its type, under its `seq`."""
    seq = frame.get("seq")
    return told(encode_json(frame), frame["type"], seq)


class Pushed(NamedTuple):
    """A frame that was pushed, as the readers of its session get it."""

    type: str
    seq: int | None
    event: bytes


@lru_cache(maxsize=64)
def pushed(body: bytes) -> Pushed:
    """What a frame's body is as an event: made once for all its readers, who come one after another."""
    frame: Frame = unpackb(body)
    return Pushed(frame["type"], frame.get("seq"), event_of(frame))


def told(text: str, name: str | None = None, seq: int | None = None) -> bytes:
    """An event with this text, which is one line, as JSON is; without a name it is a `message`."""
    place = "" if seq is None else f"id: {seq}\n"
    kind = "" if name is None else f"event: {name}\n"
    return f"{place}{kind}data: {text}\n\n".encode()


def here(seq: int) -> bytes:
    """No event, but the place in the history: a reader that is cut off before the first one knows it."""
    return f"id: {seq}\nretry: {RETRY}\n\n".encode()


class Streamed(StreamingResponse):
    """The answer that goes on and on, until its events end or its reader has gone."""

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncGenerator[bytes],
        close: Callable[[], object] | None = None,
        heartbeat: float = HEARTBEAT,
    ) -> None:
        """`close` is called when it is over, also when nobody ever read."""
        self._kept_open = _kept_open(events, heartbeat)
        super().__init__(self._kept_open, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self._close is not None:
                self._close()
            await self._kept_open.aclose()


async def _kept_open(events: AsyncGenerator[bytes], heartbeat: float) -> AsyncGenerator[bytes]:
    """The events, and a comment after each `heartbeat` seconds without one."""
    coming: asyncio.Task[bytes | None] | None = None
    try:
        while True:
            coming = asyncio.ensure_future(_next(events))
            while not coming.done():
                await asyncio.wait({coming}, timeout=heartbeat)
                if not coming.done():
                    yield _PING
            event = coming.result()
            if event is None:
                return
            yield event
    finally:
        if coming is not None and not coming.done():
            coming.cancel()
            await asyncio.wait({coming})
        await events.aclose()


async def _next(events: AsyncGenerator[bytes]) -> bytes | None:
    return await anext(events, None)
