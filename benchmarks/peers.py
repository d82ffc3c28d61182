"""Servers that do less than Sojourn on the same frames: the floors that a rate is measured against.

`python -m benchmarks.peers echo` writes back what it read, without looking at it. With `msgpack` it splits
the frames, decodes each and answers each with a map like `message:accepted`; the answers to one read leave in
one write, as Sojourn's do. Both run on uvloop in one thread and print `ready tcp=HOST:PORT`.
"""

import argparse
import asyncio
import contextlib
import gc
import signal
from collections.abc import Callable
from struct import Struct
from typing import Any, cast

import msgpack
import uvloop

BACKLOG = 1024
"""A thousand connections come at once; the loop's default of 100 makes some of them wait for seconds."""

_LENGTH = Struct(">I")
# msgpack has no types.
pack: Callable[[object], bytes] = cast("Any", msgpack).Packer(autoreset=True).pack
unpack: Callable[[bytes], dict[str, Any]] = cast("Any", msgpack).unpackb


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
        at, end, length_of = 0, len(data), _LENGTH.unpack_from
        while end - at >= 4:
            body = at + 4
            after = body + length_of(data, at)[0]
            if after > end:
                break
            reply = pack(self._answer(unpack(data[body:after])))
            replies.append(_LENGTH.pack(len(reply)) + reply)
            at = after
        self._partial = data[at:]
        if replies:
            self._transport.write(b"".join(replies))

    def _answer(self, frame: dict[str, Any]) -> dict[str, Any]:
        self._seq += 1
        return {
            "type": "message:accepted",
            "reply_to": frame["id"],
            "session_id": frame["session_id"],
            "message_id": frame["message_id"],
            "seq": self._seq,
            "duplicate": False,
            "created": False,
            "reopened": False,
        }


PEERS: dict[str, type[asyncio.Protocol]] = {"echo": EchoPeer, "msgpack": MsgpackPeer}


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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("peer", choices=sorted(PEERS))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve(PEERS[arguments.peer], arguments.host, arguments.port))


if __name__ == "__main__":
    main()
