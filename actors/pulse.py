"""The loop's heart: a beat ten times a second that tells how late it is, and what happened each second."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from .measures import Distribution, Recent

BEAT: Final = 0.1
"""Seconds between two beats."""
BEATS: Final = 10
"""Beats between two looks at the counts."""
STALL: Final = 0.05
"""Seconds beyond which a late beat is a stall: everybody waited."""
LAG: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
OVER: Final = 5
"""Seconds that a rate is taken over."""


class Pulse:
    """Measures one loop while it runs. Loop thread only."""

    def __init__(self, loop: asyncio.AbstractEventLoop, counts: Callable[[], tuple[int, ...]]) -> None:
        """`counts`: numbers that only grow; how fast is what `rates` tells."""
        self._loop = loop
        self._counts = counts
        self._handle: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._beats = 0
        self._seen: deque[tuple[float, tuple[int, ...]]] = deque(maxlen=OVER)
        self.lag = Distribution(LAG)
        """Seconds that beats came late."""
        self.recent_lag = Recent()
        self.stalls = 0

    def start(self) -> None:
        """Begin to beat."""
        self._seen.append((self._loop.time(), self._counts()))
        self._next()

    def stop(self) -> None:
        """Beat no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def rates(self) -> tuple[float, ...]:
        """How much each count grew a second, over the last few seconds."""
        now, counts = self._loop.time(), self._counts()
        if not self._seen:
            return (0.0,) * len(counts)
        since, before = self._seen[0]
        # Of less than a beat nothing can be said.
        seconds = max(now - since, BEAT)
        return tuple((count - then) / seconds for count, then in zip(counts, before, strict=True))

    def _next(self) -> None:
        self._due = self._loop.time() + BEAT
        self._handle = self._loop.call_at(self._due, self._beat)

    def _beat(self) -> None:
        now = self._loop.time()
        late = max(0.0, now - self._due)
        self.lag.add(late)
        self.recent_lag.add(now, late)
        if late > STALL:
            self.stalls += 1
        self._beats += 1
        if self._beats % BEATS == 0:
            self._seen.append((now, self._counts()))
        self._next()
