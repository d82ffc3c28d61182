"""The registry actor: it knows which sessions are in memory, finds them, starts and stops their actors.

Identity outlives the object: a session that is not in memory is loaded when something is sent to it, and
whoever sent it cannot tell. Everything here runs on the loop thread; its own dict from id to actor is the
only index of live sessions (Pykka's global registry is a list).

What happens on the way into memory is in `loading`, how sessions go in `passivation`, what becomes of failed
ones in `restarts`, and of those that fall due in storage in `sweep` and `expiry`.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from pykka import ActorRef
from pykka._envelope import Envelope

from sojourn.storage import Gone, StoredSession

from .commits import Then
from .errors import Overloaded
from .expiry import TICK, Expiry
from .later import Later, Told
from .lifecycle import Handling
from .loading import Loading
from .loop import Dispatcher, LoopActor
from .mailbox import MailboxFull
from .messages import Probe, SendMessage
from .packing import pack
from .passivation import GONE, Passivation
from .restarts import Restarts
from .routes import Routes
from .session import ELSEWHERE, Elsewhere, SessionActor
from .shared import Shared
from .state import Session
from .supervision import DeadLetters, Supervisor
from .sweep import Sweep
from .timers import NEVER

__all__ = ["FindSession", "Later", "RegistryActor"]

RETRY_AFTER: Final = 0.5


class FindSession:
    """Answer: the `ActorRef` of a live session, or None. For programs that talk Pykka."""

    __slots__ = ("session_id",)

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id


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
        self._loading = loading = Loading(self)
        self._passivation = passivation = Passivation(self)
        restarts = Restarts(self, loading)
        self._reload = restarts.reload
        self.expiry = Expiry(self, loading)
        self._sweep = Sweep(self, self.expiry)
        # Bound here, so that who is told of an actor's end asks its part at once.
        self.answer_all = loading.answer_all
        self.rested = passivation.rested
        self.passivate = passivation.passivate
        self.ended = passivation.ended
        self.make_room = passivation.make_room
        self.crashed = restarts.crashed
        self.left = restarts.left
        self.lost = restarts.lost

    def inhabit(self, shared: Shared) -> None:
        """Take the house over; the two know each other, so one must come first."""
        self.shared = shared
        self.supervisor = Supervisor(shared.config.restart_intensity, shared.config.restart_period)
        self.routes = Routes(self)
        self.stored_due = NEVER
        """No session in storage that is not live falls due before this."""

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, FindSession):
            return self.ref(message.session_id)
        return super().on_receive(message)

    def ref(self, session_id: str) -> ActorRef[SessionActor] | None:
        """The Pykka reference of a live session."""
        actor = self.live.get(session_id)
        return None if actor is None else actor.actor_ref

    @property
    def idle(self) -> bool:
        """Nothing is being loaded, looked up or swept; what waits for a time is not under way."""
        return self._loading.idle and not self.sweeping and self.routes.idle

    @property
    def awaited(self) -> int:
        """Sessions that are on their way into memory."""
        return self._loading.waiting

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
        try:
            self._loading.wait(session_id, mail)
        except MailboxFull as full:
            self._refuse_full(mail, session_id, full)

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
        self.deliver(session_id, Probe(Told(step)))

    # -- starting ----------------------------------------------------------------------------------

    def create(self, session_id: str, mails: Iterable[Envelope[Any]]) -> None:
        """Start the actor of a new session; the first request makes its first event, at once.

        So whoever looks the session up next, and waits for the gathering commit before that, finds it.
        """
        key = self.next_key
        self.next_key = key + 1
        self.file(self._start(Session(key, session_id), NEVER))
        for mail in mails:
            self.deliver(session_id, mail)
        self.make_room()

    def activate(self, stored: StoredSession, session: Session) -> SessionActor:
        """Start the actor of a stored session, restored."""
        due = stored.row.due_at
        actor = self._start(session, NEVER if due is None else due)
        actor.saved_at(stored.row.seq, spread=True)
        return actor

    def _start(self, session: Session, stored_due: float) -> SessionActor:
        desk = self.shared.desk
        if session.handling is not Handling.AI or desk.knows(session.session_id):
            desk.note(session)  # it may come back otherwise than it went: a commit failed
        actor = SessionActor(session, self.shared, stored_due)
        self.live[session.session_id] = actor
        actor.launch(self.dispatcher)
        return actor

    def file(self, actor: SessionActor) -> None:
        """Have the actor woken when it is due, or to see whether it rests."""
        rest_at = self.shared.clock.now() + self.shared.config.passivate_after
        self.shared.wheel.file(actor, min(actor.session.due_at, rest_at))

    # -- waking ------------------------------------------------------------------------------------

    def wake(self, entry: Any) -> None:
        """The wheel's entry is due: a session to tick, or something to do."""
        if isinstance(entry, SessionActor):
            if self.live.get(entry.session.session_id) is entry:
                entry.actor_inbox.put_system(TICK)
        else:
            entry.run()

    @property
    def sweeping(self) -> bool:
        """What falls due in storage is being brought up."""
        return self._sweep.under_way

    def sweep(self, now: float) -> None:
        """Expire what falls due in storage."""
        self._sweep.begin(now)

    def due_in_storage(self, at: float) -> None:
        """Something in storage that is not live falls due then."""
        if at < self.stored_due:
            self.stored_due = at
            self.shared.wheel.changed()

    # -- stopping ----------------------------------------------------------------------------------

    def unload(self, actor: SessionActor) -> list[Envelope[Any]]:
        """Take the actor out of memory; what waits in its mailbox is returned, for whoever comes next."""
        session = actor.session
        del self.live[session.session_id]
        self._passivation.gone(session.session_id)
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
        self._sweep.stop()
        for actor in reversed(tuple(self.live.values())):
            self.unload(actor)
        self._loading.refuse_all()

    def erase(self, actor: SessionActor, cause: Any, gone: Gone) -> None:
        """Remove a session with the next commit; who is attached is told, who asks later finds nothing."""
        session = actor.session
        session_id = session.session_id
        batch = actor.join()
        batch.stored.erased[session.key] = gone
        batch.deadlines.pop(session.key, None)
        frame = pack({"type": "session:expired", "session_id": session_id, "at": gone.at, "reason": "erased"})
        watchers = self.shared.desk.on_erasure(session, cause)
        for subscriber in (*self.shared.audience.others(session_id, cause), *watchers):
            batch.owed.append((subscriber, frame))

        def forget() -> None:
            self.shared.audience.clear(session_id)
            self.dead_letters.forget(session_id)
            if self.shared.erasing is not None:
                self.shared.erasing.look()

        batch.owed.append((Then(forget), None))
        self._reload(actor, [])

    def when_settled(self, step: Callable[[], None]) -> None:
        """Run `step` when everything recorded so far is committed, or has failed."""
        batch = self.shared.commits.latest()
        if batch is None:
            step()
        else:
            batch.owed.append((Then(step, lambda _error: step()), None))
