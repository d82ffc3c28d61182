"""What can go wrong with the store, by what the caller can do about it.

    StorageError
    ├── CannotOpen        the path does not lead to a file we may use: choose another, or set the rights
    ├── NotADatabase      the file is damaged or belongs to another program: choose another, or restore it
    ├── SchemaTooNew      a newer Sojourn wrote the file: use that version
    ├── StoreLocked       another live process (or this one) writes the file: stop it, or choose another file
    ├── ReadFailed        this read gave nothing: try again; the store goes on
    ├── WriteFailed       nothing of the batch was stored: try again later
    │   ├── Unstorable    nothing was stored and the same batch never will be: it breaks a rule of the schema
    │   └── WriterLost    whoever wrote has ended meanwhile: read what is stored
    ├── StaleEpoch        another writer has taken over: stop writing, for good
    └── JournalCorrupt    two events share a place in a history: stop, and look at the file

`path` is the file as a string, `None` for a store in memory.
"""

from typing import Any


def _made_anew(
    kind: type["StorageError"], arguments: tuple[object, ...], state: dict[str, object]
) -> "StorageError":
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(state)
    return error


def _named(path: str | None) -> str:
    return "the store in memory" if path is None else path


class StorageError(Exception):
    """Anything that the store reports."""

    def __init__(self, message: str, path: str | None) -> None:
        super().__init__(message)
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        # Made anew by what it is, not by its message: it also comes from another process.
        return _made_anew, (type(self), self.args, self.__dict__)


class CannotOpen(StorageError):
    """The path cannot be opened as a file of ours."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"Cannot open {path}: {reason}. Name a file in an existing folder that this user may write.", path
        )
        self.reason = reason


class NotADatabase(StorageError):
    """The file is truncated, damaged, or another program's."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"{path} is not a Sojourn database: {reason}. "
            "It was left as it is; name another file, or restore it from a copy.",
            path,
        )
        self.reason = reason


class SchemaTooNew(StorageError):
    """A newer version of Sojourn has written this file."""

    def __init__(self, path: str, found: str, known: int) -> None:
        super().__init__(
            f"{path} has {found}, this Sojourn knows schema {known}. "
            "Use the newer Sojourn that wrote it, or another file.",
            path,
        )
        self.found = found
        self.known = known


class StoreLocked(StorageError):
    """Another live process writes this file; `pid` is its process, `None` when it cannot be told."""

    def __init__(self, path: str, pid: int | None) -> None:
        holder = "another process" if pid is None else f"process {pid}"
        super().__init__(
            f"{path} is in use: {holder} writes it. Stop that process, or name another file.", path
        )
        self.pid = pid


class ReadFailed(StorageError):
    """A read ended in an error; nothing was changed."""

    def __init__(self, path: str | None, reason: str) -> None:
        super().__init__(
            f"Cannot read {_named(path)}: {reason}. Try again; if it stays, check the disk.", path
        )
        self.reason = reason


class WriteFailed(StorageError):
    """A transaction ended in an error and was rolled back whole: nothing of it is stored."""

    advice = "Nothing was stored; it works again when there is space and the disk answers."

    def __init__(self, path: str | None, reason: str) -> None:
        super().__init__(f"Cannot write {_named(path)}: {reason}. {self.advice}", path)
        self.reason = reason


class Unstorable(WriteFailed):
    """The batch breaks a rule (an id taken twice, a value SQLite cannot hold): repeating it is useless."""

    advice = "Nothing was stored; this batch cannot be, so leave out what it says."


class WriterLost(WriteFailed):
    """The process that writes the file has ended: what it was given last is stored, or it is not."""

    advice = "What was under way may be stored; read again what is there."

    def __init__(self, path: str | None) -> None:
        super().__init__(path, "the process that writes it has ended")


class StaleEpoch(StorageError):
    """The file has a newer writer than this one: no write of ours may follow."""

    def __init__(self, path: str | None, ours: int, found: int) -> None:
        super().__init__(
            f"{_named(path)} was taken over by another writer (epoch {found}, ours is {ours}). "
            "Stop this process.",
            path,
        )
        self.ours = ours
        self.found = found


class JournalCorrupt(StorageError):
    """Two events of one session carry the same `seq`."""

    def __init__(self, path: str | None, reason: str) -> None:
        super().__init__(
            f"The journal in {_named(path)} contradicts itself: {reason}. "
            "Stop, keep the file, and report this.",
            path,
        )
        self.reason = reason
