"""What the store has stored since the start: counted once a commit, in the thread that hears of it.

The types of a batch's events are counted in C; only what ends sessions is looked at one by one.
"""

import time
from collections import Counter
from collections.abc import Callable
from operator import itemgetter
from typing import Final

from sojourn.storage import EVENT_NAMES, EVENT_TYPES, Batch, Journal

from .measures import Distribution, Recent
from .packing import unpack

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
EVENTS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16_384)
LATE: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0)

_TYPE: Final = itemgetter(3)
_EXPIRED: Final = EVENT_TYPES["session:expired"]
_MESSAGE: Final = EVENT_TYPES["message:received"]


class Tally:
    """The counts of one runtime. One thread writes, any thread reads."""

    def __init__(self, now: Callable[[], float], monotonic: Callable[[], float] = time.monotonic) -> None:
        """`now`: the sessions' clock, seconds since the epoch; `monotonic`: what durations are taken by."""
        self._now = now
        self._monotonic = monotonic
        self._types: Counter[int] = Counter()
        self._endings: Counter[bytes] = Counter()
        self.commits = 0
        self.failures = 0
        self.failing = False
        """The last commit failed."""
        self.seconds = Distribution(SECONDS)
        """Of each commit, how long the journal took."""
        self.sizes = Distribution(EVENTS)
        """Of each commit, how many events."""
        self.expiry_lateness = Distribution(LATE)
        """Of each expired session, seconds from its deadline until that was stored."""
        self.recent_seconds = Recent()
        self.recent_sizes = Recent()

    def measured(self, journal: Journal) -> Callable[[Batch], None]:
        """What commits to the journal, and counts it; what the journal raises is counted and raised."""

        def commit_and_count(batch: Batch) -> None:
            begun = self._monotonic()
            try:
                journal.commit(batch)
            except BaseException:
                self.failed()
                raise
            self.stored(batch, self._monotonic() - begun)

        return commit_and_count

    def failed(self) -> None:
        """A batch was not stored."""
        self.failures += 1
        self.failing = True

    def stored(self, batch: Batch, seconds: float) -> None:
        """A batch was stored, which took the journal so long."""
        ended = self._monotonic()
        self.failing = False
        self.commits += 1
        events = batch.events
        self.seconds.add(seconds)
        self.sizes.add(len(events))
        self.recent_seconds.add(ended, seconds)
        self.recent_sizes.add(ended, len(events))
        types = Counter(map(_TYPE, events))
        self._types.update(types)
        if _EXPIRED in types:
            now = self._now()
            late = self.expiry_lateness.add
            over = [row for row in events if row[3] == _EXPIRED]
            self._endings.update(row[5] for row in over)
            for row in over:
                late(max(0.0, now - row[2]))

    @property
    def messages(self) -> int:
        """Messages stored since the start."""
        return self._types[_MESSAGE]

    def events(self) -> dict[str, int]:
        """Events stored since the start by type, those that never happened too."""
        return {name: self._types[code] for code, name in EVENT_NAMES.items()}

    def expired(self) -> dict[str, int]:
        """Sessions expired since the start by reason."""
        reasons: Counter[str] = Counter({"inactivity": 0, "keep_alive": 0, "max_lifetime": 0})
        for body, count in self._endings.copy().items():
            reasons[str(unpack(body)["reason"])] += count
        return dict(reasons)
