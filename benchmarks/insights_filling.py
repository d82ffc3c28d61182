"""A database as a busy service has it after three months, for search and statistics to be asked.

The data set of `sojourn demo` whole (7,168 conversations, 258,145 messages), and as many further sessions as
are wanted, each with the first lines of one of its conversations. They are spread over `DAYS`, are closed,
rated, tagged and handed over in fixed shares, and are written with `Journal.commit`, as the store does.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgpack

from sojourn.gateway.dataset import Conversation, load_conversations
from sojourn.storage import EVENT_TYPES, Batch, EventRow, Journal, SessionRow

DAYS: Final = 90
BEGIN: Final = 1_767_225_600.0
"""2026-01-01, UTC: when the first session is made."""
LINES: Final = 4
"""Messages of a session beyond the data set."""
CHANNELS: Final = ("web", "email", "whatsapp")
AT_ONCE: Final = 500
"""Sessions of one commit."""

_AI: Final = {"role": "ai", "id": None}
_AGENT: Final = {"role": "agent", "id": "grace"}


def fill(db: Path, sessions: int) -> int:
    """Write that many sessions; how many messages they have."""
    conversations = load_conversations()
    messages = 0
    with Journal.open(str(db), "relaxed") as journal:
        first_key = journal.next_key
        numbers = iter(range(sessions))
        while some := list(islice(numbers, AT_ONCE)):
            batch = Batch()
            for number in some:
                conversation = conversations[number % len(conversations)]
                lines = None if number < len(conversations) else LINES
                history = list(_history(conversation, number, sessions, lines))
                key = first_key + number
                batch.sessions.append(_row(key, number, history))
                batch.events += [
                    (key, seq, at, EVENT_TYPES[event], 0, msgpack.packb(payload))
                    for seq, (event, at, payload) in enumerate(history, 1)
                ]
                messages += sum(event == "message:received" for event, _, _ in history)
            _interleave(batch)
            journal.commit(batch)
        while journal.index(1_000_000):
            pass
        journal.checkpoint()
    return messages


def _interleave(batch: Batch) -> None:
    """As sessions speak at the same time: a session's events lie apart."""

    def when(row: EventRow) -> tuple[int, int]:
        return row[1], row[0]

    batch.events.sort(key=when)


def _history(
    conversation: Conversation, number: int, sessions: int, lines: int | None
) -> Iterator[tuple[str, float, dict[str, Any]]]:
    """(event, at, payload) of one session; which of them are rated and so on follows from its number."""
    begin = at = BEGIN + number * (DAYS * 86_400 / sessions)
    tags = ["vip"] if number % 50 == 0 else ["refund", "angry"] if number % 7 == 0 else []
    yield "session:created", at, {"tags": tags, "context": {"topic": "orders"}, "metadata": {}}
    if number % 10 == 0:
        yield "session:handed_over", at + 1, {"queue": "support", "handling": "queued", "by": _AI}
        at += 20 + number % 900
        yield "session:assigned", at, {"assignee": "grace", "by": _AGENT}
    other = "human" if number % 10 == 0 else "ai"
    for place, line in enumerate(conversation.lines[:lines]):
        # As fast as a person and a model speak: the data set has pauses of days.
        at += 2 + (number + place * 7) % 60
        author = "user" if line.by_user else other
        yield "message:received", at, {
            "author": author,
            "author_id": None,
            "message_id": f"{number}-{place}",
            "text": line.text,
            "attachments": None,
            "data": None,
        }  # fmt: skip
    if number % 3:
        by = _AGENT if other == "human" else _AI
        yield "session:closed", at + 30, {"reason": f"resolved_by_{other}", "reopen_until": None, "by": by}
        if number % 4 == 0:
            yield "session:rated", at + 60, {"rating": 1 + number % 5, "feedback": None, "by": _AI}
        yield "session:expired", at + 3600, {"reason": "keep_alive"}
    elif begin < BEGIN + (DAYS - 1) * 86_400:
        yield "session:expired", at + 1800, {"reason": "inactivity"}


def _row(key: int, number: int, history: list[tuple[str, float, dict[str, Any]]]) -> SessionRow:
    return SessionRow(
        key=key,
        session_id=f"01ar{number:022d}",
        user_id=f"user-{number // 3:06d}",
        channel=CHANNELS[number % len(CHANNELS)],
        request_key=None,
        resume_hash=None,
        created_at=history[0][1],
        status="expired" if history[-1][0] == "session:expired" else "active",
        handling="human" if number % 10 == 0 else "ai",
        queue=None,
        assignee=None,
        due_at=None,
        seq=len(history),
        snapshot=None,
    )
