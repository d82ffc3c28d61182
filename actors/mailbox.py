"""The mailbox of an actor on an event loop: what waits for it, and whether it may be handled.

Theory of operation. A mailbox changes on its loop's thread alone. There, `put` appends and has the dispatcher
call `handle` in the same turn or the next. Any other thread hands its envelope to the dispatcher, which
delivers it on the loop's thread, so *is it closed* and *append* cannot be torn apart: an ask is answered, by
the actor or with `ActorDeadError`, and never lost (tests/actors/test_pykka_holes.py).

Two lanes: the *system* lane (timers, supervision) goes ahead of the user lane, up to `SYSTEM_SHARE` envelopes
in each slice while users wait, so that neither starves the other. The user lane is bounded, the system lane
is not. Lanes are made at the first put and dropped when drained: an empty deque costs more than everything
else here.
"""

from __future__ import annotations

import queue
from collections import deque
from contextlib import suppress
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from pykka import ActorDeadError
from pykka.messages import _ActorStop  # pyright: ignore[reportPrivateUsage]  # the message of ActorRef.stop

from .futures import LOCK, LoopFuture
from .waking import Wakes

if TYPE_CHECKING:
    from pykka._envelope import Envelope

__all__ = ["LIMIT", "SYSTEM_SHARE", "Dispatching", "Mailbox", "MailboxFull", "Owner", "Reason"]

LIMIT: Final = 1000
SYSTEM_SHARE: Final = 48

Reason = Literal["stopped", "mailbox_full", "loop_closed"]
"""Why it was not delivered: the actor had stopped, its mailbox was full, its dispatcher was closed."""

# The phases of a mailbox. Plain integers: they are read at every message.
_OPEN, _HELD, _CLOSED = range(3)


