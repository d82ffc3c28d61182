"""`why(session)`: what it waits for, until when, who is attached, what is queued. For people."""

from typing import TYPE_CHECKING, Any

from .desk import is_at_desk
from .lifecycle import NEVER, Handling, Status
from .state import EXPIRY_REASON

if TYPE_CHECKING:
    from .registry import RegistryActor
    from .session import SessionActor


class Explainer:
    """Explains live sessions (asking makes them live)."""

    def __init__(self, registry: "RegistryActor") -> None:
        self._registry = registry

    def explain(self, actor: "SessionActor") -> dict[str, Any]:
        """A map: `waits_for` (a sentence), `until`, `deadlines` (all that run, earliest first), `attached`,
        …
        """
        session = actor.session
        deadlines: list[dict[str, Any]] = []
        if session.status is not Status.EXPIRED:
            for setting, why, start in (
                ("session_timeout", "expires: the user has been silent", session.last_activity_at),
                ("keep_alive", "expires: the grace period after the close ends", session.closed_at),
                ("max_lifetime", "expires: its longest life ends", session.created_at),
            ):
                seconds: float = getattr(session.timeouts, setting)
                if start is not None and seconds != NEVER:
                    deadlines.append({"timer": setting, "at": start + seconds, "then": why})
            dialog_at = session.dialog_from + session.timeouts.dialog_timeout
            if dialog_at != NEVER and session.status is Status.ACTIVE and session.handling is Handling.AI:
                deadlines.append(
                    {"timer": "dialog_timeout", "at": dialog_at, "then": "the AI's memory of the talk lapses"}
                )
            if session.wait_until != NEVER and is_at_desk(session):
                human = session.handling is Handling.HUMAN
                deadlines.append(
                    {
                        "timer": "human_timeout" if human else "queue_timeout",
                        "at": session.wait_until,
                        "then": f"goes back to {'its queue' if human else 'the AI'}: no human answered",
                    }
                )
            for name, (when, _) in (session.reminders or {}).items():
                deadlines.append(
                    {"timer": "reminder", "name": name, "at": when, "then": "the reminder fires"}
                )
            deadlines.sort(key=lambda each: each["at"])
        expires = session.status is not Status.EXPIRED and session.expires_at != NEVER
        return {
            "status": session.status.value,
            "handling": session.handling.value,
            "assignee": session.assignee,
            "handling_since": session.handling_at,
            **self._queued(actor),
            "waits_for": _waits_for(session.status, session.handling, session.assignee, session.queue),
            "until": deadlines[0]["at"] if deadlines else None,
            "expires_at": session.expires_at if expires else session.expired_at,
            "expires_why": EXPIRY_REASON[session.expires_why] if expires else session.expiry_reason,
            "deadlines": deadlines,
            "attached": len(actor.shared.audience.of(session.session_id)),
            "queued": len(actor.actor_inbox),
            "live": True,
            "uncommitted": actor.upkeep.batch is not None,
            "seq": session.seq,
            "snapshot_seq": actor.upkeep.snapshot_seq,
            "restarts": self._registry.supervisor.restarts_of(session.session_id),
        }

    @staticmethod
    def _queued(actor: "SessionActor") -> dict[str, Any]:
        """Of a session in a queue: which place it has (1 is next), and for how many seconds it has waited."""
        session, shared = actor.session, actor.shared
        place = shared.desk.place_of(session)
        if place is None:
            return {}
        return {"place": place, "waiting": max(shared.clock.now() - session.handling_at, 0.0)}


def _waits_for(status: Status, handling: Handling, assignee: str | None, queue: str | None) -> str:
    if status is Status.EXPIRED:
        return "nothing: it has expired"
    if status is Status.CLOSED:
        return "a user's message or a reopening, until its grace period ends"
    if handling is Handling.QUEUED:
        return f"a human agent of the queue {queue!r}" if queue else "a human agent"
    if handling is Handling.HUMAN:
        return f"the user, or the human agent {assignee!r}"
    return "the user's next message"
