"""Time within turns: how long one may take, and those that let some pass."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from .later import Later
from .turn_run import Run, Stands

if TYPE_CHECKING:
    from .shared import Shared


class TurnTime:
    """The runtime's clock, as its turns live by it. Loop thread only."""

    def __init__(self, shared: "Shared", loop: asyncio.AbstractEventLoop) -> None:
        self._shared = shared
        self._loop = loop
        self.awake = 0
        """Turns that run and do not just let time pass."""

    def limit(self, run: Run, too_long: Callable[[Run, float], None]) -> None:
        """Have `too_long` called with the seconds that a turn may take, when they are over."""
        seconds = self._shared.config.turn_timeout
        if seconds is not None:
            run.limit = Later(lambda: too_long(run, seconds))
            self._shared.wheel.file(run.limit, self._shared.clock.now() + seconds)

    async def let_pass(self, run: Run, seconds: float) -> None:
        """Wait by the runtime's clock; whoever settles does not wait for it."""
        wheel = self._shared.wheel
        over: asyncio.Future[None] = self._loop.create_future()

        def wake() -> None:
            if not over.done():
                self.wake(run)
                over.set_result(None)

        later = Later(wake)
        wheel.file(later, self._shared.clock.now() + seconds)
        self._rest(run)
        try:
            await over
        finally:
            wheel.cancel(later)
            self.wake(run)

    def wake(self, run: Run) -> None:
        """It does something, if it runs."""
        if not run.awake and run.stands is Stands.RUNS:
            run.awake = True
            self.awake += 1

    def end(self, run: Run) -> None:
        """It is over; nothing limits it any more."""
        self._rest(run)
        if run.limit is not None:
            self._shared.wheel.cancel(run.limit)

    def _rest(self, run: Run) -> None:
        if run.awake:
            run.awake = False
            self.awake -= 1
