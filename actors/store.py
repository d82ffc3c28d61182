"""The store as the core sees it, whoever it is."""

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

from sojourn.storage import Batch, Journal, Reader

from .commits import Done

T = TypeVar("T")


class Store(Protocol):
    """Writes the journal. `StoreThread` is one, `StoreProcess` another; loop thread only."""

    epoch: int
    """The number of this opening of the file."""
    next_key: int
    """When it was opened: the first session key that no session has ever had."""
    lost: bool
    """It has ended by itself: nothing can be written by it any more."""

    @property
    def before_reads(self) -> Callable[[], None] | None:
        """What has to be done before a read, in the reader's thread."""
        ...

    @property
    def waiting(self) -> int:
        """What it has not done yet."""
        ...

    def ask(self, work: Callable[[Journal], T]) -> T:
        """What `work` answers, waited for: before `start` alone."""
        ...

    def reader(self) -> Reader:
        """A reader of what it writes."""
        ...

    def abandon(self) -> None:
        """Close the file, when it will not be started."""
        ...

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Work for that loop."""
        ...

    def write(self, batch: Batch, done: Done) -> bool:
        """Commit it, then call `done`, in whatever thread; or return True: it counts as stored now."""
        ...

    def look(self) -> bool:
        """In the middle of a turn: hear of commits that have ended; were there any?"""
        ...

    async def maintain(self, work: Callable[[Journal], T]) -> T:
        """What `work` answers when it is done between two commits. It may be done in another process."""
        ...

    async def checkpoint(self) -> None:
        """Have the log copied into the file beside the commits, as far as no reader is in the way."""
        ...

    def rest(self) -> None:
        """Nobody writes: there is time for what could wait."""
        ...

    async def stop(self) -> None:
        """End, with the file closed."""
        ...
