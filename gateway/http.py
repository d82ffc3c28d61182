"""The HTTP port: uvicorn on the running loop, in front of the web application."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Generator
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

BACKLOG: Final = 1024


class _Uvicorn(uvicorn.Server):
    """Signals are its owner's: uvicorn's own handler would wait for open streams before anybody ends them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class _Protocol(HttpToolsProtocol):
    """Tells the application the transport of each request, so that it can reset who does not read."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope.setdefault("state", {})["transport"] = self.transport


class HttpServer:
    """Serves HTTP on the running loop."""

    def __init__(
        self, host: str, port: int, app: ASGIApp, websocket: Callable[..., Any], stop_timeout: float
    ) -> None:
        """`websocket` makes the protocol that takes over a connection on which an upgrade is asked for.

        What is under way at the end may take `stop_timeout` seconds.
        """
        self._app = app
        self._websocket: Any = websocket
        self._stop_timeout = stop_timeout
        self._host = host
        self._port = port
        self._task: asyncio.Task[None] | None = None
        self.address: tuple[str, int] = (host, port)

    async def start(self) -> None:
        """Listen; raises `OSError` when the port cannot be had."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # Named as TCP: only on such sockets does asyncio write at once. Otherwise the body of each answer
        # would wait for its head to be acknowledged: 40 ms (`test_http.py`).
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._host, self._port))
            listener.listen(BACKLOG)
        except BaseException:
            listener.close()
            raise
        self.address = listener.getsockname()[:2]
        self._server = _Uvicorn(
            uvicorn.Config(
                self._app,
                http=_Protocol,
                ws=self._websocket,
                backlog=BACKLOG,
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=max(1, round(self._stop_timeout)),
            )
        )
        self._task = asyncio.get_running_loop().create_task(self._server.serve(sockets=[listener]))

    async def stop(self) -> None:
        """Stop listening and let what is under way end."""
        if self._task is not None:
            self._server.should_exit = True
            await self._task
            self._task = None
