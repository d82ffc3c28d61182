"""Steps that any thread has the loop thread take."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING, Any

from .errors import Draining
from .futures import LoopFuture

if TYPE_CHECKING:
    from .commits import GroupCommit
    from .core import Core

logger = logging.getLogger(__name__)

Posted = tuple[Callable[..., object], tuple[Any, ...], "LoopFuture[Any] | None"]
"""A step to take on the loop thread, what it is called with, and who hears of a refusal."""


class Posting:
    """The way from the caller's thread to the loop's.

    From another thread a step is posted: the loop is called once for all that is posted in a burst.
    """

    def __init__(self, core: "Core") -> None:
        self._core = core
        self._commits: GroupCommit | None = None
        """To be begun as soon as all that was posted is taken: who waits in another thread waits for each
        turn of the loop. None: the file paces them."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread_id: int | None = None
        self._posted: deque[Posted] = deque()
        self._called = False
        self._ended = False

    def open(self) -> None:
        """Take steps from now on, on the running loop; the core has started."""
        if self._core.durability == "memory":
            self._commits = self._core.commits
        self._loop = asyncio.get_running_loop()
        self._thread_id = get_ident()

    def is_here(self) -> bool:
        """Is the caller on the loop thread?"""
        return get_ident() == self._thread_id

    def end(self) -> None:
        """Take none any more; whoever waits for one hears `Draining`."""
        self._ended = True
        self._refuse_posted()

    def close(self) -> None:
        """The loop is gone."""
        self._loop = self._thread_id = None

    def do(
        self, step: Callable[..., object], arguments: tuple[Any, ...], future: LoopFuture[Any] | None = None
    ) -> None:
        """Take a step on the loop thread; a refusal goes to the future."""
        loop = self._loop
        if loop is None:
            msg = "enter the runtime first: `with Runtime(...) as runtime`"
            raise RuntimeError(msg)
        if future is not None:
            future.producer = self._core.dispatcher
        if get_ident() == self._thread_id:
            self._take(step, arguments, future)
            return
        self._posted.append((step, arguments, future))
        if not self._called:
            self._called = True
            try:
                loop.call_soon_threadsafe(self._take_posted)
            except RuntimeError:  # the loop has been closed by its owner
                self._ended = True
        # Looked at after the append, while `end` takes what is there after setting it: one of the two sees
        # the other.
        if self._ended:
            self._refuse_posted()

    def _take_posted(self) -> None:
        self._called = False  # before the look, so that who posts behind it calls again
        posted = self._posted
        commits = self._commits
        if commits is not None:
            commits.hold()
        try:
            for _ in range(len(posted)):
                step, arguments, future = posted.popleft()
                try:
                    self._take(step, arguments, future)
                except Exception:
                    logger.exception("a step from another thread failed")
        finally:
            if commits is not None:
                commits.start()

    def _refuse_posted(self) -> None:
        """Nobody will take what is posted; from any thread."""
        while True:
            try:
                _, _, future = self._posted.popleft()
            except IndexError:
                return
            if future is not None:
                future.set_exception((Draining, Draining("this runtime has stopped"), None))

    def _take(
        self, step: Callable[..., object], arguments: tuple[Any, ...], future: LoopFuture[Any] | None
    ) -> None:
        try:
            if future is not None and self._core.draining:
                raise Draining("this runtime is going down")
            step(*arguments)
        except Exception as error:  # whatever it is, whoever waits must hear it
            if future is None:
                raise
            future.set_exception((type(error), error, None))
