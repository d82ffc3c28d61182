"""What every answer carries and every request passes: names, origins, and what a page may load."""

from collections.abc import Mapping
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sojourn.gateway.errors import WireError
from sojourn.gateway.origins import Origins

from .answers import refusal_of

READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Safety:
    """Middleware: refuses a foreign name in `Host`, and what a page of a foreign site wants changed."""

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        wrong = self._wrong(scope["method"], headers.get("host"), headers.get("origin"))
        if wrong is not None:
            await refusal_of(wrong)(scope, receive, safely)
        else:
            await self._app(scope, receive, safely)

    def _wrong(self, method: str, host: str | None, origin: str | None) -> WireError | None:
        origins = self._origins
        if not origins.knows_host(host):
            return WireError(
                "forbidden",
                "this server is not reached under that name: see allowed_hosts",
                {"key": "Host", "got": (host or "")[:256]},
            )
        if method not in READING and not origins.allows(origin, host):
            return WireError(
                "forbidden",
                "pages of that site may not change anything here: see allowed_origins",
                {"key": "Origin", "got": (origin or "")[:256]},
            )
        return None
