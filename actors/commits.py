"""Group commit: one commit in flight, the next batch gathers meanwhile.

No timer: the storage itself paces it. When it is idle a batch is as small as what one turn of the loop
brought; under load it grows to what arrived during one commit. (Measured: this beat a commit on a 5 ms clock
at every load.)

A turn of the loop can be long: a thousand connections have a message each to read. Were a commit begun and
heard of between turns only, store and loop would wait for each other in turn: all messages in one commit, all
answers in one burst, all next messages in one turn. So `pace` is called between two reads, too: it hears of
the commit that has ended, and begins the next when `ENOUGH` has gathered. (Ruled out by measuring: to begin
it with whatever is there; the batches get small, and each message dearer.)

What a batch's commit owes, replies and pushes, waits with it in the order it arose and leaves in one go.
When the commit fails nothing of it is said: every asker hears `StorageFailed`, and every session that the
batch touched, or that built on it since, is handed back to be loaded anew.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol

from sojourn.storage import Batch, EventRow, SessionRow, StorageError, WriterLost

from .errors import SessionError, StorageFailed
from .mail import ReplyTarget

if TYPE_CHECKING:
    from .session import SessionActor

logger = logging.getLogger(__name__)

ENOUGH: Final = 256
"""Events for which a commit begins in the middle of a turn."""


LOOK_AFTER: Final = 16
"""Reads of a turn between two looks at a store that only the loop hears of: a look is a system call."""


class Refusal:
    """An error as an answer: it waits for the commit of what it speaks of like any other."""

    __slots__ = ("_reply_to",)

    def __init__(self, reply_to: ReplyTarget) -> None:
        self._reply_to = reply_to

    def set(self, error: BaseException) -> None:
        self._reply_to.set_exception((type(error), error, None))

    def set_exception(self, exc_info: Any) -> None:
        self._reply_to.set_exception(exc_info)


class ManyAnswers:
    """A target of many answers, each of which tells itself what it answers: no object is needed for each."""

    __slots__ = ()

    def set(self, value: Any) -> None:
        """Give one answer."""
        raise NotImplementedError

    def refuse(self, value: Any, error: SessionError) -> None:
        """Say that what `value` answers has failed."""
        raise NotImplementedError


class Then:
    """A step to take once the commit is done, or has failed."""

    __slots__ = ("_failed", "_run", "event")

    def __init__(
        self,
        run: Callable[[], None],
        failed: Callable[[Exception], None] | None = None,
        *,
        event: tuple[str, int] | None = None,
    ) -> None:
        """`event`, (session_id, seq), is what makes it due: taken back, the event takes the step with it."""
        self._run = run
        self._failed = failed
        self.event = event

    def set(self, _value: Any = None) -> None:
        self._run()

    def set_exception(self, exc_info: Any = None) -> None:
        if self._failed is not None:
            self._failed(exc_info[1])


class Pending:
    """Instead of an outcome: the commit goes on."""

    __slots__ = ()


PENDING: Final = Pending()


class Gathering:
    """One batch on the loop's side: rows for the journal, and what its commit owes."""

    __slots__ = (
        "actors",
        "deadlines",
        "done",
        "events",
        "failed",
        "older",
        "owed",
        "rows",
        "stored",
        "turns",
    )

    def __init__(self) -> None:
        self.events: list[EventRow] = []
        self.rows: dict[int, SessionRow] = {}
        self.older: dict[int, list[SessionRow]] = {}
        """Rows that those replaced: they count again when what replaced them is taken back."""
        self.deadlines: dict[int, float | None] = {}
        self.turns: dict[tuple[int, int], str | None] = {}
        """Turns of the agent by session key and seq: what is answered, or None at the end of one."""
        self.stored = Batch()
        """What the store gets: rarer parts are put right there, and those above when the commit begins."""
        self.actors: list[SessionActor] = []
        self.owed: list[tuple[Any, Any]] = []
        self.done = False
        self.failed = False

    def is_empty(self) -> bool:
        return not (
            self.events
            or self.rows
            or self.deadlines
            or self.turns
            or self.stored.erased
            or self.stored.scopes
            or self.owed
        )


Done = Callable[[StorageError | None], None]


class Writer(Protocol):
    """The store, as group commit sees it."""

    def write(self, batch: Batch, done: Done) -> bool:
        """Commit, then call `done`, in whatever thread; or return True: it counts as stored now."""
        ...

    def look(self) -> bool:
        """Call `done` of what has ended, where only the loop would hear of it; was there any?"""
        ...


