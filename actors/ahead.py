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
                batch = self._next()
                try:
                    self._commit(batch)
                except StorageError as error:
                    logger.critical("%d events that were acknowledged are lost: %s", len(batch.events), error)

    def _next(self) -> Batch:
        """What waits longest, with the events of those behind it that hold nothing else.

        Who sends one message at a time has a batch for each, and a transaction is dearer than a message.
        """
        waiting = self._waiting
        batch = waiting.popleft()
        if not (waiting and batch.is_events_alone() and waiting[0].is_events_alone()):
            return batch
        together = Batch()
        events = together.events = batch.events.copy()
        while waiting and waiting[0].is_events_alone() and len(events) + len(waiting[0].events) <= AHEAD:
            events += waiting.popleft().events
        return together
