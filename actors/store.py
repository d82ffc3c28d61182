"""The only writer of the journal: a Pykka actor with a thread of its own.

Behind each commit it uses what time is left: the index follows the journal when no batch waits, or when it
has fallen too far behind. Under load that only appends runs to it; they are merged at rest, or when so many
wait that readers would feel it, and then in slices between the commits. Checkpoints have another thread, so
that no commit waits for one.
"""

import logging
from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Any, Final, NamedTuple

import pykka

from sojourn.storage import Batch, Journal, StorageError, WriteFailed

logger = logging.getLogger(__name__)

INDEX_STEP: Final = 8192
"""Events indexed at once: the more, the closer they lie together, and the fewer pages each touches."""
INDEX_AT_REST: Final = 512
"""Events without index that are worth indexing when nothing else is to be done."""
INDEX_LAG: Final = 32_768
"""Events without index beyond which a waiting batch lets the index go first: what a reader scans at most."""
MERGE_STEP: Final = 4096
"""Events of the index merged at once: some 4 ms, for which a batch may have to wait."""
RUNS_AT_REST: Final = 16
"""Runs that are worth merging when nothing else is to be done."""
RUNS_MOST: Final = 64
"""Runs beyond which merging goes on between the commits: a reader looks in each of them (1 µs)."""
BUSY_BATCH: Final = 128
"""Events in a batch from which on the store counts as busy: the next batch is on its way."""
CHECKPOINT_EVENTS: Final = 50_000
"""Events between two checkpoints."""
AHEAD: Final = 4096
"""Events that may wait to be stored in memory: one statement's worth."""


class WriteBatch(NamedTuple):
    """From group commit: store it, then call `done`, here in the store's thread."""

    batch: Batch
    done: Callable[[StorageError | None], None]


class Ahead:
    """Batches that count as stored before they are in the journal: durability `memory`, where nothing
    outlives the process anyway. Whoever reads has them stored first.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: deque[Batch] = deque()
        # Held while batches are stored, so that a reader behind it sees all that was handed over before.
        self._storing = Lock()
        self._events = 0

    def add(self, batch: Batch) -> bool:
        """Take one more, on the loop thread; True: so many wait that they should be stored now."""
        self._waiting.append(batch)
        self._events += len(batch.events)
        if self._events < AHEAD:
            return False
        self._events = 0
        return True

    def store(self) -> None:
        """Store all that waits; from any thread."""
        with self._storing:
            while self._waiting:
                batch = self._waiting.popleft()
                try:
                    self._journal.commit(batch)
                except StorageError as error:
                    logger.critical("%d events that were acknowledged are lost: %s", len(batch.events), error)


class StoreAhead(NamedTuple):
    """Store what waits there."""

    ahead: Ahead


class Tend(NamedTuple):
    """Work of the house in a transaction of its own, then `done` or `failed`, here in the store's thread."""

    work: Callable[[Any], Any]
    done: Callable[[Any], None]
    failed: Callable[[Exception], None]
    before: Callable[[], None] | None


class StoreActor(pykka.ThreadingActor):
    """Commits batches in the order they come."""

    use_daemon_thread = True

    def __init__(
        self,
        journal: Journal,
        checkpoint: Callable[[], None],
    ) -> None:
        """The journal is used by this thread alone from now on; `checkpoint` asks for one elsewhere."""
        super().__init__()
        self._journal = journal
        self._checkpoint = checkpoint
        self._since_checkpoint = 0

    def on_start(self) -> None:
        # A writer that was killed has left runs, and may be asked at once for all that fell due meanwhile.
        self._tidy(0, busy=False)

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, StoreAhead):
            message.ahead.store()
            # In memory the index has no runs: nothing is to be merged in step with the events.
            self._tidy(0, busy=True)
            return None
        if isinstance(message, Tend):
            self._tend(message)
            return None
        if not isinstance(message, WriteBatch):
            return super().on_receive(message)
        error: StorageError | None = None
        try:
            self._journal.commit(message.batch)
        except StorageError as failure:
            error = failure
        except Exception as failure:  # whatever it is, nothing was stored and everybody must hear it
            logger.exception("commit failed")
            error = WriteFailed(self._journal.path, str(failure))
        message.done(error)
        self._since_checkpoint += len(message.batch.events)
        self._tidy(len(message.batch.events), busy=len(message.batch.events) >= BUSY_BATCH)
        return None

    def on_stop(self) -> None:
        try:
            while self._journal.index(INDEX_STEP):
                pass
        except StorageError as error:
            logger.warning("the index stays behind: %s", error)
        self._journal.close()

    def _tend(self, message: Tend) -> None:
        try:
            if message.before is not None:
                message.before()
            answer = self._journal.tend(message.work)
        except Exception as error:  # noqa: BLE001  # whoever asked must hear it, whatever it is
            message.failed(error)
        else:
            message.done(answer)

    def _tidy(self, events: int, *, busy: bool) -> None:
        """Use the time behind a commit of so many events."""
        journal = self._journal
        least = INDEX_STEP if busy else INDEX_AT_REST
        try:
            while (pending := journal.index_pending) > INDEX_LAG or (
                pending >= least and self.actor_inbox.empty()
            ):
                if not journal.index(INDEX_STEP):
                    break
            # Twice as fast as events come: the runs in work are gone before as many others are there.
            moved = 0
            while journal.merge_pending > RUNS_MOST and moved <= 2 * events:
                moved += journal.merge(MERGE_STEP)
            while not busy and journal.merge_pending >= RUNS_AT_REST and self.actor_inbox.empty():
                journal.merge(MERGE_STEP)
        except StorageError as error:
            logger.warning("the index stays behind: %s", error)
        if self._since_checkpoint >= CHECKPOINT_EVENTS:
            self._since_checkpoint = 0
            self._checkpoint()


class CheckpointActor(pykka.ThreadingActor):
    """Copies the write-ahead log into the file, beside the writer."""

    use_daemon_thread = True

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    def on_receive(self, message: Any) -> None:
        try:
            self._journal.checkpoint()
        except StorageError as error:
            logger.warning("checkpoint: %s", error)
