"""Messages over HTTP: to a session, or to a person."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from .answers import json
from .described import operation
from .direct import Direct
from .frames import AtDoor, By, body_of, keyed

router = APIRouter(tags=["messages"], default_response_class=Response, route_class=Direct)


@router.post(
    "/v1/sessions/{session_id}/messages",
    **operation("message:send", without=("session_id", "user", "channel"), key="message_id"),
)
async def send_message(session_id: str, request: Request, door: AtDoor, by: By) -> Response:
    """A message to a session; answered when it is stored."""
    frame = keyed(request, await body_of(request), "message_id")
    return json(await door.ask("message:send", {**frame, "session_id": session_id}, by))


@router.post("/v1/messages", **operation("message:send", without=(), key="message_id"))
async def send_to_user(request: Request, door: AtDoor, by: By) -> Response:
    """A message to the person `user.user_id`: to their newest session, or to a new one."""
    frame = keyed(request, await body_of(request), "message_id")
    return json(await door.ask("message:send", frame, by))
