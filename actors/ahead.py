"""Durability `memory`: batches count as stored before they are in the journal, where nothing outlives the
process anyway.
"""

import logging
from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Final

from sojourn.storage import Batch, StorageError

logger = logging.getLogger(__name__)

AHEAD: Final = 4096
"""Events that may wait to be stored in memory: one statement's worth."""


class Ahead:
    """What waits to be stored. Whoever reads has it stored first."""

    def __init__(self, commit: Callable[[Batch], None]) -> None:
        self._commit = commit
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
                    self._commit(batch)
                except StorageError as error:
                    logger.critical("%d events that were acknowledged are lost: %s", len(batch.events), error)
