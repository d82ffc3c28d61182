"""The HTTP port. Until the web door is built it answers `GET /healthz` alone."""

import asyncio
import socket

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def healthz(_request: Request) -> JSONResponse:
    """Alive: the loop that serves the sessions answered this."""
    return JSONResponse({"status": "ok"})


class _Uvicorn(uvicorn.Server):
    """The server's signals are its owner's."""

    def install_signal_handlers(self) -> None:
        pass


class HttpServer:
    """Serves HTTP on the running loop."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._task: asyncio.Task[None] | None = None
        self.address: tuple[str, int] = (host, port)

    async def start(self) -> None:
        """Listen; raises `OSError` when the port cannot be had."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._host, self._port))
            listener.listen(1024)
        except BaseException:
            listener.close()
            raise
        self.address = listener.getsockname()[:2]
        app = Starlette(routes=[Route("/healthz", healthz)])
        self._server = _Uvicorn(
            uvicorn.Config(app, log_level="warning", lifespan="off", access_log=False, ws="none")
        )
        self._task = asyncio.get_running_loop().create_task(self._server.serve(sockets=[listener]))

    async def stop(self) -> None:
        """Stop listening and let what is under way end."""
        if self._task is not None:
            self._server.should_exit = True
            await self._task
            self._task = None
