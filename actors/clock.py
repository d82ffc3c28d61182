"""The one source of time: seconds since the epoch, UTC, and the wait until an instant of it."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

LONGEST_WAIT: Final = 1.0
"""Seconds after which the machine's clock is looked at again, so that a jump of it is noticed."""


class Handle(Protocol):
    """A wait that can be given up."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """What deadlines, events and snapshots are measured by."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        ...

    def call_at(self, loop: asyncio.AbstractEventLoop, when: float, callback: Callable[[], None]) -> Handle:
        """Call back on the loop at `when` or earlier: the callee looks at `now` and asks again if need be."""
        ...


class SystemClock:
    """The machine's clock. It may jump either way; sessions hold or pass their deadlines accordingly."""

    now = staticmethod(time.time)

    def call_at(self, loop: asyncio.AbstractEventLoop, when: float, callback: Callable[[], None]) -> Handle:
        return loop.call_later(min(max(when - time.time(), 0.0), LONGEST_WAIT), callback)
