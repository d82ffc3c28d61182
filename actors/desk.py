"""Where humans take over: what waits in which queue, who is there, who holds what, who watches.

All of it follows from the sessions, and is kept beside them only so that nobody must look through a million
of them: it is read from storage at the start, and noted with every event that changes who handles a session.
Who is *present* follows from connections alone, so after a restart nobody is, until they come back.

A human who is gone for longer than `human_timeout` loses what they hold to the queues it came from. That time
runs from the loss of the last connection; after a restart, for whoever held something, from the restart.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from sojourn.storage import EventRow, Reader

from .commits import Then
from .errors import TooManySessions
from .events import visible
from .later import Later
from .lifecycle import Handling, Status
from .mail import Subscriber
from .messages import Return
from .snapshots import restore
from .state import Session

if TYPE_CHECKING:
    from .registry import RegistryActor
    from .session import SessionActor

logger = logging.getLogger(__name__)

DESK_EVENTS: Final = frozenset(
    {
        "session:handed_over",
        "session:assigned",
        "session:released",
        "session:closed",
        "session:reopened",
        "session:expired",
    }
)
"""What watchers hear of."""


class Waiting(NamedTuple):
    """A session that waits in a queue. `since` and `activity_at` are instants."""

    session_id: str
    queue: str | None
    since: float
    activity_at: float
    key: int


ORDERS: Final[Mapping[str, Callable[[Waiting], tuple[float, int]]]] = {
    "longest_wait": lambda each: (each.since, each.key),
    "shortest_wait": lambda each: (-each.since, -each.key),
    "silent_longest": lambda each: (each.activity_at, each.key),
}
"""In which order a queue is worked off: who waits for the longest or the shortest time first, or the user who
has said nothing for the longest.
"""


class Desk:
    """The humans' side of a runtime. Loop thread only."""

    def __init__(self, registry: "RegistryActor") -> None:
        self._registry = registry
        self._queued: dict[str, Session] = {}
        self._held: dict[str, dict[str, None]] = {}
        self._holder: dict[str, str] = {}
        self._present: dict[str, int] = {}
        self._absent: dict[str, Later] = {}
        self._watchers: dict[Subscriber, frozenset[str] | None] = {}

    def open(self, sessions: Iterable[Session]) -> None:
        """Take in what waited for humans, or had one, when the runtime stopped: nobody is present yet."""
        for session in sessions:
            self.note(session)
        for identity in self._held:
            self._miss(identity)

    # -- what waits, and who has what --------------------------------------------------------------

    def note(self, session: Session) -> None:
        """Know a session as it is now; one that is in no human's hands is forgotten."""
        session_id = session.session_id
        self.forget(session_id)
        if not is_at_desk(session):
            return
        if session.handling is Handling.QUEUED:
            self._queued[session_id] = session
        elif session.assignee is not None:
            self._holder[session_id] = session.assignee
            self._held.setdefault(session.assignee, {})[session_id] = None

    def forget(self, session_id: str) -> None:
        """It waits for nobody and nobody has it."""
        self._queued.pop(session_id, None)
        holder = self._holder.pop(session_id, None)
        if holder is not None:
            held = self._held[holder]
            del held[session_id]
            if not held:
                del self._held[holder]

    def knows(self, session_id: str) -> bool:
        """Does it wait, or has a human it?"""
        return session_id in self._queued or session_id in self._holder

    def waiting(self, queues: Iterable[str] | None = None) -> list[Waiting]:
        """What waits in these queues (None: in any, and in none by name), in the configured order."""
        wanted = None if queues is None else frozenset(queues)
        found = [
            Waiting(
                session.session_id, session.queue, session.handling_at, session.last_activity_at, session.key
            )
            for session in self._queued.values()
            if wanted is None or session.queue in wanted
        ]
        found.sort(key=ORDERS[self._registry.shared.config.queue_order])
        return found

    def place_of(self, session: Session) -> int | None:
        """Its place in its queue, 1 is next; None when it does not wait."""
        if session.session_id not in self._queued:
            return None
        order = ORDERS[self._registry.shared.config.queue_order]
        places = sorted(
            (
                order(
                    Waiting(each.session_id, each.queue, each.handling_at, each.last_activity_at, each.key)
                ),
                each.session_id,
            )
            for each in self._queued.values()
            if each.queue == session.queue
        )
        return [session_id for _, session_id in places].index(session.session_id) + 1

    def held_by(self, identity: str) -> list[str]:
        """The sessions that this human has, the earliest taken first."""
        return list(self._held.get(identity, ()))

    def check_room(self, identity: str, session: Session) -> None:
        """Raise `TooManySessions` when this human holds as many sessions as a human may."""
        most = self._registry.shared.config.max_held
        held = self._held.get(identity, {})
        if most is not None and len(held) >= most and session.session_id not in held:
            raise TooManySessions(
                f"{identity} holds {len(held)} sessions: one of them must be resolved or released first",
                session_id=session.session_id,
                details={"limit": "max_held", "max": most, "assignee": identity},
            )

    # -- presence ----------------------------------------------------------------------------------

    def is_present(self, identity: str | None) -> bool:
        """Is this human connected?"""
        return identity is not None and identity in self._present

    def present(self) -> list[str]:
        """Who is there, in the order they came."""
        return list(self._present)

    def arrive(self, identity: str) -> None:
        """One more connection of this human is there."""
        self._present[identity] = self._present.get(identity, 0) + 1
        absence = self._absent.pop(identity, None)
        if absence is not None:
            self._registry.shared.wheel.cancel(absence)

    def leave(self, identity: str) -> None:
        """One of their connections is gone; with the last one the grace begins."""
        connections = self._present.get(identity, 0) - 1
        if connections > 0:
            self._present[identity] = connections
        elif self._present.pop(identity, None) is not None:
            self._miss(identity)

    def _miss(self, identity: str) -> None:
        grace = self._registry.shared.config.human_timeout
        if grace is not None and identity not in self._absent:
            absence = self._absent[identity] = Later(partial(self._give_up, identity))
            shared = self._registry.shared
            shared.wheel.file(absence, shared.clock.now() + grace)

    def _give_up(self, identity: str) -> None:
        del self._absent[identity]
        now = self._registry.shared.clock.now()
        for session_id in self.held_by(identity):
            self._registry.deliver(session_id, Return(now, identity))

    # -- watchers ----------------------------------------------------------------------------------

    def watch(self, subscriber: Subscriber, queues: Iterable[str] | None) -> None:
        """Have what happens in these queues pushed to it (None: in all); a second call replaces the first."""
        self._watchers[subscriber] = None if queues is None else frozenset(queues)

    def unwatch(self, subscriber: Subscriber) -> None:
        """Push nothing more; it need not have watched."""
        self._watchers.pop(subscriber, None)

    def on_event(self, actor: "SessionActor", left: str | None, cause: Subscriber | None) -> None:
        """An event of `DESK_EVENTS` was kept by this actor, whose session was in the queue `left` before."""
        session = actor.session
        self.note(session)
        batch = actor.upkeep.batch
        assert batch is not None
        session_id, seq = session.session_id, session.seq
        batch.owed.append((Then(_nothing, partial(self._reread, session_id), event=(session_id, seq)), None))
        if self._watchers:
            row = batch.events[-1]
            batch.owed += self._pushes(row, session_id, {left, session.queue}, cause)

    def on_expiry(self, session: Session, row: EventRow) -> None:
        """A session ended in storage, without an actor: `row` is its last event."""
        batch = self._registry.shared.commits.gathering
        session_id = session.session_id
        if self.knows(session_id):
            self.forget(session_id)
            batch.owed.append((Then(_nothing, partial(self._reread, session_id)), None))
        if self._watchers and session.handling is not Handling.AI:
            batch.owed += self._pushes(row, session_id, {session.queue}, None)

    def on_erasure(self, session: Session, cause: Subscriber | None) -> list[Subscriber]:
        """A session is to be removed: who must hear of it beside those who are attached."""
        self.forget(session.session_id)
        if session.handling is Handling.AI:
            return []
        return self._watching(session.session_id, {session.queue}, cause)

    def _pushes(
        self, row: EventRow, session_id: str, queues: set[str | None], cause: Subscriber | None
    ) -> list[tuple[Subscriber, bytes]]:
        """The event for those who watch one of `queues` and don't get it anyway."""
        to = self._watching(session_id, queues, cause)
        if not to:
            return []
        frame = visible(row, session_id, self._registry.shared.sensitive)
        return [(watcher, frame) for watcher in to]

    def _watching(
        self, session_id: str, queues: set[str | None], cause: Subscriber | None
    ) -> list[Subscriber]:
        return [
            watcher
            for watcher, wanted in self._watchers.items()
            if watcher is not cause
            and session_id not in watcher.attached
            and (wanted is None or not wanted.isdisjoint(queues))
        ]

    def _reread(self, session_id: str, _error: Exception) -> None:
        """What was noted is not stored: note the session as it is, once it is back in memory."""

        def again(_found: object) -> None:
            actor = self._registry.live.get(session_id)
            if actor is None:
                self.forget(session_id)
            else:
                self.note(actor.session)

        self._registry.when_live(session_id, again)


def at_desk(reader: Reader) -> list[Session]:
    """The sessions that wait for a human, or have one, as stored."""
    sessions: list[Session] = []
    for stored in reader.load(reader.at_desk()).values():
        try:
            sessions.append(restore(stored))
        except Exception:
            logger.exception("session %s cannot be restored", stored.row.session_id)
    return sessions


def is_at_desk(session: Session) -> bool:
    """Does it wait for a human, or has a human it? A closed one keeps its `handling` for the record only."""
    return session.status is Status.ACTIVE and session.handling is not Handling.AI


def _nothing() -> None:
    return
