"""The journal's writer as a thread of the program."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from pykka import ActorDeadError, ActorRef

from sojourn.storage import Batch, Durability, Journal, Reader, WriteFailed

from .ahead import Ahead
from .commits import Done
from .store_actors import Checkpoint, CheckpointActor, Rest, StoreActor, StoreAhead, Work, WriteBatch
from .tally import Tally

T = TypeVar("T")


class StoreThread:
    """An open journal, then the actors that write it and copy its log. Loop thread only."""

    lost = False

    def __init__(self, path: str | None, durability: Durability, tally: Tally) -> None:
        """Opens the file, or a store in memory; raises the `StorageError` that says why it cannot be had."""
        self.path = path
        self._journal = Journal.open(path, durability)
        self.epoch = self._journal.epoch
        self.next_key = self._journal.next_key
        self._commit = tally.measured(self._journal)
        self._ahead = Ahead(self._commit) if durability == "memory" else None
        self.before_reads = None if self._ahead is None else self._ahead.store
        """What has to be done before a read, in the reader's thread."""
        self._loop: asyncio.AbstractEventLoop
        self._checkpointer: ActorRef[CheckpointActor]
        self._store: ActorRef[StoreActor]

    # -- before the loop knows it ------------------------------------------------------------------

    def ask(self, work: Callable[[Journal], T]) -> T:
        """What `work` answers."""
        return work(self._journal)

    def reader(self) -> Reader:
        """A reader of the store, for another thread; the caller closes it."""
        return self._journal.reader()

    def abandon(self) -> None:
        """Close the file, when what should have followed failed."""
        self._journal.close()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on its threads use the journal, and they alone."""
        self._loop = loop
        checkpointer = self._checkpointer = CheckpointActor.start(self._journal)
        self._store = StoreActor.start(self._journal, lambda: checkpointer.tell(Checkpoint()), self._commit)

    # -- on the loop -------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """What waits for the store's thread: the next batch, and work of the house."""
        inbox: Any = self._store.actor_inbox  # a thread's is a queue.Queue, which Pykka's type does not say
        waiting: int = inbox.qsize()
        return waiting

    def write(self, batch: Batch, done: Done) -> bool:
        """Commit it in the store's thread, then call `done` there; or True: it counts as stored now."""
        ahead = self._ahead
        try:
            if ahead is None:
                self._store.tell(WriteBatch(batch, done))
                return False
            if ahead.add(batch):
                self._store.tell(StoreAhead(ahead))
        except ActorDeadError:
            self._loop.call_soon(done, WriteFailed(self.path, "the store has stopped"))
            return False
        if batch.erased:
            ahead.store()  # which counts what is gone
        return True

    def look(self) -> bool:
        """Nothing has to be fetched: its thread calls."""
        return False

    async def maintain(self, work: Callable[[Journal], T]) -> T:
        """What `work` answers when the store's thread has done it between two commits."""
        loop = self._loop
        future: asyncio.Future[T] = loop.create_future()

        def done(answer: T) -> None:
            with suppress(RuntimeError):  # the loop ended before it heard of it
                loop.call_soon_threadsafe(lambda: None if future.done() else future.set_result(answer))

        def failed(error: Exception) -> None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(lambda: None if future.done() else future.set_exception(error))

        try:
            self._store.tell(Work(work, done, failed, self.before_reads))
        except ActorDeadError as error:
            raise WriteFailed(self.path, "the store has stopped") from error
        return await future

    async def checkpoint(self) -> None:
        """Have the log copied into the file beside the commits, as far as no reader is in the way."""
        await asyncio.to_thread(self._checkpointer.ask, Checkpoint())

    def rest(self) -> None:
        """Nobody writes: there is time for what could wait."""
        with suppress(ActorDeadError):
            self._store.tell(Rest())

    async def stop(self) -> None:
        """End the threads, which close the file."""
        await asyncio.to_thread(self._stop_threads)

    def _stop_threads(self) -> None:
        self._checkpointer.stop()
        self._store.stop()
