"""What a human sees at the desk: who waits, whom one has, and the talk that is open. Values; no I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(slots=True)
class Row:
    """A session in one of the two lists."""

    session_id: str
    name: str
    queue: str | None
    since: float
    """When it began to wait, or when it was taken; the server's Unix time."""
    note: str | None = None
    unread: int = 0
    """Messages of the user's that were not on the screen yet."""


@dataclass(slots=True)
class Talk:
    """A conversation as far as it is known here."""

    events: dict[int, Json] = field(default_factory=dict[int, Json])
    """By `seq`: what is told twice, by a page and a push, stands once."""
    writing: str | None = None
    """Who is writing at this moment."""

    def add(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Know these durable events."""
        for event in events:
            self.events[event["seq"]] = dict(event)

    def in_order(self) -> list[Json]:
        return [self.events[seq] for seq in sorted(self.events)]


@dataclass(slots=True)
class DeskState:
    """The whole desk of one human."""

    identity: str
    queues: tuple[str, ...] | None = None
    """Which queues it shows; None: all."""
    waiting: dict[str, Row] = field(default_factory=dict[str, Row])
    """Who is next first, as the server orders its queues."""
    others: int = 0
    """How many wait behind those."""
    mine: dict[str, Row] = field(default_factory=dict[str, Row])
    talks: dict[str, Talk] = field(default_factory=dict[str, Talk])
    """Of the sessions that are open here: one's own, and the one that is looked at."""
    selected: str | None = None
    notice: str = ""
    """What happened last, or what went wrong."""
    clock_ahead: float = 0.0
    """Seconds by which the server's clock is ahead of this machine's."""
    connected: bool = True

    @property
    def rows(self) -> list[Row]:
        """Both lists, as one goes through them by number or with the arrow keys."""
        return [*self.waiting.values(), *self.mine.values()]

    def row(self, session_id: str | None) -> Row | None:
        if session_id is None:
            return None
        return self.mine.get(session_id) or self.waiting.get(session_id)

    def neighbour(self, step: int) -> str | None:
        """The session `step` rows below the selected one, within bounds; the first when none is selected."""
        ids = [row.session_id for row in self.rows]
        if not ids:
            return None
        if self.selected not in ids:
            return ids[0]
        return ids[max(0, min(ids.index(self.selected) + step, len(ids) - 1))]


def name_of(session: Mapping[str, Any]) -> str:
    """What to call the user of a session map."""
    user: Mapping[str, Any] = session.get("user") or {}
    return str(user.get("display_name") or user.get("user_id") or "somebody")
