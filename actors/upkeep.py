"""What an actor knows of its session beside its state: what is stored of it, and what is not yet.

A class of its own because every message reads it: an actor of Pykka's cannot be compiled, this can.
"""

from typing import TYPE_CHECKING

from .newest import Newest

if TYPE_CHECKING:
    from .commits import Gathering
    from .state import Session


class Upkeep:
    """The bookkeeping of one live session. Loop thread only."""

    __slots__ = ("batch", "newest", "snapshot_at", "snapshot_seq", "stored_due", "touched")

    def __init__(self, stored_due: float) -> None:
        """Of a session whose row holds this deadline."""
        self.batch: Gathering | None = None
        """The batch with its newest event, until that is committed."""
        self.newest: Newest | None = None
        """The last events at hand, while somebody reads the history."""
        self.snapshot_at = 0
        """The seq at which the next snapshot is due."""
        self.snapshot_seq = 0
        """The seq of the snapshot in its row; 0: there is none."""
        self.stored_due = stored_due
        """The deadline in its row: never later than the true one."""
        self.touched = True
        """Something was asked of it since the last look for idle ones."""

    def is_saved(self, session: "Session") -> bool:
        """Do its row and snapshot say what is true of it now?"""
        return self.snapshot_seq == session.seq and self.stored_due == session.due_at
