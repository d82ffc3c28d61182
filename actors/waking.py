"""How a task goes on when what it awaits is there.

A task waits for anything that has the few methods of an asyncio future that a task calls; it names no class.
So a future of ours needs none of asyncio's and no callback, and the loop is called once for all the tasks
that one turn wakes: a commit wakes hundreds.
"""

import threading
from asyncio import AbstractEventLoop, CancelledError, get_running_loop
from collections.abc import Callable
from contextvars import Context
from threading import get_ident
from typing import Any


class Wakes:
    """The tasks of one loop that go on in its next turn, in the order they were woken."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.loop = loop
        self.get_loop: Callable[[], AbstractEventLoop] = self._get_loop
        self._due: list[Waiter] = []

    def _get_loop(self) -> AbstractEventLoop:
        return self.loop

    def add(self, waiter: "Waiter") -> None:
        """On the loop's thread; RuntimeError: the loop is closed."""
        due = self._due
        if not due:
            self.loop.call_soon(self._run)
        due.append(waiter)

    def _run(self) -> None:
        due, self._due = self._due, []
        done = 0
        try:
            for waiter in due:
                done += 1
                waiter.go_on()
        finally:
            if done < len(due):  # a task ended the loop (`SystemExit`): the others go on when it runs again
                rest = due[done:]
                if not self._due:
                    self.loop.call_soon(self._run)
                self._due = rest + self._due


class Waiter:
    """What one task waits for: an asyncio future as far as a task looks at it. On the loop's thread, but for
    `wake`.
    """

    def __init__(self, wakes: Wakes, thread_id: int) -> None:
        """`thread_id`: of the loop's thread."""
        self._asyncio_future_blocking = True
        """By this a task knows what it can wait for."""
        self.get_loop = wakes.get_loop
        self._wakes = wakes
        self._thread_id = thread_id
        self._go_on: Callable[[Any], object] | None = None
        self._context: Context | None = None
        self._cancelled = False
        self._message: Any = None
        self._woken = False

    def wake(self, _future: object = None) -> None:
        """What is waited for is there; from any thread, once."""
        wakes = self._wakes
        try:
            if get_ident() == self._thread_id:
                self._wake()
            else:
                wakes.loop.call_soon_threadsafe(self._wake)
        except RuntimeError:  # that loop has been closed: nobody waits there any more
            return

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            self._wakes.add(self)

    def go_on(self) -> None:
        """Have the task go on now."""
        step, context = self._go_on, self._context
        self._go_on = None
        if step is not None and context is not None:
            context.run(step, self)

    # What a task calls.

    def add_done_callback(self, fn: Callable[[Any], object], *, context: Context | None = None) -> None:
        self._go_on = fn
        self._context = context

    def cancel(self, msg: Any = None) -> bool:
        """The task is cancelled while it waits; False: it goes on anyway."""
        if self._woken:
            return False
        self._cancelled = True
        self._message = msg
        self._wake()
        return True

    def done(self) -> bool:
        return self._woken

    def result(self) -> None:
        if self._cancelled:
            raise CancelledError if self._message is None else CancelledError(self._message)


_here: Any = threading.local()


def new_waiter() -> Waiter:
    """What the running task is to wait for, whatever its loop."""
    loop = get_running_loop()
    wakes: Wakes | None = getattr(_here, "wakes", None)
    if wakes is None or wakes.loop is not loop:
        wakes = _here.wakes = Wakes(loop)
    return Waiter(wakes, get_ident())
