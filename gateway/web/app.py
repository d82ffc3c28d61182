"""The HTTP application: resources, events, pages, and what stands before all of them."""

from functools import partial
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sojourn._version import __version__
from sojourn.gateway.errors import ProtocolError, WireError
from sojourn.gateway.lookout import Lookout
from sojourn.gateway.messages import REQUESTS
from sojourn.gateway.peer import wire_error

from . import (
    looking,
    routes_broadcasts,
    routes_desk,
    routes_events,
    routes_insights,
    routes_messages,
    routes_pages,
    routes_sessions,
)
from .answers import HTTP_CODES, refusal, refusal_of
from .described import PARAMETERS, REQUEST, who_may
from .door import Door, Refused
from .safety import Safety
from .schemas import SCHEMAS
from .static_files import FILES

ROUTERS: Final = (
    routes_messages.router,  # first: it is asked for most
    routes_sessions.router,
    routes_events.router,
    routes_broadcasts.router,
    routes_desk.router,
    routes_insights.router,
    routes_pages.router,
    looking.router,
)
DESCRIPTION: Final = (
    "Conversations as resources. Every request is one of the wire protocol's, judged by the same table and "
    "answered after its change is stored; instants are Unix time in seconds, durations are seconds."
)


def application(door: Door, lookout: Lookout) -> ASGIApp:
    """The application in front of one runtime, which `lookout` looks at."""
    app = FastAPI(
        title="Sojourn",
        version=__version__,
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        openapi_url=None,  # made with the components of the wire, by routes_pages
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.door = door
    app.state.lookout = lookout
    for router in ROUTERS:
        app.include_router(router)
    app.mount("/static", FILES)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(WireError, _wrong)
    app.add_exception_handler(ProtocolError, _wrong)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _failed)
    app.openapi = partial(_openapi, app)  # type: ignore[method-assign]
    inner: ASGIApp = _Answering(app)
    origins = door.origins.elsewhere
    if origins:
        inner = CORSMiddleware(
            inner,
            allow_origins=sorted(origins),
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["*"],
            expose_headers=["ETag", "Location", "Retry-After"],
        )
    return Safety(inner, door.origins)


class _Answering:
    """Answers `HEAD` as `GET`, without the body, which the server leaves out; streams have no head alone. And
    lets nobody hear twice of a failure that was answered and logged.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") == "HEAD" and not scope["path"].endswith("/events"):
            scope = {**scope, "method": "GET"}
        try:
            await self._app(scope, receive, send)
        except Exception:
            if "failed" not in scope.get("state", ()):
                raise


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return refusal(error.error)


async def _wrong(_request: Request, error: Exception) -> Response:
    assert isinstance(error, WireError | ProtocolError)
    return refusal_of(error)


async def _of_http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code)
    if code is None:
        return refusal({"code": "invalid_frame", "message": str(error.detail)}, error.headers)
    return refusal({"code": code, "message": HTTP_CODES[code]}, error.headers)


async def _gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)  # nobody is there to read it


async def _failed(request: Request, error: Exception) -> Response:
    request.state.failed = True
    return refusal_of(wire_error(error))


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            summary="Conversations as resources",
            description=DESCRIPTION,
            license_info=app.license_info,
            routes=app.routes,
        )
        for path in document["paths"].values():
            for each in path.values():
                if REQUEST in each:
                    each["description"] += "\n\n" + who_may(REQUESTS[each[REQUEST]])
        components = document.setdefault("components", {})
        components["schemas"] = {**components.get("schemas", {}), **SCHEMAS}
        components["parameters"] = dict(PARAMETERS)
        app.openapi_schema = document
    return app.openapi_schema
