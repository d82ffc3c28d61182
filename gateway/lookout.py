"""From where a server is looked at: its numbers for the dashboard and for Prometheus, is it ready.

All readers of the live overview share one look a second, and there is none while nobody looks.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from sojourn.actors import Runtime
from sojourn.actors.instruments import Instruments, Overview
from sojourn.actors.lifecycle import Handling, Status

from .codec import encode_json

if TYPE_CHECKING:
    from .metrics import MetricsPage

logger = logging.getLogger(__name__)

EVERY: Final = 1.0
"""Seconds between two looks."""


class Lookout:
    """Looks at one server. Loop thread only."""

    def __init__(
        self,
        runtime: Runtime,
        connections: Callable[[], Mapping[str, int]],
        why_not_accepting: Callable[[], str | None],
        every: float | None = None,
    ) -> None:
        """`connections`: how many by door; `why_not_accepting`: None while there are doors open."""
        self._runtime = runtime
        self._connections = connections
        self._why_not_accepting = why_not_accepting
        self._every = EVERY if every is None else every
        self._instruments: Instruments | None = None
        self._page: MetricsPage | None = None
        self._newest = ""
        self._looked = asyncio.Event()
        """Set, and replaced, when there is something newer."""
        self._looking: asyncio.Task[None] | None = None
        self._readers = 0
        self._stopped = False
        self.insights_behind: Callable[[], int | None] = lambda: None
        """How many events search and statistics do not know yet; None: unknown, or there are none."""
        self.insights_wanted = False
        """Somebody gathers them beside this server: where there are none yet, there will be soon."""

    def start(self) -> None:
        """Begin to measure. The runtime runs."""
        self._instruments = Instruments(self._runtime.core)
        self._instruments.start()

    def stop(self) -> None:
        """End every live overview, and measure no more."""
        self._stopped = True
        if self._looking is not None:
            self._looking.cancel()
        self._looked.set()
        if self._instruments is not None:
            self._instruments.stop()

    @property
    def readers(self) -> int:
        """Who follows the overview."""
        return self._readers

    async def overview(self) -> dict[str, Any]:
        """What is now, as `GET /v1/overview` answers it."""
        overview = await self._read()
        return overview_map(overview, self._connections(), self.insights_behind())

    async def metrics(self) -> bytes:
        """What is now, in Prometheus' text format."""
        # many a server is never scraped, and its start need not wait for this library
        from .metrics import MetricsPage, Sight  # noqa: PLC0415

        if self._page is None:
            self._page = MetricsPage()
        overview = await self._read()
        assert self._instruments is not None
        return self._page.render(
            Sight(
                overview=overview,
                instruments=self._instruments,
                connections=self._connections(),
                ready=not await self.why_not_ready(),
                insights_behind=self.insights_behind(),
            )
        )

    async def why_not_ready(self) -> list[str]:
        """Why no work should be sent here; empty: it may."""
        if self._instruments is None:
            return ["starting"]
        reasons = await self._instruments.why_not_ready()
        closed = self._why_not_accepting()
        return reasons or ([] if closed is None else [closed])

    async def follow(self) -> AsyncGenerator[str]:
        """What is now, and then each second, as JSON, until the server goes; who is slow misses some."""
        self._readers += 1
        try:
            if self._looking is None:
                self._newest = ""
                self._looking = asyncio.get_running_loop().create_task(self._look())
            # Whoever comes later need not wait for the next look.
            newest = self._newest
            while not self._stopped:
                looked = self._looked
                if newest:
                    yield newest
                await looked.wait()
                newest = self._newest
        finally:
            self._readers -= 1
            if not self._readers and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            try:
                self._newest = encode_json(await self.overview())
            except Exception:
                # The next look may see something; until then readers wait.
                logger.exception("the overview could not be made")
            else:
                looked, self._looked = self._looked, asyncio.Event()
                looked.set()
            due = max(due + self._every, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _read(self) -> Overview:
        assert self._instruments is not None, "start first"
        return await self._instruments.read()


def overview_map(
    overview: Overview, connections: Mapping[str, int], insights_behind: int | None
) -> dict[str, Any]:
    """The overview as people's programs get it: instants as epoch seconds, durations in milliseconds."""
    times = overview.commit_times
    return {
        "at": overview.at,
        "uptime": overview.uptime,
        "sessions": _sessions(overview),
        "live": overview.live,
        "connections": sum(connections.values()),
        "connections_by_door": dict(connections),
        "messages_per_second": round(overview.messages_a_second, 2),
        "messages_total": overview.messages,
        "commits_per_second": round(overview.commits_a_second, 2),
        "commit_ms": {"p50": _ms(times.p50), "p99": _ms(times.p99), "max": _ms(times.longest)},
        "commit_batch": {"mean": None if times.mean_events is None else round(times.mean_events, 1)},
        "queue_depths": dict(overview.waiting),
        "timers": {"due": overview.due, "lateness_ms": _ms(overview.timer_lateness)},
        "expired": dict(overview.expired),
        "turns": overview.turns,
        "dead_letters": sum(overview.dead_letters.values()),
        "restarts": overview.restarts,
        "loop_stall_ms": {"max": _ms(overview.loop_lag)},
        "insights": {"behind": insights_behind},
        "draining": overview.draining,
    }


def _sessions(overview: Overview) -> dict[str, Any] | None:
    """Sessions by status; `by_handling` counts the active ones. None: they could not be read."""
    if overview.sessions is None:
        return None
    by_status: dict[str, int] = {status.value: 0 for status in Status}
    by_handling: dict[str, int] = {handling.value: 0 for handling in Handling}
    for each in overview.sessions:
        by_status[each.status] += each.sessions
        if each.status == "active":
            by_handling[each.handling] += each.sessions
    return {**by_status, "by_handling": by_handling}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
