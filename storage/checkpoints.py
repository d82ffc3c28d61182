"""What is done to the file itself: its log is copied into it, or remains of erased rows are overwritten."""

import sqlite3
from pathlib import Path
from threading import Lock

from .connection import connect_checkpointer, write_error
from .scrub import LONG_LOG, Scrubbed, Scrubber


class Checkpoints:
    """Of one file. `copy` may be called by any thread beside the writer's, which alone calls the others."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._scrubber: Scrubber | None = None
        self._closed = False
        # Held while the connection or the scrubber is used, made or closed.
        self._lock = Lock()

    def copy(self) -> int:
        """Copy the log into the file, as far as no reader is in the way; the pages that are left.

        Raises WriteFailed when the disk does not take it.
        """
        with self._lock:
            if self._closed:
                return 0
            if self._scrubber is not None and self._scrubber.under_way:
                # Each of its steps copies the log itself, and reads in it what was written since the last.
                log = Path(f"{self._path}-wal")
                if not log.exists() or log.stat().st_size < LONG_LOG:
                    return 0
                self._scrubber.begin_anew()
            try:
                if self._connection is None:
                    self._connection = connect_checkpointer(self._path)
                row: tuple[int, int, int] = self._connection.execute(
                    "PRAGMA wal_checkpoint(PASSIVE)"
                ).fetchone()
            except sqlite3.Error as error:
                raise write_error(error, self._path) from error
        _, pages, copied = row
        return pages - copied

    def scrub(self, writer: sqlite3.Connection, page: int, limit: int) -> Scrubbed | None:
        """A step of a pass of scrubbing, see `Scrubber.scrub`; None, too, while the log is being copied."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            if self._scrubber is None:
                self._scrubber = Scrubber(self._path)
            return self._scrubber.scrub(writer, page, limit)
        finally:
            self._lock.release()

    def close(self) -> None:
        """Let go of the file; repeating it is harmless."""
        with self._lock:
            self._closed = True
            if self._connection is not None:
                self._connection.close()
            self._connection = None
