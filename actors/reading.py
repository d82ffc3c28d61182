"""Requests that need the journal: history, resume, and whether a message was here before.

The mailbox is held from the request until its answer, so nothing happens to the session meanwhile. That
makes the order of answers and the gap-free resume true by construction, at the price of a read (tens of
microseconds) in which only this session waits.
"""

from collections.abc import Callable

from sojourn.storage import EventRow

from .commits import Then
from .errors import SessionExpired
from .events import session_map, visible
from .lifecycle import Status
from .messages import Accepted, Events, ReadHistory, Resumed, ResumeSession, SendMessage
from .packing import pack, unpack
from .session import WAITING, SessionActor, Waiting
from .state import CREATED, REOPENED, SERVER_MADE, Answer, Session


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
    return bool(_candidates(session, message_id))


def look_up_message(actor: SessionActor, request: SendMessage, message_id: str) -> Waiting:
    """Compare the message of the same hash in full; answer the first answer, or take it as new."""
    candidates = _candidates(actor.session, message_id)

    def compare(rows: list[EventRow | None]) -> None:
        for candidate, row in zip(candidates, rows, strict=True):
            if row is not None and unpack(row[5]).get("message_id") == message_id:
                created, reopened = bool(row[4] & CREATED), bool(row[4] & REOPENED)
                session = actor.session
                if session.status is not Status.EXPIRED and request.attach and request.origin is not None:
                    actor.attach(request.origin)
                actor.later(
                    Accepted(session.session_id, message_id, candidate.seq, True, created, reopened)
                )
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


def _candidates(session: Session, message_id: str) -> tuple[Answer, ...]:
    """Where the message may stand: by the hash of its id, and by the seq that a server-made id names."""
    found = session.recall(message_id)
    if message_id.startswith(SERVER_MADE):
        seq = message_id[1:].partition("-")[0]
        if seq.isascii() and seq.isdigit() and 0 < int(seq[:18]) <= session.seq:
            found = (*found, Answer(int(seq[:18]), False, False))
    return found


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
