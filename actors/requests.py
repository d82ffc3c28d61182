"""What each request does to a session: the rules between the life cycle's table and the journal.

One function a request, by type in `HANDLERS`. Each lets time pass first, refuses before it records
anything, and returns the answer, or `WAITING` when the answer needs a read.
"""

import random
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from sojourn.storage import EVENT_TYPES

from .errors import VersionConflict
from .events import session_map
from .handling import assign, on_assign, on_hand_over, on_release, on_return
from .lifecycle import NEVER, TABLE, Handling, On, Status, permit
from .messages import (
    Accepted,
    Assign,
    Closed,
    CloseSession,
    Compose,
    ContextUpdated,
    Created,
    CreateSession,
    DetachSession,
    Erased,
    EraseSession,
    Explained,
    ExplainSession,
    FailMessage,
    GetSession,
    HandOver,
    MarkRead,
    Probe,
    Rated,
    RateSession,
    ReadEvents,
    ReadHistory,
    Release,
    Reopened,
    ReopenSession,
    Request,
    Resolve,
    ResumeSession,
    Return,
    SendMessage,
    State,
    Subscriber,
    Tagged,
    TagSession,
    Tick,
    Told,
    UpdateContext,
)
from .packing import pack, pack_message
from .reading import expired, look_up_message, read_events, read_history, resume, same_again
from .scoping import checked_patch, scope_of, view_of
from .session import Elsewhere, SessionActor, Waiting
from .state import ACTIVITY, CREATED, REOPENED, SERVER_MADE, Session

MESSAGE: Final = EVENT_TYPES["message:received"]
_random_bits = random.Random().getrandbits  # ids need no secrecy; the system's source costs far more
_new_tuple = cast("Callable[[type[Accepted], tuple[object, ...]], Accepted]", tuple.__new__)  # pyright: ignore[reportUnknownMemberType]


def on_tick(actor: SessionActor, _tick: Tick) -> None:
    """The wheel's wake-up: harmless when it is early, exact when it is late."""
    actor.pass_time(actor.shared.clock.now())
    newest = actor.newest
    if newest is not None:
        if newest.asked:
            newest.asked = False
        else:
            actor.newest = None
    actor.shared.rested(actor)


def on_create(actor: SessionActor, request: CreateSession) -> Created:
    session = actor.session
    if session.seq:
        return _created_before(actor, request)
    if request.attach and request.origin is not None:
        actor.attach(request.origin)
    actor.record(
        "session:created",
        {
            "user": request.user,
            "context": request.context,
            "metadata": request.metadata,
            "channel": request.channel,
            "timeouts": request.timeouts,
            "tags": request.tags,
            "by": request.by.as_map(),
        },
        request.now,
        0,
        request.origin,
    )
    actor.put_first_row(request.request_key, request.token_hash)
    return Created(session.session_id, session_map(session, actor.shared.sensitive))


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


def on_send(actor: SessionActor, request: SendMessage) -> Accepted | Waiting | Elsewhere:
    session = actor.session
    message_id = request.message_id
    if message_id is not None and not request.verified:
        recent = session.recent
        if recent is not None and message_id in recent:
            answer = session.recall(message_id)
            assert answer is not None
            return same_again(actor, request, answer)
        if session.answers is not None or message_id[0:1] == SERVER_MADE:
            candidates = session.candidates(message_id)
            if candidates:
                return look_up_message(actor, request, message_id, candidates)
    at = request.now
    if session.due_at <= at or at < session.last_at:
        at = actor.pass_time(at)
    author = request.author
    status = session.status
    flags = actor.shared.message_flags[author]
    if status is not Status.ACTIVE:
        on = On.USER_MESSAGE if author == "user" else On.OTHER_MESSAGE
        if request.addressed is not None and (status, on) not in TABLE:
            return actor.shared.address_again(actor, request)
        permit(status, on, session.session_id)
        flags |= REOPENED
    context = request.context
    change = None
    if context is not None:
        checked = checked_patch(actor, context)
        if isinstance(checked, Waiting):
            return checked
        change = checked
    taken_by: str | None = None
    if author == "human" and session.handling is Handling.QUEUED:
        taken_by = request.author_id or request.by.id
        if taken_by is not None:
            actor.shared.desk.check_room(taken_by, session)
    origin = request.origin
    agent = actor.shared.agent
    if agent is not None and author == "user":
        agent.admit(actor)
    if origin is not None and request.attach and session.session_id not in origin.attached:
        actor.attach(origin)
    if agent is not None and author == "user":
        agent.give_way(actor, at)
    if flags & REOPENED:
        _reopen(actor, request, at, "reopen")
    if context is not None:
        _merge(actor, request, context, at)
    if taken_by is not None:
        assign(actor, request, taken_by, at)
    created = request.created
    if created:
        flags |= CREATED
    if message_id is None:
        message_id = new_message_id(session)
    if request.author_id is None and request.attachments is request.data is request.in_reply_to is None:
        body = pack_message(author, message_id, request.text)
    else:
        body = _pack_whole_message(request, message_id)
    session.apply_message(at, author, message_id, flags)
    actor.keep(MESSAGE, body, at, flags, origin)
    if change is not None:
        actor.shared.scopes.keep(change, actor.join())
    if agent is not None and author == "user" and session.handling is Handling.AI:
        agent.answer_after_commit(actor, request, message_id)
    # `Accepted(…)` without the function call that a named tuple's constructor is.
    return _new_tuple(
        Accepted, (session.session_id, message_id, session.seq, False, created, flags & REOPENED != 0)
    )


