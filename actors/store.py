"""The only writer of the journal: a Pykka actor with a thread of its own.

Behind each commit it uses what time is left: the index follows the journal when no batch waits, or when it
has fallen too far behind. Checkpoints have another thread, so that no commit waits for one.
"""

import asyncio
import logging
from collections.abc import Callable
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
BUSY_BATCH: Final = 128
"""Events in a batch from which on the store counts as busy: the next batch is on its way."""
CHECKPOINT_EVENTS: Final = 50_000
"""Events between two checkpoints."""


class WriteBatch(NamedTuple):
    """From group commit: store it, then have `done` called on the loop thread."""

    batch: Batch
    done: Callable[[StorageError | None], None]


class StoreActor(pykka.ThreadingActor):
    """Commits batches in the order they come."""

    use_daemon_thread = True

    def __init__(
        self,
        journal: Journal,
        loop: asyncio.AbstractEventLoop,
        checkpoint: Callable[[], None],
    ) -> None:
        """The journal is used by this thread alone from now on; `checkpoint` asks for one elsewhere."""
        super().__init__()
        self._journal = journal
        self._loop = loop
        self._checkpoint = checkpoint
        self._since_checkpoint = 0

    def on_receive(self, message: Any) -> Any:
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
        try:
            self._loop.call_soon_threadsafe(message.done, error)
        except RuntimeError:
            logger.debug("the loop ended before it heard of its last commit")
        self._since_checkpoint += len(message.batch.events)
        self._tidy(busy=len(message.batch.events) >= BUSY_BATCH)
        return None

    def on_stop(self) -> None:
        try:
            while self._journal.index(INDEX_STEP):
                pass
        except StorageError as error:
            logger.warning("the index stays behind: %s", error)
        self._journal.close()

    def _tidy(self, *, busy: bool) -> None:
        journal = self._journal
        least = INDEX_STEP if busy else INDEX_AT_REST
        try:
            while (pending := journal.index_pending) > INDEX_LAG or (
                pending >= least and self.actor_inbox.empty()
            ):
                if not journal.index(INDEX_STEP):
                    break
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
