"""The newest events of a session whose history is being read, so that a turn of an agent asks no journal.

Theory of operation. Most sessions are written to and never read: they keep nothing, whatever is written. The
first page of history that reaches the present is read from the journal and stays here; every event behind it
is added, the very row that goes to the journal. What begins inside is answered from here as the journal would
answer it; whoever answers must still wait for the commit of what is shown. A session that was not asked
between two looks lets go of it. When a commit fails the actor goes, and this with it.
"""

from collections.abc import Sequence
from typing import Final

from sojourn.storage import ENVELOPE_BYTES, EventRow

MOST: Final = 64
"""Events kept of one session; when there are more, the older half goes."""
MOST_BYTES: Final = 32_768
"""Of their bodies; beyond, the older half goes, too."""


class Newest:
    """The last events of one session, without a gap up to the newest one."""

    __slots__ = ("_bytes", "_rows", "asked")

    def __init__(self, rows: Sequence[EventRow]) -> None:
        """`rows`, oldest first, end with the newest event there is."""
        self._rows: list[EventRow] = []
        self._bytes = 0
        self.asked = True
        """Something was asked of it since whoever looks has set this to False."""
        for row in rows[-MOST:]:
            self.add(row)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: EventRow) -> None:
        """The next event has happened."""
        rows = self._rows
        rows.append(row)
        self._bytes += len(row[5])
        while len(rows) > MOST or self._bytes > MOST_BYTES:
            older = (len(rows) + 1) // 2
            self._bytes -= sum(len(each[5]) for each in rows[:older])
            del rows[:older]

    def page(self, after_seq: int, limit: int, max_bytes: int) -> tuple[list[EventRow], bool] | None:
        """What `Reader.history` gives for the events behind `after_seq`; None when some of them are not here.

        At most `limit` events (≥ 1) and `max_bytes` of bodies and envelopes, but one event at least.
        """
        self.asked = True
        rows = self._rows
        if not rows:
            return None
        start = after_seq + 1 - rows[0][1]
        if start < 0:
            return None
        found = rows[start : start + limit]
        more = len(rows) - start > limit
        # All of them together are seldom too long: then nothing is added up.
        if self._bytes + len(found) * ENVELOPE_BYTES > max_bytes:
            room = max_bytes
            for place, row in enumerate(found):
                room -= len(row[5]) + ENVELOPE_BYTES
                if room < 0 and place:
                    return found[:place], True
        return found, more

    def event(self, seq: int) -> EventRow | None:
        """The event at that place, if it is here."""
        rows = self._rows
        place = seq - rows[0][1] if rows else -1
        return rows[place] if 0 <= place < len(rows) else None
