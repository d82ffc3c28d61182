"""Rows and batches that the tests of the store need often."""

from collections.abc import Iterable

from sojourn.storage import EVENT_TYPES, Batch, EventRow, Gone, Journal, Reader, SessionRow

MESSAGE = EVENT_TYPES["message:received"]


def session(
    key: int,
    *,
    session_id: str | None = None,
    user_id: str | None = None,
    channel: str = "web",
    request_key: str | None = None,
    status: str = "active",
    handling: str = "ai",
    queue: str | None = None,
    due_at: float | None = None,
    seq: int = 0,
    snapshot: bytes | None = None,
) -> SessionRow:
    """A row with what the test cares about; its id is `s` and the key."""
    return SessionRow(
        key=key,
        session_id=f"s{key}" if session_id is None else session_id,
        user_id=user_id,
        channel=channel,
        request_key=request_key,
        resume_hash=None,
        created_at=1_700_000_000.0 + key,
        status=status,
        handling=handling,
        queue=queue,
        assignee=None,
        due_at=due_at,
        seq=seq,
        snapshot=snapshot,
    )


def event(key: int, seq: int, body: bytes = b"\x80") -> EventRow:
    """A message, a tenth of a second after the one before."""
    return (key, seq, 1_700_000_000.0 + seq / 10, MESSAGE, 0, body)


def batch(
    *,
    events: Iterable[EventRow] = (),
    sessions: Iterable[SessionRow] = (),
    deadlines: Iterable[tuple[int, float | None]] = (),
    erased: Iterable[int] = (),
) -> Batch:
    """A batch that is ready to be committed."""
    filled = Batch()
    filled.events.extend(events)
    filled.sessions.extend(sessions)
    filled.deadlines.extend(deadlines)
    filled.erased.update(dict.fromkeys(erased, Gone(0.0)))
    return filled


def index_all(journal: Journal) -> None:
    """Bring the index up to the journal."""
    while journal.index():
        pass


def whole_history(reader: Reader, key: int) -> list[EventRow]:
    """All events of a session, read in pages of three."""
    events: list[EventRow] = []
    more = True
    while more:
        page, more = reader.history(key, events[-1][1] if events else 0, limit=3)
        events += page
    return events
