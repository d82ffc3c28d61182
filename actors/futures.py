"""The future of an actor on an event loop: waited for from any thread, awaited on any loop.

Pykka derives futures (`map`, `filter`, `join`, `reduce`, the answer of `ActorRef.stop`) by a *get hook* that
blocks its reader until the futures behind it are there. Awaiting such a future must not block a loop, so
nobody runs the hook before they are: Pykka's own hooks wait for the futures in their closure and for nothing
else, so these are followed by callbacks; what another hook waits for cannot be known, so it runs in a thread.
Should Pykka build its hooks in another way one day, they too run in a thread: slower, and still right.
"""

from __future__ import annotations

import logging
import queue
import sys
import threading
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast

from pykka import Future, Timeout

from .waking import Waiter, Wakes, new_waiter

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType

    from pykka._types import OptExcInfo

__all__ = ["LOCK", "LoopFuture", "WouldDeadlock"]

T = TypeVar("T")

PENDING: Final[Any] = object()

# Guards the step of every future and stop flag from waiting to done, for a few instructions and never while
# user code runs. One for all, because a lock each is more memory than the rest of the future. Reentrant: a
# finalizer or a signal handler that runs inside those few instructions may resolve another future.
LOCK = threading.RLock()

logger = logging.getLogger("sojourn.actors")


class WouldDeadlock(RuntimeError):
    """A blocking `get` on the one thread that could produce the value: `await` the future there instead."""


class Producer(Protocol):
    """What knows the thread that resolves a future."""

    thread_id: int | None
    wakes: Wakes
    """Of its loop."""


