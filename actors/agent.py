"""A callable that answers the user: a plain function (run in a bounded pool) or an `async def`.

One turn at a time a session. A turn begins when the user's message is committed, and what it returns is
stored as the AI's message. An exception never takes a session down: the history gets `message:failed`.
"""

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .commits import Then
from .errors import InternalError, InvalidRequest
from .messages import Caller, FailMessage, SendMessage

if TYPE_CHECKING:
    from .registry import RegistryActor
    from .session import SessionActor

logger = logging.getLogger(__name__)

POOL_SIZE: Final = 32
AI: Final = Caller("ai")


@dataclass(frozen=True, slots=True)
class Turn:
    """What the agent is given: the user's message and what is known of the talk."""

    session_id: str
    message_id: str
    text: str | None
    data: Any
    user: dict[str, Any]
    context: dict[str, Any]
    """A copy, in clear."""
    channel: str


Agent = Callable[[Turn], str | Awaitable[str | None] | None]
"""Returns the answer's text, or None to say nothing."""


class AgentRunner:
    """Runs an agent for all sessions of a runtime. Loop thread only."""

    def __init__(self, agent: Agent, registry: "RegistryActor", loop: asyncio.AbstractEventLoop) -> None:
        self._agent = agent
        self._registry = registry
        self._loop = loop
        self._pool = ThreadPoolExecutor(POOL_SIZE, thread_name_prefix="sojourn-agent")
        self._waiting: dict[str, deque[Turn]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False
        self.unanswered: Callable[[Turn, Exception], None] = _nobody_waits
        """Called when a turn has ended, with the reason why there is no answer if none was stored."""

    @property
    def idle(self) -> bool:
        """No turn runs or waits."""
        return not self._waiting

    def answer_after_commit(self, actor: "SessionActor", request: SendMessage, message_id: str) -> None:
        """Have the message answered once it is stored."""
        session = actor.session
        turn = Turn(
            session.session_id,
            message_id,
            request.text,
            request.data,
            session.user_map(),
            session.context_map(),
            session.channel,
        )
        batch = actor.batch
        assert batch is not None
        step = Then(lambda: self._begin(turn), event=(session.session_id, session.seq))
        batch.owed.append((step, None))

    def stop(self) -> None:
        """Give up what runs; nothing of it is stored."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _begin(self, turn: Turn) -> None:
        waiting = self._waiting.get(turn.session_id)
        if waiting is not None:
            waiting.append(turn)
            return
        self._waiting[turn.session_id] = deque((turn,))
        task = self._loop.create_task(self._run(turn.session_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, session_id: str) -> None:
        waiting = self._waiting[session_id]
        try:
            while waiting:
                await self._take(waiting[0])
                waiting.popleft()
        finally:
            del self._waiting[session_id]

    async def _take(self, turn: Turn) -> None:
        now = self._registry.shared.clock.now
        try:
            if inspect.iscoroutinefunction(self._agent):
                text = await self._agent(turn)
            else:
                answer = await self._loop.run_in_executor(self._pool, self._agent, turn)
                text = await answer if inspect.isawaitable(answer) else answer
            if text is None:
                self.unanswered(turn, InvalidRequest("the agent had nothing to say to this message"))
                return
            if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # user code may return anything
                msg = f"the agent returned {type(text).__name__}, not a text or None"
                raise TypeError(msg)
            text.encode()
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            # User code: whatever it raises, the session goes on. Only our own stop cancels a turn.
            if self._stopped:
                raise
            logger.warning("the agent failed on a message of session %s", turn.session_id, exc_info=error)
            failure = InternalError(f"the agent failed: {type(error).__name__}")
            failed = FailMessage(now(), turn.message_id, failure.code, failure.message)
            failed.reply_to = _Outcome(self, turn, failure)
            self._registry.deliver(turn.session_id, failed)
            return
        message = SendMessage(
            by=AI,
            now=now(),
            origin=None,
            attach=False,
            message_id=None,
            author="ai",
            author_id=None,
            text=text,
            attachments=None,
            data=None,
            context=None,
            in_reply_to=turn.message_id,
            reply_to=_Outcome(self, turn, InternalError("the answer was not stored")),
        )
        self._registry.deliver(turn.session_id, message)


class _Outcome:
    """Hears whether what a turn came to is stored."""

    __slots__ = ("_error", "_runner", "_turn")

    def __init__(self, runner: AgentRunner, turn: Turn, error: Exception) -> None:
        self._runner = runner
        self._turn = turn
        self._error = error

    def set(self, _value: Any = None) -> None:
        self._runner.unanswered(self._turn, self._error)  # whoever had an answer no longer waits for one

    def set_exception(self, exc_info: Any = None) -> None:
        self._runner.unanswered(self._turn, exc_info[1])


def _nobody_waits(_turn: Turn, _error: Exception) -> None:
    return
