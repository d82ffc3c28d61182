"""The end of a session, and its return: close, resolve and reopen."""

from .answers import Closed, Reopened
from .events import session_map
from .lifecycle import NEVER, Handling, On, permit
from .mail import Request
from .messages import CloseSession, ReopenSession
from .session import SessionActor


def on_close(actor: SessionActor, request: CloseSession) -> Closed:
    session = actor.session
    at = actor.pass_time(request.now)
    step = permit(session.status, On.CLOSE, session.session_id)
    if not step.events:
        return _closed(actor)
    timeouts = session.timeouts
    until = min(
        at + timeouts.keep_alive,
        session.last_activity_at + timeouts.session_timeout,
        session.created_at + timeouts.max_lifetime,
    )
    payload = {
        "reason": request.reason,
        "reopen_until": None if until == NEVER else until,
        "by": request.by.as_map(),
    }
    actor.record("session:closed", payload, at, 0, request.origin)
    actor.snapshot()
    answer = _closed(actor)
    actor.pass_time(at)  # without grace (keep_alive = 0) it expires in the same breath
    return answer


def on_reopen(actor: SessionActor, request: ReopenSession) -> Reopened:
    session = actor.session
    at = actor.pass_time(request.now)
    permit(session.status, On.REOPEN, session.session_id, session.handling, session.assignee)
    if request.attach and request.origin is not None:
        actor.attach(request.origin)
    reopen(actor, request, at, "reopen" if request.by.role == "user" else None)
    return Reopened(session_map(session, actor.shared.sensitive), session.seq)


def reopen(actor: SessionActor, request: Request, at: float, activity: str | None) -> None:
    """Active again, under whoever handled it if that human is there; then what fell due meanwhile."""
    session = actor.session
    handling, assignee = session.handling, session.assignee
    if handling is Handling.HUMAN and not actor.shared.is_present(assignee):
        handling, assignee = Handling.AI, None
    payload = {"handling": handling.value, "assignee": assignee, "by": request.by.as_map()}
    flags = actor.shared.flags_of(activity) if activity else 0
    actor.record("session:reopened", payload, at, flags, request.origin)
    actor.snapshot()
    actor.pass_time(at)


def _closed(actor: SessionActor) -> Closed:
    session = actor.session
    until = None if session.expires_at == NEVER else session.expires_at
    return Closed(session.session_id, session.close_reason, until, session.close_seq)
