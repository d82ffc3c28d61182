"""The actor of one conversation: it hosts a `Session`, and has no rule of its own.

Its whole duty: take a request, have it handled by the rules (`requests.py`), hand the events that come of it
to the gathering commit, and have the answer wait for that commit.

Pykka's truths that it relies on: `__init__` runs in the starter's thread; an error in an ask goes to the
asker and the actor lives; nothing restarts anything (the registry does); a stopped actor answers
`ActorDeadError`, which is an answer and not a crash.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from mypy_extensions import mypyc_attr

from sojourn.storage import EVENT_TYPES, EventRow, SessionRow

from .desk import DESK_EVENTS
from .errors import SessionError, StorageFailed, TooManyAttachments
from .events import visible
from .lifecycle import NEVER, Handling, Status
from .loop import LoopActor
from .mail import Subscriber
from .mailbox import Mailbox
from .messages import Tick
from .packing import pack
from .snapshots import freeze
from .state import Session
from .stop_flag import StopFlag
from .upkeep import Upkeep

if TYPE_CHECKING:
    from .commits import Gathering, GroupCommit
    from .mail import ReplyTarget
    from .shared import Shared


SILENCING: Final = frozenset({"session:closed", "session:handed_over", "session:assigned", "session:expired"})
"""Events after which the AI has nothing to say: a turn that runs is cut before them."""


class Waiting:
    """Instead of an answer: it comes later (`SessionActor.later`), and the mailbox is held until then."""

    __slots__ = ()


WAITING: Final = Waiting()

MOST_EVENTS_TO_FOLD: Final = 2048
"""Events behind a snapshot, at most, whatever the length of the session: some milliseconds to fold."""


class Elsewhere:
    """Instead of an answer: the request was passed on, and will be answered there."""

    __slots__ = ()


ELSEWHERE: Final = Elsewhere()


# What every message passes is a function rather than a method: compiled code calls it directly, and has no
# bound method made of an actor that is not compiled.


def keep(
    actor: "SessionActor",
    session: Session,
    shared: "Shared",
    code: int,
    body: bytes,
    at: float,
    flags: int,
    cause: Subscriber | None,
) -> "Gathering":
    """`SessionActor.keep`, of an actor whose session and house are at hand; the event's batch."""
    upkeep = actor.upkeep
    batch = join(actor, upkeep, shared.commits)
    row: EventRow = (session.key, session.seq, at, code, flags, body)
    batch.events.append(row)
    newest = upkeep.newest
    if newest is not None:
        newest.add(row)
    others = shared.audience.others(session.session_id, cause)
    if others:
        frame = visible(row, session.session_id, shared.sensitive)
        for subscriber in others:
            batch.owed.append((subscriber, frame))
    if session.due_at < upkeep.stored_due:
        upkeep.stored_due = batch.deadlines[session.key] = session.due_at
    if session.seq >= upkeep.snapshot_at:
        actor.snapshot()
    return batch


def join(actor: "SessionActor", upkeep: Upkeep, commits: "GroupCommit") -> "Gathering":
    """`SessionActor.join`, of an actor whose upkeep, and whose house's commits, are at hand."""
    batch = commits.gathering
    if upkeep.batch is not batch:
        upkeep.batch = batch
        batch.actors.append(actor)
        commits.arm()
    return batch