class MailboxFull(Exception):
    """The user lane holds `limit` envelopes: nothing was taken, and the sender may try again later."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the mailbox holds its {limit} messages already")
        self.limit = limit


class Owner(Protocol):
    """What a mailbox needs of its actor. Underscored all the same: an actor's public names are its users'."""

    def _begin(self) -> None:
        """Run `on_start`."""

    def _process(self, envelope: Envelope[Any]) -> None:
        """Handle one envelope."""

    def _contain(self) -> None:
        """End the actor, because one of the other two let the exception now being handled escape."""

    def _retire(self) -> None:
        """Mark the actor stopped; from any thread."""


class Dispatching(Protocol):
    """What a mailbox needs of its dispatcher."""

    thread_id: int | None
    wakes: Wakes

    def schedule(self, mailbox: Mailbox) -> None: ...

    def post(self, mailbox: Mailbox, envelope: Envelope[Any] | None, *, system: bool = False) -> None: ...

    def hold(self, mailbox: Mailbox) -> None: ...

    def release(self, mailbox: Mailbox) -> None: ...

    def undelivered(self, envelope: Envelope[Any], reason: Reason) -> None: ...


class Mailbox:
    """What waits for one actor. `put`, `put_system`, `wake` from any thread, the rest on the loop's."""

    __slots__ = ("_actor", "_begun", "_dispatcher", "_phase", "_scheduled", "_system", "_user", "limit")

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self._actor: Owner | None = None
        self._dispatcher: Dispatching | None = None
        self._phase = _OPEN
        self._begun = False
        self._scheduled = False
        self._system: deque[Envelope[Any]] | None = None
        self._user: deque[Envelope[Any]] | None = None

    def __len__(self) -> int:
        """How many user messages wait."""
        return len(self._user or ())

    def __bool__(self) -> bool:
        return True

    @property
    def closed(self) -> bool:
        return self._phase == _CLOSED

    @property
    def held(self) -> bool:
        return self._phase == _HELD

    def is_idle(self) -> bool:
        """Nothing waits, nothing is being handled, nothing keeps the actor from handling what comes."""
        return not self._scheduled and self._phase == _OPEN and self._begun

    def bind(self, actor: Owner, dispatcher: Dispatching) -> None:
        """Make it `actor`'s mailbox on the dispatcher's loop; what is put from now on wakes the actor."""
        with LOCK:
            self._actor = actor
            self._dispatcher = dispatcher

    def put(self, envelope: Envelope[Any], /) -> None:
        """Add a user message.

        Raises `MailboxFull` on the loop's thread; from elsewhere, where it is known only later, a full
        mailbox answers an ask with it and makes a tell a dead letter. A closed one answers an ask with
        `ActorDeadError` and makes a tell a dead letter.
        """
        dispatcher = self._dispatcher
        if dispatcher is None:
            dispatcher = self._keep(envelope)
            if dispatcher is None:
                return
        reply_to = envelope.reply_to
        if isinstance(reply_to, LoopFuture):
            reply_to.producer = dispatcher
        if get_ident() != dispatcher.thread_id:
            dispatcher.post(self, envelope)
            return
        if self._phase == _CLOSED:
            self._refuse(envelope, "stopped")
            return
        lane = self._user
        if lane is None:
            lane = self._user = deque()
        elif len(lane) >= self.limit and type(envelope.message) is not _ActorStop:  # the full can be stopped
            raise MailboxFull(self.limit)
        lane.append(envelope)
        if not self._scheduled and self._phase != _HELD:
            self._scheduled = True
            dispatcher.schedule(self)

    def put_system(self, envelope: Envelope[Any], /) -> None:
        """Add a message that goes ahead of the users' and is never too much, once it is bound."""
        dispatcher = self._dispatcher
        assert dispatcher is not None, "the mailbox is not bound to a dispatcher yet"
        reply_to = envelope.reply_to
        if isinstance(reply_to, LoopFuture):
            reply_to.producer = dispatcher
        if get_ident() != dispatcher.thread_id:
            dispatcher.post(self, envelope, system=True)
            return
        if self._phase == _CLOSED:
            self._refuse(envelope, "stopped")
            return
        if self._system is None:
            self._system = deque()
        self._system.append(envelope)
        self.wake()

    def wake(self) -> None:
        """Have the actor handle what is there, its start included; from any thread, once it is bound."""
        dispatcher = self._dispatcher
        assert dispatcher is not None, "the mailbox is not bound to a dispatcher yet"
        if get_ident() != dispatcher.thread_id:
            dispatcher.post(self, None)
        elif not self._scheduled and self._phase == _OPEN:
            self._scheduled = True
            dispatcher.schedule(self)

    def deliver(self, envelope: Envelope[Any] | None, *, system: bool = False) -> None:
        """Put what another thread posted (None only wakes), or refuse it: the sender has gone on."""
        if envelope is None:
            self.wake()
        elif system:
            self.put_system(envelope)
        else:
            try:
                self.put(envelope)
            except MailboxFull as full:
                self._refuse(envelope, "mailbox_full", full)

    def hold(self) -> None:
        """Have nothing handled, not even the system lane, until `release`. Not counted: one ends all."""
        if self._phase == _OPEN and self._dispatcher is not None:
            self._phase = _HELD
            self._dispatcher.hold(self)

    def release(self) -> None:
        """End the hold; nothing if there is none, as when the actor was stopped while it waited."""
        if self._phase == _HELD and self._dispatcher is not None:
            self._phase = _OPEN
            self._dispatcher.release(self)
            if self._user or self._system or not self._begun:
                self.wake()

    def close(self, reason: Reason = "stopped") -> None:
        """Refuse what waits and whatever comes, and let go of the actor."""
        if self._phase == _CLOSED:
            return
        if self._phase == _HELD and self._dispatcher is not None:
            self._dispatcher.release(self)
        self._phase = _CLOSED
        # Actor and mailbox hold each other: cut here, the actor goes without the garbage collector.
        self._actor = None
        system, self._system = self._system, None
        user, self._user = self._user, None
        for lane in (system or (), user or ()):
            for envelope in lane:
                if type(envelope.message) is not _ActorStop:
                    self._refuse(envelope, reason)
                elif envelope.reply_to is not None:  # asked to stop while it was stopping: it is
                    with suppress(queue.Full):
                        envelope.reply_to.set(None)

    def abandon(self, envelope: Envelope[Any] | None) -> None:
        """Refuse a message because the dispatcher is closed, and mark the actor stopped; from any thread.

        The lanes are left alone: the loop's thread may be busy with them, and closes them when it ends.
        """
        actor = self._actor
        if actor is not None:
            actor._retire()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        if envelope is not None:
            self._refuse(envelope, "loop_closed")

    def handle(self, most: int) -> int:
        """Have up to `most` envelopes handled and schedule itself for the rest; how many were handled."""
        actor = self._actor
        if actor is None:
            self._scheduled = False
            return 0
        envelope: Envelope[Any] | None = None
        handled = 0
        credit = SYSTEM_SHARE
        try:
            if not self._begun and self._phase == _OPEN:
                self._begun = True
                actor._begin()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            process = actor._process  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            while handled < most and self._phase == _OPEN:
                if self._system and (credit or not self._user):
                    credit -= 1
                    envelope = self._system.popleft()
                elif self._user:
                    envelope = self._user.popleft()
                else:
                    break
                handled += 1
                process(envelope)
        except BaseException:  # noqa: BLE001 - one actor's mistake must not end the loop of all
            actor._contain()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        finally:
            envelope = None  # a traceback that an asker keeps keeps this frame: it must not keep the answer
            if not self._user:
                self._user = None
            if not self._system:
                self._system = None
            if self._phase == _OPEN and (self._user or self._system) and self._dispatcher is not None:
                self._dispatcher.schedule(self)
            else:
                self._scheduled = False
        return handled

    def run_now(self, envelope: Envelope[Any], /) -> bool:
        """Have the actor handle it at once, on the loop's thread, if nothing waits before it; False
        otherwise.

        What arrives while it is handled waits for the actor's next turn, as ever.
        """
        actor = self._actor
        if self._scheduled or self._phase != _OPEN or actor is None:
            return False
        self._scheduled = True
        try:
            if not self._begun:
                self._begun = True
                actor._begin()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # its own actor
                if self.closed:
                    return False
            actor._process(envelope)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        except BaseException:  # noqa: BLE001 - one actor's mistake must not end the loop of all
            actor._contain()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        finally:
            if self._phase == _OPEN and (self._user or self._system) and self._dispatcher is not None:
                self._dispatcher.schedule(self)
            else:
                self._scheduled = False
        return True

    def get(self) -> Envelope[Any]:
        """The next envelope, taken out without being handled; `queue.Empty` if there is none."""
        for lane in (self._system, self._user):
            if lane:
                return lane.popleft()
        raise queue.Empty

    def empty(self) -> bool:
        return not (self._user or self._system)

    def _keep(self, envelope: Envelope[Any]) -> Dispatching | None:
        """Keep what comes before the actor was started, or say where it has been started meanwhile."""
        with LOCK:
            if self._dispatcher is None:
                if self._user is None:
                    self._user = deque()
                if len(self._user) >= self.limit:
                    raise MailboxFull(self.limit)
                self._user.append(envelope)
            return self._dispatcher

    def _refuse(self, envelope: Envelope[Any], reason: Reason, error: Exception | None = None) -> None:
        if envelope.reply_to is None:
            if self._dispatcher is not None and type(envelope.message) is not _ActorStop:
                self._dispatcher.undelivered(envelope, reason)
            return
        if error is None:
            error = ActorDeadError(
                "the event loop of the actor is closed"
                if reason == "loop_closed"
                else "the actor stopped before handling the message"
            )
        with suppress(queue.Full):  # answered by somebody else meanwhile
            envelope.reply_to.set_exception((type(error), error, None))
