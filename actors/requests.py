"""What each request does to a session: the rules between the life cycle's table and the journal.

One function a request, by type in `HANDLERS`; those that belong together have a file of their own. Each lets
time pass first, refuses before it records anything, and returns the answer, or `WAITING` when the answer
needs a read.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import uuid4

from sojourn.storage import ERASED, Gone, erasure

from .answers import Created, Erased, Explained, Rated, State, Tagged, Told
from .closing import on_close, on_reopen
from .erasing import receipt_map
from .events import session_map
from .handling import on_assign, on_hand_over, on_release, on_return
from .lifecycle import On, Status, permit
from .mail import Request
from .messages import (
    Assign,
    CloseSession,
    Compose,
    CreateSession,
    DetachSession,
    EraseSession,
    ExplainSession,
    FailMessage,
    GetSession,
    HandOver,
    MarkRead,
    Probe,
    RateSession,
    ReadEvents,
    ReadHistory,
    Release,
    ReopenSession,
    Resolve,
    ResumeSession,
    Return,
    SendMessage,
    TagSession,
    Tick,
    UpdateContext,
)
from .packing import pack
from .patching import on_update_context
from .reading import expired, read_events, read_history, resume
from .scoping import scope_of, view_of
from .sending import on_send
from .session import SessionActor, Waiting


def on_tick(actor: SessionActor, _tick: Tick) -> None:
    """The wheel's wake-up: harmless when it is early, exact when it is late."""
    actor.pass_time(actor.shared.clock.now())
    newest = actor.upkeep.newest
    if newest is not None:
        if newest.asked:
            newest.asked = False
        else:
            actor.upkeep.newest = None
    actor.shared.rested(actor)


def on_create(actor: SessionActor, request: CreateSession) -> Created:
    session = actor.session
    if session.seq:
        return _created_before(actor, request)
    if request.attach and request.origin is not None:
        actor.attach(request.origin)
    actor.record("session:created", creation(request), request.now, 0, request.origin)
    actor.put_first_row(request.request_key, request.token_hash)
    return Created(session.session_id, session_map(session, actor.shared.sensitive))


def creation(request: CreateSession) -> dict[str, Any]:
    """What the first event of a session holds."""
    return {
        "user": request.user,
        "context": request.context,
        "metadata": request.metadata,
        "channel": request.channel,
        "timeouts": request.timeouts,
        "tags": request.tags,
        "by": request.by.as_map(),
    }


def _created_before(actor: SessionActor, request: CreateSession) -> Created:
    """The same `request_key` again: it answers the session as it is now."""
    session = actor.session
    actor.pass_time(request.now)
    if session.status is not Status.EXPIRED:
        if request.attach and request.origin is not None:
            actor.attach(request.origin)
    elif request.by.role == "user":
        raise expired(session)
    return Created(session.session_id, session_map(session, actor.shared.sensitive))


def on_get(actor: SessionActor, request: GetSession) -> State | Waiting:
    actor.pass_time(request.now)
    if actor.session.status is Status.EXPIRED and request.by.role == "user":
        raise expired(actor.session)
    view = session_map(actor.session, actor.shared.sensitive)
    if not request.scopes:
        return State(view)
    scope = scope_of(actor)
    if isinstance(scope, Waiting):
        return scope
    # What the operator keeps for agents and backends need not be every visitor's to read.
    shown = view_of(actor, scope, app=request.by.role != "user")
    return State(view, shown, None if scope is None else scope.version)


def on_rate(actor: SessionActor, request: RateSession) -> Rated:
    session = actor.session
    at = actor.pass_time(request.now)
    permit(session.status, On.RATE, session.session_id)
    payload = {"rating": request.rating, "feedback": request.feedback, "by": request.by.as_map()}
    actor.record("session:rated", payload, at, actor.shared.flags_of("rating"), request.origin)
    return Rated(session.session_id, session.seq)


def on_tag(actor: SessionActor, request: TagSession) -> Tagged:
    session = actor.session
    at = actor.pass_time(request.now)
    permit(session.status, On.TAG, session.session_id)
    removed = set(request.remove)
    tags = [tag for tag in dict.fromkeys((*session.tags, *request.add)) if tag not in removed]
    actor.record(
        "session:tagged",
        {"tags": tags, "by": request.by.as_map()},
        at,
        actor.shared.flags_of("tag"),
        request.origin,
    )
    return Tagged(session.session_id, tags, session.seq)


def on_fail(actor: SessionActor, request: FailMessage) -> None:
    """The history says that a message could not be handled; an expired session's history says
    nothing more.
    """
    at = actor.pass_time(request.now)
    if actor.session.status is not Status.EXPIRED:
        payload = {"message_id": request.message_id, "code": request.code, "message": request.text}
        actor.record("message:failed", payload, at)


def on_probe(_actor: SessionActor, _probe: Probe) -> None:
    """It is here: that was the question."""


def on_detach(actor: SessionActor, request: DetachSession) -> Told:
    session_id = actor.session.session_id
    if request.origin is not None:
        actor.shared.audience.detach(session_id, request.origin)
    return Told(session_id)


def on_compose(actor: SessionActor, request: Compose) -> Told:
    return _tell_others(actor, request, "message:composing", {"action": request.action})


def on_mark_read(actor: SessionActor, request: MarkRead) -> Told:
    return _tell_others(actor, request, "message:read", {"read_seq": request.read_seq})


def on_explain(actor: SessionActor, request: ExplainSession) -> Explained:
    actor.pass_time(request.now)
    return Explained(actor.session.session_id, actor.shared.explain(actor))


def on_erase(actor: SessionActor, request: EraseSession) -> Erased:
    """Everything of the session goes with the next commit; whoever asks for it later never knew it."""
    session = actor.session
    at = max(request.now, session.last_at)
    erasure_id = request.erasure_id or uuid4().hex
    actor.shared.erase(actor, request.origin, Gone(at, ERASED, erasure_id, session.seq))
    digest = erasure.digest_of(erasure_id, session.session_id)
    receipt = erasure.Receipt(erasure_id, at, "session", digest, 1, session.seq, at, None, None)
    return Erased(1, session.seq, receipt_map(receipt))


def _tell_others(actor: SessionActor, request: Request, event: str, payload: dict[str, Any]) -> Told:
    session = actor.session
    at = actor.pass_time(request.now)
    if session.status is Status.EXPIRED:
        raise expired(session)
    others = actor.shared.audience.others(session.session_id, request.origin)
    if others:
        frame = pack(
            {
                "type": event,
                "session_id": session.session_id,
                "at": at,
                **payload,
                "by": request.by.as_map(),
            }
        )
        for subscriber in others:
            actor.shared.commits.after(actor.upkeep.batch, subscriber, frame)
    return Told(session.session_id)


HANDLERS: Final[Mapping[type, Callable[[SessionActor, Any], Any]]] = {
    Tick: on_tick,
    Probe: on_probe,
    SendMessage: on_send,
    CreateSession: on_create,
    GetSession: on_get,
    ResumeSession: resume,
    ReadHistory: read_history,
    ReadEvents: read_events,
    UpdateContext: on_update_context,
    CloseSession: on_close,
    ReopenSession: on_reopen,
    RateSession: on_rate,
    TagSession: on_tag,
    FailMessage: on_fail,
    DetachSession: on_detach,
    Compose: on_compose,
    MarkRead: on_mark_read,
    ExplainSession: on_explain,
    EraseSession: on_erase,
    HandOver: on_hand_over,
    Assign: on_assign,
    Release: on_release,
    Resolve: on_close,
    Return: on_return,
}
