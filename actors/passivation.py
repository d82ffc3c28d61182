"""Sessions leave memory: after a while without requests, when there are too many, and when they have expired.

Whoever goes is saved first, with the next commit, and goes behind that; something that comes for it
meanwhile keeps it.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .commits import Then
from .lifecycle import Status

if TYPE_CHECKING:
    from .registry import RegistryActor
    from .session import SessionActor

GONE: Final = 0.0
"""`wake_at` of an actor that leaves: it is not filed again, and the wheel drops what stands there."""


class Passivation:
    """Who goes, and when. Loop thread only."""

    def __init__(self, registry: "RegistryActor") -> None:
        self._registry = registry
        self._leaving: set[str] = set()
        """They go with their commit, unless something comes for them."""
        self._hand: deque[str] = deque()

    def rested(self, actor: "SessionActor") -> None:
        """After a tick: passivate an actor of which nothing was asked since the last look, else look again
        later.
        """
        if actor.session.status is Status.EXPIRED and actor.upkeep.batch is not None:
            return  # it leaves after its commit
        touched, actor.upkeep.touched = actor.upkeep.touched, False
        if not touched:
            self.passivate(actor)
        else:
            self._registry.file(actor)

    def passivate(self, actor: "SessionActor") -> None:
        """Save the session, then let its actor go, unless something came for it meanwhile."""
        session = actor.session
        actor.upkeep.touched = False
        self._leaving.add(session.session_id)
        if not actor.upkeep.is_saved(session):
            actor.snapshot()
        actor.wake_at = GONE
        self._after_commit(actor, lambda: self._let_go(actor))

    def ended(self, actor: "SessionActor") -> None:
        """The session has expired: nobody is attached after its commit, and its actor goes."""
        actor.upkeep.touched = False

        def let_go() -> None:
            self._registry.shared.audience.clear(actor.session.session_id)
            self._let_go(actor)

        self._after_commit(actor, let_go)

    def make_room(self) -> None:
        """Passivate somebody for each live actor above the limit: the second-chance way.

        A hand goes round those who are live; whom something was asked of since it came by is spared once.
        """
        live = self._registry.live
        excess = len(live) - self._registry.shared.config.max_live - len(self._leaving)
        for _ in range(8 * excess):
            if excess <= 0:
                return
            if not self._hand:
                self._hand.extend(live)
            actor = live.get(self._hand.popleft())
            if actor is None or actor.session.session_id in self._leaving:
                continue
            if actor.upkeep.touched or actor.actor_inbox.held or not actor.actor_inbox.empty():
                actor.upkeep.touched = False
            else:
                self.passivate(actor)
                excess -= 1

    def gone(self, session_id: str) -> None:
        """It is out of memory, whatever the way."""
        self._leaving.discard(session_id)

    def _after_commit(self, actor: "SessionActor", step: Callable[[], None]) -> None:
        batch = actor.upkeep.batch
        if batch is None:
            step()
        else:
            batch.owed.append((Then(step), None))

    def _let_go(self, actor: "SessionActor") -> None:
        registry = self._registry
        session = actor.session
        self._leaving.discard(session.session_id)
        if registry.live.get(session.session_id) is not actor:
            return
        upkeep = actor.upkeep
        idle = not upkeep.touched and upkeep.batch is None and actor.actor_inbox.empty()
        if not idle or actor.actor_inbox.held or upkeep.snapshot_seq != session.seq:
            registry.file(actor)
            return
        registry.unload(actor)
        registry.due_in_storage(session.due_at)
