"""A session as bytes and back: what activation starts from, with the events behind it."""

import struct
from itertools import chain, islice
from typing import Any, Final, cast

from sojourn.storage import EVENT_NAMES, EVENT_TYPES, DueSession, SessionRow, StoredSession

from .lifecycle import NEVER, Handling, Status, Timeouts
from .packing import pack, unpack
from .state import Session

VERSION: Final = 1
_NUMBER_BYTES: Final = 8
_PAIR_BYTES: Final = 2 * _NUMBER_BYTES
_CREATED: Final = EVENT_TYPES["session:created"]
_CONTEXT_UPDATED: Final = EVENT_TYPES["session:context:updated"]


def freeze(session: Session) -> bytes:
    """The whole session as one msgpack list; `thaw` makes it again."""
    timeouts = session.timeouts
    return pack(
        (
            VERSION,
            session.seq,
            session.status.value,
            session.handling.value,
            session.assignee,
            session.queue,
            session.handling_seq,
            session.channel,
            session.user,
            session.context,
            session.context_version,
            session.metadata,
            session.tags,
            tuple(timeouts.as_map().values()),
            session.created_at,
            session.last_activity_at,
            session.last_at,
            session.closed_at,
            session.close_reason,
            session.close_seq,
            session.expired_at,
            session.expiry_reason,
            None if session.dialog_from == NEVER else session.dialog_from,
            session.reminders,
            _freeze_answers(session),
            (
                session.handling_at,
                session.wait_limit,
                None if session.wait_until == NEVER else session.wait_until,
            ),
            session.lapsed_seq,
        )
    )


def thaw(key: int, session_id: str, snapshot: bytes) -> Session:
    """The session that `freeze` was given."""
    (
        version,
        seq,
        status,
        handling,
        assignee,
        queue,
        handling_seq,
        channel,
        user,
        context,
        context_version,
        metadata,
        tags,
        timeouts,
        created_at,
        last_activity_at,
        last_at,
        closed_at,
        close_reason,
        close_seq,
        expired_at,
        expiry_reason,
        dialog_from,
        reminders,
        answers,
        *later,
    ) = unpack(snapshot)
    if version != VERSION:
        msg = f"the snapshot of session {session_id} has version {version}, not {VERSION}"
        raise ValueError(msg)
    session = Session(key, session_id)
    session.seq = seq
    session.status = Status(status)
    session.handling = Handling(handling)
    session.assignee = assignee
    session.queue = queue
    session.handling_seq = handling_seq
    session.channel = channel
    session.user = user
    session.context = context
    session.context_version = context_version
    session.metadata = metadata
    session.tags = tuple(tags)
    session_timeout, keep_alive, dialog_timeout, max_lifetime = timeouts
    session.timeouts = Timeouts.of(session_timeout, keep_alive, max_lifetime, dialog_timeout)
    session.created_at = created_at
    session.last_activity_at = last_activity_at
    session.last_at = last_at
    session.closed_at = closed_at
    session.close_reason = close_reason
    session.close_seq = close_seq
    session.expired_at = expired_at
    session.expiry_reason = expiry_reason
    session.dialog_from = NEVER if dialog_from is None else dialog_from
    if reminders:
        session.reminders = {name: (when, data) for name, (when, data) in reminders.items()}
    _thaw_answers(session, answers)
    _thaw_waits(session, later)
    if len(later) > 1:  # an older snapshot does not know when the AI's memory lapsed last
        session.lapsed_seq = later[1]
    session.rearm()
    return session


def restore(stored: StoredSession) -> Session:
    """Snapshot and the events behind it, folded: the session as of its last commit."""
    row: SessionRow = stored.row
    if row.snapshot is None:
        session = Session(row.key, row.session_id)
    else:
        session = thaw(row.key, row.session_id, row.snapshot)
    for _, _, at, code, flags, body in stored.tail:
        session.apply(EVENT_NAMES[code], at, unpack(body), flags)
    return session


def restore_times(due: DueSession) -> Session:
    """What `restore` gives, as far as time is concerned: `seq`, status and handling, every instant, timer and
    deadline; user, context, metadata, tags and answers are left out.

    For those who only let time pass: it costs a third, which counts when a hundred thousand fall due at once.
    """
    session = Session(due.key, due.session_id)
    if due.snapshot is not None:
        _thaw_times(session, due.snapshot)
    for _, _, at, code, flags, body in due.tail:
        if code == _CREATED:
            session.seq += 1
            session.created_at = session.last_activity_at = session.last_at = at
            session.timeouts = Timeouts.from_map(unpack(body)["timeouts"])
            session.rearm()
        else:
            # A type that the fold does not know changes what every event changes: the place and the instant.
            event = "" if code == _CONTEXT_UPDATED else EVENT_NAMES[code]
            session.apply(event, at, unpack(body), flags)
    return session


def _thaw_times(session: Session, snapshot: bytes) -> None:
    fields = unpack(snapshot)
    if fields[0] != VERSION:
        msg = f"the snapshot of session {session.session_id} has version {fields[0]}, not {VERSION}"
        raise ValueError(msg)
    session.seq = fields[1]
    session.status = Status(fields[2])
    session.handling = Handling(fields[3])
    session_timeout, keep_alive, dialog_timeout, max_lifetime = fields[13]
    session.timeouts = Timeouts.of(session_timeout, keep_alive, max_lifetime, dialog_timeout)
    session.created_at = fields[14]
    session.last_activity_at = fields[15]
    session.last_at = fields[16]
    session.closed_at = fields[17]
    session.dialog_from = NEVER if fields[22] is None else fields[22]
    if fields[23]:
        session.reminders = {name: (when, data) for name, (when, data) in fields[23].items()}
    session.assignee = fields[4]
    session.queue = fields[5]
    _thaw_waits(session, fields[25:])
    session.rearm()


def _thaw_waits(session: Session, later: list[Any]) -> None:
    """Who waits for a human; a snapshot of the time before there were desks says nothing of it."""
    if later:
        session.handling_at, session.wait_limit, wait_until = later[0]
        session.wait_until = NEVER if wait_until is None else wait_until


def _freeze_answers(session: Session) -> bytes:
    """Pairs of 64-bit hash and answer, flat; colliding hashes stand several times.

    A long session has thousands of them: only those since the last snapshot are packed.
    """
    answers = session.answers
    if not answers:
        return b""
    frozen = session.frozen_answers
    flat = list(chain.from_iterable(islice(answers.items(), len(frozen) // _PAIR_BYTES, None)))
    try:
        frozen += _pack_flat(cast("list[int]", flat))
    except struct.error:  # a tuple: hashes that collide are rare, and a loop costs five times as much
        return _pack_flat(
            [
                number
                for key, known in answers.items()
                for each in (known if isinstance(known, tuple) else (known,))
                for number in (key, each)
            ]
        )
    session.frozen_answers = frozen
    return frozen


def _pack_flat(numbers: list[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}Q", *numbers)


def _thaw_answers(session: Session, packed: bytes) -> None:
    flat = struct.unpack(f"<{len(packed) // _NUMBER_BYTES}Q", packed)
    for key, answer in zip(flat[::2], flat[1::2], strict=True):
        session.keep_answer(key, answer)
    if session.answers is not None and len(session.answers) * _PAIR_BYTES == len(packed):
        session.frozen_answers = packed
