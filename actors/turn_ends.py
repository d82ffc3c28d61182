"""What a turn does to its session: how it finds it when it begins, and what is stored when it ends.

Both are requests to the session's actor, in its mailbox like any other, so a turn sees a session as of one
instant and whatever it decided is stored in one commit: never the half of it. The mark that the turn is under
way goes with that same commit (`storage.turns`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sojourn.storage import EVENT_TYPES

from .answers import History
from .errors import SessionError
from .lifecycle import Handling, On, Status, refusal
from .mail import Caller, Mail
from .messages import CloseSession, HandOver, ReadEvents
from .packing import pack
from .reading import read_events
from .reminders import cancel_reminder, check_room, set_reminder
from .scopes import merged_view
from .scoping import checked_patch, scope_of
from .sending import new_message_id
from .session import SessionActor, Waiting
from .state import ACTIVITY
from .turn import Decisions, Saying

if TYPE_CHECKING:
    from .turn_run import Run

AI: Final = Caller("ai")
MESSAGE: Final = EVENT_TYPES["message:received"]
PAGE_BYTES: Final = 4 << 20


@dataclass(slots=True, eq=False)
class BeginTurn(ReadEvents):
    """From the runner: tell the run what is known. Answer: the `History` that the turn looks back on."""

    run: "Run"


class FinishTurn(Mail):
    """From the runner: store what the run came to. Answer: None, or why nothing of it is stored."""

    __slots__ = ("now", "run")

    def __init__(self, run: "Run", now: float) -> None:
        super().__init__()
        self.run = run
        self.now = now


def on_begin_turn(actor: SessionActor, request: BeginTurn) -> History | Waiting:
    run = request.run
    actor.pass_time(request.now)
    session = actor.session
    if session.status is not Status.ACTIVE or session.handling is not Handling.AI:
        raise refusal(
            session.status, On.OTHER_MESSAGE, session.session_id, session.handling, session.assignee
        )
    scope = scope_of(actor)
    if isinstance(scope, Waiting):
        return scope
    if scope is not None and not scope.committed:
        actor.join()
    user_scope = {} if scope is None else scope.values()
    run.found = Found(
        session.user_map(),
        merged_view(session.context_map(), user_scope, actor.shared.scopes.app),
        session.lapsed_seq,
    )
    run.metadata = session.metadata
    run.channel = session.channel
    run.tags = session.tags
    if session.seq == run.seq and run.seq - session.lapsed_seq <= (1 if session.lapsed_seq else 2):
        return History([], False)  # nothing was said before
    most = actor.shared.config.turn_history
    request.after_seq = max(session.lapsed_seq, session.seq - most)
    request.limit = most
    return read_events(actor, request)


@dataclass(frozen=True, slots=True)
class Found:
    """What a turn found when it began."""

    user: dict[str, Any]
    context: dict[str, Any]
    memory_from_seq: int


def on_finish_turn(actor: SessionActor, request: FinishTurn) -> Waiting | None:
    run = request.run
    at = actor.pass_time(request.now)
    session = actor.session
    may_speak = session.status is Status.ACTIVE and session.handling is Handling.AI
    change = None
    if may_speak and run.error is None and run.turn is not None and not run.turn.cut:
        try:
            if run.patch:
                checked = checked_patch(actor, run.patch)
                if isinstance(checked, Waiting):
                    return checked
                change = checked
            check_room(session, run.turn.decisions.reminders)
        except SessionError as error:
            run.fail(error.code, f"the agent failed: {error.message}")
    end_turn(actor, run)
    if session.status is Status.EXPIRED:
        raise refusal(session.status, On.OTHER_MESSAGE, session.session_id)
    if run.error is not None:
        _fail(actor, run, run.error, at)
    elif session.status is not Status.ACTIVE:
        raise refusal(session.status, On.OTHER_MESSAGE, session.session_id)
    elif not may_speak or run.turn is None or run.turn.cut:
        keep_shown(actor, run, at)
    else:
        if run.patch:
            version = session.context_version + 1
            payload = {"patch": run.patch, "context_version": version, "by": AI.as_map()}
            actor.record("session:context:updated", payload, at, _activity(actor, "context_update"))
        _decide(actor, run, run.turn.decisions, at)
        if change is not None:  # last: a crash takes back the session's events, not what others have seen
            actor.shared.scopes.keep(change, actor.join())
    return None


def _decide(actor: SessionActor, run: "Run", decisions: Decisions, at: float) -> None:
    session = actor.session
    for saying in decisions.said:
        say(actor, run, saying, at)
    for code, text in decisions.failures:  # behind what is said: who waits for an answer has it by then
        _note_failure(actor, run, code, text, at)
    if decisions.tags:
        tags = [tag for tag in session.tags if decisions.tags.get(tag, True)]
        tags += [tag for tag, there in decisions.tags.items() if there and tag not in tags]
        if tags != list(session.tags):
            payload = {"tags": tags, "by": AI.as_map()}
            actor.record("session:tagged", payload, at, _activity(actor, "tag"))
    for name, reminder in decisions.reminders.items():
        if reminder is None:
            cancel_reminder(actor, AI, name, at)
        else:
            set_reminder(actor, AI, name, at + reminder[0], reminder[1], at)
    handlers = actor.shared.handlers
    if decisions.handover is not None and decisions.resolve is None:
        queue, note = decisions.handover
        handlers[HandOver](actor, HandOver(AI, at, None, False, queue, note))
    if decisions.resolve is not None:
        handlers[CloseSession](actor, CloseSession(AI, at, None, False, decisions.resolve))


def _fail(actor: SessionActor, run: "Run", error: SessionError, at: float) -> None:
    """The history says that the turn failed; then the user gets what is configured for that."""
    session = actor.session
    if session.status is Status.ACTIVE:
        keep_shown(actor, run, at)
    _note_failure(actor, run, run.code, error.message, at)
    if session.status is not Status.ACTIVE or session.handling is not Handling.AI:
        return
    config = actor.shared.config
    if config.fallback_text is not None:
        say(actor, run, Saying(config.fallback_text), at)
    if config.fallback_queue is not None:
        note = f"the AI failed: {error.message}"
        actor.shared.handlers[HandOver](actor, HandOver(AI, at, None, False, config.fallback_queue, note))


def _note_failure(actor: SessionActor, run: "Run", code: str, text: str, at: float) -> None:
    redaction = actor.shared.redaction
    if redaction is not None:
        text = redaction.text(text)
    payload = {"message_id": run.message_id or None, "code": code, "message": text}
    actor.record("message:failed", payload, at)


def keep_shown(actor: SessionActor, run: "Run", at: float) -> None:
    """Of a turn that was cut, what somebody saw stays; the last message of it is marked as cut."""
    if run.turn is None:
        return
    shown = [saying for saying in run.turn.decisions.said if saying.message_id is not None]
    for saying in shown:
        say(actor, run, saying, at, cut=saying is shown[-1])


def say(actor: SessionActor, run: "Run", saying: Saying, at: float, *, cut: bool = False) -> None:
    """Record a message of the AI."""
    session = actor.session
    message_id = saying.message_id or new_message_id(session)
    payload: dict[str, Any] = {
        "author": "ai",
        "message_id": message_id,
        "text": saying.whole,
        "attachments": saying.attachments,
        "data": saying.data,
    }
    redaction = actor.shared.redaction
    if redaction is not None:
        for key in ("text", "attachments", "data"):
            payload[key] = redaction.value(payload[key])
    if run.message_id:
        payload["in_reply_to"] = run.message_id
    if cut:
        payload["cut"] = True
    # What is kept of a cut turn happens to the session, nobody speaks: it moves no deadline.
    flags = 0 if cut else actor.shared.message_flags["ai"]
    session.apply_message(at, "ai", session.answer_key(message_id), flags)
    actor.keep(MESSAGE, pack(payload), at, flags, None)


def begin_turn(actor: SessionActor, run: "Run") -> None:
    """Have it known, with the commit of what it answers, that the turn is under way."""
    actor.join().turns[run.key, run.seq] = run.message_id


def end_turn(actor: SessionActor, run: "Run") -> None:
    """Have it known, with the commit that gathers now, that the turn is over."""
    turns = actor.join().turns
    place = (run.key, run.seq)
    if turns.get(place) is not None:
        del turns[place]  # it began in the same commit
    else:
        turns[place] = None


def _activity(actor: SessionActor, kind: str) -> int:
    return ACTIVITY if kind in actor.shared.activity else 0


TURN_HANDLERS: Final[Mapping[type, Callable[[SessionActor, Any], Any]]] = {
    BeginTurn: on_begin_turn,
    FinishTurn: on_finish_turn,
}
"""Beside those of `requests`: what the runner asks of a session."""