def take_text(
    actor: SessionActor,
    author: str,
    message_id: str,
    text: str,
    now: float,
    origin: Subscriber | None,
    is_new: bool = False,
) -> int:
    """`on_send` at once for a text and nothing else, when nothing stands in its way; the message's seq.

    0: nothing was done, and the message goes the way of every request, where all that is not plain is decided
    (a session that is busy, closed or due, a message_id that was seen or may have been, a connection that is
    not attached yet, an agent who will answer). The answer is owed by `actor.batch`.
    `origin` None: nobody is to be attached. `is_new`: `new_message_id` made the message_id just now.
    """
    session = actor.session
    shared = actor.shared
    if (
        session.status is not Status.ACTIVE
        or session.due_at <= now
        or now < session.last_at
        or (origin is not None and session.session_id not in origin.attached)
        or shared.agent is not None
        or not actor.actor_inbox.is_idle()
        or (not is_new and session.may_know(message_id))
        or (author == "human" and session.handling is Handling.QUEUED)
    ):
        return 0
    actor.touched = True
    flags = shared.message_flags[author]
    session.apply_message(now, author, message_id, flags)
    actor.keep(MESSAGE, pack_message(author, message_id, text), now, flags, origin)
    if session.due_at < actor.wake_at:
        shared.wheel.file(actor, session.due_at)
    return session.seq


def new_message_id(session: Session) -> str:
    """A message_id for the session's next event, if that is a message without one."""
    return f"{SERVER_MADE}{session.seq + 1}-{_random_bits(32):08x}"


def _pack_whole_message(request: SendMessage, message_id: str) -> bytes:
    payload: dict[str, Any] = {
        "author": request.author,
        "message_id": message_id,
        "text": request.text,
        "attachments": request.attachments,
        "data": request.data,
    }
    if request.author_id is not None:
        payload["author_id"] = request.author_id
    if request.in_reply_to is not None:
        payload["in_reply_to"] = request.in_reply_to
    return pack(payload)


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


def on_update_context(actor: SessionActor, request: UpdateContext) -> ContextUpdated | Waiting:
    session = actor.session
    at = actor.pass_time(request.now)
    permit(session.status, On.CONTEXT_UPDATE, session.session_id)
    version = session.context_version
    if request.expected_version is not None and request.expected_version != version:
        raise VersionConflict(
            f"the context is at version {version}, not {request.expected_version}: read it again, then retry",
            session_id=session.session_id,
            details={"context_version": version},
        )
    change = checked_patch(actor, request.patch, request.expected_user_version)
    if isinstance(change, Waiting):
        return change
    if request.attach and request.origin is not None:
        actor.attach(request.origin)
    _merge(actor, request, request.patch, at)
    if change is not None:
        actor.shared.scopes.keep(change, actor.join())
        return ContextUpdated(
            session.session_id,
            view_of(actor, change.scope, app=False),
            session.context_version,
            session.seq,
            change.scope.version,
        )
    return ContextUpdated(
        session.session_id,
        actor.shared.sensitive.masked(session.context_map()),
        session.context_version,
        session.seq,
    )


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
    _reopen(actor, request, at, "reopen" if request.by.role == "user" else None)
    return Reopened(session_map(session, actor.shared.sensitive), session.seq)


def on_rate(actor: SessionActor, request: RateSession) -> Rated:
    session = actor.session
    at = actor.pass_time(request.now)
    permit(session.status, On.RATE, session.session_id)
    payload = {"rating": request.rating, "feedback": request.feedback, "by": request.by.as_map()}
    actor.record("session:rated", payload, at, _activity(actor, "rating"), request.origin)
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
        _activity(actor, "tag"),
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
    actor.shared.erase(actor, request.origin, at)
    return Erased(1, session.seq)


def _closed(actor: SessionActor) -> Closed:
    session = actor.session
    until = None if session.expires_at == NEVER else session.expires_at
    return Closed(session.session_id, session.close_reason, until, session.close_seq)


def _merge(actor: SessionActor, request: Request, patch: Mapping[str, Any], at: float) -> None:
    payload = {
        "patch": patch,
        "context_version": actor.session.context_version + 1,
        "by": request.by.as_map(),
    }
    actor.record("session:context:updated", payload, at, _activity(actor, "context_update"), request.origin)


def _reopen(actor: SessionActor, request: Request, at: float, activity: str | None) -> None:
    """Active again, under whoever handled it if that human is there; then what fell due meanwhile."""
    session = actor.session
    handling, assignee = session.handling, session.assignee
    if handling is Handling.HUMAN and not actor.shared.is_present(assignee):
        handling, assignee = Handling.AI, None
    payload = {"handling": handling.value, "assignee": assignee, "by": request.by.as_map()}
    flags = _activity(actor, activity) if activity else 0
    actor.record("session:reopened", payload, at, flags, request.origin)
    actor.snapshot()
    actor.pass_time(at)


def _activity(actor: SessionActor, kind: str) -> int:
    return ACTIVITY if kind in actor.shared.activity else 0


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
            actor.shared.commits.after(actor.batch, subscriber, frame)
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
