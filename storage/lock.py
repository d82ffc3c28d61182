"""One live process writes a file: a lock file beside it, which the system releases when its holder dies."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from .errors import CannotOpen, StoreLocked

ORPHAN: Final = 10.0
"""Seconds in which what a dead server has left under way is finished."""


class WriterLock:
    """Holds `PATH.lock` from construction to `release`; a second one, also in this process, is refused.

    The lock file stays when it is released: removing it would let two processes lock two files of one name.
    It contains the holder's process id: for the message, and to see whether the holder is dead.
    """

    def __init__(self, path: str, holder: int | None = None) -> None:
        """`holder` is the process that is named as its holder, if not this one.

        Raises StoreLocked when it is held, CannotOpen when the lock file cannot be made. Of a holder that is
        dead a child may still finish its last write: that is waited for, `ORPHAN` seconds at most.
        """
        lock_path = f"{path}.lock"
        # One thread may open the store and another close it.
        self._lock = FileLock(lock_path, thread_local=False)
        try:
            self._acquire(lock_path)
        except Timeout as error:
            raise StoreLocked(path, _read_pid(lock_path)) from error
        except OSError as error:
            raise CannotOpen(
                path, f"the lock file {lock_path} cannot be made ({error.strerror or error})"
            ) from error
        with suppress(OSError), Path(lock_path).open("r+", encoding="ascii") as file:
            file.truncate()
            file.write(f"{os.getpid() if holder is None else holder}\n")

    def _acquire(self, lock_path: str) -> None:
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            pid = _read_pid(lock_path)
            if pid is None or not _has_ended(pid):
                raise
            self._lock.acquire(timeout=ORPHAN, poll_interval=0.01)

    def release(self) -> None:
        """Let another process write; repeating it is harmless."""
        self._lock.release()


def _has_ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    # Dead, and its parent has not asked yet how it ended (Linux; elsewhere there is no such file).
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0] == "Z"
    return False


def _read_pid(lock_path: str) -> int | None:
    # Some systems refuse to read a file that another process has locked; then the message says less.
    with suppress(OSError, ValueError):
        return int(Path(lock_path).read_text("ascii"))
    return None
