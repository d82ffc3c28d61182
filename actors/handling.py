"""Who handles a session: the rules of handover, assignment and release, as one table.

A request that is in no row of its place, or for nobody like who asks, is `illegal_state`, with the present
`handling` and `assignee` in the details: who lost a race is told who won it. `Move.STAY` is the same answer
again, without an event. All of this goes for active sessions; `permit` says so first.
"""

from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Any, Final

from .answers import Assigned, HandedOver, Released
from .desk import is_at_desk
from .errors import InvalidRequest
from .lifecycle import Handling, On, permit, refusal
from .mail import Request
from .messages import Assign, HandOver, Release, Return
from .session import SessionActor
from .state import BY_TIME, Session


class Move(Enum):
    """What becomes of the session."""

    STAY = auto()
    QUEUE = auto()
    ASSIGN = auto()
    FREE = auto()


Condition = Callable[[Session, Request], bool]


def anybody(_session: Session, _request: Request) -> bool:
    return True


def anybody_but_the_ai(_session: Session, request: Request) -> bool:
    """A turn that began before the human came must not take the session away from them."""
    return request.by.role != "ai"


def to_the_same_queue(session: Session, request: Request) -> bool:
    """Who names no queue is content with the one it is in."""
    return isinstance(request, HandOver) and request.queue in {None, session.queue}


def to_who_has_it(session: Session, request: Request) -> bool:
    return assignee_of(request) == session.assignee


def a_service(_session: Session, request: Request) -> bool:
    return request.by.role == "service"


def its_human(session: Session, request: Request) -> bool:
    return request.by.role == "agent" and request.by.id is not None and request.by.id == session.assignee


Rule = tuple[Condition, Move]

RULES: Final[Mapping[tuple[Handling, On], tuple[Rule, ...]]] = {
    #  handled by       on             who, or to whom             what
    (Handling.AI, On.HANDOVER): ((anybody, Move.QUEUE),),
    (Handling.QUEUED, On.HANDOVER): ((to_the_same_queue, Move.STAY), (anybody, Move.QUEUE)),
    (Handling.HUMAN, On.HANDOVER): ((anybody_but_the_ai, Move.QUEUE),),
    (Handling.AI, On.ASSIGN): ((anybody, Move.ASSIGN),),
    (Handling.QUEUED, On.ASSIGN): ((anybody, Move.ASSIGN),),
    (Handling.HUMAN, On.ASSIGN): (
        (to_who_has_it, Move.STAY),
        (a_service, Move.ASSIGN),
        (its_human, Move.ASSIGN),
    ),
    (Handling.AI, On.RELEASE): ((anybody, Move.STAY),),
    (Handling.QUEUED, On.RELEASE): ((anybody, Move.FREE),),
    (Handling.HUMAN, On.RELEASE): ((a_service, Move.FREE), (its_human, Move.FREE)),
}
"""Of the rules of one place the first that applies counts."""


def move_of(session: Session, on: On, request: Request) -> Move:
    """What the table says, or the `SessionError` of what it does not say."""
    permit(session.status, on, session.session_id)
    for condition, move in RULES[session.handling, on]:
        if condition(session, request):
            return move
    raise refusal(session.status, on, session.session_id, session.handling, session.assignee)


def assignee_of(request: Request) -> str:
    """Who shall have it: who is named, else who asks."""
    assignee = request.assignee if isinstance(request, Assign) else None
    who = assignee or request.by.id
    if not who:
        raise InvalidRequest(
            "assignee is missing, and this connection has no identity to stand for it",
            details={"key": "assignee", "expected": "the identity of a human agent", "got": "nothing"},
        )
    return who


def on_hand_over(actor: SessionActor, request: HandOver) -> HandedOver:
    session = actor.session
    at = actor.pass_time(request.now)
    if move_of(session, On.HANDOVER, request) is Move.QUEUE:
        queue = session.queue if request.queue is None else request.queue
        payload: dict[str, Any] = {"handling": Handling.QUEUED.value, "queue": queue, "note": request.note}
        payload["return_after"] = actor.shared.config.queue_timeout
        payload["by"] = request.by.as_map()
        actor.record("session:handed_over", payload, at, 0, request.origin)
        actor.snapshot()
    return HandedOver(session.session_id, session.handling.value, session.queue, session.handling_seq)


def on_assign(actor: SessionActor, request: Assign) -> Assigned:
    session = actor.session
    at = actor.pass_time(request.now)
    who = assignee_of(request)
    if move_of(session, On.ASSIGN, request) is Move.ASSIGN:
        actor.shared.desk.check_room(who, session)
        assign(actor, request, who, at)
    return Assigned(session.session_id, who, session.handling_seq)


def on_release(actor: SessionActor, request: Release) -> Released:
    session = actor.session
    at = actor.pass_time(request.now)
    if move_of(session, On.RELEASE, request) is Move.FREE:
        actor.record("session:released", {"by": request.by.as_map()}, at, 0, request.origin)
        actor.snapshot()
    return Released(session.session_id, session.handling_seq)


def on_return(actor: SessionActor, request: Return) -> None:
    """The human has been away for too long; harmless when they are back, or no longer have it."""
    session = actor.session
    at = actor.pass_time(request.now)
    theirs = is_at_desk(session) and session.assignee == request.assignee
    if theirs and not actor.shared.desk.is_present(request.assignee):
        payload = {
            "handling": Handling.QUEUED.value,
            "queue": session.queue,
            "reason": "human_gone",
            "return_after": actor.shared.config.queue_timeout,
            "by": BY_TIME,
        }
        actor.record("session:handed_over", payload, at)
        actor.snapshot()


def assign(actor: SessionActor, request: Request, who: str, at: float) -> None:
    """The session is that human's from `at` on."""
    payload = {
        "assignee": who,
        "return_after": actor.shared.config.human_timeout,
        "by": request.by.as_map(),
    }
    actor.record("session:assigned", payload, at, 0, request.origin)
    actor.snapshot()
