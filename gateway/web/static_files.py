"""The pages and what they are made of: files of this package, in memory, checked anew by every browser.

A page of the dashboard asks for two dozen small files at once. They are read when the first of them is asked
for and answered by the loop itself: a thread for each would cost more than the answer.
"""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Scope

FOLDER: Final = Path(__file__).parent / "static"
REVALIDATE: Final = "no-cache"
"""Kept by the browser, and asked for with its `ETag` each time: after an update nobody sees an old page."""
MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".LICENSE": "text/plain; charset=utf-8",
}
"""What is shipped, by suffix: a machine may know other types, and browsers run no other script."""
JOINED: Final[Mapping[str, tuple[str, ...]]] = {
    "dashboard.css": ("tokens.css", "base.css", "parts.css", "views.css"),
}
"""Files that are several in one: nothing is painted before the last style sheet is there."""


class Files(StaticFiles):
    """The files of the folder and of no other: a path is looked up among them and opens nothing."""

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder)
        self.config_checked = True  # it is part of the package
        self._folder = folder
        self._files: Mapping[str, Response] | None = None

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file with its `ETag`, or 304 for who has it already; raises HTTPException: 404, 405."""
        if scope["method"] not in {"GET", "HEAD"}:
            raise HTTPException(405)
        if self._files is None:
            self._files = read_files(self._folder)
        file = self._files.get(Path(path).as_posix())
        if file is None:
            raise HTTPException(404)
        if self.is_not_modified(file.headers, Headers(scope=scope)):
            return NotModifiedResponse(file.headers)
        # A copy, for what stands before it adds headers.
        return Response(file.body, headers=dict(file.headers))


def read_files(folder: Path) -> Mapping[str, Response]:
    """Every file below the folder as it is answered, by its path with slashes; links out of it are not."""
    inside = folder.resolve()
    bodies = {
        each.relative_to(folder).as_posix(): each.read_bytes()
        for each in sorted(folder.rglob("*"))
        if each.suffix in MEDIA_TYPES and each.is_file() and each.resolve().is_relative_to(inside)
    }
    for name, parts in JOINED.items():
        if bodies.keys() >= set(parts):
            bodies[name] = b"\n".join(bodies[part] for part in parts)
    return {name: _answer(name, body) for name, body in bodies.items()}


def _answer(name: str, body: bytes) -> Response:
    headers = {
        "Content-Type": MEDIA_TYPES[Path(name).suffix],
        "ETag": f'"{sha256(body).hexdigest()[:32]}"',
        "Cache-Control": REVALIDATE,
    }
    return Response(body, headers=headers)


FILES: Final = Files(FOLDER)


async def page(request: Request, name: str) -> Response:
    """A page of the folder, or 304 for who has it already."""
    return await FILES.get_response(name, request.scope)
