"""What a client's methods return, and the events that it hears (values; no behaviour)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .attachment import Frame, Missed

_ENVELOPE = ("type", "session_id", "seq", "at")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a session; `seq` and `at` (Unix time) are None for what is not stored."""

    type: str
    session_id: str
    seq: int | None = None
    at: float | None = None
    payload: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def text(self) -> str | None:
        """The text of a message."""
        return self.payload.get("text")

    @property
    def author(self) -> str | None:
        """Who wrote a message: `user`, `ai`, `human` or `system`."""
        return self.payload.get("author")

    def as_map(self) -> dict[str, Any]:
        """Return the event as the wire has it."""
        return {key: getattr(self, key) for key in _ENVELOPE if getattr(self, key) is not None} | {
            **self.payload
        }


@dataclass(frozen=True, slots=True)
class Gap(Event):
    """Events behind `after_seq` up to `until_seq` will not come.

    Either they no longer exist, or too many waited unread: those `history(after_seq)` still has.
    """

    after_seq: int = 0
    until_seq: int = 0


class Accepted(NamedTuple):
    """A message is stored (or was before: `duplicate`). `seq` is its place in the history."""

    session_id: str
    message_id: str
    seq: int
    duplicate: bool
    created: bool
    reopened: bool


class Page(NamedTuple):
    """Part of a history, oldest first; `more`: there are others behind the last."""

    events: list[Event]
    more: bool


class Context(NamedTuple):
    """A session's context after a patch, its version, and the patch's place in the history."""

    context: dict[str, Any]
    version: int
    seq: int
    user_version: int | None = None
    """Of the user's scope, where the patch wrote to it: then `context` has that as well, as `user.…`."""


class Closed(NamedTuple):
    """A close: until when (Unix time) the session can be reopened, None = as long as it lives."""

    reason: str | None
    reopen_until: float | None
    seq: int


class HandedOver(NamedTuple):
    """It waits for a human in that queue; `seq` is the event that says so."""

    queue: str | None
    seq: int


class Assigned(NamedTuple):
    """That human has it; `seq` is the event that says so."""

    assignee: str
    seq: int


class Watching(NamedTuple):
    """What waits at the beginning of a watch, who is next first: maps of `session_id`, `queue` and `since`.

    `more`: there are others behind the last, which `list` knows.
    """

    waiting: list[dict[str, Any]]
    more: bool


class Erased(NamedTuple):
    """How many sessions and events are gone."""

    sessions: int
    events: int
    receipt: dict[str, Any] | None = None
    """What the server keeps of the erasure; see "Privacy" in the documentation."""


def event_of(frame: Frame) -> Event:
    """Return the event in a pushed or replayed map."""
    payload = {key: value for key, value in frame.items() if key not in _ENVELOPE}
    return Event(frame["type"], frame.get("session_id", ""), frame.get("seq"), frame.get("at"), payload)


def gap_of(missed: Missed) -> Gap:
    """Return the gap as readers of events see it."""
    span = {"after_seq": missed.after_seq, "until_seq": missed.until_seq}
    return Gap("gap", missed.session_id, payload=span, **span)


def accepted_of(reply: Frame) -> Accepted:
    """Return the receipt in a `message:accepted` map."""
    return Accepted(*(reply[name] for name in Accepted._fields))


class Listing(NamedTuple):
    """A page of `session:list`: session maps, newest created first; `cursor` is None at the end."""

    sessions: list[dict[str, Any]]
    cursor: str | None
