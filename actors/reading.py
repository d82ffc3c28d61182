"""Requests that need the journal: history, resume, and whether a message was here before.

The mailbox is held from the request until its answer, so nothing happens to the session meanwhile. That
makes the order of answers and the gap-free resume true by construction, at the price of a read (tens of
microseconds) in which only this session waits.
"""

from collections.abc import Callable

from sojourn.storage import EventRow

from .commits import Then
from .errors import SessionError, SessionExpired
from .events import session_map, visible
from .lifecycle import Status
from .messages import Accepted, Events, ReadHistory, Resumed, ResumeSession, SendMessage
from .packing import pack, unpack
from .session import WAITING, SessionActor, Waiting
from .state import CREATED, REOPENED, Answer, Session


def expired(session: Session) -> SessionExpired:
    """What a user hears of a session that is over."""
    return SessionExpired(
        f"session {session.session_id} has expired: start a new one",
        session_id=session.session_id,
        details={"status": "expired"},
    )


def read_history(actor: SessionActor, request: ReadHistory) -> Events | Waiting:
    """A page of the session's events."""
    actor.pass_time(request.now)
    session = actor.session
    if session.status is Status.EXPIRED and request.by.role == "user":
        raise expired(session)
    if request.after_seq >= session.seq:
        return Events(session.session_id, [], False)
    sensitive = actor.shared.sensitive

    def answer(rows: list[EventRow], more: bool) -> Events:
        session_id = session.session_id
        return Events(session_id, [visible(row, session_id, sensitive) for row in rows], more)

    _read(actor, request.after_seq, request.limit, request.max_bytes, answer)
    return WAITING


def resume(actor: SessionActor, request: ResumeSession) -> Resumed | Waiting:
    """Attach; replay what came since. Whatever happens next is pushed: nothing can come in between."""
    actor.pass_time(request.now)
    session = actor.session
    if session.status is Status.EXPIRED:
        raise expired(session)
    if request.attach and request.origin is not None:
        actor.attach(request.origin)
    view = session_map(session, actor.shared.sensitive)
    after_seq = request.after_seq
    if after_seq is None or after_seq == session.seq:
        return Resumed(view, [], True, False)
    if after_seq > session.seq:
        return Resumed(view, [], False, False)
    sensitive = actor.shared.sensitive

    def answer(rows: list[EventRow], more: bool) -> Resumed:
        session_id = session.session_id
        complete = bool(rows) and rows[0][1] == after_seq + 1
        return Resumed(view, [visible(row, session_id, sensitive) for row in rows], complete, more)

    _read(actor, after_seq, request.limit, request.max_bytes - len(pack(view)), answer)
    return WAITING


def may_know(session: Session, message_id: str) -> bool:
    """Could this message have been here before? Rarely wrong, and then only looked up in vain."""
    return session.recall(message_id) is not None or bool(session.candidates(message_id))


def same_again(actor: SessionActor, request: SendMessage, answer: Answer) -> Accepted:
    """The first answer to a message, again: nothing is stored, nothing moves."""
    session = actor.session
    if session.status is not Status.EXPIRED and request.attach and request.origin is not None:
        actor.attach(request.origin)
    assert request.message_id is not None
    return Accepted(session.session_id, request.message_id, answer.seq, True, answer.created, answer.reopened)


def look_up_message(
    actor: SessionActor, request: SendMessage, message_id: str, candidates: tuple[Answer, ...]
) -> Waiting:
    """Compare the messages of the same hash in full; answer the first answer, or take it as new."""

    def compare(rows: list[EventRow | None]) -> None:
        for candidate, row in zip(candidates, rows, strict=True):
            if row is not None and unpack(row[5]).get("message_id") == message_id:
                flags = row[4]
                answer = Answer(candidate.seq, bool(flags & CREATED), bool(flags & REOPENED))
                try:
                    actor.later(same_again(actor, request, answer))
                except SessionError as error:
                    actor.failed_read(error)
                return
        request.verified = True
        actor.again()

    _when_committed(
        actor,
        lambda: actor.shared.reads.events(
            actor.session.key, [each.seq for each in candidates], compare, actor.failed_read
        ),
    )
    return WAITING


def _read(
    actor: SessionActor,
    after_seq: int,
    limit: int,
    max_bytes: int,
    answer: Callable[[list[EventRow], bool], Events | Resumed],
) -> None:
    """Answer with the events after `after_seq` up to the present one, when they are committed."""
    session = actor.session
    until = session.seq

    def read() -> None:
        actor.shared.reads.history(
            session.key,
            after_seq,
            until,
            limit,
            max_bytes,
            lambda rows, more: actor.later(answer(rows, more)),
            actor.failed_read,
        )

    _when_committed(actor, read)


def _when_committed(actor: SessionActor, read: Callable[[], None]) -> None:
    """A read shows only what is committed, so it starts when the session's own commit is done."""
    batch = actor.batch
    if batch is None:
        read()
    else:
        batch.owed.append((Then(read, actor.failed_read), None))
