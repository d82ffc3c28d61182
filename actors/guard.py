"""A guard that names whoever holds the event loop: everybody else waits for as long as a handler computes.

Each step of a handler, from one `await` to the next, is timed. A step that is too long is logged when it
ends; one that does not end is logged by a thread that looks now and then, with the line it is at. What the
garbage collector takes meanwhile is not counted: it comes when it likes, whoever computes.
"""

import gc
import logging
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

logger = logging.getLogger(__name__)
T = TypeVar("T")


class LoopGuard:
    """Times the steps of handlers on one loop. `watch` on the loop's thread."""

    def __init__(self, limit: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`limit`: seconds that a step may take; `monotonic`: where those come from."""
        self._limit = limit
        self._monotonic = monotonic
        self._thread_id: int | None = None
        self._paused = 0.0
        """Seconds that the collector has taken, in whatever thread: it stops them all."""
        self._collecting_since = 0.0
        self._step: tuple[str, float] | None = None
        """Whose step runs, and since when on the clock of `_computed`; set by the loop, read by the thread
        that looks.
        """
        self._said: tuple[str, float] | None = None
        self._looker: threading.Thread | None = None
        self._stopped = threading.Event()
        self._watched = 0
        self._work = threading.Event()
        """Something is watched: look."""
        self.held: dict[str, int] = {}
        """By handler: how many of its steps were too long."""

    @types.coroutine
    def watch(self, coroutine: Coroutine[Any, Any, T], name: str) -> Generator[Any, Any, T]:
        """Run a coroutine to its end, each step of it timed."""
        self._begin()
        computed = self._computed
        step: Callable[[Any], Any] = coroutine.send
        value: Any = None
        try:
            while True:
                begun = (name, computed())
                self._step = begun
                try:
                    awaited = step(value)
                except StopIteration as end:
                    result: T = end.value
                    return result
                finally:
                    self._step = None
                    taken = computed() - begun[1]
                    if taken > self._limit:
                        self._too_long(begun, taken)
                try:
                    value = yield awaited
                    step = coroutine.send
                except BaseException as error:  # noqa: BLE001  # it is the coroutine's to handle
                    value, step = error, coroutine.throw
        finally:
            self._watched -= 1
            if not self._watched:
                self._work.clear()

    def _begin(self) -> None:
        self._watched += 1
        self._work.set()
        if self._looker is None:
            self._thread_id = threading.get_ident()
            gc.callbacks.append(self._on_collection)
            self._looker = threading.Thread(target=self._look, name="sojourn-guard", daemon=True)
            self._looker.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
        self._work.set()
        if self._looker is not None:
            gc.callbacks.remove(self._on_collection)
            self._looker.join()

    def _computed(self) -> float:
        """A clock that stands still while the collector works."""
        return self._monotonic() - self._paused

    def _on_collection(self, phase: str, _info: object) -> None:
        if phase == "start":
            self._collecting_since = self._monotonic()
        else:
            self._paused += self._monotonic() - self._collecting_since

    def _too_long(self, step: tuple[str, float], seconds: float) -> None:
        name = step[0]
        self.held[name] = self.held.get(name, 0) + 1
        logger.warning(
            "the agent %s held the event loop for %.0f ms: everybody waited; await something, or use a plain "
            "function, which has a thread",
            name,
            seconds * 1000,
        )

    def _look(self) -> None:
        """In a thread: name the step that does not end, once, with the line it is at."""
        while not self._stopped.is_set():
            self._work.wait()
            if self._stopped.wait(self._limit):
                return
            step = self._step
            if step is not None and step is not self._said and self._computed() - step[1] > self._limit:
                self._said = step
                frame = sys._current_frames().get(self._thread_id or 0)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # the documented way
                where = "" if frame is None else "".join(traceback.format_stack(frame, limit=4))
                del frame
                logger.warning("the agent %s is holding the event loop, at\n%s", step[0], where)
