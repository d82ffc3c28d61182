"""The pages: the dashboard, the browser's client, the description of this door, and a sign of life."""

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from .answers import json
from .safety import HEADERS
from .static_files import page

REFERENCE_POLICY: Final = HEADERS["Content-Security-Policy"] + "; img-src 'self' data:"
"""The icons of that page are in its style sheet."""

router = APIRouter(default_response_class=Response)


@router.get("/", include_in_schema=False)
async def dashboard(request: Request) -> Response:
    """The dashboard."""
    return await page(request, "index.html")


@router.get("/sojourn.js", include_in_schema=False)
async def browser_client(request: Request) -> Response:
    """The client for browsers, an ES module."""
    return await page(request, "sojourn.js")


@router.get("/docs", include_in_schema=False)
async def reference(request: Request) -> Response:
    """The OpenAPI document as a page."""
    answer = await page(request, "docs/index.html")
    answer.headers["Content-Security-Policy"] = REFERENCE_POLICY
    return answer


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> Response:
    """The OpenAPI document."""
    return json(request.app.openapi())


@router.get("/healthz", tags=["looking"])
async def healthz() -> Response:
    """Alive: the loop that serves the sessions answered this."""
    return json({"status": "ok"})
