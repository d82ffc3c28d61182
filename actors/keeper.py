"""What the writer of the journal does between two commits: the index that follows behind, and checkpoints.

The index follows the journal in large steps, when no batch waits or it has fallen too far behind. While
messages come that only appends runs to it; they are merged at rest, which the loop announces, or when so many
wait that readers would feel it, and then in short slices between the commits, in proportion to what comes in.
"""

import logging
from collections.abc import Callable
from time import perf_counter
from typing import Final

from sojourn.storage import Journal, StorageError

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


class Keeper:
    """Keeps up one journal, in the thread that writes it."""

    def __init__(self, journal: Journal, checkpoint: Callable[[], None], awaited: Callable[[], bool]) -> None:
        """`checkpoint` asks for one elsewhere; `awaited` tells whether somebody waits for the journal."""
        self._journal = journal
        self._checkpoint = checkpoint
        self._awaited = awaited
        self._since_checkpoint = 0
        self._indexed_at = perf_counter()
        self._merge_step = MERGE_STEPS[0]
        self._to_merge = 0
        """Events that the merge has to move by now."""

    def keep_up(self, events: int) -> None:
        """Behind a commit of so many events: what cannot wait until nothing else is to be done."""
        journal = self._journal
        try:
            while (pending := journal.index_pending) > INDEX_LAG or (
                (pending >= INDEX_STEP or (pending >= INDEX_LEAST and self._index_is_old()))
                and not self._awaited()
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

    def rest(self) -> None:
        """Nobody waits: bring the index up to date, until somebody does."""
        journal = self._journal
        try:
            while not self._awaited() and (
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

    def finish(self) -> None:
        """Take the rest into the index, before the journal is closed."""
        try:
            while self._journal.index(INDEX_STEP):
                pass
        except StorageError as error:
            logger.warning("the index stays behind: %s", error)
