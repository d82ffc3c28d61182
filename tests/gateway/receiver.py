"""A receiver of webhooks as it may be out there: one that answers what it is told to, in plain bytes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

Map = dict[str, Any]


@dataclass(frozen=True)
class Post:
    """One request that came."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def content(self) -> Map:
        content: Map = json.loads(self.body)
        return content

    @property
    def seq(self) -> int:
        return int(self.id.rpartition(":")[2])


Behaviour = Callable[[Post], "bytes | Awaitable[bytes]"]


def answer(status: int, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status} Said", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


TAKEN = answer(204)


def takes(_: Post) -> bytes:
    return TAKEN


class Receiver:
    """Answers each post as `behaves` says; empty bytes end the connection without an answer."""

    def __init__(self, behaves: Behaviour = takes, port: int = 0) -> None:
        self.behaves = behaves
        self.posts: list[Post] = []
        self.at_once = self.most_at_once = 0
        self._port = port
        self._came = asyncio.Condition()
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        for writer in tuple(self._open):
            writer.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/hook"

    @property
    def ids(self) -> list[str]:
        return [post.id for post in self.posts]

    def seqs(self, session_id: str) -> list[int]:
        """Of the posts about one session, in the order they came."""
        return [post.seq for post in self.posts if post.id.startswith(f"{session_id}:")]

    async def has(self, count: int) -> None:
        """Wait until so many posts have come."""
        async with self._came:
            await self._came.wait_for(lambda: len(self.posts) >= count)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in head[1:])
                }
                body = await reader.readexactly(int(headers["content-length"]))
                post = Post(headers, body)
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                async with self._came:
                    self.posts.append(post)
                    self._came.notify_all()
                said = self.behaves(post)
                reply = said if isinstance(said, bytes) else await said
                self.at_once -= 1
                if not reply:
                    return
                writer.write(reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()
