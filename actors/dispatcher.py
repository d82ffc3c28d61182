"""The dispatcher: it runs the actors of one event loop, a slice of each per turn, and takes messages from
other threads.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from .futures import LoopFuture
from .waking import Wakes

if TYPE_CHECKING:
    from collections.abc import Callable

    from pykka._envelope import Envelope

    from .mailbox import Mailbox, Reason

__all__ = ["SLICE", "TURN", "Dispatcher", "default_dispatcher", "run_in_thread"]

SLICE: Final = 64
TURN: Final = 1024

logger = logging.getLogger("sojourn.actors")


class Dispatcher:
    """Runs the actors of one event loop: at most `SLICE` envelopes of each ready actor and about `TURN` in
    all per turn.

    Make it on the loop's thread or before the loop runs; a loop stays in one thread. `dead_letter(envelope,
    reason)` gets every message that could not be delivered and to which nobody waits for an answer; once the
    dispatcher is closed, in the sender's thread.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        dead_letter: Callable[[Envelope[Any], Reason], object] | None = None,
        own: OwnLoop | None = None,
    ) -> None:
        self.loop = loop
        self.wakes = Wakes(loop)
        self.dead_letter: Callable[[Envelope[Any], Reason], object] | None = dead_letter
        self.thread_id: int | None = None
        if asyncio._get_running_loop() is loop:  # noqa: SLF001 - documented for libraries; the public one raises
            self.thread_id = threading.get_ident()
        self._ready: deque[Mailbox] = deque()
        self._held: set[Mailbox] = set()
        self._inbound: deque[tuple[Mailbox, Envelope[Any] | None, bool]] = deque()
        self._armed = False
        self._called = False
        self._closed = False
        self._own = own

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def idle(self) -> bool:
        """True when no actor has anything to do: nothing ready, inbound or held. Ask it on the loop's
        thread.
        """
        return not (self._armed or self._inbound or self._held)

    @property
    def waiting(self) -> int:
        """Messages that wait in mailboxes, and those from other threads on their way there."""
        return sum(map(len, self._ready)) + sum(map(len, self._held)) + len(self._inbound)

    def schedule(self, mailbox: Mailbox) -> None:
        """Have the mailbox handled in a coming turn. On the loop's thread."""
        self._ready.append(mailbox)
        if not self._armed:
            self._arm()

    def post(self, mailbox: Mailbox, envelope: Envelope[Any] | None, *, system: bool = False) -> None:
        """Deliver an envelope from another thread; the loop is called once for all that is posted in a
        burst.
        """
        self._inbound.append((mailbox, envelope, system))
        if not self._called:
            self._called = True
            try:
                self.loop.call_soon_threadsafe(self._deliver_inbound)
            except RuntimeError:  # the loop has been closed by its owner
                self._closed = True
        # Looked at after the append, while close() takes what is there after setting it: one of the two sees
        # the other.
        if self._closed:
            self._refuse_inbound()

    def hold(self, mailbox: Mailbox) -> None:
        self._held.add(mailbox)

    def release(self, mailbox: Mailbox) -> None:
        self._held.discard(mailbox)

    def undelivered(self, envelope: Envelope[Any], reason: Reason) -> None:
        """Report a dead letter; what the callback raises is logged, since the sender has nothing to do with
        it.
        """
        if self.dead_letter is None:
            logger.debug("Not delivered (%s): %s", reason, envelope.message)
            return
        try:
            self.dead_letter(envelope, reason)
        except Exception:
            logger.exception("The dead letter callback failed")

    def close(self) -> None:
        """Refuse all messages from now on; a loop that `run_in_thread` made ends, and its thread.

        Actors that still have messages or are held are ended without `on_stop`: stop them first. May be
        called from any thread and more than once; nobody who asked is left waiting.
        """
        self._closed = True
        own, on_loop = self._own, threading.get_ident() == self.thread_id
        if own is not None:
            own.stop(self.loop)
            if not on_loop:
                own.thread.join()
        if not on_loop and self.loop.is_running():
            self.loop.call_soon_threadsafe(self._end)
        else:
            self._end()

    def _arm(self) -> None:
        if self._closed:
            self._end()
            return
        self._armed = True
        try:
            self.loop.call_soon(self._turn)
        except RuntimeError:  # the loop has been closed by its owner
            self._armed = False
            self.close()

    def _turn(self) -> None:
        ready = self._ready
        left = TURN
        try:
            for _ in range(len(ready)):
                # An actor counts for one even when nothing of it was handled, so that many starts don't make
                # a long turn.
                left -= ready.popleft().handle(SLICE) or 1
                if left <= 0:
                    break
        finally:
            self._armed = False
            if ready:
                self._arm()

    def _deliver_inbound(self) -> None:
        self.thread_id = threading.get_ident()
        self._called = False  # before the look, so that who appends behind it calls again
        # Handled below, not a turn of the loop later: who asks from another thread waits for each turn.
        armed, self._armed = self._armed, True
        try:
            while self._inbound:
                mailbox, envelope, system = self._inbound.popleft()
                mailbox.deliver(envelope, system=system)
        finally:
            if not armed:
                self._turn()

    def _refuse_inbound(self) -> None:
        while True:
            try:
                mailbox, envelope, _ = self._inbound.popleft()
            except IndexError:
                return
            mailbox.abandon(envelope)

    def _end(self) -> None:
        self._refuse_inbound()
        for mailbox in (*self._ready, *self._held):
            mailbox.abandon(None)
            mailbox.close("loop_closed")
        self._ready.clear()


def run_in_thread(
    name: str = "sojourn-actors", *, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
) -> Dispatcher:
    """The dispatcher of a new loop in a daemon thread of its own; `close()` ends both."""
    made: LoopFuture[Dispatcher] = LoopFuture()

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                runner.run(_serve(made))
        except BaseException:
            if made.done():
                raise
            made.set_exception()

    threading.Thread(target=run, name=name, daemon=True).start()
    return made.get()


def default_dispatcher() -> Dispatcher:
    """The dispatcher of the process, for actors without a host loop; made when it is first asked for."""
    with _Default.lock:
        if _Default.dispatcher is None or _Default.dispatcher.closed:
            _Default.dispatcher = run_in_thread("sojourn-default-actors")
        return _Default.dispatcher


class _Default:
    dispatcher: Dispatcher | None = None
    lock = threading.Lock()  # guards the making of the one above

    @classmethod
    def forget(cls) -> None:
        cls.dispatcher = None
        cls.lock = threading.Lock()


class OwnLoop:
    """The thread of a loop that belongs to its dispatcher, and what ends it."""

    def __init__(self, thread: threading.Thread, end: asyncio.Event) -> None:
        self.thread = thread
        self._end = end

    def stop(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.call_soon_threadsafe(self._end.set)
        except RuntimeError:
            logger.debug("%s had ended already", self.thread.name)


async def _serve(made: LoopFuture[Dispatcher]) -> None:
    end = asyncio.Event()
    own = OwnLoop(threading.current_thread(), end)
    made.set(Dispatcher(asyncio.get_running_loop(), own=own))
    await end.wait()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Default.forget)  # its thread stayed with the parent
