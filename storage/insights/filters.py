"""Which sessions and messages a question is about."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from .errors import InvalidQuestion

AUTHORS: Final = ("user", "ai", "human", "system")
STATUSES: Final = ("active", "closed", "expired")
HANDLINGS: Final = ("ai", "queued", "human")

MOST_INSTANT: Final = 253_402_300_799
"""The last second of the year 9999."""


@dataclass(frozen=True, kw_only=True)
class Filters:
    """All that is given must hold; None: whatever it is. Instants are Unix time in seconds.

    Raises InvalidQuestion for a word that no session has.
    """

    session_id: str | None = None
    user_id: str | None = None
    channel: str | None = None
    status: str | None = None
    handling: str | None = None
    tag: str | None = None
    rating: float | None = None
    author: str | None = None
    """Who wrote the message; of sessions: who wrote in it."""
    since: float | None = None
    """From this instant on: of messages when written, of sessions when created."""
    until: float | None = None
    """Before this instant."""

    def __post_init__(self) -> None:
        for key, allowed in (("author", AUTHORS), ("status", STATUSES), ("handling", HANDLINGS)):
            value = getattr(self, key)
            if value is not None and value not in allowed:
                raise InvalidQuestion(key, f"one of {', '.join(allowed)}, not {value!r}")
        for key in ("since", "until"):
            at = getattr(self, key)
            if at is not None and not 0 <= at <= MOST_INSTANT:
                raise InvalidQuestion(key, f"an instant in seconds from 0 to {MOST_INSTANT}, not {at!r}")
        for key in ("session_id", "user_id", "channel", "tag"):
            text = getattr(self, key)
            if text is not None and any("\ud800" <= each <= "\udfff" for each in text):
                raise InvalidQuestion(key, "no text")

    @property
    def plain(self) -> bool:
        """Whether they ask for nothing but a time and a channel."""
        return replace(self, channel=None, since=None, until=None) == Filters()

    def of_sessions(self) -> tuple[list[str], dict[str, Any]]:
        """Conditions on the table `sessions` as `s`, all but the times and the author, and their values."""
        names: dict[str, Any] = {}
        conditions: list[str] = []
        for name in ("session_id", "user_id", "channel", "status", "handling", "rating"):
            value = getattr(self, name)
            if value is not None:
                conditions.append(f"s.{name} = :{name}")
                names[name] = value
        if self.tag is not None:
            conditions.append("s.key IN (SELECT session FROM session_tags WHERE tag = :tag)")
            names["tag"] = self.tag
        return conditions, names

    def times(self, column: str) -> tuple[list[str], dict[str, Any]]:
        """The conditions on an instant, and their values."""
        names = {"since": self.since, "until": self.until}
        given = {name: value for name, value in names.items() if value is not None}
        signs = {"since": ">=", "until": "<"}
        return [f"{column} {signs[name]} :{name}" for name in given], given


def where(*conditions: str) -> str:
    """A WHERE clause of all conditions, or nothing."""
    return f"WHERE {' AND '.join(conditions)}" if conditions else ""


def make_cursor(*place: object) -> str:
    """Where the next page begins, as a word for outside."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def read_cursor(cursor: str, kinds: tuple[tuple[type, ...], ...]) -> list[Any]:
    """What `make_cursor` was given; raises InvalidQuestion for anything else."""
    try:
        place = json.loads(base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)))
    except (ValueError, RecursionError):
        place = None
    parts = list(cast("Sequence[Any]", place)) if isinstance(place, list) else []
    if len(parts) != len(kinds) or not all(map(isinstance, parts, kinds)):
        raise InvalidQuestion("cursor", "not one of this server")
    return parts


def check_limit(limit: int, most: int) -> int:
    """The limit itself; raises InvalidQuestion when it is out of range."""
    if not 1 <= limit <= most:
        raise InvalidQuestion("limit", f"1 to {most}, not {limit}")
    return limit
