"""How a client connects, and how it comes back."""

import asyncio
import random as random_numbers
import ssl as tls
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypedDict
from urllib.parse import urlsplit


@dataclass(frozen=True, kw_only=True)
class ConnectOptions:
    """How a client connects, and how it comes back."""

    host: str = "127.0.0.1"
    """Or a URL, `ws://host:port/v1/ws` or `wss://…`: by WebSocket, and `port` says nothing."""
    port: int = 7411
    role: str = "user"
    """`user`, `agent` or `service`."""
    identity: str | None = None
    """Who the caller is, where the server asks for no token."""
    token: str | None = field(default=None, repr=False)
    ssl: tls.SSLContext | None = None
    heartbeat: float | None = 30.0
    """Seconds; a server that is silent for twice as long counts as gone. None: silence is free."""
    connect_timeout: float = 10.0
    """Seconds for one attempt, `welcome` included."""
    reconnect: bool = True
    min_backoff: float = 0.1
    max_backoff: float = 10.0
    """Seconds between attempts: from `min_backoff`, doubled each time, to `max_backoff`."""
    max_retries: int = 5
    """How often a request that the server could not take just now is sent again before TryAgain is raised."""
    max_buffered_events: int = 1000
    """Unread events kept a session; beyond, the oldest become a Gap."""
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    random: Callable[[], float] = random_numbers.random

    def __post_init__(self) -> None:
        for name in ("connect_timeout", "min_backoff", "max_backoff", "max_buffered_events"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        if self.heartbeat is not None and self.heartbeat <= 0:
            raise ValueError(f"heartbeat must be above 0 or None, not {self.heartbeat}")
        if self.by_websocket:
            url = urlsplit(self.host)
            if url.scheme not in ("ws", "wss") or not url.hostname or url.fragment:
                raise ValueError(f"host must be a name, an address or a ws:// or wss:// URL, not {self.host}")
            if self.ssl is not None and url.scheme == "ws":
                raise ValueError("ssl needs a wss:// URL")

    @property
    def by_websocket(self) -> bool:
        """Is `host` a URL?"""
        return "://" in self.host


class ConnectKeywords(TypedDict, total=False):
    """The keywords of `connect` and `Client`: the fields of ConnectOptions but host and port."""

    role: str
    identity: str | None
    token: str | None
    ssl: tls.SSLContext | None
    heartbeat: float | None
    connect_timeout: float
    reconnect: bool
    min_backoff: float
    max_backoff: float
    max_retries: int
    max_buffered_events: int
    sleep: Callable[[float], Awaitable[object]]
    random: Callable[[], float]
