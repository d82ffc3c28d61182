"""The humans' desk over HTTP: what waits. Who works there connects by WebSocket and watches."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from sojourn.gateway.checking import STAFF
from sojourn.gateway.errors import WireError

from .answers import json
from .described import operation
from .frames import AtDoor, By

router = APIRouter(tags=["desk"], default_response_class=Response)


@router.get(
    "/v1/desk",
    **operation(
        None,
        reply="Desk",
        parameters=(
            {
                "name": "queue",
                "in": "query",
                "description": "One queue; all unless given.",
                "schema": {"type": "string"},
            },
        ),
    ),
)
async def desk(request: Request, door: AtDoor, by: By) -> Response:
    """The sessions that wait for a human, who is next first."""
    if by.role not in STAFF:
        raise WireError("forbidden", f"the desk is not for role {by.role}", {"role": by.role})
    waiting = await door.runtime.desk(request.query_params.get("queue"))
    return json(
        {
            "waiting": [
                {"session_id": each.session_id, "queue": each.queue, "since": each.since} for each in waiting
            ]
        }
    )
