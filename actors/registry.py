"""The registry actor: it finds sessions, starts, passivates, activates, restarts and stops their actors.

Identity outlives the object: a session that is not in memory is loaded when something is sent to it, and
whoever sent it cannot tell. Everything here runs on the loop thread; its own dict from id to actor is the
only index of live sessions (Pykka's global registry is a list).
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from pykka import ActorRef
from pykka._envelope import Envelope

from sojourn.storage import EVENT_TYPES, EventRow, StorageError, StoredSession

from .commits import Then
from .errors import Draining, Overloaded, SessionNotFound, StorageFailed
from .events import visible
from .lifecycle import Status
from .loop import Dispatcher, LoopActor
from .mailbox import MailboxFull
from .messages import FailMessage, Probe, SendMessage, Tick
from .packing import pack, unpack
from .routes import Routes
from .session import ELSEWHERE, Elsewhere, SessionActor
from .shared import Shared
from .snapshots import restore
from .state import Session
from .supervision import DeadLetters, Supervisor
from .sweep import RETRY, Sweep
from .timers import NEVER

logger = logging.getLogger(__name__)

TICK: Final = Tick()
RETRY_AFTER: Final = 0.5
GONE: Final = 0.0
"""`wake_at` of an actor that leaves: it is not filed again, and the wheel drops what stands there."""


class FindSession:
    """Answer: the `ActorRef` of a live session, or None. For programs that talk Pykka."""

    __slots__ = ("session_id",)

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id


class _Told:
    """A reply target that runs a step on whatever comes."""

    __slots__ = ("_step",)

    def __init__(self, step: Callable[[Any], None]) -> None:
        self._step = step

    def set(self, value: Any = None) -> None:
        self._step(value)

    def set_exception(self, exc_info: Any = None) -> None:
        self._step(exc_info)


class Later:
    """Something to do at a time: an entry of the wheel that is no session."""

    __slots__ = ("run", "wake_at")

    def __init__(self, run: Callable[[], None]) -> None:
        self.run = run
        self.wake_at = NEVER


class RegistryActor(LoopActor):
    """Owner of all session actors of a runtime."""

    use_pykka_registry = False
    stops_all_on_exit = False

    def __init__(self, dispatcher: Dispatcher, next_key: int) -> None:
        super().__init__()
        self.dispatcher = dispatcher
        self.next_key = next_key
        self.live: dict[str, SessionActor] = {}
        self.dead_letters = DeadLetters()
        self._loading: dict[str, list[Envelope[Any]]] = {}
        self._paused: set[str] = set()
        """Sessions among these whose restart waits for its time."""
        self._leaving: set[str] = set()
        """Being passivated: they go with their commit, unless something comes for them."""
        self._hand: deque[str] = deque()
        self._sweep = Sweep(self)

    def inhabit(self, shared: Shared) -> None:
        """Take the house over; the two know each other, so one must come first."""
        self.shared = shared
        self.supervisor = Supervisor(shared.config.restart_intensity, shared.config.restart_period)
        self.routes = Routes(self)
        self.stored_due = NEVER
        """No session in storage that is not live falls due before this."""

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, FindSession):
            actor = self.live.get(message.session_id)
            return None if actor is None else actor.actor_ref
        return super().on_receive(message)

    @property
    def idle(self) -> bool:
        """Nothing is being loaded, looked up or swept; what waits for a time is not under way."""
        return len(self._loading) == len(self._paused) and not self.sweeping and self.routes.idle

    # -- delivering --------------------------------------------------------------------------------

    def deliver(self, session_id: str, mail: Envelope[Any]) -> None:
        """Put a request into the session's mailbox, loading it first if need be."""
        actor = self.live.get(session_id)
        if actor is not None:
            inbox = actor.actor_inbox
            if not inbox.run_now(mail):
                try:
                    inbox.put(mail)
                except MailboxFull as full:
                    self._refuse_full(mail, session_id, full)
            return
        waiting = self._loading.get(session_id)
        if waiting is None:
            self._loading[session_id] = [mail]
            self._load(session_id)
        elif len(waiting) < self.shared.config.mailbox_limit:
            waiting.append(mail)
        else:
            self._refuse_full(mail, session_id, MailboxFull(len(waiting)))

    def _refuse_full(self, mail: Envelope[Any], session_id: str, full: MailboxFull) -> None:
        error = Overloaded(
            f"session {session_id} has {full.limit} requests waiting: slow down",
            session_id=session_id,
            retry_after=RETRY_AFTER,
            details={"limit": "mailbox_limit", "max": full.limit},
        )
        if mail.reply_to is not None:
            mail.reply_to.set_exception((Overloaded, error, None))
        else:
            self.dead_letters.add(self.shared.clock.now(), session_id, "mailbox_full", mail.message)

    def address_again(self, actor: SessionActor, message: SendMessage) -> Elsewhere:
        """Route a message anew that came to a session which has ended since it was chosen, or never knew
        it.
        """
        message.addressed.unknown_to.add(actor.session.session_id)
        message.verified = False  # here: the session that takes it looks for itself
        self.dispatcher.loop.call_soon(self.routes.send, message.addressed)
        return ELSEWHERE

    def when_live(self, session_id: str, step: Callable[[Any], None]) -> None:
        """Load a session if need be, then run `step`, also when there is no such session (any more)."""
        self.deliver(session_id, Probe(_Told(step)))

    # -- starting ----------------------------------------------------------------------------------

    def create(self, session_id: str, mails: Iterable[Envelope[Any]]) -> None:
        """Start the actor of a new session; the first request makes its first event, at once.

        So whoever looks the session up next, and waits for the gathering commit before that, finds it.
        """
        key = self.next_key
        self.next_key = key + 1
        self._file(self._start(Session(key, session_id), NEVER))
        for mail in mails:
            self.deliver(session_id, mail)
        self._make_room()

    def _start(self, session: Session, stored_due: float) -> SessionActor:
        shared = self.shared
        actor = SessionActor(session, shared, stored_due)
        self.live[session.session_id] = actor
        actor.launch(self.dispatcher)
        return actor

    def _file(self, actor: SessionActor) -> None:
        """Have the actor woken when it is due, or to see whether it rests."""
        rest_at = self.shared.clock.now() + self.shared.config.passivate_after
        self.shared.wheel.file(actor, min(actor.session.due_at, rest_at))

    def _load(self, session_id: str) -> None:
        self.shared.reads.load(
            session_id,
            lambda stored: self._loaded(session_id, stored),
            lambda error: self._not_loaded(session_id, error),
        )

    def _loaded(self, session_id: str, stored: StoredSession | None) -> None:
        if stored is None:
            self.answer_all(
                self._loading.pop(session_id, []),
                lambda: SessionNotFound(f"there is no session {session_id!r}", session_id=session_id),
            )
            return
        try:
            session = restore(stored)
        except Exception as error:
            logger.exception("session %s cannot be restored", session_id)
            self._not_loaded(session_id, error)
            return
        waiting = self._loading.pop(session_id, [])
        self._file(self.activate(stored, session))
        for mail in waiting:
            self.deliver(session_id, mail)
        self._make_room()

    def activate(self, stored: StoredSession, session: Session) -> SessionActor:
        """Start the actor of a stored session, restored."""
        due = stored.row.due_at
        actor = self._start(session, NEVER if due is None else due)
        actor.snapshot_seq = stored.row.seq
        return actor

    def _not_loaded(self, session_id: str, error: Exception) -> None:
        waiting = self._loading.pop(session_id, [])
        self.answer_all(
            waiting,
            lambda: StorageFailed(f"session {session_id} could not be read: {error}", retry_after=1.0),
        )

    @staticmethod
    def answer_all(mails: Iterable[Envelope[Any]], error: Callable[[], Exception]) -> None:
        """Refuse each of them, with an exception of its own."""
        for mail in mails:
            if mail.reply_to is not None:
                failure = error()
                mail.reply_to.set_exception((type(failure), failure, None))

    # -- waking ------------------------------------------------------------------------------------

    def wake(self, entry: Any) -> None:
        """The wheel's entry is due: a session to tick, or something to do."""
        if isinstance(entry, SessionActor):
            if self.live.get(entry.session.session_id) is entry:
                entry.actor_inbox.put_system(TICK)
        else:
            entry.run()

    def rested(self, actor: SessionActor) -> None:
        """After a tick: passivate an actor of which nothing was asked since the last look, else look again
        later.
        """
        if actor.session.status is Status.EXPIRED and actor.batch is not None:
            return  # it leaves after its commit
        touched, actor.touched = actor.touched, False
        if not touched:
            self.passivate(actor)
        else:
            self._file(actor)

    # -- stopping ----------------------------------------------------------------------------------

    def passivate(self, actor: SessionActor) -> None:
        """Save the session, then let its actor go, unless something came for it meanwhile."""
        session = actor.session
        actor.touched = False
        self._leaving.add(session.session_id)
        if actor.snapshot_seq != session.seq or actor.stored_due != session.due_at:
            actor.snapshot()
        actor.wake_at = GONE
        self._after_commit(actor, lambda: self._let_go(actor))

    def ended(self, actor: SessionActor) -> None:
        """The session has expired: nobody is attached after its commit, and its actor goes."""
        actor.touched = False

        def let_go() -> None:
            self.shared.audience.clear(actor.session.session_id)
            self._let_go(actor)

        self._after_commit(actor, let_go)

    def _after_commit(self, actor: SessionActor, step: Callable[[], None]) -> None:
        batch = actor.batch
        if batch is None:
            step()
        else:
            batch.owed.append((Then(step), None))

    def _let_go(self, actor: SessionActor) -> None:
        session = actor.session
        self._leaving.discard(session.session_id)
        if self.live.get(session.session_id) is not actor:
            return
        idle = not actor.touched and actor.batch is None and actor.actor_inbox.empty()
        if not idle or actor.actor_inbox.held or actor.snapshot_seq != session.seq:
            self._file(actor)
            return
        self.unload(actor)
        if session.due_at < self.stored_due:
            self.stored_due = session.due_at
            self.shared.wheel.changed()

    def unload(self, actor: SessionActor) -> list[Envelope[Any]]:
        """Take the actor out of memory; what waits in its mailbox is returned, for whoever comes next."""
        session = actor.session
        del self.live[session.session_id]
        self._leaving.discard(session.session_id)
        self.shared.wheel.cancel(actor)
        self.routes.forget(session)
        self._sweep.left(session.session_id)
        actor.wake_at = GONE
        waiting: list[Envelope[Any]] = []
        inbox = actor.actor_inbox
        while not inbox.empty():
            mail = inbox.get()
            if mail is not TICK:
                waiting.append(mail)
        actor.retire()
        return waiting

    def retire_all(self) -> None:
        """Stop every session actor, newest first; they are saved. Who still waits for one hears that it
        ends.
        """
        for actor in reversed(tuple(self.live.values())):
            self.unload(actor)
        for session_id, waiting in self._loading.items():
            self.answer_all(waiting, partial(Draining, "the server is going down", session_id=session_id))
        self._loading.clear()
        self._paused.clear()

    def left(self, actor: SessionActor) -> None:
        """An actor was stopped, or failed, by way of its reference: the session goes on without it."""
        session_id = actor.session.session_id
        if self.live.get(session_id) is not actor:
            return
        batch = actor.batch
        waiting = self.unload(actor)
        self.stored_due = min(self.stored_due, actor.stored_due)
        self.shared.wheel.changed()
        if batch is None:
            for mail in waiting:
                self.deliver(session_id, mail)
            return
        self._loading[session_id] = waiting

        def load(_error: Exception | None = None) -> None:
            if waiting:
                self._load(session_id)
            else:
                del self._loading[session_id]

        batch.owed.append((Then(load, load), None))

    def _make_room(self) -> None:
        """Passivate somebody for each live actor above the limit: the second-chance way.

        A hand goes round those who are live; whom something was asked of since it came by is spared once.
        """
        excess = len(self.live) - self.shared.config.max_live - len(self._leaving)
        for _ in range(8 * excess):
            if excess <= 0:
                return
            if not self._hand:
                self._hand.extend(self.live)
            actor = self.live.get(self._hand.popleft())
            if actor is None or actor.session.session_id in self._leaving:
                continue
            if actor.touched or actor.actor_inbox.held or not actor.actor_inbox.empty():
                actor.touched = False
            else:
                self.passivate(actor)
                excess -= 1

    # -- failing -----------------------------------------------------------------------------------

    def crashed(self, actor: SessionActor, mail: Envelope[Any], error: Exception, seq: int) -> None:
        """An actor failed on a request: what it recorded behind `seq` for it is taken back, and it starts
        anew.
        """
        session_id = actor.session.session_id
        self._take_back(actor, seq)
        now = self.shared.clock.now()
        pause, poison = self.supervisor.failed(session_id, mail, error, now)
        if poison is None:
            self.reload(actor, [mail], pause, stored=seq > 0)
            return
        self.dead_letters.add(now, session_id, "poison", mail.message)
        if mail.reply_to is not None:
            mail.reply_to.set_exception((type(poison), poison, None))
        self.reload(actor, [FailMessage.of(mail.message, poison, now)], pause)

    def _take_back(self, actor: SessionActor, seq: int) -> None:
        """Remove from the gathering batch what the failed handling put there."""
        gathering = self.shared.commits.gathering
        session = actor.session
        key = session.key
        gathering.events[:] = [row for row in gathering.events if row[0] != key or row[1] <= seq]
        gathering.owed[:] = [
            (target, value)
            for target, value in gathering.owed
            if not _is_behind(target, value, session.session_id, seq)
        ]
        if key in gathering.erased:
            gathering.erased.remove(key)
        if key in gathering.rows:
            rows = [*gathering.older.pop(key, ()), gathering.rows.pop(key)]
            kept = [row for row in rows if (row.seq or 1) <= seq]  # the first row came with the first event
            if kept:
                gathering.rows[key] = kept.pop()
                gathering.older[key] = kept
            if seq:
                # Some deadline went with the row that replaced it. One that is too early does no harm.
                gathering.deadlines[key] = session.created_at

    def reload(
        self, actor: SessionActor, first: list[Envelope[Any]], pause: float = 0.0, *, stored: bool = True
    ) -> None:
        """Replace the actor by one from storage, when what it recorded before is committed.

        Of a session that is not `stored`, the first request makes the first event again.
        """
        session_id = actor.session.session_id
        batch = actor.batch
        self._loading[session_id] = first + self.unload(actor)

        def load(_error: Exception | None = None) -> None:
            if pause:
                self._paused.add(session_id)
                self.shared.wheel.file(Later(again), self.shared.clock.now() + pause)
            else:
                again()

        def again() -> None:
            self._paused.discard(session_id)
            if stored:
                self._load(session_id)
            else:
                self.create(session_id, self._loading.pop(session_id))

        if batch is None:
            load()
        else:
            batch.owed.append((Then(load, load), None))

    def lost(self, actors: Iterable[SessionActor], _error: StorageError) -> None:
        """A commit failed: these actors know more than is stored. They go; what waits for them is delivered
        again.
        """
        now = self.shared.clock.now()
        for actor in actors:
            session_id = actor.session.session_id
            if self.live.get(session_id) is not actor:
                continue
            waiting = self.unload(actor)
            for mail in waiting:
                self.deliver(session_id, mail)
        # Their deadlines are storage's again; not at once, or a full disk would have us spin.
        self.stored_due = min(self.stored_due, now + RETRY)
        self.shared.wheel.changed()

    def erase(self, actor: SessionActor, cause: Any, at: float) -> None:
        """Remove a session with the next commit; who is attached is told, who asks later finds nothing."""
        session = actor.session
        session_id = session.session_id
        batch = actor.join()
        batch.erased.append(session.key)
        batch.deadlines.pop(session.key, None)
        frame = pack({"type": "session:expired", "session_id": session_id, "at": at, "reason": "erased"})
        for subscriber in self.shared.audience.others(session_id, cause):
            batch.owed.append((subscriber, frame))
        clear = self.shared.audience.clear
        batch.owed.append((Then(lambda: clear(session_id)), None))
        self.reload(actor, [])

    def ref(self, session_id: str) -> ActorRef[SessionActor] | None:
        """The Pykka reference of a live session."""
        actor = self.live.get(session_id)
        return None if actor is None else actor.actor_ref

    # -- deadlines in storage ----------------------------------------------------------------------

    @property
    def sweeping(self) -> bool:
        """What falls due in storage is being brought up."""
        return self._sweep.under_way

    def sweep(self, now: float) -> None:
        """Expire what falls due in storage."""
        self._sweep.begin(now)

    def bring_up(self, stored: StoredSession, session: Session) -> None:
        """Start the actor of a stored session and let time pass for it, unless it is in memory, or about to
        be.
        """
        session_id = stored.row.session_id
        if session_id in self.live or session_id in self._loading:
            return
        now = self.shared.clock.now()
        if session.expires_at <= now:
            self._expire_unseen(session, now)
        else:
            self.activate(stored, session).actor_inbox.put_system(TICK)

    def _expire_unseen(self, session: Session, now: float) -> None:
        """Expire a stored session without an actor: a hundred thousand may end in one second.

        Whoever asks for it meanwhile waits for the commit, and then finds it as it is.
        """
        shared = self.shared
        session_id = session.session_id
        batch = shared.commits.gathering
        shared.commits.arm()
        self._loading[session_id] = []
        self._sweep.left(session_id)
        while (lapse := session.lapse(now)) is not None:
            session.apply(lapse.event, lapse.at, lapse.payload, 0)
            code = EVENT_TYPES[lapse.event]
            row: EventRow = (session.key, session.seq, lapse.at, code, 0, pack(lapse.payload))
            batch.events.append(row)
            for subscriber in shared.audience.others(session_id, None):
                batch.owed.append((subscriber, visible(row, session_id, shared.sensitive)))
        batch.ended.append(session.key)
        batch.owed.append((Then(partial(self._expired, session_id), partial(self._awake, session_id)), None))

    def _expired(self, session_id: str) -> None:
        self.shared.audience.clear(session_id)
        self._awake(session_id)

    def _awake(self, session_id: str, _error: Exception | None = None) -> None:
        """Deliver what waited for the commit of an expiry."""
        for mail in self._loading.pop(session_id, ()):
            self.deliver(session_id, mail)

    def refresh_deadline(self, key: int, session_id: str) -> None:
        """A live session's row may hold an early deadline for ever: it is moved when it is met."""
        actor = self.live.get(session_id)
        if actor is not None and actor.session.key == key and actor.session.due_at > actor.stored_due:
            actor.stored_due = actor.session.due_at
            commits = self.shared.commits
            commits.gathering.deadlines[key] = None if actor.stored_due == NEVER else actor.stored_due
            commits.arm()

    def when_settled(self, step: Callable[[], None]) -> None:
        batch = self.shared.commits.latest()
        if batch is None:
            step()
        else:
            batch.owed.append((Then(step, lambda _error: step()), None))


def _is_behind(target: Any, value: Any, session_id: str, seq: int) -> bool:
    """Does it come of an event of the session behind `seq`: a step, or a push?"""
    if isinstance(target, Then):
        return target.event is not None and target.event[0] == session_id and target.event[1] > seq
    if not isinstance(value, bytes):
        return False
    event: dict[str, Any] = unpack(value)
    return bool(event.get("session_id") == session_id and event.get("seq", 0) > seq)
