"""What HTTP answers: JSON bodies, and the wire's errors under a status.

An error is the wire's `error` map without its type; the status is a summary for those who look at nothing
else.
"""

from collections.abc import Mapping
from math import ceil
from typing import Any, Final

from starlette.responses import Response

from sojourn.gateway.codec import encode_json
from sojourn.gateway.errors import ERROR_CODES, ProtocolError, WireError, error_frame

Frame = dict[str, Any]

STATUS: Final[Mapping[str, int]] = {
    "invalid_frame": 400,
    "frame_too_large": 413,
    "unknown_type": 501,
    "invalid_payload": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "session_not_found": 404,
    "session_expired": 410,
    "session_closed": 409,
    "illegal_state": 409,
    "version_conflict": 409,
    "context_too_large": 413,
    "too_many_sessions": 429,
    "too_many_attachments": 429,
    "rate_limited": 429,
    "overloaded": 429,
    "draining": 503,
    "storage_failed": 503,
    "internal_error": 500,
    # Of HTTP alone:
    "not_found": 404,
    "method_not_allowed": 405,
}
"""The status of each code; where a client shall come back, `Retry-After` says when."""

HTTP_CODES: Final[Mapping[str, str]] = {
    "not_found": "nothing has this address",
    "method_not_allowed": "the resource knows other methods",
}
"""Codes that only HTTP has."""

MEANINGS: Final[Mapping[str, str]] = {
    **{code: row.meaning for code, row in ERROR_CODES.items()},
    **HTTP_CODES,
}

RETRY_AFTER: Final = 1
"""Seconds, where the error names none."""


def json(body: Frame, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`body` as JSON; nobody keeps it, for it is true now."""
    return Response(
        encode_json(body),
        status,
        {"Cache-Control": "no-store", **(headers or {})},
        "application/json",
    )


def refusal(error: Frame, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a request that was refused with this `error` map."""
    body = {key: value for key, value in error.items() if key not in {"type", "reply_to"}}
    status = STATUS.get(error["code"], 500)
    more = dict(headers or {})
    if status in {429, 503}:
        more["Retry-After"] = str(max(RETRY_AFTER, ceil(error.get("retry_after") or 0)))
    if status == 413:
        # What of the body was not read would be taken for the next request.
        more["Connection"] = "close"
    return json(body, status, more)


def refusal_of(error: WireError | ProtocolError) -> Response:
    """The answer to a request with what an exception says."""
    return refusal(error_frame(error))
