"""Retention: the history of sessions that ended long ago goes, in the background.

A pass walks along all sessions, a page at a time, and removes those whose time is over, a few in each commit.
The walk costs a read a page; how long a channel's sessions are kept is known here, storage only says when
each ended. Between two steps others are left several times what the step took. A session that is gone leaves
its id in the list of erasures, and nothing else.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from sojourn.storage import RETENTION, Ended, EndedPage, Gone, StorageError, ended_before

from .config import RuntimeConfig
from .erasing import paced
from .later import Later

if TYPE_CHECKING:
    from .registry import RegistryActor

logger = logging.getLogger(__name__)

PAGE: Final = 256
"""Sessions looked at in one read: some milliseconds for whoever reads behind it."""
EVENTS_AT_ONCE: Final = 128
"""Events of removed sessions in one commit; a longer session goes on behind its own."""
SESSIONS_AT_ONCE: Final = 16
REST: Final = 4.0
"""For each second of work so many are left to others: nobody waits for this."""
SHORTEST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 3600.0
"""Seconds between two passes: a tenth of what the shortest retention is, within these bounds."""
RETRY: Final = 60.0
"""Seconds until a pass that failed begins again."""


class Keeping:
    """How long what has ended is kept."""

    def __init__(self, config: RuntimeConfig) -> None:
        self._default = config.session.retention
        self._channels = {name: timers.retention for name, timers in config.channels.items()}
        spans = [span for span in (self._default, *self._channels.values()) if span is not None]
        self.shortest: float | None = min(spans, default=None)
        """None: everything is kept for ever."""

    def span(self, channel: str) -> float | None:
        """Seconds after its end until a session of that channel goes; None: never."""
        return self._channels.get(channel, self._default)

    def is_over(self, ended: Ended, now: float) -> bool:
        """Is the time over for which this session was to be kept?"""
        span = self.span(ended.channel)
        return span is not None and ended.ended_at + span <= now


class Retention:
    """Removes what need not be kept. Loop thread only."""

    def __init__(self, registry: "RegistryActor", removed: Callable[[], None]) -> None:
        """`removed` is told when sessions have gone."""
        self._registry = registry
        self._removed = removed
        self._keeping = Keeping(registry.shared.config)
        self._alarm = Later(self._begin)
        self._task: asyncio.Task[None] | None = None
        self.sessions = 0
        """How many sessions have gone since the start."""

    def start(self) -> None:
        """Begin the first pass, if anything is ever to go."""
        if self._keeping.shortest is not None:
            self._begin()

    async def stop(self) -> None:
        """Leave the rest to the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._registry.shared.wheel.cancel(self._alarm)

    async def through(self) -> None:
        """Wait for the end of the pass that is under way."""
        if self._task is not None:
            await asyncio.wait([self._task])

    @property
    def idle(self) -> bool:
        """No pass is under way."""
        return self._task is None or self._task.done()

    def _begin(self) -> None:
        if self.idle:
            self._task = asyncio.get_running_loop().create_task(self._go())

    async def _go(self) -> None:
        shared = self._registry.shared
        shortest = self._keeping.shortest
        assert shortest is not None
        pause = RETRY
        try:
            await self._pass(shortest)
            pause = min(max(shortest / 10, SHORTEST_PAUSE), LONGEST_PAUSE)
        except StorageError as error:
            logger.warning("retention waits: %s", error)
        except Exception:
            logger.exception("retention failed")
        shared.wheel.file(self._alarm, shared.clock.now() + pause)

    async def _pass(self, shortest: float) -> None:
        """Look at all sessions once."""
        shared = self._registry.shared
        after: int | None = 0
        while after is not None:
            now = shared.clock.now()
            page = await paced(shared.reads.get(_page_of(now - shortest, after)), rest=REST)
            old = [ended for ended in page.found if self._keeping.is_over(ended, now)]
            while old:
                count, events = 0, 0
                while count < min(len(old), SESSIONS_AT_ONCE) and events < EVENTS_AT_ONCE:
                    events += old[count].events
                    count += 1
                await paced(self._remove(old[:count], now), rest=REST)
                del old[:count]
            after = page.last_key

    async def _remove(self, old: list[Ended], now: float) -> None:
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        count = self._registry.expiry.remove(
            {each.session_id: (each.key, Gone(now, RETENTION, None, each.events)) for each in old}
        )
        self._registry.when_settled(lambda: None if gone.done() else gone.set_result(None))
        await gone
        self.sessions += count
        self._removed()


def _page_of(before: float, after: int) -> Callable[[Any], EndedPage]:
    def look(connection: Any) -> EndedPage:
        return ended_before(connection, before, after, PAGE)

    return lambda reader: reader.look(look)
