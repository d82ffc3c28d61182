"""Actors that fail, and those that know more than is stored: they are replaced by new ones from storage.

Nothing restarts a Pykka actor by itself. What the failed handling recorded is taken back, its request and
what waits behind it are handed to the successor, and `supervision` decides how long that takes.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pykka._envelope import Envelope

from sojourn.storage import StorageError

from .commits import Then
from .later import Later
from .messages import FailMessage
from .packing import unpack
from .sweep import RETRY

if TYPE_CHECKING:
    from .loading import Loading
    from .registry import RegistryActor
    from .session import SessionActor


class Restarts:
    """Replaces actors. Loop thread only."""

    def __init__(self, registry: "RegistryActor", loading: "Loading") -> None:
        self._registry = registry
        self._loading = loading

    def crashed(self, actor: "SessionActor", mail: Envelope[Any], error: Exception, seq: int) -> None:
        """An actor failed on a request: what it recorded behind `seq` for it is taken back, and it starts
        anew.
        """
        registry = self._registry
        session_id = actor.session.session_id
        self._take_back(actor, seq)
        now = registry.shared.clock.now()
        pause, poison = registry.supervisor.failed(session_id, mail, error, now)
        if poison is None:
            self.reload(actor, [mail], pause, stored=seq > 0)
            return
        registry.dead_letters.add(now, session_id, "poison", mail.message)
        if mail.reply_to is not None:
            mail.reply_to.set_exception((type(poison), poison, None))
        # Of a session whose very creation is poison there is no history to say so.
        told: list[Envelope[Any]] = [FailMessage.of(mail.message, poison, now)] if seq else []
        self.reload(actor, told, pause)

    def reload(
        self, actor: "SessionActor", first: list[Envelope[Any]], pause: float = 0.0, *, stored: bool = True
    ) -> None:
        """Replace the actor by one from storage, when what it recorded before is committed.

        Of a session that is not `stored`, the first request makes the first event again.
        """
        registry, loading = self._registry, self._loading
        session_id = actor.session.session_id
        batch = actor.upkeep.batch
        loading.expect(session_id, first + registry.unload(actor))

        def load(_error: Exception | None = None) -> None:
            if pause:
                loading.pause(session_id)
                registry.shared.wheel.file(Later(again), registry.shared.clock.now() + pause)
            else:
                again()

        def again() -> None:
            loading.go_on(session_id)
            if stored:
                loading.load(session_id)
            else:
                registry.create(session_id, loading.release(session_id))

        if batch is None:
            load()
        else:
            batch.owed.append((Then(load, load), None))

    def left(self, actor: "SessionActor") -> None:
        """An actor was stopped, or failed, by way of its reference: the session goes on without it."""
        registry, loading = self._registry, self._loading
        session_id = actor.session.session_id
        if registry.live.get(session_id) is not actor:
            return
        batch = actor.upkeep.batch
        waiting = registry.unload(actor)
        registry.due_in_storage(actor.upkeep.stored_due)
        if batch is None:
            for mail in waiting:
                registry.deliver(session_id, mail)
            return
        loading.expect(session_id, waiting)

        def load(_error: Exception | None = None) -> None:
            if waiting:
                loading.load(session_id)
            else:
                loading.release(session_id)

        batch.owed.append((Then(load, load), None))

    def lost(self, actors: Iterable["SessionActor"], _error: StorageError) -> None:
        """A commit failed: these actors know more than is stored. They go; what waits for them is delivered
        again.
        """
        registry = self._registry
        for actor in actors:
            session_id = actor.session.session_id
            if registry.live.get(session_id) is not actor:
                continue
            for mail in registry.unload(actor):
                registry.deliver(session_id, mail)
        # Their deadlines are storage's again; not at once, or a full disk would have us spin.
        registry.due_in_storage(registry.shared.clock.now() + RETRY)

    def _take_back(self, actor: "SessionActor", seq: int) -> None:
        """Remove from the gathering batch what the failed handling put there."""
        gathering = self._registry.shared.commits.gathering
        session = actor.session
        key = session.key
        gathering.events[:] = [row for row in gathering.events if row[0] != key or row[1] <= seq]
        gathering.owed[:] = [
            (target, value)
            for target, value in gathering.owed
            if not _is_behind(target, value, session.session_id, seq)
        ]
        for place in [place for place in gathering.turns if place[0] == key and place[1] > seq]:
            del gathering.turns[place]
        gathering.stored.erased.pop(key, None)
        if key in gathering.rows:
            rows = [*gathering.older.pop(key, ()), gathering.rows.pop(key)]
            kept = [row for row in rows if (row.seq or 1) <= seq]  # the first row came with the first event
            if kept:
                gathering.rows[key] = kept.pop()
                gathering.older[key] = kept
            if seq:
                # Some deadline went with the row that replaced it. One that is too early does no harm.
                gathering.deadlines[key] = session.created_at


def _is_behind(target: Any, value: Any, session_id: str, seq: int) -> bool:
    """Does it come of an event of the session behind `seq`: a step, or a push?"""
    if isinstance(target, Then):
        return target.event is not None and target.event[0] == session_id and target.event[1] > seq
    if not isinstance(value, bytes):
        return False
    event: dict[str, Any] = unpack(value)
    return bool(event.get("session_id") == session_id and event.get("seq", 0) > seq)
