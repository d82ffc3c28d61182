"""From an HTTP request to what the wire calls a frame: body, query and headers become its keys.

Nothing is judged here but the HTTP around it; the request table judges the frame.
"""

import re
from typing import Annotated, Any, Final

from fastapi import Depends
from starlette.requests import Request

from sojourn.actors.mail import Caller
from sojourn.gateway import fields as kinds
from sojourn.gateway.codec import read_json
from sojourn.gateway.errors import FrameTooLarge, InvalidPayload
from sojourn.gateway.messages import REQUESTS

from .door import Door

Frame = dict[str, Any]

ROLE_HEADER: Final = "Sojourn-Role"
IDENTITY_HEADER: Final = "Sojourn-Identity"
KEY_HEADER: Final = "Idempotency-Key"
_INTEGER: Final = re.compile(r"-?[0-9]{1,20}")
_ETAG: Final = re.compile(r'"([0-9]{1,20})"')
_INTEGERS: Final = frozenset({kinds.SEQ, kinds.PAGE, kinds.RATING})


def door_of(request: Request) -> Door:
    """The way from a request to the runtime."""
    door: Door = request.app.state.door
    return door


def caller_of(request: Request) -> Caller:
    """Who asks: the role and the identity that the headers name."""
    role = header(request, ROLE_HEADER)
    if role is None:
        role = "service"
    else:  # an empty one is none: a proxy that loses the name shall not make a service of a user
        kinds.ROLE.check(role, ROLE_HEADER)
    return Caller(role, header(request, IDENTITY_HEADER) or None)


# Coroutines: of a plain function FastAPI makes a thread's work.
async def _door(request: Request) -> Door:
    return door_of(request)


async def _caller(request: Request) -> Caller:
    return caller_of(request)


AtDoor = Annotated[Door, Depends(_door)]
By = Annotated[Caller, Depends(_caller)]


def header(request: Request, name: str) -> str | None:
    """The text of a header, which is UTF-8 here as everywhere."""
    value = request.headers.get(name)
    if value is None or value.isascii():
        return value
    try:
        return value.encode("latin-1").decode()
    except ValueError as error:
        raise InvalidPayload(name, "text in UTF-8", "other bytes") from error


async def body_of(request: Request) -> Frame:
    """The JSON object in the body; none at all is an empty one.

    Raises InvalidFrame, and FrameTooLarge before more is read than a frame may hold.
    """
    limit = door_of(request).limits.max_frame_bytes
    told = request.headers.get("content-length", "0")
    if told.isdigit() and int(told) > limit:
        raise FrameTooLarge(int(told), limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise FrameTooLarge(len(body), limit)
    return read_json(bytes(body)) if body else {}


def query_of(request: Request, name: str) -> Frame:
    """The keys of a request of the table that stand in the query, as the kinds they shall be."""
    fields = REQUESTS[name].fields
    return {
        key: typed(value, fields[key].kind)
        for key, value in request.query_params.items()
        if key in fields and key not in {"id", "attach"}
    }


def typed(value: str, kind: kinds.Kind) -> object:
    """A text of the query as `kind` has it; what does not look like it stays a text, and is refused so."""
    if kind in _INTEGERS and _INTEGER.fullmatch(value):
        return int(value)
    if kind is kinds.BOOLEAN and value in {"true", "false"}:
        return value == "true"
    return value


def keyed(request: Request, frame: Frame, key: str) -> Frame:
    """`frame` with the `Idempotency-Key` as its `key`; raises InvalidPayload when it names another itself."""
    value = header(request, KEY_HEADER)
    if value is None:
        return frame
    if len(value) > 2 and value[0] == value[-1] == '"':
        value = value[1:-1]
    if frame.get(key) not in {None, value}:
        raise InvalidPayload(KEY_HEADER, f"the {key} of the body, or none", value[:64])
    return {**frame, key: value}


def expected_version(request: Request) -> int | None:
    """The version that `If-Match` names; None: any."""
    value = request.headers.get("If-Match")
    if value is None or value.strip() == "*":
        return None
    found = _ETAG.fullmatch(value.strip())
    if found is None:
        raise InvalidPayload("If-Match", 'a version of the context in quotes, such as "3"', value[:64])
    return int(found[1])
