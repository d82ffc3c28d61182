"""A broadcast as it is asked for, and what became of it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, cast

from .errors import InvalidRequest
from .mail import Caller
from .values import check_user

NEW, LIVE, AGAIN = 1, 2, 3
"""Outcomes as stored: created, delivered, reopened."""
INVALID: Final = "invalid_payload"
_TEXTS: Final = ("display_name", "email", "phone", "language")


@dataclass(slots=True, kw_only=True, eq=False)
class Broadcast:
    """One request: what is said, to whom, and how."""

    broadcast_id: str
    users: Iterable[Any]
    """User maps; each needs a `user_id`. One that is wrong fails alone."""
    by: Caller
    author: str
    channel: str
    text: str | None = None
    attachments: list[Any] | None = None
    data: Any = None
    context: dict[str, Any] | None = None
    reopen: bool = False


@dataclass(slots=True, eq=False)
class BroadcastOutcome:
    """What became of it so far; somebody who is named twice counts once."""

    broadcast_id: str
    created: int = 0
    delivered: int = 0
    reopened: int = 0
    failed: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """{`user_id`, `code`} each."""

    @property
    def reached(self) -> int:
        return self.created + self.delivered + self.reopened

    def count(self, outcome: int) -> None:
        """One more was reached."""
        if outcome == NEW:
            self.created += 1
        elif outcome == LIVE:
            self.delivered += 1
        else:
            self.reopened += 1

    def fail(self, user_id: Any, code: str) -> None:
        """One was not."""
        self.failed.append({"user_id": user_id if isinstance(user_id, str) else None, "code": code})

    def as_map(self) -> dict[str, Any]:
        """The payload of `broadcast:sent`."""
        return {
            "broadcast_id": self.broadcast_id,
            "created": self.created,
            "delivered": self.delivered,
            "reopened": self.reopened,
            "failed": self.failed,
        }


Progress = Callable[[BroadcastOutcome], object]


def addressees(users: Iterable[Any], outcome: BroadcastOutcome) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each person once; what is no user map with a user_id has failed."""
    seen: set[str] = set()
    for user in users:
        if not _is_addressee(user):
            outcome.fail(user.get("user_id") if isinstance(user, dict) else None, INVALID)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        elif user["user_id"] not in seen:
            seen.add(user["user_id"])
            yield user["user_id"], user


def _is_addressee(user: Any) -> bool:
    if not isinstance(user, dict):
        return False
    try:
        check_user(user)
    except InvalidRequest:
        return False
    known = cast("dict[str, Any]", user)
    told = (known.get(key) for key in _TEXTS)
    return known.get("user_id") is not None and all(each is None or isinstance(each, str) for each in told)
