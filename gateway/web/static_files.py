"""The pages and what they are made of: files of this package, checked anew by every browser."""

from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER: Final = Path(__file__).parent / "static"
REVALIDATE: Final = "no-cache"
"""Kept by the browser, and asked for with its `ETag` each time: after an update nobody sees an old page."""


class Files(StaticFiles):
    """The files of the folder and of no other: links and dots do not lead out of it."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = REVALIDATE
        return response


FILES: Final = Files(directory=FOLDER)


async def page(request: Request, name: str) -> Response:
    """A page of the folder, or 304 for who has it already."""
    return await FILES.get_response(name, request.scope)
