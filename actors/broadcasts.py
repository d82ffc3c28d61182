"""One message to many people, each with an outcome of its own, written in the commit of the message.

The people of a request are taken in slices: of each slice it is read who was reached before under this
`broadcast_id` and who opted out, then the rest get their message by the way that every message to a user
goes, and the next slice begins when all of this one have an answer. So what others ask meanwhile waits for
one slice at most, and a repeat, also after a crash, finds everybody who was reached.

Requests under one `broadcast_id` come one after the other: two at once would both find nobody reached.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, cast

from sojourn.storage import EVENT_TYPES, Reader, broadcasts

from .closing import on_reopen
from .context import check_patch
from .errors import InvalidRequest, SessionError
from .lifecycle import Status
from .mail import Caller, ReplyTarget
from .messages import BroadcastMessage, ReopenSession, UpdateContext
from .packing import pack, unpack
from .patching import on_update_context
from .sending import new_message_id
from .session import Elsewhere, SessionActor
from .state import CREATED, REOPENED
from .values import check_user

if TYPE_CHECKING:
    from .reception import Reception
    from .registry import RegistryActor

logger = logging.getLogger(__name__)

SLICE: Final = 64
"""People at once: some milliseconds of the loop."""
NEW, LIVE, AGAIN = 1, 2, 3
"""Outcomes as stored: created, delivered, reopened."""
OPTED_OUT: Final = "opted_out"
INVALID: Final = "invalid_payload"
_MESSAGE: Final = EVENT_TYPES["message:received"]
_TEXTS: Final = ("display_name", "email", "phone", "language")


@dataclass(slots=True, kw_only=True, eq=False)
class Broadcast:
    """One request: what is said, to whom, and how."""

    broadcast_id: str
    users: Iterable[Any]
    """User maps; each needs a `user_id`. One that is wrong fails alone."""
    by: Caller
    author: str
    channel: str
    text: str | None = None
    attachments: list[Any] | None = None
    data: Any = None
    context: dict[str, Any] | None = None
    reopen: bool = False


@dataclass(slots=True, eq=False)
class BroadcastOutcome:
    """What became of it so far; somebody who is named twice counts once."""

    broadcast_id: str
    created: int = 0
    delivered: int = 0
    reopened: int = 0
    failed: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """{`user_id`, `code`} each."""

    @property
    def reached(self) -> int:
        return self.created + self.delivered + self.reopened

    def count(self, outcome: int) -> None:
        """One more was reached."""
        if outcome == NEW:
            self.created += 1
        elif outcome == LIVE:
            self.delivered += 1
        else:
            self.reopened += 1

    def fail(self, user_id: Any, code: str) -> None:
        """One was not."""
        self.failed.append({"user_id": user_id if isinstance(user_id, str) else None, "code": code})

    def as_map(self) -> dict[str, Any]:
        """The payload of `broadcast:sent`."""
        return {
            "broadcast_id": self.broadcast_id,
            "created": self.created,
            "delivered": self.delivered,
            "reopened": self.reopened,
            "failed": self.failed,
        }


Progress = Callable[[BroadcastOutcome], object]


class Broadcasts:
    """All broadcasts of one runtime. Loop thread only."""

    def __init__(
        self, registry: "RegistryActor", reception: "Reception", draining: Callable[[], bool]
    ) -> None:
        """When `draining` says so, a broadcast ends with its slice, and says whom it did not reach."""
        self._registry = registry
        self._reception = reception
        self._draining = draining
        self._turns: dict[str, list[asyncio.Future[None]]] = {}
        """Who waits for the broadcast_id; it is there while somebody has it."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def idle(self) -> bool:
        """None is under way."""
        return not self._tasks and not self._turns

    async def finished(self) -> None:
        """Wait until none is under way."""
        await self._empty.wait()

    def start(self, broadcast: Broadcast, reply_to: ReplyTarget, progress: Progress | None = None) -> None:
        """Do it by and by; the answer is the `BroadcastOutcome`."""

        async def run() -> None:
            try:
                outcome = await self.send(broadcast, progress)
            except Exception as error:  # noqa: BLE001  # whatever it is, the asker hears of it
                reply_to.set_exception((type(error), error, None))
            else:
                reply_to.set(outcome)

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def send(self, broadcast: Broadcast, progress: Progress | None = None) -> BroadcastOutcome:
        """Reach everybody, and say what became of it; `progress` hears of it after each slice.

        Raises `SessionError` before anything is done when the request as a whole is wrong.
        """
        if broadcast.context is not None:
            check_patch(broadcast.context)
            self._registry.shared.merged({}, broadcast.context)
        broadcast_id = broadcast.broadcast_id
        waiting = self._turns.get(broadcast_id)
        if waiting is None:
            self._turns[broadcast_id] = []
            self._empty.clear()
        else:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            waiting.append(turn)
            await turn
        try:
            return await self._send(broadcast, progress)
        finally:
            queue = self._turns[broadcast_id]
            if queue:
                queue.pop(0).set_result(None)
            else:
                del self._turns[broadcast_id]
                if not self._turns:
                    self._empty.set()

    async def _send(self, broadcast: Broadcast, progress: Progress | None) -> BroadcastOutcome:
        outcome = BroadcastOutcome(broadcast.broadcast_id)
        people = _people(broadcast.users, outcome)
        while batch := list(islice(people, SLICE)):
            await self._slice(broadcast, dict(batch), outcome)
            if progress is not None:
                try:
                    progress(outcome)
                except Exception:
                    logger.exception("whoever watches broadcast %s failed", broadcast.broadcast_id)
            await asyncio.sleep(0)  # also when nothing had to be read, others come in between
        logger.info(
            "broadcast %s: %d created, %d delivered, %d reopened, %d failed",
            outcome.broadcast_id,
            outcome.created,
            outcome.delivered,
            outcome.reopened,
            len(outcome.failed),
        )
        return outcome

    async def _slice(
        self, broadcast: Broadcast, people: dict[str, dict[str, Any]], outcome: BroadcastOutcome
    ) -> None:
        registry = self._registry
        if self._draining():
            for user_id in people:
                outcome.fail(user_id, "draining")
            return
        try:
            reached, opted_out = await registry.shared.reads.get(
                _look_up(broadcast.broadcast_id, list(people))
            )
        except Exception:
            logger.exception("broadcast %s: who was reached could not be read", broadcast.broadcast_id)
            for user_id in people:
                outcome.fail(user_id, "storage_failed")
            return
        answers = _Answers(outcome)
        addressed: list[tuple[str, dict[str, Any]]] = []
        for user_id, user in people.items():
            known = reached.get(user_id)
            if known is not None:
                outcome.count(known)
            elif user_id in opted_out:
                outcome.fail(user_id, OPTED_OUT)
            else:
                addressed.append((user_id, user))
        if addressed:
            registry.routes.prepare(broadcast.channel, [user_id for user_id, _ in addressed])
            answers.left = len(addressed)
            for user_id, user in addressed:
                self._send_to(broadcast, user_id, user, _Answer(answers, user_id))
            await answers.all

    def _send_to(self, broadcast: Broadcast, user_id: str, user: dict[str, Any], reply_to: "_Answer") -> None:
        now = self._registry.shared.clock.now()
        by = broadcast.by
        session_id = self._reception.new_id(now)
        creation = self._reception.creation(
            session_id, by, now, None, attach=False, user=user, channel=broadcast.channel
        )
        message = BroadcastMessage(
            by=by,
            now=now,
            origin=None,
            attach=False,
            message_id=None,
            author=broadcast.author,
            author_id=by.id,
            text=broadcast.text,
            attachments=broadcast.attachments,
            data=broadcast.data,
            context=broadcast.context,
            broadcast_id=broadcast.broadcast_id,
            user_id=user_id,
            reopen=broadcast.reopen,
            reply_to=reply_to,
        )
        self._reception.send_to_user(session_id, creation, message)


