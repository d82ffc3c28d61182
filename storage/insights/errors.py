"""What can go wrong with insights beside the store's own errors.

StorageError
├── InsightsMissing    there is no such file yet: start `sojourn serve`, or catch up by hand
└── InvalidQuestion    what was asked cannot be answered: the message says what to change
"""

from sojourn.storage.errors import StorageError


class InsightsMissing(StorageError):
    """Nobody has gathered insights of this file yet."""

    def __init__(self, path: str | None) -> None:
        if path is None:
            reason = "durability is memory: search and statistics need a database file"
        else:
            reason = "nobody has gathered them yet (setting insights)"
        super().__init__(f"No insights: {reason}.", path)


class InvalidQuestion(StorageError):
    """A search or a report that nobody can answer; `key` names the argument."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key}: {reason}", None)
        self.key = key
        self.reason = reason
