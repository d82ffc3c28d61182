"""The only writer of the journal: a Pykka actor with a thread of its own.

The index follows the journal behind the commits, in large steps, when no batch waits or it has fallen too far
behind. While messages come that only appends runs to it; they are merged at rest, which the loop announces
(`Rest`), or when so many wait that readers would feel it, and then in short slices between the commits, in
proportion to what comes in. Checkpoints have another thread, so that no commit waits for one.
"""

import logging
from collections.abc import Callable
from time import perf_counter
from typing import Any, Final, NamedTuple

import pykka

from sojourn.storage import Batch, Journal, StorageError, WriteFailed

from .ahead import Ahead

logger = logging.getLogger(__name__)

INDEX_STEP: Final = 8192
"""Events indexed at once: the more, the closer they lie together, and the fewer pages each touches."""
INDEX_LEAST: Final = 512
"""Fewer events without index are left alone while messages come."""
INDEX_AFTER: Final = 1.0
"""Seconds after which these are indexed, however few they are beside a step."""
INDEX_LAG: Final = 32_768
"""Events without index beyond which a waiting batch lets the index go first: what a reader scans at most."""
RUNS_MOST: Final = 64
"""Runs beyond which merging goes on between the commits: a reader looks in each of them (1 µs)."""
MERGE_STEPS: Final = (256, 8192)
"""Events of the index merged at once, at least and at most: whatever takes `MERGE_TIME`."""
MERGE_TIME: Final = 0.003
"""Seconds for which a batch may have to wait for a slice of the merge."""
CHECKPOINT_EVENTS: Final = 50_000
"""Events between two checkpoints."""


class WriteBatch(NamedTuple):
    """From group commit: store it, then call `done`, here in the store's thread."""

    batch: Batch
    done: Callable[[StorageError | None], None]


class StoreAhead(NamedTuple):
    """Store what waits there."""

    ahead: Ahead


class Tend(NamedTuple):
    """Work of the house in a transaction of its own, then `done` or `failed`, here in the store's thread."""

    work: Callable[[Any], Any]
    done: Callable[[Any], None]
    failed: Callable[[Exception], None]
    before: Callable[[], None] | None


class Maintain(NamedTuple):
    """Work on the journal itself between two commits, then `done` or `failed`, here in the store's thread."""

    work: Callable[[Journal], Any]
    done: Callable[[Any], None]
    failed: Callable[[Exception], None]
    before: Callable[[], None] | None


class Rest(NamedTuple):
    """From the loop: no batch came for a while."""


class StoreActor(pykka.ThreadingActor):
    """Commits batches in the order they come."""

    use_daemon_thread = True

    def __init__(
        self,
        journal: Journal,
        checkpoint: Callable[[], None],
        commit: Callable[[Batch], None] | None = None,
    ) -> None:
        """The journal is used by this thread alone from now on; `checkpoint` asks for one elsewhere.

        `commit`: what has a batch stored, when that is measured.
        """
        super().__init__()
        self._journal = journal
        self._commit = journal.commit if commit is None else commit
        self._checkpoint = checkpoint
        self._since_checkpoint = 0
        self._indexed_at = perf_counter()
        self._merge_step = MERGE_STEPS[0]
        self._to_merge = 0
        """Events that the merge has to move by now."""

    def on_start(self) -> None:
        # A writer that was killed has left runs, and may be asked at once for all that fell due meanwhile.
        self._rest()

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, StoreAhead):
            message.ahead.store()
            self._keep_up(0)
            return None
        if isinstance(message, Rest):
            self._rest()
            return None
        if isinstance(message, Tend | Maintain):
            self._tend(message)
            return None
        if not isinstance(message, WriteBatch):
            return super().on_receive(message)
        error: StorageError | None = None
        try:
            self._commit(message.batch)
        except StorageError as failure:
            error = failure
        except Exception as failure:  # whatever it is, nothing was stored and everybody must hear it
            logger.exception("commit failed")
            error = WriteFailed(self._journal.path, str(failure))
        message.done(error)
        self._keep_up(len(message.batch.events))
        return None

    def on_stop(self) -> None:
        try:
            while self._journal.index(INDEX_STEP):
                pass
        except StorageError as error:
            logger.warning("the index stays behind: %s", error)
        self._journal.close()

    def _tend(self, message: Tend | Maintain) -> None:
        try:
            if message.before is not None:
                message.before()
            if isinstance(message, Tend):
                answer = self._journal.tend(message.work)
            else:
                answer = message.work(self._journal)
        except Exception as error:  # noqa: BLE001  # whoever asked must hear it, whatever it is
            message.failed(error)
        else:
            message.done(answer)

    def _keep_up(self, events: int) -> None:
        """Behind a commit of so many events: what cannot wait until nothing else is to be done."""
        journal = self._journal
        try:
            while (pending := journal.index_pending) > INDEX_LAG or (
                (pending >= INDEX_STEP or (pending >= INDEX_LEAST and self._index_is_old()))
                and self.actor_inbox.empty()
            ):
                if not journal.index(INDEX_STEP):
                    break
                self._indexed_at = perf_counter()
            if journal.merge_pending > RUNS_MOST:
                # Twice as fast as events come: the runs in work are gone before as many others are there.
                self._to_merge += 2 * events
                while self._to_merge >= self._merge_step:
                    self._to_merge -= self._merge_slice()
        except StorageError as error:
            logger.warning("the index stays behind: %s", error)
        self._since_checkpoint += events
        if self._since_checkpoint >= CHECKPOINT_EVENTS:
            self._since_checkpoint = 0
            self._checkpoint()

    def _rest(self) -> None:
        """Nobody waits: bring the index up to date, until somebody does."""
        journal = self._journal
        try:
            while self.actor_inbox.empty() and (
                journal.index(INDEX_STEP) or (journal.merge_pending and self._merge_slice())
            ):
                pass
        except StorageError as error:
            logger.warning("the index stays behind: %s", error)

    def _index_is_old(self) -> bool:
        return perf_counter() - self._indexed_at >= INDEX_AFTER

    def _merge_slice(self) -> int:
        """Merge about as many events as take `MERGE_TIME`; how many."""
        started = perf_counter()
        moved = self._journal.merge(self._merge_step)
        took = perf_counter() - started
        least, most = MERGE_STEPS
        if took > MERGE_TIME:
            self._merge_step = max(least, self._merge_step // 2)
        elif took < MERGE_TIME / 4:
            self._merge_step = min(most, self._merge_step * 2)
        return moved or self._to_merge


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
