"""Sessions over HTTP: made, looked at, listed, changed, ended, erased."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from fastapi import APIRouter, Request
from starlette.responses import Response

from sojourn.gateway.messages import REQUESTS

from .answers import json
from .described import operation
from .direct import Direct
from .frames import AtDoor, By, body_of, expected_version, keyed, query_of

router = APIRouter(tags=["sessions"], default_response_class=Response, route_class=Direct)

IF_MATCH: Final = {
    "name": "If-Match",
    "in": "header",
    "description": 'The version of the context that is to be changed, in quotes: `"3"`; or `*`.',
    "schema": {"type": "string", "pattern": r'^("[0-9]{1,20}"|\*)$'},
}
IF_NONE_MATCH: Final = {
    "name": "If-None-Match",
    "in": "header",
    "description": "A version that is known already: then the answer is 304, without a body.",
    "schema": {"type": "string"},
}


@router.post("/v1/sessions", **operation("session:create", status=201, key="request_key"))
async def create_session(request: Request, door: AtDoor, by: By) -> Response:
    """A new session."""
    frame = keyed(request, await body_of(request), "request_key")
    created = await door.ask("session:create", frame, by)
    return json(created, 201, {"Location": f"/v1/sessions/{created['session_id']}"})


@router.get("/v1/sessions", **operation("session:list", takes="query"))
async def list_sessions(request: Request, door: AtDoor, by: By) -> Response:
    """Sessions by what they are now, newest first."""
    return json(await door.ask("session:list", query_of(request, "session:list"), by))


@router.get("/v1/sessions/{session_id}", **operation("session:get", takes="query"))
async def get_session(session_id: str, request: Request, door: AtDoor, by: By) -> Response:
    """A session as it is now."""
    frame = {**query_of(request, "session:get"), "session_id": session_id}
    return json(await door.ask("session:get", frame, by))


@router.delete("/v1/sessions/{session_id}", **operation("session:erase", takes=None))
async def erase_session(session_id: str, door: AtDoor, by: By) -> Response:
    """Remove a session, with all that was said."""
    return json(await door.ask("session:erase", {"session_id": session_id}, by))


@router.delete("/v1/users/{user_id:path}", tags=["users"], **operation("session:erase", takes=None))
async def erase_user(user_id: str, door: AtDoor, by: By) -> Response:
    """Remove everything of a person."""
    return json(await door.ask("session:erase", {"user_id": user_id}, by))


@router.get(
    "/v1/sessions/{session_id}/context",
    **operation("session:get", reply="Context", takes=None, parameters=(IF_NONE_MATCH,)),
)
async def get_context(session_id: str, request: Request, door: AtDoor, by: By) -> Response:
    """The context and its version, which is also the `ETag`."""
    session = (await door.ask("session:get", {"session_id": session_id}, by))["session"]
    etag = f'"{session["context_version"]}"'
    if etag in request.headers.get("If-None-Match", "").replace("W/", "").split(", "):
        return Response(status_code=304, headers={"ETag": etag})
    body = {name: session[name] for name in ("session_id", "context", "context_version")}
    return json(body, headers={"ETag": etag})


@router.patch(
    "/v1/sessions/{session_id}/context",
    **operation(
        "session:context:update",
        body={"type": "object", "description": "A JSON Merge Patch (RFC 7396)."},
        parameters=(IF_MATCH,),
    ),
)
async def update_context(session_id: str, request: Request, door: AtDoor, by: By) -> Response:
    """Merge a patch into the context."""
    frame = {
        "session_id": session_id,
        "context": await body_of(request),
        "expected_version": expected_version(request),
    }
    updated = await door.ask("session:context:update", frame, by)
    return json(updated, headers={"ETag": f'"{updated["context_version"]}"'})


@router.get("/v1/sessions/{session_id}/history", **operation("session:history", takes="query"))
async def read_history(session_id: str, request: Request, door: AtDoor, by: By) -> Response:
    """Events behind `after_seq`, oldest first."""
    frame = {**query_of(request, "session:history"), "session_id": session_id}
    return json(await door.ask("session:history", frame, by))


@router.get("/v1/sessions/{session_id}/why", **operation("session:why", takes=None))
async def explain_session(session_id: str, door: AtDoor, by: By) -> Response:
    """What a session waits for, until when, who is attached, what is queued."""
    return json(await door.ask("session:why", {"session_id": session_id}, by))


class Action(NamedTuple):
    """A request of the wire that is a verb: it is posted below its session."""

    verb: str
    request: str
    summary: str
    key: str | None = None
    """What `Idempotency-Key` names, where the request has such a key."""


ACTIONS: Final = (
    Action("close", "session:close", "Close it; it can be reopened for a while."),
    Action("resolve", "session:resolve", "Close it as resolved by a human."),
    Action("reopen", "session:reopen", "Open it again, with everything intact."),
    Action("handover", "session:handover", "Put it in a queue for humans."),
    Action("assign", "session:assign", "Give it to a human."),
    Action("release", "session:release", "Give it back to the AI."),
    Action("reminders", "session:remind", "Have a reminder fire after a while."),
    Action("rate", "session:rate", "Say how it was."),
    Action("tags", "session:tag", "Add and remove tags."),
    Action("compose", "message:compose", "Tell the others that somebody is writing."),
    Action("read", "message:read", "Tell the others how far it was read."),
    Action("fork", "session:fork", "A new session with the state as of an event.", "request_key"),
)


def _endpoint(action: Action) -> Callable[..., Awaitable[Response]]:
    async def act(session_id: str, request: Request, door: AtDoor, by: By) -> Response:
        frame: dict[str, Any] = {**await body_of(request), "session_id": session_id}
        if action.key is not None:
            frame = keyed(request, frame, action.key)
        return json(await door.ask(action.request, frame, by))

    return act


for each in ACTIONS:
    if each.request in REQUESTS and REQUESTS[each.request].built:
        router.add_api_route(
            f"/v1/sessions/{{session_id}}/{each.verb}",
            _endpoint(each),
            methods=["POST"],
            name=f"{each.verb}_session",
            summary=each.summary,
            description=each.summary,
            **operation(each.request, key=each.key),
        )
