"""Deadlines of sessions that are not in memory: met in storage, expired in their order.

A row's `due_at` is a lower bound: what moved a deadline later while the session was live need not have been
written when the process died. So the times of each session are looked at, and the one whose true deadline
lies behind the page at hand waits for its turn, as a line in a heap, not as an actor.

A sweep is one task: it reads a page while the one before is committed, and ends behind the last commit of its
own, whatever failed on the way. What it has not come to is met by the next one.
"""

import asyncio
import heapq
import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from sojourn.storage import DueSession, Reader, StorageError

from .snapshots import restore_times
from .state import Session
from .timers import NEVER

if TYPE_CHECKING:
    from .expiry import Expiry
    from .registry import RegistryActor

logger = logging.getLogger(__name__)
T = TypeVar("T")

SWEEP_PAGE: Final = 512
"""Sessions in a page, when others don't wait too long for it."""
LEAST_PAGE: Final = 64
SLOW: Final = 0.05
"""Seconds from a page's ticks to its commit beyond which the next is half as long: about as long as a message
that comes meanwhile waits for its answer.
"""
QUICK: Final = 0.02
"""Seconds below which the next page may be longer again."""
PAGES_AT_ONCE: Final = 2
"""Pages that may wait for their commit: the next is ticked while one is written."""
RETRY: Final = 1.0
"""Seconds until it is looked again at what could not be expired: a full disk must not have us spin."""

Deadline = tuple[float, int, str]
"""due_at, key, session_id."""
Page = tuple[list[Deadline], list[DueSession]]
"""Rows that are due, in their order, and what is stored of those of them that are not live."""


