"""Places for handlers: how many of them run at once, and whose turn is next.

Sessions that wait for a place get one in the order in which they came, each for one turn, so that nobody who
speaks much is served before somebody who waits. A place is free when its handler has really ended: a plain
function cannot be stopped, and holds it beyond the end of its turn.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .turn_run import Run

logger = logging.getLogger(__name__)


class TurnPlaces:
    """The places of one runtime. Loop thread only."""

    def __init__(
        self, count: int, loop: asyncio.AbstractEventLoop, begin: "Callable[[str], Run | None]"
    ) -> None:
        """`begin` has the next turn of a session run in a task of its own; None: it has none any more."""
        self._free = count
        self._loop = loop
        self._begin = begin
        self._ready: deque[str] = deque()
        """Sessions that wait, the next first."""
        self._queued: set[str] = set()
        """The same, to be asked."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False

    @property
    def waiting(self) -> int:
        """Sessions that wait for a place."""
        return len(self._ready)

    @property
    def taken(self) -> int:
        """Handlers that have not ended, those of cut turns among them."""
        return len(self._tasks)

    def stop(self) -> None:
        """Give no more places, and cancel what runs."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()

    def wait(self, session_id: str) -> None:
        """Give the session a place when there is one; asked again meanwhile, it waits where it was."""
        if session_id not in self._queued:
            self._queued.add(session_id)
            self._ready.append(session_id)
            self._fill()

    def _fill(self) -> None:
        while self._free and self._ready and not self._stopped:
            session_id = self._ready.popleft()
            self._queued.discard(session_id)
            run = self._begin(session_id)
            if run is None:
                continue
            task = run.task
            assert task is not None
            self._free -= 1
            self._tasks.add(task)
            task.add_done_callback(partial(self._ended, run))

    def _ended(self, run: "Run", task: asyncio.Task[None]) -> None:
        if run.thread is None or run.thread.done():
            self._leave(task)
        else:
            run.thread.add_done_callback(lambda _: self._thread_ended(task))

    def _thread_ended(self, task: asyncio.Task[None]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._leave, task)
        except RuntimeError:
            logger.debug("the loop ended before a handler's thread")

    def _leave(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._free += 1
        self._fill()
