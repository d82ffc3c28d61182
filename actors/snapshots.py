"""A session as bytes and back: what activation starts from, with the events behind it."""

import struct
from typing import Any, Final

from sojourn.storage import EVENT_NAMES, SessionRow, StoredSession

from .lifecycle import NEVER, Handling, Status, Timeouts
from .packing import pack, unpack
from .state import Session

VERSION: Final = 1


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
            _freeze_answers(session.hash_answers()),
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
    session.answers = _thaw_answers(answers)
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


def _freeze_answers(answers: dict[int, int | tuple[int, ...]]) -> bytes:
    """Pairs of 64-bit hash and answer, flat; colliding hashes stand several times."""
    if not answers:
        return b""
    flat: list[int] = []
    for key, known in answers.items():
        for each in known if isinstance(known, tuple) else (known,):
            flat += (key, each)
    return struct.pack(f"<{len(flat)}Q", *flat)


def _thaw_answers(packed: bytes) -> dict[int, Any] | None:
    if not packed:
        return None
    flat = struct.unpack(f"<{len(packed) // 8}Q", packed)
    answers: dict[int, int | tuple[int, ...]] = {}
    for key, answer in zip(flat[::2], flat[1::2], strict=True):
        known = answers.get(key)
        if known is None:
            answers[key] = answer
        else:
            answers[key] = (*known, answer) if isinstance(known, tuple) else (known, answer)
    return answers
