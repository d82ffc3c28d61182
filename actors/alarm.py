"""What turns deadlines into wake-ups: it drives the wheel and the sweep of stored deadlines by a clock."""

import asyncio
from typing import Final

from .clock import Clock, Handle
from .measures import Distribution, Recent
from .registry import RegistryActor
from .timers import NEVER, TimingWheel

AT_ONCE: Final = 256
"""Wake-ups in one turn of the loop: those of one second may be a hundred thousand, and others wait for
their messages.
"""
LATE: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0)
"""Seconds: the bounds by which late wake-ups are told apart."""


class Alarm:
    """Wakes whoever is due. Loop thread only."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Clock, wheel: TimingWheel, registry: RegistryActor
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._wheel = wheel
        self._registry = registry
        self._handle: Handle | None = None
        self._stopped = False
        self._ringing = False
        self.fired = 0
        """Wake-ups since the start."""
        self.lateness = Distribution(LATE)
        """Each time something was woken, seconds since the earliest of it was due."""
        self.recent_lateness = Recent()
        wheel.changed = self.arm

    @property
    def idle(self) -> bool:
        """Nothing is due that has not been woken."""
        return not self._ringing

    def next_at(self) -> float:
        """When something falls due next, in memory or in storage, or `NEVER`."""
        if self._registry.sweeping:
            return self._wheel.next_at()
        return min(self._wheel.next_at(), self._registry.stored_due)

    def arm(self) -> None:
        """Wait for the next deadline."""
        if self._stopped or self._ringing:
            return
        when = self.next_at()
        if self._handle is not None:
            if when >= self._wheel.armed_at:
                return
            self._handle.cancel()
        self._wheel.armed_at = when
        self._handle = None if when == NEVER else self._clock.call_at(self._loop, when, self.ring)

    def ring(self) -> None:
        """Wake what is due now."""
        if self._stopped:
            return
        self._handle = None
        self._ringing = True
        now = self._clock.now()
        if self._registry.stored_due <= now:
            self._registry.sweep(now)
        earliest = self._wheel.next_at()
        due = self._wheel.due(now, AT_ONCE)
        if due:
            self.fired += len(due)
            late = now - earliest
            self.lateness.add(late)
            self.recent_lateness.add(self._loop.time(), late)
        for entry in due:
            self._registry.wake(entry)
        if len(due) == AT_ONCE:
            self._loop.call_soon(self.ring)
            return
        self._ringing = False
        self._wheel.armed_at = NEVER
        self.arm()

    def stop(self) -> None:
        """Wake nobody any more."""
        self._stopped = True
        if self._handle is not None:
            self._handle.cancel()
