"""One live process writes a file: a lock file beside it, which the system releases when its holder dies."""

import os
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import CannotOpen, StoreLocked


class WriterLock:
    """Holds `PATH.lock` from construction to `release`; a second one, also in this process, is refused.

    The lock file stays when it is released: removing it would let two processes lock two files of one name.
    It contains the holder's process id, which is there for the message alone.
    """

    def __init__(self, path: str) -> None:
        """Raises StoreLocked when it is held, CannotOpen when the lock file cannot be made."""
        lock_path = f"{path}.lock"
        # One thread may open the store and another close it.
        self._lock = FileLock(lock_path, thread_local=False)
        try:
            self._lock.acquire(blocking=False)
        except Timeout as error:
            raise StoreLocked(path, _read_pid(lock_path)) from error
        except OSError as error:
            raise CannotOpen(
                path, f"the lock file {lock_path} cannot be made ({error.strerror or error})"
            ) from error
        with suppress(OSError), Path(lock_path).open("r+", encoding="ascii") as file:
            file.truncate()
            file.write(f"{os.getpid()}\n")

    def release(self) -> None:
        """Let another process write; repeating it is harmless."""
        self._lock.release()


def _read_pid(lock_path: str) -> int | None:
    # Some systems refuse to read a file that another process has locked; then the message says less.
    with suppress(OSError, ValueError):
        return int(Path(lock_path).read_text("ascii"))
    return None