class GroupCommit:
    """Batches between session actors and the store. Loop thread only."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        writer: Writer,
        failed: Callable[[Iterable["SessionActor"], StorageError], None],
    ) -> None:
        """`failed` gets the actors whose state is not what is stored."""
        self._loop = loop
        self._writer = writer
        self._failed = failed
        self._armed = False
        self._in_flight: Gathering | None = None
        self._outcome: StorageError | Pending | None = PENDING
        """Of the batch in flight; set by the store's thread, taken by the loop's."""
        self._looks = 0
        self._idle_waiters: deque[asyncio.Future[None]] = deque()
        self.gathering = Gathering()
        self.commits = 0
        self.committed_events = 0
        self.committed: Callable[[], None] | None = None
        """Called when a batch with events is stored, by whoever reads the journal behind us."""

    @property
    def idle(self) -> bool:
        """Nothing gathers, nothing is in flight."""
        return self._in_flight is None and self.gathering.is_empty()

    def arm(self) -> None:
        """Have the gathering batch committed as soon as the store is free."""
        if not self._armed and self._in_flight is None:
            self._armed = True
            self._loop.call_soon(self.start)

    def hold(self) -> None:
        """Have nothing begin by itself until `start`: what is taken until then goes together."""
        self._armed = True

    def start(self) -> None:
        """Begin the commit of what has gathered now, not in the loop's next turn, if the store is free."""
        self._armed = False
        if self._in_flight is None and not self.gathering.is_empty():
            self._begin()

    def after(self, gathering: Gathering | None, target: Any, value: Any) -> None:
        """Hand `value` to `target` when the batch is committed; at once when there is none to wait for."""
        if gathering is None or gathering.done:
            target.set(value)
        else:
            gathering.owed.append((target, value))

    def refuse(self, gathering: Gathering | None, reply_to: ReplyTarget, error: Exception) -> None:
        """Answer with `error`, when the batch is committed that it may speak of."""
        if gathering is None or gathering.done:
            reply_to.set_exception((type(error), error, None))
        else:
            gathering.owed.append((Refusal(reply_to), error))

    async def flushed(self) -> None:
        """Wait until everything gathered so far is committed (or has failed)."""
        while not self.idle:
            waiter = self._loop.create_future()
            self._idle_waiters.append(waiter)
            self.arm()
            await waiter

    def latest(self) -> Gathering | None:
        """The newest batch that is not committed yet, or None."""
        return self._in_flight if self.gathering.is_empty() else self.gathering

    def pace(self) -> bool:
        """Between two reads of one turn: is there an outcome, and enough for the next commit? True when
        answers were given.
        """
        if self._in_flight is None:
            return len(self.gathering.events) >= ENOUGH and self._begin()
        if self._outcome is PENDING:
            self._looks += 1
            return self._looks % LOOK_AFTER == 0 and self._writer.look()
        self._finish()
        return True

    def _begin(self) -> bool:
        """Hand the gathering batch over; True when that was enough, and its answers were given."""
        batch = self._in_flight = self.gathering
        self.gathering = Gathering()
        stored = batch.stored
        stored.events = batch.events
        stored.sessions = list(batch.rows.values())
        stored.deadlines = list(batch.deadlines.items())
        if batch.turns:
            stored.turns = [(key, seq, message_id) for (key, seq), message_id in batch.turns.items()]
        if not self._writer.write(stored, self._stored):
            return False
        self._outcome = None
        self._finish()
        return True

    def _stored(self, error: StorageError | None) -> None:
        """In the store's thread, or on the loop."""
        self._outcome = error
        if asyncio._get_running_loop() is self._loop:  # noqa: SLF001 - documented for libraries; the public one raises
            self._notice()
            return
        try:
            self._loop.call_soon_threadsafe(self._notice)
        except RuntimeError:
            logger.debug("the loop ended before it heard of its last commit")

    def _notice(self) -> None:
        # `pace` may have seen it before, and the next one may be in flight.
        if self._outcome is not PENDING:
            self._finish()

    def _finish(self) -> None:
        error, self._outcome = self._outcome, PENDING
        batch, self._in_flight = self._in_flight, None
        assert batch is not None
        assert not isinstance(error, Pending)
        batch.done = True
        if error is not None:
            self._fail(batch, error)
        else:
            self.commits += 1
            self.committed_events += len(batch.events)
            if self.committed is not None and batch.events:
                self.committed()
            for actor in batch.actors:
                upkeep = actor.upkeep
                if upkeep.batch is batch:
                    upkeep.batch = None
            # The next commit starts before this one's replies are written: the store works meanwhile.
            if not self.gathering.is_empty():
                self._begin()
            for target, value in batch.owed:
                try:
                    target.set(value)
                except Exception:
                    logger.exception("an answer could not be given")
        while self._idle_waiters:
            waiter = self._idle_waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
        if not self.gathering.is_empty():
            self.arm()

    def _fail(self, batch: Gathering, error: StorageError) -> None:
        """Nothing of the batch is stored. What gathered behind it may build on it, so it goes too."""
        gathering = self.gathering
        self.gathering = Gathering()
        gathering.done = True
        gathering.failed = batch.failed = True
        logger.error("commit of %d events failed: %s", len(batch.events), error)
        actors = dict.fromkeys((*batch.actors, *gathering.actors))
        for actor in actors:
            actor.upkeep.batch = None
        self._failed(actors, error)
        stored = "maybe not stored" if isinstance(error, WriterLost) else "not stored"
        for target, value in (*batch.owed, *gathering.owed):
            failure = StorageFailed(f"{stored}: {error}", retry_after=1.0)
            try:
                if isinstance(target, ManyAnswers):
                    target.refuse(value, failure)
                else:
                    target.set_exception((StorageFailed, failure, None))
            except Exception:
                logger.exception("a failure could not be reported")
