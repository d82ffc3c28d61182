"""Requests about what happened: history, resume, and whether a message was here before.

What the actor has at hand (`newest`) is answered at once, behind the commit of what it shows. Everything else
is in the journal: the mailbox is held from the request until its answer, so nothing happens to the session
meanwhile. That makes the order of answers and the gap-free resume true by construction, at the price of a
read (a fraction of a millisecond) in which only this session waits.
"""

from collections.abc import Callable
from typing import TypeVar

from sojourn.storage import EventRow

from .answers import Accepted, Events, History, Resumed
from .commits import Then
from .errors import SessionError, SessionExpired
from .events import event_map, session_map, visible
from .lifecycle import Status
from .mail import Request
from .messages import ReadEvents, ReadHistory, ResumeSession, SendMessage
from .newest import Newest
from .packing import pack, unpack
from .session import WAITING, SessionActor, Waiting
from .state import CREATED, REOPENED, Answer, Session

T = TypeVar("T")


def expired(session: Session) -> SessionExpired:
    """What a user hears of a session that is over."""
    return SessionExpired(
        f"session {session.session_id} has expired: start a new one",
        session_id=session.session_id,
        details={"status": "expired"},
    )


def read_history(actor: SessionActor, request: ReadHistory) -> Events | Waiting:
    """A page of the session's events."""
    _let_read(actor, request)
    session_id = actor.session.session_id
    sensitive = actor.shared.sensitive

    def answer(rows: list[EventRow], more: bool) -> Events:
        return Events(session_id, [visible(row, session_id, sensitive) for row in rows], more)

    return _read(actor, request.after_seq, request.limit, request.max_bytes, answer, keep=True)


def read_events(actor: SessionActor, request: ReadEvents) -> History | Waiting:
    """The same for a program in this process."""
    _let_read(actor, request)
    session = actor.session
    session_id = session.session_id
    sensitive = actor.shared.sensitive

    def answer(rows: list[EventRow], more: bool) -> History:
        return History([event_map(row, session_id, sensitive) for row in rows], more)

    after_seq = request.after_seq
    if after_seq is None:
        after_seq = max(0, session.seq - request.limit)
    return _read(actor, after_seq, request.limit, request.max_bytes, answer, keep=True)


def _let_read(actor: SessionActor, request: Request) -> None:
    actor.pass_time(request.now)
    if actor.session.status is Status.EXPIRED and request.by.role == "user":
        raise expired(actor.session)


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

    return _read(actor, after_seq, request.limit, request.max_bytes - len(pack(view)), answer, keep=False)


def _same_again(actor: SessionActor, request: SendMessage, answer: Answer) -> Accepted:
    """The first answer to a message, again: nothing is stored, nothing moves."""
    session = actor.session
    if session.status is not Status.EXPIRED and request.attach and request.origin is not None:
        actor.attach(request.origin)
    assert request.message_id is not None
    return Accepted(session.session_id, request.message_id, answer.seq, True, answer.created, answer.reopened)


def look_up_message(
    actor: SessionActor, request: SendMessage, message_id: str, candidates: tuple[Answer, ...]
) -> Accepted | Waiting:
    """Compare the messages of the same hash in full; answer the first answer, or take it as new."""

    def first_answer(rows: list[EventRow | None]) -> Answer | None:
        for candidate, row in zip(candidates, rows, strict=True):
            if row is not None and unpack(row[5]).get("message_id") == message_id:
                flags = row[4]
                return Answer(candidate.seq, bool(flags & CREATED), bool(flags & REOPENED))
        return None

    newest = actor.upkeep.newest
    if newest is not None:
        known = first_answer([newest.event(each.seq) for each in candidates])
        if known is not None:
            return _same_again(actor, request, known)

    def compare(rows: list[EventRow | None]) -> None:
        answer = first_answer(rows)
        if answer is None:
            request.verified = True
            actor.again()
            return
        try:
            actor.later(_same_again(actor, request, answer))
        except SessionError as error:
            actor.failed_read(error)

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
    answer: Callable[[list[EventRow], bool], T],
    *,
    keep: bool,
) -> T | Waiting:
    """Answer with the events after `after_seq` up to the present one, when they are committed.

    `keep`: whoever reads will read again, so what reaches the present stays at hand.
    """
    session = actor.session
    until = session.seq
    if after_seq >= until:
        return answer([], False)
    newest = actor.upkeep.newest
    page = None if newest is None else newest.page(after_seq, limit, max_bytes)
    if page is not None:
        return answer(*page)

    def found(rows: list[EventRow], more: bool) -> None:
        if keep and not more and rows and rows[-1][1] == session.seq:
            actor.upkeep.newest = Newest(rows)
        actor.later(answer(rows, more))

    def read() -> None:
        actor.shared.reads.history(
            session.key,
            after_seq,
            until,
            limit,
            max_bytes,
            found,
            actor.failed_read,
        )

    _when_committed(actor, read)
    return WAITING


def _when_committed(actor: SessionActor, read: Callable[[], None]) -> None:
    """A read shows only what is committed, so it starts when the session's own commit is done."""
    batch = actor.upkeep.batch
    if batch is None:
        read()
    else:
        batch.owed.append((Then(read, actor.failed_read), None))
