"""Reminders: named, durable, fired once; a message of the user or a close cancels them (the fold does that).

A reminder is a deadline of its session like any other: it fires on time, also across a restart, as
`reminder:fired` at its own instant.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from .answers import ReminderCancelled, ReminderSet
from .errors import InvalidRequest
from .lifecycle import On, permit
from .mail import Caller
from .messages import CancelReminder, SetReminder
from .session import SessionActor
from .state import Session
from .turn import MOST_REMINDERS


def set_reminder(actor: SessionActor, by: Caller, name: str, due_at: float, data: Any, at: float) -> None:
    """Record it; the same name again replaces it."""
    payload = {"name": name, "due_at": due_at, "data": data, "by": by.as_map()}
    actor.record("reminder:set", payload, at)


def cancel_reminder(actor: SessionActor, by: Caller, name: str, at: float) -> bool:
    """Record it, if there is such a reminder; was there one?"""
    if name not in (actor.session.reminders or {}):
        return False
    actor.record("reminder:cancelled", {"name": name, "by": by.as_map()}, at)
    return True


def check_room(session: Session, changes: Mapping[str, tuple[float, Any] | None]) -> None:
    """Raise `InvalidRequest` when the session would have too many reminders; None cancels one."""
    names = set(session.reminders or ())
    for name, reminder in changes.items():
        if reminder is None:
            names.discard(name)
        else:
            names.add(name)
    if len(names) > MOST_REMINDERS:
        raise InvalidRequest(
            f"session {session.session_id} would have {len(names)} reminders, {MOST_REMINDERS} are allowed",
            session_id=session.session_id,
            details={"limit": "reminders", "max": MOST_REMINDERS, "got": len(names)},
        )


def on_set_reminder(actor: SessionActor, request: SetReminder) -> ReminderSet:
    session = actor.session
    at = actor.pass_time(request.now)
    permit(session.status, On.REMIND, session.session_id)
    due_at = max(request.at, at)
    check_room(session, {request.name: (due_at, None)})
    set_reminder(actor, request.by, request.name, due_at, request.data, at)
    seq = session.seq
    actor.pass_time(at)  # one that is due at once
    return ReminderSet(session.session_id, request.name, due_at, seq)


def on_cancel_reminder(actor: SessionActor, request: CancelReminder) -> ReminderCancelled:
    session = actor.session
    at = actor.pass_time(request.now)
    permit(session.status, On.REMIND, session.session_id)
    was_set = cancel_reminder(actor, request.by, request.name, at)
    return ReminderCancelled(session.session_id, request.name, was_set, session.seq)


REMINDER_HANDLERS: Final[Mapping[type, Callable[[SessionActor, Any], Any]]] = {
    SetReminder: on_set_reminder,
    CancelReminder: on_cancel_reminder,
}
"""Beside those of `requests`."""