class LoopFuture(Future[T]):
    """A value that an actor will deliver: `await` it on any loop, `result(timeout)` in any other thread.

    It is resolved once, by any thread; a second time raises `queue.Full`, as Pykka's futures do. It cannot be
    cancelled: to stop waiting is the waiter's own affair, and the message is handled all the same.
    """

    __slots__ = (
        "_callbacks",
        "_error",
        "_get_hook",
        "_hook_lock",
        "_left_to_reader",
        "_traceback",
        "_value",
        "_waiter",
        "producer",
    )

    _callbacks: list[Callable[[LoopFuture[T]], object]] | None
    _error: BaseException | None
    _traceback: TracebackType | None
    _hook_lock: threading.RLock
    _left_to_reader: bool
    _waiter: Waiter | None
    """The first task that awaits it; further ones have a callback."""

    producer: Producer | None
    """The dispatcher whose loop will resolve it, set by the mailbox that took the message; None: any thread
    may."""

    def __init__(self) -> None:  # not Pykka's own: it would set fields that are not used here
        self._value: Any = PENDING
        self._error = None
        self._get_hook = None
        self._callbacks = None
        self._waiter = None
        self.producer = None

    def __repr__(self) -> str:
        state = "pending" if self._value is PENDING else "failed" if self._error is not None else "done"
        return f"<LoopFuture {state}>"

    def done(self) -> bool:
        """True once it holds a value or an exception; a derived future does once somebody waited for it."""
        return self._value is not PENDING

    def get(self, *, timeout: float | None = None) -> T:
        """The value, or its exception raised, waited for up to `timeout` seconds (None: as long as it takes).

        Raises `pykka.Timeout` when it takes longer, and `WouldDeadlock` instead of waiting on the very thread
        that has to resolve it.
        """
        if self._value is PENDING:
            if self._get_hook is None:
                self._wait(timeout)
            else:
                self._evaluate(timeout)
        if self._error is None:
            return cast("T", self._value)
        try:
            raise self._error.with_traceback(self._traceback)
        finally:
            # The exception keeps the frames that it passes: they must not keep the future that holds it.
            del self

    def result(self, timeout: float | None = None) -> T:
        """What `get` gives."""
        try:
            return self.get(timeout=timeout)
        finally:
            del self  # as in get

    def __await__(self) -> Generator[Any, None, T]:
        if self._value is PENDING:
            producer = self.producer
            here = threading.get_ident()
            if producer is not None and producer.thread_id == here:
                waiter = Waiter(producer.wakes, here)
                self._have_woken(waiter)
            else:
                waiter = new_waiter()
                self.add_done_callback(waiter.wake)
            try:
                yield waiter
            finally:
                if self._value is PENDING:
                    self._let_sleep(waiter)
        if self._value is not PENDING and self._error is None:  # in this order: the error is set first
            return cast("T", self._value)
        try:
            return self.get()
        finally:
            del self  # as in get

    __iter__ = __await__

    def _have_woken(self, waiter: Waiter) -> None:
        """On the thread of its producer."""
        if self._waiter is not None or self._get_hook is not None:
            self.add_done_callback(waiter.wake)
            return
        # Only this thread gives it a waiter, so this needs no lock. The rest is looked at after that, while
        # who resolves it takes the waiter after the value: one of the two sees the other.
        self._waiter = waiter
        if self._value is not PENDING:
            waiter.wake()
        elif self._get_hook is not None:
            self._drive()

    def _let_sleep(self, waiter: Waiter) -> None:
        with LOCK:
            first = self._waiter is waiter
            if first:
                self._waiter = None
        if not first:
            self._forget(waiter.wake)

    def add_done_callback(self, fn: Callable[[LoopFuture[T]], object]) -> None:
        """Have `fn(self)` called once it is done: at once if it is, else in the thread that resolves it.

        What `fn` raises is logged. Asking a derived future for a callback sets off its evaluation.
        """
        with LOCK:
            done = self._value is not PENDING
            undriven = self._callbacks is None and self._get_hook is not None
            if not done:
                if self._callbacks is None:
                    self._callbacks = []
                self._callbacks.append(fn)
        if done:
            _call(fn, self)
        elif undriven:
            self._drive()

    def set(self, value: T | None = None) -> None:
        """Resolve it with `value`, which must not be changed afterwards: it is not copied."""
        with LOCK:
            if self._value is not PENDING or self._get_hook is not None:
                raise queue.Full
            self._value = value
            callbacks, waiter = self._callbacks, self._waiter
            self._callbacks = self._waiter = None
        if waiter is not None:
            waiter.wake()
        if callbacks is not None:
            for fn in callbacks:
                _call(fn, self)

    def set_exception(self, exc_info: OptExcInfo | None = None) -> None:
        """Resolve it with an exception: the one being handled, unless `exc_info` (as of `sys.exc_info`) is
        given.
        """
        kind, error, traceback = exc_info or sys.exc_info()
        if error is None:
            if kind is None:
                raise ValueError("no exception is being handled, and none was given")
            error = kind()
        if self._get_hook is not None:
            raise queue.Full
        self._resolve(None, error, traceback)

    def set_get_hook(self, func: Callable[[float | None], T]) -> None:
        """Have the value produced by `func(timeout)`, once, when it is first waited for."""
        with LOCK:
            if self._value is not PENDING:
                raise queue.Full
            self._hook_lock = threading.RLock()
            self._left_to_reader = False
            self._get_hook = func
            waited_for = self._callbacks is not None or self._waiter is not None
        if waited_for:
            self._drive()

    def _resolve(self, value: Any, error: BaseException | None, traceback: TracebackType | None) -> None:
        with LOCK:
            if self._value is not PENDING:
                raise queue.Full
            self._error, self._traceback = error, traceback
            self._value = value  # last: whoever sees it done without the lock must see its error too
            callbacks, waiter = self._callbacks, self._waiter
            self._callbacks = self._waiter = None
        if waiter is not None:
            waiter.wake()
        for fn in callbacks or ():
            _call(fn, self)

    def _wait(self, timeout: float | None) -> None:
        if timeout is not None and timeout <= 0:
            raise Timeout(f"{timeout} seconds")
        if self.producer is not None and self.producer.thread_id == threading.get_ident():
            raise WouldDeadlock(
                "a blocking get on the thread that has to produce the value: await it instead"
            )
        gate = threading.Lock()
        gate.acquire()
        opener = partial(_open, gate)
        self.add_done_callback(opener)
        try:
            arrived = gate.acquire(timeout=-1 if timeout is None else min(timeout, threading.TIMEOUT_MAX))
        finally:
            self._forget(opener)
        if not arrived and self._value is PENDING:
            raise Timeout(f"{timeout} seconds")

    def _forget(self, fn: Callable[[LoopFuture[T]], object]) -> None:
        with LOCK:
            if self._callbacks is not None and fn in self._callbacks:
                self._callbacks.remove(fn)

    # Derived futures.

    def _evaluate(self, timeout: float | None) -> None:
        """Run the hook for a reader who waits, unless another thread has done so meanwhile."""
        lock = self._hook_lock
        if not lock.acquire(timeout=-1 if timeout is None else min(max(timeout, 0), threading.TIMEOUT_MAX)):
            raise Timeout(f"{timeout} seconds")
        try:
            self._run_hook(timeout, reading=True)
        finally:
            lock.release()
            if self._left_to_reader:
                self._drive()

    def _drive(self, _source: object = None) -> None:
        """Evaluate once everything that the hook waits for is there; come back as a callback until it is."""
        assert self._get_hook is not None
        sources = _sources(self._get_hook)
        if sources is None:
            threading.Thread(target=self._evaluate_for_callbacks, name="sojourn-future", daemon=True).start()
            return
        for source in sources:
            if not source.done():
                source.add_done_callback(self._drive)
                return
        self._evaluate_for_callbacks()

    def _evaluate_for_callbacks(self) -> None:
        """Run the hook, unless a reader does at this moment: a loop can't wait for it, so the reader then
        looks after.
        """
        lock = self._hook_lock
        self._left_to_reader = True  # before the attempt, so that a reader who has just failed sees it
        if lock.acquire(blocking=False):
            self._left_to_reader = False
            try:
                self._run_hook(None, reading=False)
            finally:
                lock.release()

    def _run_hook(self, timeout: float | None, *, reading: bool) -> None:
        assert self._get_hook is not None
        if self._value is not PENDING:
            return
        try:
            value = self._get_hook(timeout)
        except (Timeout, WouldDeadlock) as error:
            if reading and (timeout is not None or isinstance(error, WouldDeadlock)):
                raise  # what this reader could not wait for is no result
            self._resolve(None, error, error.__traceback__)
        except Exception as error:  # noqa: BLE001 - the hook's exception is the result
            self._resolve(None, error, error.__traceback__)
        else:
            self._resolve(value, None, None)


def _call(fn: Callable[[LoopFuture[T]], object], future: LoopFuture[T]) -> None:
    try:
        fn(future)
    except Exception:
        logger.exception("A callback of %r failed", future)


def _open(gate: threading.Lock, _future: object) -> None:
    gate.release()


def _sources(hook: Callable[[float | None], Any]) -> list[LoopFuture[Any]] | None:
    """The futures that one of Pykka's own hooks waits for; None when what a hook waits for cannot be told."""
    if not isinstance(hook, FunctionType) or not hook.__module__.startswith("pykka."):
        return None
    found: list[LoopFuture[Any]] = []
    for cell in hook.__closure__ or ():
        content: Any = cell.cell_contents
        items = cast("tuple[object, ...]", content if isinstance(content, tuple) else (content,))
        futures: list[Future[Any]] = [item for item in items if isinstance(item, Future)]
        for future in futures:
            if not isinstance(future, LoopFuture):  # of another runtime: it has no callbacks
                return None
            found.append(future)
    return found
