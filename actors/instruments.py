"""What happens now, in numbers: read when somebody looks, from what counts itself anyway.

Nothing here is on a message's way. The store's thread counts what it commits (`Tally`), the loop's heart
tells how late the loop is (`Pulse`), the rest is lengths of what exists.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sojourn.storage import SessionCount, StorageError, count_overdue, count_sessions, rewrite_epoch

from .core import Core
from .measures import quantile
from .pulse import Pulse

logger = logging.getLogger(__name__)

MOST_OVERDUE: Final = 10_000
"""Deadlines in storage that are counted, at most."""
PATIENCE: Final = 2.0
"""Seconds until the rest is told without what storage did not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitTimes:
    """Of the last minute; seconds, None where nothing was committed."""

    p50: float | None
    p99: float | None
    longest: float | None
    mean_events: float | None
    """Events in a commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """A runtime at one moment. Totals count from its start, seconds are seconds."""

    at: float
    uptime: float
    sessions: tuple[SessionCount, ...] | None
    """As stored; None: they could not be read."""
    live: int
    """Sessions in memory."""
    messages: int
    messages_a_second: float
    commits_a_second: float
    events: Mapping[str, int]
    """By type."""
    expired: Mapping[str, int]
    """By reason."""
    commit_times: CommitTimes
    waiting: Mapping[str, int]
    """By what it is that waits: for how long each queue is."""
    due: int
    """Deadlines that have passed and are not dealt with; of those in storage 10,000 are counted at most."""
    timer_lateness: float | None
    """The longest of the last minute."""
    loop_lag: float | None
    """The longest of the last minute."""
    dead_letters: Mapping[str, int]
    """By reason."""
    restarts: int
    turns: int
    """Handlers that run."""
    draining: bool


class Instruments:
    """Reads one runtime. Made and used on its loop, while it runs."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.tally = core.tally
        self.alarm = core.alarm
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()
        self.pulse = Pulse(self._loop, lambda: (self.tally.messages, self.tally.commits))

    def start(self) -> None:
        """Begin to measure the loop."""
        self.pulse.start()

    def stop(self) -> None:
        """Measure no more; what was measured can still be read."""
        self.pulse.stop()

    async def read(self) -> Overview:
        """What is now."""
        core, tally, pulse = self.core, self.tally, self.pulse
        registry, agent = core.registry, core.agent
        at = core.clock.now()
        sweeping = registry.sweeping

        sessions: tuple[SessionCount, ...] | None = None
        overdue = 0
        try:
            async with asyncio.timeout(PATIENCE):
                sessions = tuple(await core.reads.get(lambda reader: reader.look(count_sessions)))
                if sweeping:
                    overdue = await core.reads.get(
                        lambda reader: reader.look(lambda file: count_overdue(file, at, MOST_OVERDUE))
                    )
        except (StorageError, TimeoutError):
            logger.warning("the overview is without what storage did not answer")
        now = self._loop.time()
        seconds, sizes = tally.recent_seconds.values(now), tally.recent_sizes.values(now)
        messages_a_second, commits_a_second = pulse.rates()
        return Overview(
            at=at,
            uptime=now - self._started_at,
            sessions=sessions,
            live=len(registry.live),
            messages=tally.messages,
            messages_a_second=messages_a_second,
            commits_a_second=commits_a_second,
            events=tally.events(),
            expired=tally.expired(),
            commit_times=CommitTimes(
                p50=quantile(seconds, 0.5),
                p99=quantile(seconds, 0.99),
                longest=quantile(seconds, 1.0),
                mean_events=sum(sizes) / len(sizes) if sizes else None,
            ),
            waiting={
                "mailboxes": core.dispatcher.waiting,
                "loading": registry.awaited,
                "commit": len(core.commits.gathering.events),
                "store": core.store_waiting,
                "reads": core.reads.under_way,
                "turns": 0 if agent is None else agent.waiting,
            },
            due=core.shared.wheel.overdue(at) + overdue,
            timer_lateness=quantile(self.alarm.recent_lateness.values(now), 1.0),
            loop_lag=quantile(pulse.recent_lag.values(now), 1.0),
            dead_letters=dict(registry.dead_letters.counts),
            restarts=registry.supervisor.restarts,
            turns=0 if agent is None else agent.running,
            draining=core.draining,
        )

    async def why_not_ready(self) -> list[str]:
        """Why no work should come here; empty: it may. A store that failed is asked to write something."""
        reasons = ["draining"] if self.core.draining else []
        if self.tally.failing:
            try:
                await self.core.tend(rewrite_epoch)
            except StorageError as error:
                reasons.append(f"storage_failed: {error}")
            else:
                self.tally.failing = False
        return reasons
