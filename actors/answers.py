"""What a session actor answers: one type a request, beside the `SessionError` that says why not.

An answer reaches the asker only after the commit of what it speaks of; `seq` is the event that it speaks of.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

Json = Any


class Accepted(NamedTuple):
    """A message is stored (or was before: `duplicate`). `seq` is its place in the history."""

    session_id: str
    message_id: str
    seq: int
    duplicate: bool
    created: bool
    reopened: bool


class Created(NamedTuple):
    session_id: str
    session: dict[str, Json]


class State(NamedTuple):
    session: dict[str, Json]
    view: dict[str, Json] | None = None
    """The merged view of the context, where it was asked for."""
    user_version: int | None = None
    """Of the user's scope, then; None: the session has no user_id."""


class Events(NamedTuple):
    """`events`: each one msgpack map, oldest first. `more`: there are others behind the last."""

    session_id: str
    events: list[bytes]
    more: bool


@dataclass(frozen=True, slots=True)
class History:
    """A page of events, oldest first. `more`: there are others behind the last."""

    events: list[dict[str, Any]]
    more: bool


class Resumed(NamedTuple):
    session: dict[str, Json]
    events: list[bytes]
    complete: bool
    more: bool


class ContextUpdated(NamedTuple):
    session_id: str
    context: dict[str, Json]
    """The session's own; behind a patch of the user's scope with that, its keys with their prefix."""
    context_version: int
    seq: int
    user_version: int | None = None
    """Of the user's scope, where the patch wrote to it."""


class Closed(NamedTuple):
    session_id: str
    reason: str | None
    reopen_until: float | None
    seq: int


class HandedOver(NamedTuple):
    """It waits in that queue; `seq` is the event that says so."""

    session_id: str
    handling: str
    queue: str | None
    seq: int


class Assigned(NamedTuple):
    session_id: str
    assignee: str
    seq: int


class Released(NamedTuple):
    session_id: str
    seq: int


class Reopened(NamedTuple):
    session: dict[str, Json]
    seq: int


class Rated(NamedTuple):
    session_id: str
    seq: int


class Tagged(NamedTuple):
    session_id: str
    tags: list[str]
    seq: int


class ReminderSet(NamedTuple):
    session_id: str
    name: str
    due_at: float
    seq: int


class ReminderCancelled(NamedTuple):
    """`was_set`: there was one of that name."""

    session_id: str
    name: str
    was_set: bool
    seq: int


class Told(NamedTuple):
    session_id: str


class Explained(NamedTuple):
    session_id: str
    why: dict[str, Json]


class Erased(NamedTuple):
    """How much is gone."""

    sessions: int
    events: int
    receipt: dict[str, Any] | None = None
    """What is kept of the erasure itself; see `sojourn.storage.Receipt`."""
