"""Search, past sessions and statistics over HTTP, from the insights beside the database."""

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Any, Final, TypeVar

from fastapi import APIRouter, Request
from starlette.responses import Response

from sojourn.gateway.checking import STAFF
from sojourn.gateway.errors import InvalidPayload, WireError
from sojourn.storage import StorageError
from sojourn.storage.insights import (
    BUCKETS,
    SORTS,
    Filters,
    InsightsMissing,
    InsightsReader,
    InvalidQuestion,
    events_to_gather,
)

from .answers import json
from .described import Parameter, Schema, operation
from .door import Door
from .frames import AtDoor, By
from .looking import lookout_of

logger = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")

router = APIRouter(tags=["insights"], default_response_class=Response)


def _in_query(name: str, description: str, schema: Schema) -> Parameter:
    return {"name": name, "in": "query", "description": description, "schema": schema}


_TEXT: Final = {"type": "string"}
_NUMBER: Final = {"type": "number"}
_FILTERS: Final = (
    _in_query("session_id", "Only this session.", _TEXT),
    _in_query("user_id", "Only this user's.", _TEXT),
    _in_query("channel", "Only of this channel.", _TEXT),
    _in_query("status", "Only sessions that are now so.", {"enum": ["active", "closed", "expired"]}),
    _in_query("handling", "Only sessions handled so.", {"enum": ["ai", "queued", "human"]}),
    _in_query("tag", "Only sessions with this tag.", _TEXT),
    _in_query("rating", "Only sessions rated so.", _NUMBER),
    _in_query("author", "Only what they wrote.", {"enum": ["user", "ai", "human", "system"]}),
    _in_query("since", "From this instant on: Unix time in seconds.", _NUMBER),
    _in_query("until", "Before this instant.", _NUMBER),
)
_PAGES: Final = (
    _in_query("limit", "At most so many.", {"type": "integer", "minimum": 1}),
    _in_query("cursor", "Where the page before ended.", _TEXT),
)
_SORTING: Final = (
    _in_query("sort", "By what; sessions without it come last.", {"enum": list(SORTS)}),
    _in_query("order", "The greatest or the least first.", {"enum": ["desc", "asc"]}),
)
_MAP: Final[Schema] = {"type": "object"}


@router.get(
    "/v1/search",
    **operation(
        None,
        _MAP,
        parameters=(
            _in_query("q", 'Words, all wanted; `"a phrase"`, `begin*`, `-without`.', _TEXT),
            *_FILTERS,
            *_SORTING,
            *_PAGES,
        ),
    ),
)
async def search(request: Request, door: AtDoor, by: By) -> Response:
    """The newest messages with these words; without words, the sessions that the filters leave.

    `snippet` is a list of [text, found]. `behind` is how many events are not searched yet.
    """
    ask = _Question(request)
    q = ask.text("q") or ""

    def answer(insights: InsightsReader) -> dict[str, Any]:
        if not q.strip():
            return _past(ask, insights)
        behind = insights.behind()
        found = insights.search(q, ask.filters(), ask.limit(50), ask.text("cursor"))
        return {"hits": [hit._asdict() for hit in found.hits], "cursor": found.cursor, "behind": behind}

    return await _answer(request, door, by.role, answer)


@router.get("/v1/past", **operation(None, _MAP, parameters=(*_FILTERS, *_SORTING, *_PAGES)))
async def past(request: Request, door: AtDoor, by: By) -> Response:
    """Sessions by what is known of them as a whole: how long, how many messages, how they ended.

    `behind` is how many events are not known of yet.
    """
    ask = _Question(request)
    return await _answer(request, door, by.role, lambda insights: _past(ask, insights))


@router.get(
    "/v1/stats",
    **operation(
        None,
        _MAP,
        parameters=(
            *_FILTERS,
            _in_query("bucket", "Counted by this; UTC, weeks begin on Monday.", {"enum": list(BUCKETS)}),
        ),
    ),
)
async def stats(request: Request, door: AtDoor, by: By) -> Response:
    """What happened in a time, and what was typical of the sessions created in it."""
    ask = _Question(request)

    def answer(insights: InsightsReader) -> dict[str, Any]:
        return insights.stats(ask.filters(), ask.text("bucket") or "day")._asdict()

    return await _answer(request, door, by.role, answer)


def _past(ask: "_Question", insights: InsightsReader) -> dict[str, Any]:
    behind = insights.behind()
    page = insights.sessions(
        ask.filters(),
        ask.text("sort") or "created_at",
        ask.text("order") or "desc",
        ask.limit(100),
        ask.text("cursor"),
    )
    return {**page._asdict(), "behind": behind}


class _Question:
    """The query of a request, read as what it shall be; an empty value counts as none."""

    def __init__(self, request: Request) -> None:
        self._given = request.query_params

    def text(self, name: str) -> str | None:
        return self._given.get(name) or None

    def limit(self, default: int) -> int:
        value = self.text("limit")
        if value is None:
            return default
        try:
            return int(value)
        except ValueError as error:
            raise InvalidPayload("limit", "a whole number", value[:64]) from error

    def filters(self) -> Filters:
        return Filters(
            session_id=self.text("session_id"),
            user_id=self.text("user_id"),
            channel=self.text("channel"),
            status=self.text("status"),
            handling=self.text("handling"),
            tag=self.text("tag"),
            rating=self._number("rating"),
            author=self.text("author"),
            since=self._number("since"),
            until=self._number("until"),
        )

    def _number(self, name: str) -> float | None:
        value = self.text(name)
        if value is None:
            return None
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise InvalidPayload(name, "a number", value[:64])
        return number


async def _answer(
    request: Request, door: Door, role: str, question: Callable[[InsightsReader], dict[str, Any]]
) -> Response:
    """Ask in a thread, on connections of its own: the loop serves meanwhile."""
    if role not in STAFF:
        raise WireError("forbidden", f"search and statistics are not for role {role}", {"role": role})
    wanted = lookout_of(request).insights_wanted
    return json(await asyncio.to_thread(_ask, door.runtime.core.path, question, wanted))


def _ask(path: str | None, question: Callable[[InsightsReader], _Answer], wanted: bool) -> _Answer:
    """The answer, or why there is none: WireError. wanted: somebody gathers what is not there yet."""
    try:
        try:
            with InsightsReader.open(path) as insights:
                return question(insights)
        except InsightsMissing as error:
            if path is None or not wanted:
                raise WireError("illegal_state", str(error)) from error
            raise WireError(
                "overloaded",
                "What was said is being gathered: ask again in a moment.",
                {"behind": events_to_gather(path)},
                retry_after=1.0,
            ) from error
    except InvalidQuestion as error:
        raise WireError(
            "invalid_payload", str(error), {"key": error.key, "expected": error.reason}
        ) from error
    except StorageError as error:
        logger.warning("insights: %s", error)
        raise WireError("storage_failed", "The insights cannot be read now.", retry_after=1.0) from error
