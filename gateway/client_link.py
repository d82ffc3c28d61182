"""One connection of the asyncio client: bytes to bodies and back, nothing kept."""

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol, cast

from .errors import ProtocolError
from .framing import FrameDecoder, encode_frame

DEFAULT_MAX_REPLY_BYTES = 1 << 20


class Owner(Protocol):
    """Who is told what happens to a link."""

    def on_connected(self, link: "Link") -> None:
        """The connection is open."""
        ...

    def on_bodies(self, link: "Link", bodies: Sequence[bytes], error: ProtocolError | None) -> None:
        """Frames came; behind them the stream is broken if there is an `error`."""
        ...

    def on_lost(self, link: "Link", reason: str) -> None:
        """The connection is gone."""
        ...


class Link(asyncio.Protocol):
    """The socket's side of the client, whatever the bytes between two bodies look like."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._writable.set()
        self._closed.set()
        self._owner.on_lost(
            self, f"the connection broke: {exc}" if exc else "the server closed the connection"
        )

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    @abstractmethod
    def allow_frames_of(self, max_frame_bytes: int) -> None:
        """Take longer frames from here on."""

    @abstractmethod
    def write(self, bodies: Sequence[bytes]) -> None:
        """Send the frames of `bodies` in one write."""

    @property
    def is_writable(self) -> bool:
        """Does the peer keep up with what is written?"""
        return self._writable.is_set()

    async def until_open(self) -> None:
        """Wait until the connection is open, or raise ConnectionLost."""

    async def until_writable(self) -> None:
        """Wait until the peer has caught up, or the connection is gone."""
        await self._writable.wait()

    async def until_closed(self) -> None:
        """Wait until the connection is gone."""
        await self._closed.wait()

    def close(self) -> None:
        """Close once what was written is sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()


class TcpLink(Link):
    """Raw TCP: a length before each body."""

    def __init__(self, owner: Owner) -> None:
        super().__init__(owner)
        self._decoder = FrameDecoder(DEFAULT_MAX_REPLY_BYTES)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._owner.on_connected(self)

    def data_received(self, data: bytes) -> None:
        bodies = self._decoder.feed(data)
        self._owner.on_bodies(self, bodies, self._decoder.error)

    def allow_frames_of(self, max_frame_bytes: int) -> None:
        self._decoder.max_frame_bytes = max(self._decoder.max_frame_bytes, max_frame_bytes)

    def write(self, bodies: Sequence[bytes]) -> None:
        if self._transport is not None:
            self._transport.write(b"".join(map(encode_frame, bodies)))
