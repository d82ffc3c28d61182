"""One message to many people, each with an outcome of its own, written in the commit of the message.

The people of a request are taken in slices: of each slice it is read who was reached before under this
`broadcast_id` and who opted out, then the rest get their message by the way that every message to a user
goes, and the next slice begins when all of this one have an answer. So what others ask meanwhile waits for
one slice at most, and a repeat, also after a crash, finds everybody who was reached.

Requests under one `broadcast_id` come one after the other: two at once would both find nobody reached.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from sojourn.storage import Reader, broadcasts

from .broadcast import Broadcast, BroadcastOutcome, Progress, addressees
from .context import check_patch
from .errors import SessionError
from .mail import ReplyTarget
from .messages import BroadcastMessage
from .packing import unpack

if TYPE_CHECKING:
    from .reception import Reception
    from .registry import RegistryActor

logger = logging.getLogger(__name__)

SLICE: Final = 64
"""People at once: some milliseconds of the loop."""
OPTED_OUT: Final = "opted_out"


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
        people = addressees(broadcast.users, outcome)
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
