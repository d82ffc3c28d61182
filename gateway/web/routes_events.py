"""The events of one session as they happen, without a gap behind what the reader has.

Attached first, then what is stored behind `after_seq`, then what is pushed: `session:resume` does the first
two in one step. What it cut comes by pages of the history, while pushes wait; each event goes out once.
"""

from collections.abc import AsyncGenerator
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from sojourn.actors.mail import Caller
from sojourn.gateway import fields as kinds

from .described import operation
from .door import Door, Refused
from .frames import AtDoor, By, header, typed
from .sse import Streamed, event_of, here, pushed
from .streams import EventStream

router = APIRouter(tags=["events"], default_response_class=Response)

Frame = dict[str, Any]

LAST_EVENT_ID: Final = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The `seq` of the last event that was received; browsers send it by themselves.",
    "schema": {"type": "string"},
}
AFTER_SEQ: Final = {
    "name": "after_seq",
    "in": "query",
    "description": "Begin behind this event; without it, with what happens from now on.",
    "schema": dict(kinds.SEQ.schema),
}
_PAGE: Final = 1000


@router.get(
    "/v1/sessions/{session_id}/events",
    **operation(
        None,
        reply="",
        parameters=(AFTER_SEQ, LAST_EVENT_ID),
        media={"text/event-stream": "Each event has the `seq` as its id, the type as its event."},
    ),
)
async def follow_session(session_id: str, request: Request, door: AtDoor, by: By) -> Response:
    """Server-sent events of a session; they end behind `session:expired`."""
    after_seq = _after_seq(request)
    stream = door.open_stream(by)
    stream.transport = request.scope.get("state", {}).get("transport")
    try:
        resumed = await _resume(door, stream, by, session_id, after_seq)
    except Refused as refused:
        stream.close()
        if refused.error["code"] != "session_expired" or by.role == "user":
            raise
        return await _ended(door, by, session_id, after_seq)
    except BaseException:
        stream.close()
        raise
    return Streamed(_live(door, stream, by, resumed, after_seq), stream.close)


def _after_seq(request: Request) -> int | None:
    name = "Last-Event-ID"
    value = header(request, name)
    if value is None:
        name = "after_seq"
        value = request.query_params.get(name)
    if value is None:
        return None
    seq = typed(value, kinds.SEQ)
    kinds.SEQ.check(seq, name)
    assert isinstance(seq, int)
    return seq


async def _resume(
    door: Door, stream: EventStream, by: Caller, session_id: str, after_seq: int | None
) -> Frame:
    frame = {"type": "session:resume", "session_id": session_id, "after_seq": after_seq}
    door.router.request(stream.peer, frame, door.now())
    reply = await stream.frame()
    assert reply is not None
    if reply["type"] == "error":
        raise Refused(reply)
    return reply


async def _live(
    door: Door, stream: EventStream, by: Caller, resumed: Frame, after_seq: int | None
) -> AsyncGenerator[bytes]:
    newest: int = resumed["session"]["seq"]
    seq = newest if after_seq is None else min(after_seq, newest)
    yield here(seq)
    for event in resumed["events"]:
        seq = event["seq"]
        yield event_of(event)
    if resumed["more"]:
        async for event in _history(door, by, resumed["session_id"], seq, newest):
            seq = event["seq"]
            yield event_of(event)
    while (body := await stream.body()) is not None:
        push = pushed(body)
        if push.seq is not None:
            if push.seq <= seq:
                continue
            seq = push.seq
        yield push.event
        if push.type == "session:expired":
            return


async def _history(
    door: Door, by: Caller, session_id: str, after_seq: int, until_seq: int
) -> AsyncGenerator[Frame]:
    """The stored events behind one `seq`, up to another."""
    while after_seq < until_seq:
        frame = {"session_id": session_id, "after_seq": after_seq, "limit": _PAGE}
        page = await door.ask("session:history", frame, by)
        for event in page["events"]:
            if event["seq"] > until_seq:
                return
            after_seq = event["seq"]
            yield event
        if not page["more"]:
            return


async def _ended(door: Door, by: Caller, session_id: str, after_seq: int | None) -> Response:
    """An expired session: what is stored, and no more. Who has it all is told to ask no more (204)."""
    session = (await door.ask("session:get", {"session_id": session_id}, by))["session"]
    newest: int = session["seq"]
    if after_seq is None or after_seq >= newest:
        return Response(status_code=204)

    async def stored() -> AsyncGenerator[bytes]:
        yield here(after_seq)
        async for event in _history(door, by, session_id, after_seq, newest):
            yield event_of(event)

    return Streamed(stored())
