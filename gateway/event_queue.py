"""The events of one session that a client's program has not read yet."""

import asyncio
from collections import deque

from .attachment import Missed
from .client_values import Event, Gap, gap_of


class EventQueue:
    """The events of one session that nobody has read yet, `limit` at most: then the oldest become a Gap."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._events: deque[Event] = deque()
        self._gap: Gap | None = None
        self._reader: asyncio.Future[None] | None = None
        self._ended = False
        self._error: Exception | None = None

    def put(self, event: Event) -> None:
        """Add the newest event."""
        if len(self._events) >= self._limit:
            self._drop(self._events.popleft())
        self._events.append(event)
        self._wake()

    def begin(self) -> None:
        """More may come again."""
        self._ended, self._error = False, None

    def end(self, error: Exception | None = None) -> None:
        """No more comes: a reader gets what is left, then the end, or `error`."""
        if not self._ended:
            self._ended, self._error = True, error
            self._wake()

    async def get(self) -> Event | None:
        """Return the next event, None at the end. One reader at a time."""
        while not self._events and self._gap is None:
            if self._error is not None:
                raise self._error
            if self._ended:
                return None
            if self._reader is not None:
                raise RuntimeError(
                    "another task is reading this session's events: use subscribe() for several readers"
                )
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        gap, self._gap = self._gap, None
        return gap or self._events.popleft()

    def _drop(self, event: Event) -> None:
        if isinstance(event, Gap):
            after, until = event.after_seq, event.until_seq
        elif event.seq is not None:
            after, until = event.seq - 1, event.seq
        else:
            return
        first = self._gap.after_seq if self._gap is not None else after
        self._gap = gap_of(Missed(event.session_id, first, until))

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
