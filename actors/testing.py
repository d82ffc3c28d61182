"""Virtual time, for tests of programs that embed Sojourn, and for our own.

    clock = VirtualClock()
    async with Runtime(clock=clock) as runtime:
        session = await runtime.create()
        await clock.advance(3600)                     # the inactivity timer fires, at its instant
        assert (await session.get())["status"] == "expired"

Time stands still until it is advanced. Advancing fires one due wake-up, settles (no mailbox, no turn, no read
and no commit outstanding: counted, not guessed), fires the next. Nothing sleeps and nothing is approximate.
"""

import asyncio
import heapq
from collections.abc import Callable

from .runtime import Runtime

DEFAULT_START = 1_700_000_000.0


class _Wait:
    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class VirtualClock:
    """A clock that moves when it is told to. Give it to one `Runtime`, and advance it on that runtime's
    loop.
    """

    def __init__(self, start: float = DEFAULT_START) -> None:
        """`start` is the first `now`, seconds since the epoch."""
        self._now = start
        self._waits: list[tuple[float, int, _Wait]] = []
        self._count = 0
        self._runtimes: list[Runtime] = []

    def now(self) -> float:
        return self._now

    def call_at(self, loop: asyncio.AbstractEventLoop, when: float, callback: Callable[[], None]) -> _Wait:
        del loop  # whoever advances the clock is on it
        wait = _Wait(callback)
        self._count += 1
        heapq.heappush(self._waits, (when, self._count, wait))
        return wait

    def drives(self, runtime: Runtime) -> None:
        """`runtime` lives by this clock: it settles between two wake-ups. The runtime calls it when it
        starts.
        """
        self._runtimes.append(runtime)

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass, and everything happen that falls due meanwhile, each at its time."""
        await self.advance_to(self._now + seconds)

    async def advance_to(self, when: float) -> None:
        """Go to `when`, seconds since the epoch; a time in the past stays where it is. Settled at the end."""
        await self.settle()
        while self._fire_next(when):
            await self.settle()
        self._now = max(self._now, when)
        await self.settle()

    async def move_to(self, when: float) -> None:
        """Like `advance_to`, but what is under way may go on beside it when nothing falls due until `when`.

        For feeding a long record of messages, each with its own instant. A deadline that is not filed yet
        is not known: settle before you go further than the shortest timeout from what is under way.
        """
        while (due_at := self.next_deadline()) is not None and due_at <= when:
            await self.settle()  # what came before the deadline may move it
            if self._fire_next(when):
                await self.settle()
        self._now = max(self._now, when)

    def set(self, when: float) -> None:
        """Set the clock, also back, as an administrator may. Nothing fires before the next `advance`."""
        self._now = when

    def next_deadline(self) -> float | None:
        """When the next wake-up is due, or None."""
        self._drop_cancelled()
        return self._waits[0][0] if self._waits else None

    async def settle(self) -> None:
        """Wait until everything that was begun has ended."""
        for runtime in self._runtimes:
            await runtime.core.settle()

    def _fire_next(self, until: float) -> bool:
        self._drop_cancelled()
        if not self._waits or self._waits[0][0] > until:
            return False
        when, _, wait = heapq.heappop(self._waits)
        self._now = max(self._now, when)
        callback, wait.callback = wait.callback, None
        if callback is not None:
            callback()
        return True

    def _drop_cancelled(self) -> None:
        while self._waits and self._waits[0][2].callback is None:
            heapq.heappop(self._waits)


async def settle(runtime: Runtime) -> None:
    """Wait until nothing of the runtime is under way."""
    await runtime.core.settle()
