"""Deadlines of sessions that are not in memory: met in storage, expired in their order.

A row's `due_at` is a lower bound: what moved a deadline later while the session was live need not have been
written when the process died. So each session is loaded, and the one whose true deadline lies behind the
page at hand waits for its turn, as a line in a heap, not as an actor.
"""

import heapq
import logging
from typing import TYPE_CHECKING, Final, NamedTuple

from sojourn.storage import Reader, StoredSession

from .snapshots import restore
from .state import Session
from .timers import NEVER

if TYPE_CHECKING:
    from .registry import RegistryActor

logger = logging.getLogger(__name__)

SWEEP_PAGE: Final = 512
PAGES_AT_ONCE: Final = 2
"""Pages that may wait for their commit: the next is ticked while one is written."""
RETRY: Final = 1.0
"""Seconds until it is looked again at what could not be expired: a full disk must not have us spin."""

Deadline = tuple[float, int, str]
"""due_at, key, session_id."""


class Page(NamedTuple):
    """Rows that are due, in their order, and those of them that are not live, loaded."""

    rows: list[Deadline]
    found: dict[str, StoredSession]


class Sweep:
    """Brings up what falls due in storage, a page at a time. Loop thread only."""

    def __init__(self, registry: "RegistryActor") -> None:
        self._registry = registry
        self.under_way = False
        self._now = 0.0
        self._fetched: Page | None = None
        self._uncommitted = 0
        self._ticking = False
        self._ending = False
        self._behind: list[Deadline] = []
        """Heap of sessions met before their turn, with their true deadline."""
        self._left: set[str] = set()

    def left(self, session_id: str) -> None:
        """A session left memory, saved: what was read of it before that is old."""
        if self.under_way:
            self._left.add(session_id)

    def begin(self, now: float) -> None:
        """Activate and tick what falls due at `now`, in the order of the deadlines; nothing if that is
        under way.
        """
        if not self.under_way:
            self.under_way = True
            self._now = now
            self._behind = []
            self._left = set()
            self._fetched = None
            self._uncommitted = 0
            self._ticking = False
            self._registry.stored_due = NEVER
            self._fetch(None)

    def _fetch(self, after: tuple[float, int] | None) -> None:
        """Read the next page and load it, while the one before is being committed."""
        now = self._now
        live = self._registry.live

        def read(reader: Reader) -> Page:
            rows = reader.due(now, SWEEP_PAGE, after)
            # Looked at from the reader's thread only to spare loads: who is live is decided on the loop.
            return Page(rows, reader.load([row[2] for row in rows if row[2] not in live]))

        self._registry.shared.reads.ask(read, self._arrived, self._failed)

    def _arrived(self, page: Page) -> None:
        self._fetched = page
        self._go_on()

    def _went(self) -> None:
        """A page is committed: what waited elsewhere came in between."""
        self._uncommitted -= 1
        self._go_on()

    def _go_on(self) -> None:
        page = self._fetched
        if page is None or self._ticking or self._uncommitted >= PAGES_AT_ONCE:
            return
        self._fetched = None
        self._ticking = True
        rows = page.rows
        last = len(rows) < SWEEP_PAGE
        until = self._now if last else rows[-1][0]
        turn: list[str] = []
        until_turn = until
        while self._behind and self._behind[0][0] <= until and len(turn) < SWEEP_PAGE:
            until_turn, _, session_id = heapq.heappop(self._behind)
            turn.append(session_id)
        if len(turn) == SWEEP_PAGE:
            # More of them than one page: they go first, and this page again behind them.
            self._fetched = page
            self._registry.shared.reads.ask(
                lambda reader: reader.load(turn), lambda found: self._tick(found, until_turn), self._failed
            )
            return
        for _, key, session_id in rows:
            self._registry.refresh_deadline(key, session_id)
        if last:
            self._ending = True
        else:
            self._fetch(rows[-1][:2])
        if turn:
            self._registry.shared.reads.ask(
                lambda reader: reader.load(turn),
                lambda found: self._tick({**page.found, **found}, until),
                self._failed,
            )
        else:
            self._tick(page.found, until)

    def _tick(self, found: dict[str, StoredSession], until: float) -> None:
        registry = self._registry
        turn: list[tuple[StoredSession, Session]] = []
        for session_id, stored in found.items():
            if session_id in registry.live or session_id in self._left:
                continue
            try:
                session = restore(stored)
            except Exception:
                logger.exception("session %s cannot be restored", session_id)
                continue
            if until < session.due_at <= self._now:
                heapq.heappush(self._behind, (session.due_at, session.key, session_id))
            else:
                turn.append((stored, session))
        turn.sort(key=lambda each: (each[1].due_at, each[1].key))
        for stored, session in turn:
            registry.bring_up(stored, session)
        # Behind the turn in which the ticks are handled.
        registry.dispatcher.loop.call_soon(self._ticked)

    def _ticked(self) -> None:
        self._ticking = False
        self._uncommitted += 1
        self._registry.when_settled(self._finish if self._ending else self._went)
        self._go_on()

    def _finish(self) -> None:
        self._ending = False
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
        self.under_way = self._ending = False
        self._registry.stored_due = min(self._registry.stored_due, again)
        self._registry.shared.wheel.changed()
