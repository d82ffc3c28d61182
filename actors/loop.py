"""Pykka actors that share one event loop.

`class Greeter(LoopActor)` and `Greeter.start()` do what they do with a `pykka.ThreadingActor`, with real
`ActorRef`s, except that the actor has no thread: a loop handles a slice of each ready actor's mailbox per
turn. So a handler must not block.
"""

from __future__ import annotations

import itertools
import logging
import os
import sys
import uuid
from queue import Full
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pykka import Actor, ActorRef, ActorRegistry

from .dispatcher import Dispatcher, default_dispatcher, run_in_thread
from .futures import LoopFuture
from .mailbox import Mailbox
from .stop_flag import StopFlag

if TYPE_CHECKING:
    from types import TracebackType

    from pykka import Future
    from pykka._envelope import Envelope

__all__ = ["Dispatcher", "LoopActor", "StopFlag", "default_dispatcher", "run_in_thread"]

logger = logging.getLogger("pykka")  # where users of Pykka look for what happens to their actors


class LoopActor(Actor):
    """A Pykka actor on an event loop.

    Failures are answered as Pykka answers them: an exception from an ask goes to the asker, one from a tell
    ends the actor with `on_failure`. Beyond Pykka: a failing `on_start` calls `on_failure` too, an ask is
    always answered, `start` leaves nothing behind when it fails. Whoever turns the registry off must keep the
    ref or the actor: nothing else does.
    """

    __slots__ = ("_ref", "actor_inbox", "actor_stopped", "actor_urn")

    use_pykka_registry: ClassVar[bool] = True
    """Whether the actors are in `pykka.ActorRegistry`, a list: leaving it costs 36 ms with a million in
    it."""

    stops_all_on_exit: ClassVar[bool] = True
    """Whether `SystemExit`, `KeyboardInterrupt` and the like from a handler stop every actor of the process,
    as Pykka has it; where not, they are failures like any other."""

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        self.actor_urn = f"{_Urns.prefix}{next(_Urns.count):012x}"
        # Narrower than Pykka has them: an inbox of ours, and of an Event the part that is used.
        self.actor_inbox: Mailbox = self._create_actor_inbox()  # pyright: ignore[reportIncompatibleVariableOverride]
        self.actor_stopped: StopFlag = StopFlag()  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleVariableOverride]
        self._ref: ActorRef[Self] | None = None

    @classmethod
    def start(cls, *args: Any, dispatcher: Dispatcher | None = None, **kwargs: Any) -> ActorRef[Self]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Start an actor on the dispatcher's loop (default: one for the process, in a thread of its own).

        The other arguments are the constructor's. Raises `RuntimeError` when the dispatcher is closed.
        """
        actor = cls(*args, **kwargs)
        ref = actor.actor_ref
        if cls.use_pykka_registry:
            ActorRegistry.register(ref)
        logger.debug("Starting %s", actor)
        try:
            actor.launch(dispatcher or default_dispatcher())
        except BaseException:
            actor._retire()
            raise
        return ref

    def launch(self, dispatcher: Dispatcher) -> None:
        """Begin to handle messages on the dispatcher's loop. `start` does it; for actors made by their
        constructor.
        """
        self.actor_inbox.bind(self, dispatcher)
        self._start_actor_loop()
        if dispatcher.closed:  # looked at last: it may have been closed meanwhile
            raise RuntimeError(f"{self} cannot start: its dispatcher is closed")

    def _start_actor_loop(self) -> None:
        self.actor_inbox.wake()

    @staticmethod
    def _create_actor_inbox() -> Mailbox:
        return Mailbox()

    @staticmethod
    def _create_future() -> Future[Any]:
        return LoopFuture()

    @property
    def _actor_ref(self) -> ActorRef[Self]:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]  # lazy
        if self._ref is None:
            self._ref = ActorRef(self)
        return self._ref

    # What the mailbox calls, on the loop's thread.

    def _begin(self) -> None:
        try:
            self.on_start()
        except Exception:  # noqa: BLE001 - whatever it is, the actor cannot start
            self._fail()
        except BaseException as error:  # noqa: BLE001
            self._exit(error, None)

    def _process(self, envelope: Envelope[Any]) -> None:
        """Handle one envelope and answer it. The step to override for who answers later."""
        reply_to = envelope.reply_to
        try:
            response = self._handle_receive(envelope.message)
        except Exception:
            if reply_to is None:
                self._fail()
            else:
                logger.info("Exception returned from %s to caller:", self, exc_info=True)
                _answer_failure(reply_to)
                # The exception keeps this frame: it must not keep the answer that holds it.
                del envelope, reply_to
        except BaseException as error:  # noqa: BLE001
            self._exit(error, reply_to)
        else:
            if reply_to is not None:
                try:
                    reply_to.set(response)
                except Full:
                    logger.debug("%s answers what has been answered already", self)

    def _handle_receive(self, message: Any) -> Any:
        # Pykka's own messages are named tuples: everybody else's pass it by without its four comparisons.
        return super()._handle_receive(message) if isinstance(message, tuple) else self.on_receive(message)

    def _contain(self) -> None:
        try:
            self._fail()
        except BaseException:
            logger.exception("%s failed while it failed", self)
            self.actor_inbox.close()

    # How it ends.

    def _stop(self) -> None:
        self._retire()
        logger.debug("Stopped %s", self)
        try:
            self.on_stop()
        except Exception:  # noqa: BLE001 - logged
            self._handle_failure(*sys.exc_info())
        finally:
            self.actor_inbox.close()

    def _fail(self) -> None:
        """End because of the exception that is being handled."""
        reason = sys.exc_info()
        try:
            self._handle_failure(*reason)
            self.on_failure(*reason)
        except Exception:  # noqa: BLE001 - logged
            self._handle_failure(*sys.exc_info())
        finally:
            self.actor_inbox.close()

    def _handle_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        del exception_type, traceback
        logger.error("Unhandled exception in %s:", self, exc_info=exception_value)
        self._retire()

    def _exit(self, error: BaseException, reply_to: Future[Any] | None) -> None:
        """Take what is not an `Exception` as the class decides; unlike Pykka, answer who asked."""
        if self.stops_all_on_exit:
            logger.debug("%r in %s. Stopping all actors.", error, self)
            self._stop()
            # Not waited for: some of them are on this very loop.
            ActorRegistry.stop_all(block=False)
        elif reply_to is None:
            self._fail()
        if reply_to is not None:
            _answer_failure(reply_to)

    def _retire(self) -> None:
        """Leave the registry and be known as stopped, from any thread and as often as you like."""
        if self.use_pykka_registry:
            ActorRegistry.unregister(self.actor_ref)
        self.actor_stopped.set()


class _Urns:
    """Where urns come from: a random version 4 UUID whose last 12 digits count, which costs a tenth of a new
    one each.
    """

    prefix = uuid.uuid4().urn[:-12]
    count = itertools.count()

    @classmethod
    def renew(cls) -> None:
        cls.prefix = uuid.uuid4().urn[:-12]


def _answer_failure(reply_to: Future[Any]) -> None:
    """Hand over the exception that is being handled."""
    try:
        reply_to.set_exception()
    except Full:
        logger.debug("An exception could not be returned: the ask has been answered already")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Urns.renew)  # parent and child would go on counting alike
