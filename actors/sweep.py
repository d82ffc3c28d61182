"""Deadlines of sessions that are not in memory: met in storage, expired in their order.

A row's `due_at` is a lower bound: what moved a deadline later while the session was live need not have been
written when the process died. So each session is loaded, and the one whose true deadline lies behind the
page at hand waits for its turn, as a line in a heap, not as an actor.
"""

import heapq
import logging
from typing import TYPE_CHECKING, Final

from sojourn.storage import StoredSession

from .snapshots import restore
from .state import Session
from .timers import NEVER

if TYPE_CHECKING:
    from .registry import RegistryActor

logger = logging.getLogger(__name__)

SWEEP_PAGE: Final = 256
RETRY: Final = 1.0
"""Seconds until it is looked again at what could not be expired: a full disk must not have us spin."""

Deadline = tuple[float, int, str]
"""due_at, key, session_id."""


class Sweep:
    """Brings up what falls due in storage, a page at a time. Loop thread only."""

    def __init__(self, registry: "RegistryActor") -> None:
        self._registry = registry
        self.under_way = False
        self._now = 0.0
        self._behind: list[Deadline] = []
        """Heap of sessions met before their turn, with their true deadline."""

    def begin(self, now: float) -> None:
        """Activate and tick what falls due at `now`, in the order of the deadlines; nothing if that is under way."""
        if not self.under_way:
            self.under_way = True
            self._now = now
            self._behind = []
            self._registry.stored_due = NEVER
            self._read_behind(None)

    def _read_behind(self, after: tuple[float, int] | None) -> None:
        now = self._now
        self._registry.shared.reads.ask(
            lambda reader: reader.due(now, SWEEP_PAGE, after), lambda rows: self._page(rows, after), self._failed
        )

    def _page(self, rows: list[Deadline], after: tuple[float, int] | None) -> None:
        """Load a page, and of those that wait what has its turn before the page ends."""
        last = len(rows) < SWEEP_PAGE
        until = self._now if last else rows[-1][0]
        turn: list[Deadline] = []
        while self._behind and self._behind[0][0] <= until and len(turn) < SWEEP_PAGE:
            turn.append(heapq.heappop(self._behind))
        if len(turn) == SWEEP_PAGE:
            # More of them than one page: they go first, and this page is read again behind them.
            rows, until, last = [], turn[-1][0], False
        elif rows:
            after = rows[-1][:2]
        registry = self._registry
        for _, key, session_id in rows:
            registry.refresh_deadline(key, session_id)
        absent = [session_id for _, _, session_id in (*rows, *turn) if session_id not in registry.live]
        registry.shared.reads.ask(
            lambda reader: reader.load(absent), lambda found: self._tick(found, until, after, last), self._failed
        )

    def _tick(
        self, found: dict[str, StoredSession], until: float, after: tuple[float, int] | None, last: bool
    ) -> None:
        registry = self._registry
        turn: list[tuple[StoredSession, Session]] = []
        for session_id, stored in found.items():
            session = restore(stored)
            if until < session.due_at <= self._now:
                heapq.heappush(self._behind, (session.due_at, session.key, session_id))
            else:
                turn.append((stored, session))
        turn.sort(key=lambda each: (each[1].due_at, each[1].key))
        for stored, session in turn:
            registry.bring_up(stored, session)
        # The next page when this one's ticks are done and committed: what waits elsewhere goes in between.
        registry.dispatcher.loop.call_soon(registry.when_settled, lambda: self._go_on(after, last))

    def _go_on(self, after: tuple[float, int] | None, last: bool) -> None:
        if not last:
            self._read_behind(after)
        else:
            self._registry.stored_due = NEVER
            self._registry.shared.reads.ask(lambda reader: reader.next_due(), self._done, self._failed)

    def _done(self, next_due: float | None) -> None:
        if next_due is not None:
            # What was due and is still there could not be expired, or its actor is about to.
            again = self._registry.shared.clock.now() + RETRY if next_due <= self._now else next_due
            self._end(again)
        else:
            self._end(NEVER)

    def _failed(self, error: Exception) -> None:
        logger.warning("deadlines could not be read: %s", error)
        self._end(self._registry.shared.clock.now() + RETRY)

    def _end(self, again: float) -> None:
        self.under_way = False
        self._registry.stored_due = min(self._registry.stored_due, again)
        self._registry.shared.wheel.changed()
