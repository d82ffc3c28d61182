"""The heartbeat of one connection, for either side (pure; `now` is seconds on a clock that never goes back).

A side that promised to speak every `interval` seconds says `ping` when it has been quiet for half of that:
late timers and slow networks have the other half. Two intervals without a frame of the other side mean
that it is gone.
"""

QUIET_SHARE = 0.5
PATIENCE = 2.0


class Heartbeat:
    """When to speak, and until when to believe in the other side. `interval` None: silence is free."""

    __slots__ = ("_heard", "_said", "interval")

    def __init__(self, interval: float | None, now: float) -> None:
        self.interval = interval
        self._heard = now
        self._said = now

    def sent(self, now: float) -> None:
        """A frame was sent."""
        self._said = now

    def received(self, now: float) -> None:
        """A frame, any frame, came."""
        self._heard = now

    @property
    def ping_at(self) -> float | None:
        """When to say `ping` unless something else is sent before."""
        return None if self.interval is None else self._said + QUIET_SHARE * self.interval

    @property
    def silent_at(self) -> float | None:
        """When the other side counts as gone unless something comes before."""
        return None if self.interval is None else self._heard + PATIENCE * self.interval

    @property
    def due(self) -> float | None:
        """The earlier of the two."""
        if self.interval is None:
            return None
        return min(self._said + QUIET_SHARE * self.interval, self._heard + PATIENCE * self.interval)

    def is_ping_due(self, now: float) -> bool:
        """Has this side been quiet for long enough?"""
        return self.ping_at is not None and now >= self.ping_at

    def is_silent(self, now: float) -> bool:
        """Has the other side been quiet for too long?"""
        return self.silent_at is not None and now >= self.silent_at
