"""Servers that do less than Sojourn on the same frames: the floors that a rate is measured against.

`echo` writes back what it read, without looking at it. `msgpack` splits the frames, decodes each and answers
each with a map like `message:accepted`; the answers to one read leave in one write, as Sojourn's do. Both run
on uvloop in one thread.
"""

import asyncio
import gc
import signal
from typing import Any, cast

from .wire import BACKLOG, LENGTH, accepted, framed, unpack


class EchoPeer(asyncio.Protocol):
    """Writes back the bytes of each read."""

    _transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's, so an isinstance would fail.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


class MsgpackPeer(asyncio.Protocol):
    """Decodes each frame and answers it; keeps nothing but a counter a connection for `seq`."""

    _transport: asyncio.WriteTransport

    def __init__(self) -> None:
        self._partial = b""
        self._seq = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's, so an isinstance would fail.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        if self._partial:
            data = self._partial + data
        replies: list[bytes] = []
        at, end, length_of = 0, len(data), LENGTH.unpack_from
        while end - at >= 4:
            body = at + 4
            after = body + length_of(data, at)[0]
            if after > end:
                break
            replies.append(framed(self._answer(unpack(data[body:after]))))
            at = after
        self._partial = data[at:]
        if replies:
            self._transport.write(b"".join(replies))

    def _answer(self, frame: dict[str, Any]) -> dict[str, Any]:
        self._seq += 1
        return accepted(frame, self._seq, duplicate=False)


async def serve(peer: type[asyncio.Protocol], host: str, port: int) -> None:
    """Answers until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = await loop.create_server(peer, host, port, backlog=BACKLOG)
    gc.collect()
    gc.freeze()
    bound_host, bound_port = server.sockets[0].getsockname()[:2]
    print(f"ready tcp={bound_host}:{bound_port}", flush=True)
    await stopped.wait()
    server.close()
