"""What is measured while it happens: distributions since the start, and the values of the last minute.

Pure: an instant is an argument. One thread adds; any other may read beside it, and sees a moment's numbers.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from math import ceil
from typing import Final

WINDOW: Final = 60.0
"""Seconds that count as now."""
KEPT: Final = 2048
"""Values kept of those, the newest."""


class Distribution:
    """How many values there were up to each of some bounds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` ascend; a value that equals one counts as within it, and what is above all counts too."""
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0
        """The sum of all values."""

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[int]:
        """Of each bound how many values it or less; the last is how many there were."""
        reached = 0
        return [reached := reached + count for count in self.counts]


class Recent:
    """The values of the last minute, with their instants."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: deque[tuple[float, float]] = deque(maxlen=KEPT)

    def add(self, at: float, value: float) -> None:
        """Keep one value; instants ascend."""
        self._values.append((at, value))

    def values(self, now: float) -> list[float]:
        """Those of the last minute, the least first."""
        return sorted(value for at, value in self._values.copy() if at > now - WINDOW)


def quantile(ascending: Sequence[float], share: float) -> float | None:
    """The least value that so large a share (0 < share ≤ 1) of all reaches at most; None: there is none."""
    return ascending[ceil(share * len(ascending)) - 1] if ascending else None