class _Answers:
    """Counts the answers of a slice."""

    __slots__ = ("all", "left", "outcome")

    def __init__(self, outcome: BroadcastOutcome) -> None:
        self.outcome = outcome
        self.left = 0
        self.all: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def one_more(self) -> None:
        self.left -= 1
        if not self.left:
            self.all.set_result(None)


class _Answer:
    """Where one person's answer goes."""

    __slots__ = ("_answers", "_user_id")

    def __init__(self, answers: _Answers, user_id: str) -> None:
        self._answers = answers
        self._user_id = user_id

    def set(self, value: Any = None) -> None:
        self._answers.outcome.count(value)
        self._answers.one_more()

    def set_exception(self, exc_info: Any = None) -> None:
        error = exc_info[1]
        code = error.code if isinstance(error, SessionError) else "internal_error"
        self._answers.outcome.fail(self._user_id, code)
        self._answers.one_more()


def _people(users: Iterable[Any], outcome: BroadcastOutcome) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each person once; what is no user map with a user_id has failed."""
    seen: set[str] = set()
    for user in users:
        if not _is_addressee(user):
            outcome.fail(user.get("user_id") if isinstance(user, dict) else None, INVALID)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        elif user["user_id"] not in seen:
            seen.add(user["user_id"])
            yield user["user_id"], user


def _is_addressee(user: Any) -> bool:
    if not isinstance(user, dict):
        return False
    try:
        check_user(user)
    except InvalidRequest:
        return False
    known = cast("dict[str, Any]", user)
    told = (known.get(key) for key in _TEXTS)
    return known.get("user_id") is not None and all(each is None or isinstance(each, str) for each in told)


def _look_up(
    broadcast_id: str, user_ids: Sequence[str]
) -> Callable[[Reader], tuple[dict[str, int], set[str]]]:
    def ask(reader: Reader) -> tuple[dict[str, int], set[str]]:
        reached = reader.look(lambda connection: broadcasts.outcomes_of(connection, broadcast_id, user_ids))
        scopes = reader.scopes([each for each in user_ids if each not in reached])
        opted_out = {
            user_id
            for user_id, row in scopes.items()
            if row.context is not None and unpack(row.context).get("opt_out")
        }
        return reached, opted_out

    return ask


def on_broadcast(actor: SessionActor, request: BroadcastMessage) -> int | Elsewhere:
    """A broadcast's message: a closed session takes it without reopening, unless it says so; nobody is
    assigned by it. Answer: the outcome, which is stored in the same commit.
    """
    session = actor.session
    shared = actor.shared
    at = request.now
    if session.due_at <= at or at < session.last_at:
        at = actor.pass_time(at)
    if session.status is Status.EXPIRED:
        return shared.address_again(actor, request)
    created = request.created
    outcome = NEW if created else LIVE
    flags = CREATED if created else 0
    closed = session.status is Status.CLOSED
    reopens = closed and request.reopen
    context = request.context if reopens or not closed else None
    if context is not None:
        shared.merged(session.context_map(), context)
    if reopens:
        on_reopen(actor, ReopenSession(request.by, at, None, False))
        outcome = AGAIN
        flags |= REOPENED
    if session.status is Status.ACTIVE:
        flags |= shared.message_flags[request.author]
        if context is not None:
            on_update_context(actor, UpdateContext(request.by, at, None, False, context, None))
    message_id = new_message_id(session)
    payload: dict[str, Any] = {
        "author": request.author,
        "message_id": message_id,
        "text": request.text,
        "attachments": request.attachments,
        "data": request.data,
        "broadcast_id": request.broadcast_id,
    }
    if request.author_id is not None:
        payload["author_id"] = request.author_id
    session.apply_message(at, request.author, message_id, flags)
    actor.keep(_MESSAGE, pack(payload), at, flags, None)
    row = (request.user_id, request.broadcast_id, session.key, outcome)
    shared.commits.gathering.broadcasts.append(row)
    return outcome


HANDLERS: Final[Mapping[type, Callable[[SessionActor, Any], Any]]] = {BroadcastMessage: on_broadcast}
