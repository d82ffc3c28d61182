"""Turns of the agent, for all sessions of a runtime: when each begins, and how it ends.

A session has one turn at a time. A turn is owed from the moment its message is recorded, ready when that is
committed, and runs when its session has no other and there is a place (`turn_places`). When the user speaks
again, `turn_policy` says what becomes of the turn that runs; when a human comes, or the session closes, it is
cut: over at once for its session, whenever its handler may end.

What is under way is marked in the file with the message itself (`turn_ends.begin_turn`), so a process that
died leaves no turn forgotten (`turn_recovery`).
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from .agent import Agent, events_of, is_plain, name_of, said_by
from .answers import History
from .awaited import Awaited
from .commits import Then
from .errors import InternalError, InvalidRequest, Overloaded, SessionError, StorageFailed
from .guard import LoopGuard
from .lifecycle import Handling, Status
from .mail import Mail
from .messages import SendMessage
from .turn import Said, Turn, patch_between, said_before
from .turn_ends import AI, PAGE_BYTES, BeginTurn, FinishTurn, begin_turn, end_turn, keep_shown
from .turn_outcome import TurnOutcome, was_cut
from .turn_places import TurnPlaces
from .turn_run import Run, Stands
from .turn_time import TurnTime
from .values import check_json

if TYPE_CHECKING:
    from .registry import RegistryActor
    from .session import SessionActor

logger = logging.getLogger(__name__)

RETRY_AFTER: Final = 1.0


class TurnRunner:
    """Runs an agent. Loop thread only."""

    def __init__(self, agent: Agent, registry: "RegistryActor", loop: asyncio.AbstractEventLoop) -> None:
        self.registry = registry
        self.loop = loop
        self.thread_id = registry.dispatcher.thread_id
        self.config = registry.shared.config
        self.stopped = False
        self.guard = LoopGuard(self.config.slow_handler)
        self.unanswered: Callable[[str, str, Exception], None] = _nobody_waits
        """Called with session_id and message_id when a turn has ended, and why there is no answer if none was
        stored.
        """
        self._agent = agent
        self._name = name_of(agent)
        self._events = events_of(agent)
        self._is_plain = is_plain(agent)
        self._pool = ThreadPoolExecutor(self.config.handler_threads, thread_name_prefix="sojourn-agent")
        threads = self.config.handler_threads
        most = min(self.config.max_turns, threads) if self._is_plain else self.config.max_turns
        self._places = TurnPlaces(most, loop, self._begin)
        self._talks: dict[str, list[Run]] = {}
        """By session: the turn that runs, and those behind it, in the order of what they answer."""
        self.time = TurnTime(registry.shared, loop)

    @property
    def idle(self) -> bool:
        """No turn runs that does not just let time pass."""
        return self.time.awake == 0

    @property
    def running(self) -> int:
        """Handlers that have not ended, those of cut turns among them."""
        return self._places.taken

    @property
    def waiting(self) -> int:
        """Sessions whose turn waits for a place."""
        return self._places.waiting

    def stop(self) -> None:
        """Give up what runs; nothing of it is stored, and its mark stays for the next start."""
        self.stopped = True
        for runs in self._talks.values():
            for run in runs:
                self.end(run)
        self._places.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.guard.stop()

    # -- from the session, while it handles a request ------------------------------------------------

    def admit(self, actor: "SessionActor") -> None:
        """Before a user's message is taken: refuse it, if that is what a running turn means."""
        if self.config.turn_policy == "reject" and self._talks.get(actor.session.session_id):
            session_id = actor.session.session_id
            raise Overloaded(
                f"session {session_id} is being answered: wait for the end of that",
                session_id=session_id,
                retry_after=RETRY_AFTER,
                details={"limit": "turn_policy", "max": 1},
            )

    def give_way(self, actor: "SessionActor", at: float) -> None:
        """Before a user's message is recorded: cut what runs, if that is what the message means."""
        if self.config.turn_policy == "cancel" and actor.session.session_id in self._talks:
            self.hush(actor, at)

    def hush(self, actor: "SessionActor", at: float) -> None:
        """Cut every turn of the session; what was shown of it is recorded now."""
        session = actor.session
        for run in tuple(self._talks.get(session.session_id, ())):
            was_owed = run.stands is Stands.OWED
            self.end(run)
            if was_owed and actor.join().turns.get((run.key, run.seq)) is None and run.seq > session.seq:
                continue  # what it was to answer was taken back
            if session.status is Status.ACTIVE:
                keep_shown(actor, run, at)
            end_turn(actor, run)
            actor.join().owed.append((TurnOutcome(self, run, was_cut(), session), None))

    def answer_after_commit(self, actor: "SessionActor", request: SendMessage, message_id: str) -> None:
        """Have a message answered once it is stored."""
        session = actor.session
        said = Said(
            message_id,
            request.author,
            request.text,
            request.data,
            request.attachments,
            request.author_id,
            session.seq,
            session.last_at,
        )
        self._owe(actor, Run(self, session.session_id, session.key, session.seq, said))

    def on_recorded(self, actor: "SessionActor", event: str, payload: Any, at: float) -> None:
        """Have an event answered, if the agent asked for its kind."""
        if event in self._events:
            session = actor.session
            if session.status is Status.ACTIVE and session.handling is Handling.AI:
                head = {"type": event, "session_id": session.session_id, "seq": session.seq, "at": at}
                seen = {**head, **payload}
                self._owe(actor, Run(self, session.session_id, session.key, session.seq, None, seen))

    def _owe(self, actor: "SessionActor", run: Run) -> None:
        runs = self._talks.setdefault(run.session_id, [])
        # What is recorded at this place now replaces what was recorded there and taken back.
        for stale in [each for each in runs if each.stands is Stands.OWED and each.seq >= run.seq]:
            runs.remove(stale)
        runs.append(run)
        begin_turn(actor, run)
        step = Then(
            lambda: self._committed(run), lambda _error: self._drop(run), event=(run.session_id, run.seq)
        )
        actor.join().owed.append((step, None))

    # -- beginning -----------------------------------------------------------------------------------

    def _committed(self, run: Run) -> None:
        if run.stands is Stands.OWED:
            run.stands = Stands.READY
            self.go_on(run.session_id)

    def _drop(self, run: Run) -> None:
        """What it was to answer never happened."""
        self.end(run)

    def line_up(self, run: Run) -> None:
        """Have it come behind those that its session has already."""
        self._talks.setdefault(run.session_id, []).append(run)

    def go_on(self, session_id: str) -> None:
        """Have the session's next turn begin when there is a place."""
        runs = self._talks.get(session_id)
        if not runs:
            self._talks.pop(session_id, None)
            return
        while runs[0].stands is Stands.OWED and any(run.stands is Stands.READY for run in runs):
            del runs[0]  # commits come in order: it was taken back
        if runs[0].stands is Stands.READY:
            self._places.wait(session_id)

    def _begin(self, session_id: str) -> Run | None:
        """There is a place for its next turn, if it still has one that is ready."""
        runs = self._talks.get(session_id)
        if not runs or runs[0].stands is not Stands.READY:
            return None
        run = runs[0]
        run.stands = Stands.RUNS
        self.time.wake(run)
        run.task = self.loop.create_task(self._take(run))
        return run

    async def _take(self, run: Run) -> None:
        try:
            turn = await self._open(run)
            if turn is not None:
                self.time.limit(run, self._too_long)
                await self.guard.watch(self._answer(turn, run), self._name)
                run.patch = patch_between(run.before, turn.context)
                check_json(run.patch, "context")
                self._finish(run)
        except (Exception, SystemExit, KeyboardInterrupt, asyncio.CancelledError) as error:
            # User code: whatever it raises, the session goes on. A turn that is over was cut by us.
            if run.stands is Stands.RUNS and not self.stopped:
                logger.warning("the agent failed on a message of session %s", run.session_id, exc_info=error)
                reason = f": {error}" if isinstance(error, SessionError) else ""
                run.fail("internal_error", f"the agent failed: {type(error).__name__}{reason}")
                self._finish(run)

    async def _open(self, run: Run) -> Turn | None:
        """Ask the session what there is; None when there is nothing to answer any more."""
        now = self.registry.shared.clock.now()
        answer: asyncio.Future[History] = self.loop.create_future()
        request = BeginTurn(AI, now, None, False, 0, 1, PAGE_BYTES, run)
        request.reply_to = Awaited(answer)
        self._hand(run.session_id, request)
        try:
            found = await answer
        except SessionError as error:
            if isinstance(error, StorageFailed):
                run.fail(error.code, error.message)
            self._finish(run, error)
            return None
        if run.stands is not Stands.RUNS:
            return None
        return run.open(said_before(found.events, run.seq), now)

    async def _answer(self, turn: Turn, run: Run) -> None:
        answer: Any
        if self._is_plain:
            run.thread = self._pool.submit(_call, self._agent, turn)
            answer = await asyncio.wrap_future(run.thread)
        else:
            answer = self._agent(turn)
        await said_by(answer, turn)

    def _too_long(self, run: Run, seconds: float) -> None:
        if run.stands is Stands.RUNS:
            logger.warning("the agent took longer than %s s for session %s", seconds, run.session_id)
            run.fail("turn_timeout", f"the agent took longer than {seconds:g} s")
            self._finish(run)
            if run.task is not None:
                run.task.cancel()

    # -- ending --------------------------------------------------------------------------------------

    def _finish(self, run: Run, error: SessionError | None = None) -> None:
        """Have what it came to stored; `error`: why there is no answer."""
        if run.stands is not Stands.RUNS:
            return
        if error is None and run.error is None:
            said = run.turn is not None and run.turn.decisions.said
            error = (
                InternalError("the answer was not stored")
                if said
                else InvalidRequest("the agent had nothing to say to this message")
            )
        elif error is None:
            error = run.error
        assert error is not None
        self.end(run, cut=run.error is not None)
        self.deliver(run, error)

    def deliver(self, run: Run, error: SessionError) -> None:
        """Have its session store what it came to; `error`: why there is no answer, if there is none."""
        finish = FinishTurn(run, self.registry.shared.clock.now())
        finish.reply_to = TurnOutcome(self, run, error)
        self._hand(run.session_id, finish)

    def _hand(self, session_id: str, mail: Mail) -> None:
        """To the session, however much waits there."""
        actor = self.registry.live.get(session_id)
        if actor is None:
            self.registry.deliver(session_id, mail)
        elif not actor.actor_inbox.run_now(mail):
            actor.actor_inbox.put_system(mail)

    def store_cut(self, run: Run) -> None:
        """The commit that cut a turn failed: what was shown of it is stored by itself."""
        if not self.stopped:
            self.deliver(run, was_cut())

    def end(self, run: Run, *, cut: bool = True) -> None:
        """It is over for its session; the next may begin."""
        self.time.end(run)
        run.stands = Stands.OVER
        if cut and run.turn is not None:
            run.turn.cut = True
        if cut and run.task is not None and run.error is None:
            run.task.cancel()
        if self.stopped:
            return
        runs = self._talks.get(run.session_id)
        if runs is not None:
            if run in runs:
                runs.remove(run)
            self.go_on(run.session_id)


def _call(agent: Agent, turn: Turn) -> Any:
    try:
        return agent(turn)
    except StopIteration as error:
        raise RuntimeError("the agent raised StopIteration") from error  # no future can carry that


def _nobody_waits(_session_id: str, _message_id: str, _error: Exception) -> None:
    return
