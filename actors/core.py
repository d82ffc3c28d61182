"""The runtime's inside: journal, store, reader, registry and alarm, put together on one event loop.

`Runtime` embeds it, the gateway serves it. Parts start from the storage upwards and stop in reverse.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from pykka._envelope import Envelope

from sojourn.storage import (
    Batch,
    Call,
    Durability,
    Journal,
    StorageError,
    add_sensitive_keys,
    outbox,
    read_open_turns,
    read_sensitive_keys,
)

from .agent import Agent
from .alarm import Alarm
from .broadcast_message import BROADCAST_HANDLERS
from .broadcasts import Broadcasts
from .clock import Clock
from .commits import Done, GroupCommit
from .config import RuntimeConfig
from .desk import Desk, at_desk
from .erasing import Erasing
from .explain import Explainer
from .forks import FORK_HANDLERS, Forks
from .loop import Dispatcher
from .mail import ReplyTarget
from .reads import ReaderActor, Reads
from .reception import Reception
from .redacting import redact_requests
from .registry import RegistryActor
from .reminders import REMINDER_HANDLERS
from .requests import HANDLERS
from .retention import Retention
from .shared import Shared
from .store import Store
from .store_process import StoreProcess
from .store_thread import StoreThread
from .tally import Tally
from .turn_ends import TURN_HANDLERS
from .turn_recovery import recover
from .turns import TurnRunner

logger = logging.getLogger(__name__)
T = TypeVar("T")
REST: Final = 0.25
"""Seconds without a batch after which the store takes the time for what can wait."""


class Core:
    """One runtime on one loop. Start and stop it on that loop; everything else is loop thread only too."""

    def __init__(
        self,
        path: str | None,
        durability: Durability,
        clock: Clock,
        config: RuntimeConfig,
        agent: Agent | None = None,
        process: StoreProcess | None = None,
    ) -> None:
        """Nothing is opened yet. `path` None goes with durability `memory` alone; `process` is to write the
        file, a thread of ours where there is none.
        """
        self.path = path
        self.durability: Durability = durability
        self.clock = clock
        self.config = config
        self._agent = agent
        self._process = process
        self.draining = False
        self._closing = False
        self._stopped = False
        self._commits_seen: int | None = None
        """At the last look for a rest of the store; None: nobody looks, since nothing was written."""

    def start(self) -> None:
        """Open the file and be ready: what fell due while nobody served is expired behind that.

        Raises the `StorageError` that says why the file cannot be had.
        """
        loop = asyncio.get_running_loop()
        self.loop = loop
        self.tally = Tally(self.clock.now)
        store = self._store = self._open_store()
        self.epoch = store.epoch
        try:
            store.ask(Call(_keep_sensitive_keys, self.config.sensitive_keys))
            with store.reader() as reader:
                waiting = at_desk(reader)
                interrupted = [] if self._agent is None else reader.look(read_open_turns)
        except BaseException:
            store.abandon()
            raise
        self.dispatcher = Dispatcher(loop, dead_letter=self._dead_letter)
        self._reader = ReaderActor.start(store.reader(), loop, store.before_reads)
        store.start(loop)
        registry = self.registry = RegistryActor(self.dispatcher, store.next_key)
        registry.launch(self.dispatcher)
        self.explainer = Explainer(registry)
        self.commits = GroupCommit(loop, self, registry.lost)
        self.reads = Reads(self._reader)
        self.shared = Shared(
            config=self.config,
            clock=self.clock,
            commits=self.commits,
            reads=self.reads,
            handlers={
                **HANDLERS,
                **BROADCAST_HANDLERS,
                **TURN_HANDLERS,
                **REMINDER_HANDLERS,
                **FORK_HANDLERS,
            },
            crashed=registry.crashed,
            ended=registry.ended,
            left=registry.left,
            rested=registry.rested,
            erase=registry.erase,
            address_again=registry.address_again,
            explain=self.explainer.explain,
            desk=Desk(registry),
        )
        if self.shared.redaction is not None:
            redact_requests(self.shared.handlers, self.shared.redaction)
        registry.inhabit(self.shared)
        self.agent = None if self._agent is None else TurnRunner(self._agent, registry, loop)
        self.shared.agent = self.agent
        self.reception = Reception(registry)
        self.forks = Forks(registry, self.reception)
        self.broadcasts = Broadcasts(registry, self.reception, lambda: self.draining)
        self.erasing = self.shared.erasing = Erasing(registry, self)
        self.retention = Retention(registry, self.erasing.look)
        self.alarm = Alarm(loop, self.clock, self.shared.wheel, registry)
        self.shared.desk.open(waiting)
        registry.stored_due = 0.0
        self.alarm.arm()
        if self.agent is not None:
            recover(self.agent, interrupted)
        self.erasing.start()
        self.retention.start()

    def _open_store(self) -> Store:
        process = self._process
        if process is None:
            return StoreThread(self.path, self.durability, self.tally)
        assert self.path is not None
        process.open(self.path, self.durability, self.tally)
        return process

    def _writer(self) -> Store:
        """The store; a thread of ours when its process has ended. Raises `StorageError`."""
        if self._store.lost and not self._closing:
            logger.warning("a thread of the server writes %s from now on", self.path)
            self._store = StoreThread(self.path, self.durability, self.tally)
            self._store.start(self.loop)
        return self._store

    def write(self, batch: Batch, done: Done) -> bool:
        """Group commit's way to the store."""
        if self._commits_seen is None:
            self._commits_seen = self.commits.commits
            self.loop.call_later(REST, self._look_for_rest)
        try:
            return self._writer().write(batch, done)
        except StorageError as error:
            self.loop.call_soon(done, error)
            return False

    def look(self) -> bool:
        """Group commit's look at what the store has done meanwhile."""
        return self._store.look()

    def _look_for_rest(self) -> None:
        """Tell the store when no batch came since the last look."""
        commits = self.commits.commits
        if self._stopped:
            return
        if commits != self._commits_seen:
            self._commits_seen = commits
            self.loop.call_later(REST, self._look_for_rest)
        else:
            self._commits_seen = None
            self._store.rest()

    async def checkpoint(self) -> None:
        """Have the write-ahead log copied into the file, as far as no reader is in the way."""
        await self._writer().checkpoint()

    async def tend(self, work: Callable[[Any], T]) -> T:
        """Have the store do some work of its own, between two commits; `work` gets the writer's connection.

        It may be done in another process: a function of a module, or a `Call` of one. Raises the
        `StorageError` that says why it was not done.
        """
        return await self.maintain(Call(Journal.tend, work))

    async def maintain(self, work: Callable[[Journal], T]) -> T:
        """As `tend`, with the journal itself, and no transaction around it."""
        return await self._writer().maintain(work)

    @property
    def store_waiting(self) -> int:
        """What the store has not done yet: the next batch, and work of the house."""
        return self._store.waiting

    async def resend(self, dead_id: int | None) -> int:
        """Have one dead letter of the webhooks sent again, or all; how many there were."""
        count = await self.tend(Call(outbox.resend, dead_id, self.clock.now()))
        if count and self.commits.committed is not None:
            self.commits.committed()
        return count

    @property
    def idle(self) -> bool:
        """No mailbox, no turn, no read and no commit is outstanding, and nothing is due."""
        return self._stopped or (
            self.dispatcher.idle
            and self.commits.idle
            and self.reads.idle
            and self.registry.idle
            and self.reception.idle
            and self.broadcasts.idle
            and self.forks.idle
            and self.alarm.idle
            and self.erasing.idle
            and self.retention.idle
            and (self.agent is None or self.agent.idle)
        )

    async def settle(self) -> None:
        """Wait until it is idle: every consequence of what happened so far has happened."""
        while not self.idle:
            await self.commits.flushed()
            await self.reads.finished()
            await asyncio.sleep(0)

    async def stop(self) -> None:
        """Finish what is under way, save every session, close the file."""
        self.draining = True
        await self.broadcasts.finished()
        await self.retention.stop()
        await self.erasing.stop()
        self.alarm.stop()
        if self.agent is not None:
            self.agent.stop()
        while not (self.dispatcher.idle and self.commits.idle and self.reads.idle and self.forks.idle):
            await self.commits.flushed()
            await self.reads.finished()
            await asyncio.sleep(0)
        await self._save_all()
        self.registry.retire_all()
        self._closing = True
        await asyncio.to_thread(self._reader.stop)
        await self._store.stop()
        self.dispatcher.close()
        self._stopped = True

    async def _save_all(self) -> None:
        """Snapshots of all live sessions, a few thousand in one commit."""
        for count, actor in enumerate(tuple(self.registry.live.values()), 1):
            if not actor.upkeep.is_saved(actor.session):
                actor.snapshot()
            if count % 2000 == 0:
                await self.commits.flushed()
        await self.commits.flushed()

    def _dead_letter(self, envelope: Envelope[Any], reason: str) -> None:
        self.registry.dead_letters.add(self.clock.now(), "", reason, envelope.message)

    def reply_when_settled(self, reply_to: ReplyTarget, value: Any) -> None:
        """Answer when everything recorded so far is committed: for answers that show several sessions."""
        self.registry.when_settled(lambda: reply_to.set(value))


def _keep_sensitive_keys(journal: Journal, keys: Sequence[str]) -> None:
    """Who reads the file without our settings shall mask what we mask."""
    if not set(read_sensitive_keys(journal.connection)).issuperset(keys):
        journal.tend(Call(add_sensitive_keys, keys))
