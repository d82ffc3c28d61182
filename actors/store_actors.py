"""The only writer of the journal: a Pykka actor with a thread of its own.

Between the commits it keeps the journal up (`Keeper`). Checkpoints have another thread, so that no commit
waits for one.
"""

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import pykka

from sojourn.storage import Batch, Journal, StorageError, WriteFailed

from .ahead import Ahead
from .keeper import Keeper

logger = logging.getLogger(__name__)


class WriteBatch(NamedTuple):
    """From group commit: store it, then call `done`, here in the store's thread."""

    batch: Batch
    done: Callable[[StorageError | None], None]


class StoreAhead(NamedTuple):
    """Store what waits there."""

    ahead: Ahead


class Work(NamedTuple):
    """Work of the house between two commits, then `done` or `failed`, here in the store's thread."""

    work: Callable[[Journal], Any]
    done: Callable[[Any], None]
    failed: Callable[[Exception], None]
    before: Callable[[], None] | None


class Checkpoint(NamedTuple):
    """Copy the log, then answer, and call `done`, here in the thread that does it."""

    done: Callable[[], None] | None = None


class Rest(NamedTuple):
    """From the loop: no batch came for a while."""


def not_stored(path: str | None, failure: Exception) -> StorageError:
    """What is told of a commit that failed: whatever it was, nothing was stored."""
    if isinstance(failure, StorageError):
        return failure
    logger.error("commit failed", exc_info=failure)
    return WriteFailed(path, str(failure))


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
        self._keeper = Keeper(journal, checkpoint, self._is_awaited)

    def on_start(self) -> None:
        # A writer that was killed has left runs, and may be asked at once for all that fell due meanwhile.
        self._keeper.rest()

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, StoreAhead):
            message.ahead.store()
            self._keeper.keep_up(0)
            return None
        if isinstance(message, Rest):
            self._keeper.rest()
            return None
        if isinstance(message, Work):
            self._do(message)
            return None
        if not isinstance(message, WriteBatch):
            return super().on_receive(message)
        error: StorageError | None = None
        try:
            self._commit(message.batch)
        except Exception as failure:  # noqa: BLE001  # everybody must hear it
            error = not_stored(self._journal.path, failure)
        message.done(error)
        self._keeper.keep_up(len(message.batch.events))
        return None

    def on_stop(self) -> None:
        self._keeper.finish()
        self._journal.close()

    def _is_awaited(self) -> bool:
        return not self.actor_inbox.empty()

    def _do(self, message: Work) -> None:
        try:
            if message.before is not None:
                message.before()
            answer = message.work(self._journal)
        except Exception as error:  # noqa: BLE001  # whoever asked must hear it, whatever it is
            message.failed(error)
        else:
            message.done(answer)


class CheckpointActor(pykka.ThreadingActor):
    """Copies the write-ahead log into the file, beside the writer."""

    use_daemon_thread = True

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    def on_receive(self, message: Any) -> Any:
        if not isinstance(message, Checkpoint):
            return super().on_receive(message)
        try:
            self._journal.checkpoint()
        except StorageError as error:
            logger.warning("checkpoint: %s", error)
        if message.done is not None:
            message.done()
        return None
