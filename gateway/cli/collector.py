"""When the garbage collector of a server runs, and how long it may stop the world for.

Sessions and connections hold no cycles: what ends is freed at once, by counting references. The collector is
there for the rest, tracebacks for the most part, and walking every live session for those would stop the loop
for seconds. So:

* What the start made is frozen: it is never walked again.
* Only young objects are collected automatically, few at a time, while they are still in the processor's
  cache. (Measured while 300,000 sessions are created: 2,000 at a time take 0.2 ms, at most 0.4, in all 1 µs
  a creation; 10,000 take 1.4 ms and 4 µs; 50,000 take 16 ms, at most 65, and 4 µs.)
* A whole collection is made now and then, when it is foreseen to be short. What it would walk is counted in
  allocated blocks, which takes 1 ms for 4 million of them; the last collection tells what a block costs.
  With more than some 5,000 sessions in memory there is none: what little cyclic garbage comes up waits until
  there are fewer.

The collector belongs to the whole process, so this is for `sojourn serve` alone: a program that embeds a
`Runtime` keeps its own ways.
"""

import gc
import sys
import time
from collections.abc import Callable
from typing import Final, Protocol

YOUNG: Final = 2_000
"""Objects made, less those freed, that start a young collection."""
NEVER: Final = 2**31 - 1
"""A threshold out of reach: the greatest that the collector takes."""
MOST_SECONDS: Final = 0.010
"""A whole collection that is foreseen to take longer is not made: half of what the loop may ever stand still,
for what is foreseen may be wrong.
"""
SECONDS_PER_BLOCK: Final = 200e-9
"""What a block costs at the least. (Measured: 70 ns of it in a warm heap, 140 to 200 with many sessions.)"""
FEWEST_BLOCKS: Final = 10_000
"""A collection of less is all overhead, and tells nothing of what a block costs."""
LOOK_EVERY: Final = 30.0
"""Seconds from one thought of a whole collection to the next."""


class Timer(Protocol):
    """Something that will happen, unless it is cancelled."""

    def cancel(self) -> None: ...


class Loop(Protocol):
    """As much of an event loop as is needed here."""

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Timer: ...


class Collector:
    """The policy, from `start` to `stop`. On the loop's thread."""

    def __init__(self, perf_counter: Callable[[], float] = time.perf_counter) -> None:
        """`perf_counter` measures collections, in seconds."""
        self._perf_counter = perf_counter
        self._seconds_per_block = SECONDS_PER_BLOCK
        self._frozen_blocks = 0
        self._next_look: Timer | None = None

    def start(self, loop: Loop) -> None:
        """Freeze what is alive, and from now on collect as above. Once, when all is ready to serve."""
        gc.collect()
        gc.freeze()
        self._frozen_blocks = sys.getallocatedblocks()
        gc.set_threshold(YOUNG, NEVER, NEVER)
        self._look_later(loop)

    def stop(self) -> None:
        """Freeze what is left, or the interpreter would walk all of it once more before it ends."""
        if self._next_look is not None:
            self._next_look.cancel()
        gc.freeze()

    @property
    def foreseen(self) -> float:
        """Seconds that a whole collection would take now."""
        return self._blocks() * self._seconds_per_block

    def look(self) -> bool:
        """Make a whole collection if it is foreseen to be short; whether it was made."""
        if self.foreseen > MOST_SECONDS:
            # One that was slow for another's reasons must not rule out all that follow.
            self._seconds_per_block = max(SECONDS_PER_BLOCK, self._seconds_per_block / 2)
            return False
        blocks = max(self._blocks(), FEWEST_BLOCKS)
        begun = self._perf_counter()
        gc.collect()
        seconds = self._perf_counter() - begun
        self._seconds_per_block = max(SECONDS_PER_BLOCK, seconds / blocks)
        return True

    def _blocks(self) -> int:
        return max(0, sys.getallocatedblocks() - self._frozen_blocks)

    def _look_later(self, loop: Loop) -> None:
        def look() -> None:
            self.look()
            self._look_later(loop)

        self._next_look = loop.call_later(LOOK_EVERY, look)