class Pace:
    """How long pages may be, from how long they took: they share core, disk and commits with messages."""

    def __init__(self) -> None:
        self.page = SWEEP_PAGE

    def took(self, seconds: float) -> None:
        """A page was committed that long after its ticks."""
        if seconds > SLOW:
            self.page = max(LEAST_PAGE, self.page // 2)
        elif seconds < QUICK:
            self.page = min(SWEEP_PAGE, self.page * 2)


class Sweep:
    """Brings up what falls due in storage, a page at a time. Loop thread only."""

    def __init__(self, registry: "RegistryActor", expiry: "Expiry") -> None:
        self._registry = registry
        self._expiry = expiry
        self._task: asyncio.Task[None] | None = None
        self._behind: list[Deadline] = []
        """Heap of sessions met before their turn, with their true deadline."""
        self._left: set[str] = set()
        self._pace = Pace()

    @property
    def under_way(self) -> bool:
        return self._task is not None

    def left(self, session_id: str) -> None:
        """A session left memory, saved: what was read of it before that is old."""
        if self._task is not None:
            self._left.add(session_id)

    def begin(self, now: float) -> None:
        """Bring up what falls due at `now`, in the order of the deadlines; nothing if that is under way."""
        if self._task is None:
            self._behind = []
            self._left = set()
            self._registry.stored_due = NEVER
            self._task = self._registry.dispatcher.loop.create_task(self._run(now))

    def stop(self) -> None:
        """End at once: the runtime goes, and the next one sweeps first of all."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self, now: float) -> None:
        registry = self._registry
        committing: deque[asyncio.Future[None]] = deque()
        again = NEVER
        try:
            await self._bring_up(now, committing)
            left_due, registry.stored_due = registry.stored_due, NEVER
            remains, next_due = await self._ask(lambda reader: (reader.next_due(), reader.next_due(now)))
            if next_due is not None:
                again = next_due
            if remains is not None and remains <= now < left_due:
                # What was due and is still there could not be expired, or its actor is about to.
                again = min(again, registry.shared.clock.now() + RETRY)
        except StorageError as error:
            logger.warning("deadlines could not be read: %s", error)
            again = registry.shared.clock.now() + RETRY
        except Exception:
            logger.exception("a sweep failed")
            again = registry.shared.clock.now() + RETRY
        finally:
            self._task = None
            registry.stored_due = min(registry.stored_due, again)
            registry.shared.wheel.changed()

    async def _bring_up(self, now: float, committing: deque[asyncio.Future[None]]) -> None:
        """Page after page; returns, or raises what failed, behind the commits of all that it ticked."""
        page = self._pace.page
        reading = self._read(now, page, None)
        try:
            last = False
            while not last:
                rows, found = await reading
                last = len(rows) < page
                until = now if last else rows[-1][0]
                turn, until_turn = self._next_turn(until)
                while len(turn) == SWEEP_PAGE:
                    # More of them than one page: they go first.
                    await self._tick(await self._again(turn), until_turn, now, committing)
                    turn, until_turn = self._next_turn(until)
                for _, key, session_id in rows:
                    self._expiry.refresh_deadline(key, session_id)
                if not last:
                    page = self._pace.page
                    reading = self._read(now, page, rows[-1][:2])
                if turn:
                    found += await self._again(turn)
                await self._tick(found, until, now, committing)
        finally:
            if not reading.cancel() and not reading.cancelled():
                reading.exception()
            while committing:
                await committing.popleft()

    def _read(self, now: float, page: int, after: tuple[float, int] | None) -> asyncio.Future[Page]:
        """Read the next page and load it, while the one before is being committed."""
        # Looked at from the reader's thread only to spare looks: who is live is decided on the loop.
        live = self._registry.live
        return self._ask(lambda reader: reader.due_page(now, page, after, live))

    def _again(self, session_ids: list[str]) -> asyncio.Future[list[DueSession]]:
        """Look again at sessions whose turn has come."""
        return self._ask(lambda reader: reader.due_among(session_ids))

    def _next_turn(self, until: float) -> tuple[list[str], float]:
        """Sessions that were met before their turn and have it by `until`, a page of them at most, and the
        deadline of the last.
        """
        turn: list[str] = []
        while self._behind and self._behind[0][0] <= until and len(turn) < SWEEP_PAGE:
            deadline, _, session_id = heapq.heappop(self._behind)
            turn.append(session_id)
            if len(turn) == SWEEP_PAGE:
                return turn, deadline
        return turn, until

    async def _tick(
        self,
        found: list[DueSession],
        until: float,
        now: float,
        committing: deque[asyncio.Future[None]],
    ) -> None:
        """Let time pass for those whose deadline is `until` at most, once there is room for a page."""
        if len(committing) >= PAGES_AT_ONCE:
            await committing.popleft()
        over: list[Session] = []
        others: list[Deadline] = []
        for due in found:
            if due.session_id in self._left or self._expiry.is_elsewhere(due.session_id):
                continue
            try:
                session = restore_times(due)
            except Exception:
                logger.exception("session %s cannot be restored", due.session_id)
                continue
            deadline = (session.due_at, session.key, session.session_id)
            if until < session.due_at <= now:
                heapq.heappush(self._behind, deadline)
            elif session.expires_at <= now and session.wait_until >= session.expires_at:
                over.append(session)
            else:
                others.append(deadline)
        over.sort(key=lambda session: (session.due_at, session.key))
        self._expiry.expire(over, now)
        self._left.update(session.session_id for session in over)
        if others:
            await self._bring_up_others([session_id for _, _, session_id in sorted(others)])
        # Behind the turn in which the ticks are handled.
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        settled: asyncio.Future[None] = loop.create_future()
        committing.append(settled)
        ticked_at = loop.time()

        def committed() -> None:
            self._pace.took(loop.time() - ticked_at)
            if not settled.done():
                settled.set_result(None)

        self._registry.when_settled(committed)

    async def _bring_up_others(self, session_ids: list[str]) -> None:
        """Start the actors of sessions that go on, in this order: a reminder is due, or nothing yet."""
        loaded = await self._ask(lambda reader: reader.load(session_ids))
        for session_id in session_ids:
            stored = loaded.get(session_id)
            if stored is None or session_id in self._left or self._expiry.is_elsewhere(session_id):
                continue
            self._left.add(session_id)
            try:
                self._expiry.bring_up(stored)
            except Exception:
                logger.exception("session %s cannot be restored", session_id)

    def _ask(self, question: Callable[[Reader], T]) -> asyncio.Future[T]:
        """A read that is under way at once, whether or not it is awaited yet."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._registry.shared.reads.ask(
            question,
            lambda value: None if answer.done() else answer.set_result(value),
            lambda error: None if answer.done() else answer.set_exception(error),
        )
        return answer
