"""Histories as sessions write them, for tests of what is told from them."""

from __future__ import annotations

from typing import Any

import msgpack

from sojourn.storage import EVENT_TYPES, EventRow, Journal
from tests.storage.samples import batch, session

NOON = 1_700_049_600.0
"""2023-11-15, 12:00 UTC, a Wednesday."""

USER = {"role": "user", "id": None}
AI = {"role": "ai", "id": None}
AGENT = {"role": "agent", "id": "grace"}
TIME = {"role": "system", "id": None}


class Story:
    """What happens to the sessions of one journal; each event is committed at once."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.seqs: dict[int, int] = {}
        self.told: dict[int, list[tuple[str, float, dict[str, Any]]]] = {}
        """(event, at, payload) of each session that is there, as it was written."""

    def tell(self, key: int, event: str, at: float, **payload: Any) -> None:
        """One event."""
        self.journal.commit(batch(events=[self._row(key, event, at, payload)]))

    def create(self, key: int, at: float = NOON, tags: tuple[str, ...] = (), **columns: Any) -> None:
        """A session comes to be, with its row."""
        payload = {"tags": list(tags), "context": {"password": "hush"}, "metadata": {"plan": "hush too"}}
        row = session(key, **columns)._replace(created_at=at)
        self.journal.commit(batch(events=[self._row(key, "session:created", at, payload)], sessions=[row]))

    def say(self, key: int, text: str | None, at: float = NOON, author: str = "user") -> None:
        """A message."""
        self.tell(
            key,
            "message:received",
            at,
            author=author,
            message_id=f"m{self.seqs[key]}",
            text=text,
            attachments=None,
            data=None,
        )

    def say_often(self, key: int, text: str, times: int) -> None:
        """Messages of the user, in one commit."""
        said = {"author": "user", "message_id": None, "text": text, "attachments": None, "data": None}
        rows = [self._row(key, "message:received", NOON, said) for _ in range(times)]
        self.journal.commit(batch(events=rows))

    def erase(self, *keys: int) -> None:
        """These sessions go."""
        self.journal.commit(batch(erased=keys))
        for key in keys:
            del self.told[key]

    def _row(self, key: int, event: str, at: float, payload: dict[str, Any]) -> EventRow:
        seq = self.seqs[key] = self.seqs.get(key, 0) + 1
        self.told.setdefault(key, []).append((event, at, payload))
        body: bytes = msgpack.packb(payload)
        return (key, seq, at, EVENT_TYPES[event], 0, body)
