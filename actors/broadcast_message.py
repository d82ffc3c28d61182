"""A broadcast's message, as one session takes it."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from sojourn.storage import EVENT_TYPES

from .broadcast import AGAIN, LIVE, NEW
from .closing import on_reopen
from .lifecycle import Status
from .messages import BroadcastMessage, ReopenSession, UpdateContext
from .packing import pack
from .patching import on_update_context
from .sending import new_message_id
from .session import Elsewhere, SessionActor
from .state import CREATED, REOPENED

_MESSAGE: Final = EVENT_TYPES["message:received"]


def on_broadcast(actor: SessionActor, request: BroadcastMessage) -> int | Elsewhere:
    """A broadcast's message: a closed session takes it without reopening, unless it says so; nobody is
    assigned by it. Answer: the outcome, which is stored in the same commit.
    """
    session = actor.session
    shared = actor.shared
    at = request.now
    if session.due_at <= at or at < session.last_at:
        at = actor.pass_time(at)
    if session.status is Status.EXPIRED:
        return shared.address_again(actor, request)
    created = request.created
    outcome = NEW if created else LIVE
    flags = CREATED if created else 0
    closed = session.status is Status.CLOSED
    reopens = closed and request.reopen
    context = request.context if reopens or not closed else None
    if context is not None:
        shared.merged(session.context_map(), context)
    if reopens:
        on_reopen(actor, ReopenSession(request.by, at, None, False))
        outcome = AGAIN
        flags |= REOPENED
    if session.status is Status.ACTIVE:
        flags |= shared.message_flags[request.author]
        if context is not None:
            on_update_context(actor, UpdateContext(request.by, at, None, False, context, None))
    message_id = new_message_id(session)
    payload: dict[str, Any] = {
        "author": request.author,
        "message_id": message_id,
        "text": request.text,
        "attachments": request.attachments,
        "data": request.data,
        "broadcast_id": request.broadcast_id,
    }
    if request.author_id is not None:
        payload["author_id"] = request.author_id
    session.apply_message(at, request.author, session.answer_key(message_id), flags)
    actor.keep(_MESSAGE, pack(payload), at, flags, None)
    row = (request.user_id, request.broadcast_id, session.key, outcome)
    shared.commits.gathering.stored.broadcasts.append(row)
    return outcome


BROADCAST_HANDLERS: Final[Mapping[type, Callable[[SessionActor, Any], Any]]] = {
    BroadcastMessage: on_broadcast,
}
