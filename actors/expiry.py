"""Sessions that fall due while they are not in memory: those that are over end without an actor.

A hundred thousand may end in one second, so that is as little as it can be: the events, and a mark in the
row. Whoever asks for such a session meanwhile waits for the commit, and then finds it as it is.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from sojourn.storage import EVENT_TYPES, EventRow, Gone, StoredSession

from .commits import Then
from .events import visible
from .messages import Tick
from .packing import pack
from .snapshots import restore
from .state import EXPIRY_REASON, Session
from .timers import NEVER

if TYPE_CHECKING:
    from .loading import Loading
    from .registry import RegistryActor

TICK: Final = Tick()
EXPIRED_BODY: Final = {on: pack({"reason": reason}) for on, reason in EXPIRY_REASON.items()}
"""The payload of `session:expired`, by what ended the session."""


class Expiry:
    """What becomes of the stored sessions that a sweep meets. Loop thread only."""

    def __init__(self, registry: "RegistryActor", loading: "Loading") -> None:
        self._registry = registry
        self._loading = loading

    def is_elsewhere(self, session_id: str) -> bool:
        """Is it in memory, or about to be? Then its own actor lets time pass for it."""
        return session_id in self._registry.live or self._loading.awaits(session_id)

    def expire(self, sessions: Iterable[Session], now: float) -> None:
        """End these sessions, which are over at `now`; of each only what time owes need be known."""
        shared = self._registry.shared
        batch = shared.commits.gathering
        events, owed, others = batch.events, batch.owed, shared.audience.others
        session_ids: list[str] = []
        for session in sessions:
            session_id = session.session_id
            self._loading.expect(session_id, [])
            session_ids.append(session_id)
            while (lapse := session.lapse(now)) is not None:
                over = lapse.event == "session:expired"
                body = EXPIRED_BODY[lapse.on] if over else pack(lapse.payload)
                row: EventRow = (session.key, session.seq + 1, lapse.at, EVENT_TYPES[lapse.event], 0, body)
                events.append(row)
                for subscriber in others(session_id, None):
                    owed.append((subscriber, visible(row, session_id, shared.sensitive)))
                if over:
                    shared.desk.on_expiry(session, row)
                    break
                session.apply(lapse.event, lapse.at, lapse.payload, 0)
            batch.stored.ended.append(session.key)
        if session_ids:
            owed.append((Then(partial(self._expired, session_ids), partial(self._awake, session_ids)), None))
            shared.commits.arm()

    def bring_up(self, stored: StoredSession) -> None:
        """Start the actor of a stored session and let time pass for it."""
        self._registry.activate(stored, restore(stored)).actor_inbox.put_system(TICK)

    def refresh_deadline(self, key: int, session_id: str) -> None:
        """A live session's row may hold an early deadline for ever: it is moved when it is met."""
        actor = self._registry.live.get(session_id)
        if actor is None or actor.session.key != key:
            return
        due_at = actor.session.due_at
        if due_at > actor.upkeep.stored_due:
            actor.upkeep.stored_due = due_at
            commits = self._registry.shared.commits
            commits.gathering.deadlines[key] = None if due_at == NEVER else due_at
            commits.arm()

    def remove(self, sessions: Mapping[str, tuple[int, Gone]]) -> int:
        """Remove these stored sessions, which are over; how many: one that is in memory stays for now."""
        batch = self._registry.shared.commits.gathering
        session_ids: list[str] = []
        for session_id, (key, gone) in sessions.items():
            if self.is_elsewhere(session_id):
                continue
            self._loading.expect(session_id, [])
            session_ids.append(session_id)
            batch.stored.erased[key] = gone
        if session_ids:
            then = Then(partial(self._expired, session_ids), partial(self._awake, session_ids))
            batch.owed.append((then, None))
            self._registry.shared.commits.arm()
        return len(session_ids)

    def _expired(self, session_ids: list[str]) -> None:
        clear = self._registry.shared.audience.clear
        for session_id in session_ids:
            clear(session_id)
        self._awake(session_ids)

    def _awake(self, session_ids: list[str], _error: Exception | None = None) -> None:
        """Deliver what waited for the commit of an expiry."""
        for session_id in session_ids:
            for mail in self._loading.release(session_id):
                self._registry.deliver(session_id, mail)
