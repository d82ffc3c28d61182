"""What is known of one session as a whole: a fold over its events (pure).

`apply` is told an event and its instant, nothing else, so facts that were gathered slice by slice are those
of one pass over the history. Context and metadata are left out: they may hold what only a handler should see.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, NamedTuple


class Handover(NamedTuple):
    """One wait for a human, from the queue to whoever or whatever ended it."""

    session: int
    number: int
    """1 for the session's first."""
    queue: str | None
    reason: str | None
    """`human_timeout` or `human_gone` where it came back from a human; None: somebody asked for one."""
    waiting_since: float
    ended_at: float | None
    """None: it still waits."""
    outcome: str | None
    """`taken`, `released`, `closed` or `expired`."""
    assignee: str | None


@dataclass(slots=True, kw_only=True)
class Facts:
    """One row of `sessions`; instants are Unix time in seconds, None: it did not happen."""

    key: int
    session_id: str
    user_id: str | None
    channel: str
    created_at: float
    status: str = "active"
    handling: str = "ai"
    queue: str | None = None
    assignee: str | None = None
    tags: list[str] = field(default_factory=list[str])
    rating: float | None = None
    feedback: str | None = None
    closed_at: float | None = None
    close_reason: str | None = None
    expired_at: float | None = None
    expiry_reason: str | None = None
    resolved_by: str | None = None
    reopenings: int = 0
    messages: int = 0
    user_messages: int = 0
    ai_messages: int = 0
    human_messages: int = 0
    system_messages: int = 0
    failures: int = 0
    last_message_at: float | None = None
    first_user_at: float | None = None
    first_answer_at: float | None = None
    handovers: int = 0
    handover_reason: str | None = None
    waiting_since: float | None = None
    handover_wait: float | None = None
    with_human: int = 0
    seq: int = 0
    event: int = 0

    def apply(self, event: str, at: float, payload: Mapping[str, Any]) -> Handover | None:
        """Fold one event in; a handover that began, moved or ended with it is returned as it is now."""
        change = _CHANGES.get(event)
        return None if change is None else change(self, at, payload)

    def row(self) -> tuple[Any, ...]:
        """The values for the columns `STORED`, in their order."""
        return tuple(
            json.dumps(self.tags, ensure_ascii=False) if name == "tags" else getattr(self, name)
            for name in STORED
        )

    def wait_ends(self, at: float, outcome: str) -> Handover | None:
        """Nobody waits for a human any more; None: nobody did."""
        since, self.waiting_since = self.waiting_since, None
        if since is None:
            return None
        if outcome == "taken" and self.handover_wait is None:
            self.handover_wait = at - since
        return Handover(
            self.key, self.handovers, self.queue, self.handover_reason, since, at, outcome, self.assignee
        )

    def wait_begins(self, at: float, queue: str | None, reason: str | None) -> Handover:
        """The session waits for a human in this queue, from now on or still."""
        self.handling, self.queue, self.assignee = "queued", queue, None
        if self.waiting_since is None:  # from one queue to another the user waits on
            self.handovers += 1
            self.waiting_since = at
            self.handover_reason = reason
        return Handover(
            self.key, self.handovers, queue, self.handover_reason, self.waiting_since, None, None, None
        )


STORED: Final = tuple(each.name for each in fields(Facts))
"""The columns of `sessions` that are written; the others are reckoned from them."""


def facts_of(row: tuple[Any, ...]) -> Facts:
    """The facts that `Facts.row` wrote."""
    values = dict(zip(STORED, row, strict=True))
    values["tags"] = json.loads(values["tags"])
    return Facts(**values)


def _created(facts: Facts, at: float, payload: Mapping[str, Any]) -> None:
    facts.tags = list(payload["tags"])


def is_copy(payload: Mapping[str, Any]) -> bool:
    """Whether this was said in another session, which this one was forked from: there it is counted."""
    return "copied_from" in payload


def _message(facts: Facts, at: float, payload: Mapping[str, Any]) -> None:
    if is_copy(payload):
        return
    facts.messages += 1
    facts.last_message_at = at
    match payload["author"]:
        case "user":
            facts.user_messages += 1
            if facts.first_user_at is None:
                facts.first_user_at = at
            return
        case "ai":
            facts.ai_messages += 1
        case "human":
            facts.human_messages += 1
            facts.with_human = 1
        case _:
            facts.system_messages += 1
            return
    if facts.first_answer_at is None and facts.first_user_at is not None:
        facts.first_answer_at = at


def _failed(facts: Facts, at: float, payload: Mapping[str, Any]) -> None:
    facts.failures += 1


def _closed(facts: Facts, at: float, payload: Mapping[str, Any]) -> Handover | None:
    facts.status = "closed"
    facts.closed_at = at
    facts.close_reason = payload["reason"]
    facts.resolved_by = _resolved_by(facts, payload["by"]["role"])
    return facts.wait_ends(at, "closed")


def _resolved_by(facts: Facts, role: str) -> str | None:
    """Who solved it: a human where one took part, closed it, or is said to have; else the AI likewise."""
    if facts.with_human or role == "agent" or facts.close_reason == "resolved_by_human":
        return "human"
    if facts.ai_messages or role == "ai" or facts.close_reason == "resolved_by_ai":
        return "ai"
    return None


def _reopened(facts: Facts, at: float, payload: Mapping[str, Any]) -> Handover | None:
    facts.status = "active"
    facts.closed_at = facts.close_reason = facts.resolved_by = None
    facts.reopenings += 1
    handling = payload["handling"]
    if handling == "queued":
        return facts.wait_begins(at, facts.queue, None)
    if handling != facts.handling:
        facts.handling, facts.assignee, facts.queue = handling, payload["assignee"], None
    return None


def _expired(facts: Facts, at: float, payload: Mapping[str, Any]) -> Handover | None:
    facts.status = "expired"
    facts.expired_at = at
    facts.expiry_reason = payload["reason"]
    return facts.wait_ends(at, "expired")


def _handed_over(facts: Facts, at: float, payload: Mapping[str, Any]) -> Handover:
    return facts.wait_begins(at, payload["queue"], payload.get("reason"))


def _assigned(facts: Facts, at: float, payload: Mapping[str, Any]) -> Handover | None:
    facts.handling, facts.assignee = "human", payload["assignee"]
    facts.with_human = 1
    return facts.wait_ends(at, "taken")


def _released(facts: Facts, at: float, payload: Mapping[str, Any]) -> Handover | None:
    ended = facts.wait_ends(at, "released")
    facts.handling, facts.assignee, facts.queue = "ai", None, None
    return ended


def _rated(facts: Facts, at: float, payload: Mapping[str, Any]) -> None:
    facts.rating = payload["rating"]
    facts.feedback = payload["feedback"]


def _tagged(facts: Facts, at: float, payload: Mapping[str, Any]) -> None:
    facts.tags = list(payload["tags"])


_CHANGES: Final[Mapping[str, Callable[[Facts, float, Mapping[str, Any]], Handover | None]]] = {
    "session:created": _created,
    "message:received": _message,
    "message:failed": _failed,
    "session:closed": _closed,
    "session:reopened": _reopened,
    "session:expired": _expired,
    "session:handed_over": _handed_over,
    "session:assigned": _assigned,
    "session:released": _released,
    "session:rated": _rated,
    "session:tagged": _tagged,
}
"""What each event changes; an event that is not here is counted in `seq` alone."""
