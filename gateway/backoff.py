"""How long to wait before the next attempt to connect (pure)."""

from collections.abc import Callable


class Backoff:
    """Delays that double from `minimum` to `maximum` seconds, each shortened by up to half at random.

    The randomness keeps the clients of one server from coming back all at once.
    """

    def __init__(self, minimum: float, maximum: float, random: Callable[[], float]) -> None:
        self._minimum = minimum
        self._maximum = maximum
        self._random = random
        self._attempts = 0

    def next(self, at_least: float = 0.0) -> float:
        """Return the seconds to wait now, no fewer than the server asked for."""
        # beyond 2**64 the maximum has long been reached, and a float's range is not left
        delay = min(self._minimum * 2.0 ** min(self._attempts, 64), self._maximum)
        self._attempts += 1
        return max(delay * (0.5 + 0.5 * self._random()), at_least)

    def reset(self) -> None:
        """The attempt succeeded."""
        self._attempts = 0
