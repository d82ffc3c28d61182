"""Broadcasts over HTTP: answered when everybody had their turn, or with progress on the way."""

import asyncio
from collections.abc import AsyncGenerator, Sized
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from sojourn.actors.broadcast import BroadcastOutcome
from sojourn.actors.mail import Caller
from sojourn.gateway.codec import encode_json
from sojourn.gateway.staff_requests import send_broadcast

from .answers import json
from .described import operation
from .door import Door, Refused
from .frames import AtDoor, By, body_of, keyed
from .sse import Streamed, told

router = APIRouter(tags=["broadcasts"], default_response_class=Response)

Frame = dict[str, Any]


@router.post(
    "/v1/broadcasts",
    **operation(
        "broadcast:send",
        key="broadcast_id",
        media={"text/event-stream": "`progress` now and then, at last one `result` (or `error`)."},
    ),
)
async def broadcast(request: Request, door: AtDoor, by: By) -> Response:
    """One message to many people. Accept `text/event-stream` to hear how far it is."""
    frame = keyed(request, await body_of(request), "broadcast_id")
    if "text/event-stream" not in request.headers.get("accept", ""):
        return json(await door.ask("broadcast:send", frame, by))
    sending = _Sending(door, frame, by)
    await sending.begun()
    return Streamed(sending.events())


class _Sending:
    """A broadcast under way, and how far it is. It goes on when its reader leaves."""

    def __init__(self, door: Door, frame: Frame, by: Caller) -> None:
        users: Any = frame.get("users")
        self._total: int = len(users) if isinstance(users, Sized) else 0
        self._news = asyncio.Event()
        self._progress: Frame | None = None
        handler = partial(send_broadcast, progress=self._on_progress)
        self._task = asyncio.get_running_loop().create_task(door.ask("broadcast:send", frame, by, handler))
        self._task.add_done_callback(lambda _task: self._news.set())
        door.keep(self._task)

    def _on_progress(self, outcome: BroadcastOutcome) -> None:
        self._progress = {
            "broadcast_id": outcome.broadcast_id,
            "total": self._total,
            "created": outcome.created,
            "delivered": outcome.delivered,
            "reopened": outcome.reopened,
            "failed": len(outcome.failed),
        }
        self._news.set()

    async def begun(self) -> None:
        """Somebody was reached; raises what refuses the request as a whole."""
        await self._news.wait()
        if self._task.done():
            self._task.result()

    async def events(self) -> AsyncGenerator[bytes]:
        """The newest state whenever there is one, at last the result."""
        while not self._task.done():
            await self._news.wait()
            self._news.clear()
            progress, self._progress = self._progress, None
            if progress is not None:
                yield told(encode_json(progress), "progress")
        try:
            yield told(encode_json(self._task.result()), "result")
        except Refused as refused:
            yield told(encode_json(refused.error), "error")