@mypyc_attr(native_class=False)  # Pykka's actors are not
class SessionActor(LoopActor):
    """One session in memory. Started by the registry, on the loop thread."""

    __slots__ = ("current", "session", "shared", "upkeep", "wake_at")

    use_pykka_registry = False
    stops_all_on_exit = False

    def __init__(self, session: Session, shared: "Shared", stored_due: float) -> None:
        """Lean on purpose: the base class's counter, names and reference are made when somebody asks."""
        self.actor_urn = session.session_id
        self.actor_inbox = Mailbox(shared.config.mailbox_limit)
        self.actor_stopped = StopFlag()
        self._ref = None
        self.session = session
        self.shared = shared
        self.upkeep = Upkeep(stored_due)
        self.current: Any = None
        """The request whose answer is waited for."""
        self.saved_at(session.seq, spread=True)
        self.wake_at = NEVER

    def _start_actor_loop(self) -> None:
        """Nothing to begin: the first request has it scheduled."""

    def _process(self, envelope: Any) -> None:
        """Handle one envelope; the answer, or the refusal, waits for the commit of what it speaks of."""
        shared = self.shared
        handler = shared.handlers.get(type(envelope))  # pyright: ignore[reportUnknownArgumentType]  # any message may come
        if handler is None:
            message = envelope.message
            if type(message) not in shared.handlers:
                super()._process(envelope)
                return
            # It came through an `ActorRef`, in Pykka's envelope.
            message.reply_to = envelope.reply_to
            envelope = message
            handler = shared.handlers[type(envelope)]
        if type(envelope) is not Tick:
            self.upkeep.touched = True
        session = self.session
        seq = session.seq
        try:
            answer = handler(self, envelope)
        except SessionError as error:
            self._reply_with_error(envelope.reply_to, error)
        except Exception as error:  # noqa: BLE001  # the one place that catches all: the registry starts it anew
            shared.crashed(self, envelope, error, seq)
            return
        else:
            if answer is WAITING:
                self.current = envelope
                self.actor_inbox.hold()
                return
            reply_to = envelope.reply_to
            if reply_to is not None and answer is not ELSEWHERE:
                batch = self.upkeep.batch
                if batch is None:
                    reply_to.set(answer)
                else:
                    batch.owed.append((reply_to, answer))
        if session.due_at < self.wake_at:
            shared.wheel.file(self, session.due_at)

    # -- answers that come later -------------------------------------------------------------------

    def later(self, answer: Any) -> None:
        """Give the answer that was waited for, and go on with the mailbox."""
        envelope, self.current = self.current, None
        if envelope.reply_to is not None:
            self.shared.commits.after(self.upkeep.batch, envelope.reply_to, answer)
        self.actor_inbox.release()

    def again(self) -> None:
        """What was waited for is known now: handle the request that waited, then go on."""
        envelope, self.current = self.current, None
        if self.actor_stopped.is_set():
            # It left memory while this was looked up, because a commit failed: the asker may try again.
            error = StorageFailed("not stored: the session is loaded anew", retry_after=1.0)
            self._reply_with_error(envelope.reply_to, error)
            return
        self.actor_inbox.release()
        self._process(envelope)

    def failed_read(self, error: Exception) -> None:
        """The journal could not be read: say so, and go on."""
        envelope, self.current = self.current, None
        if not isinstance(error, SessionError):
            error = StorageFailed(f"the history could not be read: {error}", retry_after=1.0)
        self._reply_with_error(envelope.reply_to, error)
        self.actor_inbox.release()

    def _reply_with_error(self, reply_to: "ReplyTarget | None", error: SessionError) -> None:
        if reply_to is not None:
            self.shared.commits.refuse(self.upkeep.batch, reply_to, error)

    # -- recording ---------------------------------------------------------------------------------

    def record(
        self,
        event: str,
        payload: Mapping[str, Any],
        at: float,
        flags: int = 0,
        cause: Subscriber | None = None,
    ) -> None:
        """Let an event happen: fold it in, and keep it."""
        session = self.session
        agent = self.shared.agent
        if agent is not None and event in SILENCING:
            agent.hush(self, at)
        handling, queue = session.handling, session.queue
        session.apply(event, at, payload, flags)
        self.keep(EVENT_TYPES[event], pack(payload), at, flags, cause)
        if agent is not None:
            agent.on_recorded(self, event, payload, at)
        if event in DESK_EVENTS and not (handling is session.handling is Handling.AI):
            self.shared.desk.on_event(self, queue, cause)

    def keep(self, code: int, body: bytes, at: float, flags: int, cause: Subscriber | None) -> None:
        """Hand the event just folded in to the gathering commit, and have it pushed to the others after
        that.
        """
        keep(self, self.session, self.shared, code, body, at, flags, cause)

    def join(self) -> "Gathering":
        """Take part in the batch that gathers now."""
        return join(self, self.upkeep, self.shared.commits)

    def put_first_row(self, request_key: str | None, token_hash: bytes) -> None:
        """Have the new session's row made with the same commit as its first event."""
        session = self.session
        batch = self.join()
        batch.deadlines.pop(session.key, None)
        self.upkeep.stored_due = session.due_at
        batch.rows[session.key] = self._row(None, request_key, token_hash)

    def snapshot(self) -> None:
        """Have the session's row rewritten with the same commit: state, deadline and snapshot."""
        session = self.session
        batch = self.join()
        self.saved_at(session.seq)
        self.upkeep.stored_due = session.due_at
        batch.deadlines.pop(session.key, None)
        first = batch.rows.get(session.key)
        if first is not None:
            batch.older.setdefault(session.key, []).append(first)
        batch.rows[session.key] = self._row(
            freeze(session), first and first.request_key, first and first.resume_hash
        )

    def saved_at(self, seq: int, *, spread: bool = False) -> None:
        """The snapshot in the session's row is of this `seq`.

        It holds what was answered to every message, so it costs as much as the session is long: the longer
        the session, the rarer they are, and a message costs the same however many came before it. `spread`,
        when the session comes to memory, moves its next snapshot forward by another number for each session:
        a thousand that go in step would all be written in one moment, and hold the loop for 150 ms.
        """
        self.upkeep.snapshot_seq = seq
        after = max(self.shared.snapshot_every, min(seq // 4, MOST_EVENTS_TO_FOLD))
        if spread:
            after -= (self.session.key - 1) % (after // 2 + 1)
        self.upkeep.snapshot_at = seq + after

    def _row(self, snapshot: bytes | None, request_key: str | None, token_hash: bytes | None) -> SessionRow:
        session = self.session
        return SessionRow(
            key=session.key,
            session_id=session.session_id,
            user_id=session.user_map().get("user_id"),
            channel=session.channel,
            request_key=request_key,
            resume_hash=token_hash,
            created_at=session.created_at,
            status=session.status.value,
            handling=session.handling.value,
            queue=session.queue,
            assignee=session.assignee,
            due_at=None if session.due_at == NEVER else session.due_at,
            seq=0 if snapshot is None else session.seq,
            snapshot=snapshot,
        )

    def pass_time(self, now: float) -> float:
        """Record everything that time owes at `now`; return `now`, or the last event's instant if later."""
        session = self.session
        while session.due_at <= now:
            lapse = session.lapse(now, self.shared.config.queue_timeout)
            assert lapse is not None
            self.record(lapse.event, lapse.payload, lapse.at)
            if session.status is Status.EXPIRED:
                self.snapshot()
                self.shared.ended(self)
            elif session.handling_seq == session.seq:
                self.snapshot()
        return max(now, session.last_at)

    def attach(self, subscriber: Subscriber) -> None:
        """Attach a connection; called before anything is recorded, for it refuses when that has no room."""
        session_id = self.session.session_id
        if session_id in subscriber.attached:
            return
        audience = self.shared.audience
        if not audience.has_room(subscriber, session_id):
            raise TooManyAttachments(
                f"this connection is attached to {len(subscriber.attached)} sessions: detach some first",
                session_id=session_id,
                details={"limit": "max_attachments", "max": subscriber.max_attachments},
            )
        audience.attach(session_id, subscriber)

    def on_stop(self) -> None:
        """Somebody stopped it by its reference."""
        self.shared.left(self)

    def on_failure(self, *_reason: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  # the reason is logged
        """What came through its reference in Pykka's own way (a proxy's call) failed."""
        self.shared.left(self)

    def retire(self) -> None:
        """Leave memory: nothing is saved here, the registry has seen to that. Refs to it are dead from now
        on.
        """
        self._retire()
        self.actor_inbox.close()
