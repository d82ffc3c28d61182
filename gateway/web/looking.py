"""How the server is looked at over HTTP: is it ready, its metrics, its overview, and what its wire is."""

from collections.abc import AsyncGenerator
from functools import cache

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from sojourn.gateway.asyncapi import document
from sojourn.gateway.codec import encode_json
from sojourn.gateway.lookout import Lookout
from sojourn.gateway.metrics import CONTENT_TYPE

from .answers import json
from .sse import Streamed, told
from .static_files import page

router = APIRouter(tags=["looking"])


def lookout_of(request: Request) -> Lookout:
    """From where this server is looked at."""
    lookout: Lookout = request.app.state.lookout
    return lookout


@router.get("/readyz", summary="May work be sent here?")
async def readyz(request: Request) -> Response:
    """200 while it may; 503 with the reasons in `why` while it may not: `starting`, `draining`, `not
    listening`, `storage_failed`.
    """
    why = await lookout_of(request).why_not_ready()
    if why:
        return json({"status": "not ready", "why": why}, 503, {"Retry-After": "1"})
    return json({"status": "ready", "why": []})


@router.get("/metrics", summary="Numbers for Prometheus", response_class=Response)
async def metrics(request: Request) -> Response:
    """Every number of the server in Prometheus' text format, read at this moment."""
    page = await lookout_of(request).metrics()
    return Response(page, headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})


@router.get("/v1/overview", summary="What is happening now")
async def overview(request: Request) -> Response:
    """Sessions by state, messages and commits a second, what waits, what is late."""
    return json(await lookout_of(request).overview())


@router.get("/v1/overview/events", summary="What is happening now, each second")
async def overview_events(request: Request) -> Response:
    """The overview at once and then each second, as server-sent events."""
    lookout = lookout_of(request)

    async def events() -> AsyncGenerator[bytes]:
        async for text in lookout.follow():
            yield told(text)

    return Streamed(events())


@router.get("/asyncapi.json", include_in_schema=False)
async def asyncapi() -> Response:
    """The wire of the TCP and WebSocket doors as an AsyncAPI document."""
    return Response(_asyncapi(), headers={"Content-Type": "application/json", "Cache-Control": "no-cache"})


@router.get("/asyncapi", include_in_schema=False)
async def wire_reference(request: Request) -> Response:
    """The same as a page."""
    return await page(request, "asyncapi/index.html")


@cache
def _asyncapi() -> str:
    return encode_json(document())
