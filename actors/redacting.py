"""Redaction where it happens: before a request is handled, and before what the AI says is recorded.

So whatever comes of a request (events, snapshots, scopes, pushes, webhooks, what the agent is given) never
held the value. Where nothing is to be redacted the handlers stay as they are, and nobody pays for it.
Identifiers and the map of the user are kept as given: they say who somebody is.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from .forks import ForkSession
from .messages import (
    BroadcastMessage,
    CloseSession,
    CreateSession,
    FailMessage,
    HandOver,
    RateSession,
    Resolve,
    SendMessage,
    SetReminder,
    TagSession,
    UpdateContext,
)
from .redaction import Redaction
from .turn_ends import FinishTurn

if TYPE_CHECKING:
    from .session import SessionActor

Handler = Callable[["SessionActor", Any], Any]

_CONTENT: Final = ("text", "attachments", "data", "context")
FIELDS: Final[Mapping[type, tuple[str, ...]]] = {
    SendMessage: _CONTENT,
    BroadcastMessage: _CONTENT,
    CreateSession: ("context", "metadata", "tags"),
    ForkSession: ("context", "metadata", "tags"),
    UpdateContext: ("patch",),
    CloseSession: ("reason",),
    Resolve: ("reason",),
    HandOver: ("note",),
    RateSession: ("feedback",),
    TagSession: ("add", "remove"),
    SetReminder: ("data",),
    FailMessage: ("text",),
}
"""What people write, by the request that carries it."""


def redact_requests(handlers: dict[type, Handler], redaction: Redaction) -> None:
    """Have each handler get its request without what is not to be kept."""
    for kind, fields in FIELDS.items():
        handlers[kind] = _redacting(handlers[kind], fields, redaction)
    handlers[FinishTurn] = _redacting_turn(handlers[FinishTurn], redaction)


def _redacting(handler: Handler, fields: tuple[str, ...], redaction: Redaction) -> Handler:
    def handle(actor: "SessionActor", request: Any) -> Any:
        for name in fields:
            value = getattr(request, name)
            if value is not None:
                setattr(request, name, redaction.value(value))
        return handler(actor, request)

    return handle


def _redacting_turn(handler: Handler, redaction: Redaction) -> Handler:
    """What the agent says is redacted as it is recorded, also where its turn was cut."""

    def handle(actor: "SessionActor", request: FinishTurn) -> Any:
        run = request.run
        run.patch = redaction.value(run.patch)
        if run.turn is not None:
            decisions = run.turn.decisions
            decisions.tags = {redaction.text(tag): there for tag, there in decisions.tags.items()}
            decisions.reminders = {
                name: None if reminder is None else (reminder[0], redaction.value(reminder[1]))
                for name, reminder in decisions.reminders.items()
            }
        return handler(actor, request)

    return handle
