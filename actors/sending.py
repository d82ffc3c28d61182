"""A message to a session: the one hot request.

`on_send` is all of it; `take_text` is the same for a text and nothing else, at once.
"""

import random
from collections.abc import Callable
from typing import Any, Final, cast

from sojourn.storage import EVENT_TYPES

from .answers import Accepted
from .closing import reopen
from .handling import assign
from .lifecycle import TABLE, Handling, On, Status, permit
from .mail import Subscriber
from .messages import SendMessage
from .packing import pack, pack_message
from .patching import merge
from .reading import look_up_message
from .scoping import checked_patch
from .session import Elsewhere, SessionActor, Waiting, keep
from .state import CREATED, REOPENED, SERVER_MADE, Session

MESSAGE: Final = EVENT_TYPES["message:received"]
_random_bits = random.Random().getrandbits  # ids need no secrecy; the system's source costs far more
_new_tuple = cast("Callable[[type[Accepted], tuple[object, ...]], Accepted]", tuple.__new__)  # pyright: ignore[reportUnknownMemberType]


def on_send(actor: SessionActor, request: SendMessage) -> Accepted | Waiting | Elsewhere:
    session = actor.session
    message_id = request.message_id
    if message_id is not None and not request.verified:
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
        reopen(actor, request, at, "reopen")
    if context is not None:
        merge(actor, request, context, at)
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
    session.apply_message(at, author, session.answer_key(message_id), flags)
    keep(actor, session, actor.shared, MESSAGE, body, at, flags, origin)
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
    not attached yet, an agent who will answer, texts that are not kept as they come). The answer is owed by
    the gathering batch.
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
        or shared.redaction is not None
        or not actor.actor_inbox.is_idle()
        or (author == "human" and session.handling is Handling.QUEUED)
    ):
        return 0
    answer_key: int | None = None
    if not is_new:
        answer_key = session.answer_key(message_id)
        if session.may_know(answer_key) or message_id[0:1] == SERVER_MADE:
            return 0
    actor.upkeep.touched = True
    flags = shared.message_flags[author]
    due_at = session.due_at
    session.apply_message(now, author, answer_key, flags)
    keep(actor, session, shared, MESSAGE, pack_message(author, message_id, text), now, flags, origin)
    # Who is due no sooner than before was filed for that: few are looked at more closely.
    if session.due_at < due_at and session.due_at < actor.wake_at:
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
