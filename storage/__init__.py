"""How sessions last: the journal of events, the rows beside it, and the questions to both.

Nothing here knows a clock or a rule of the life cycle.
"""

from .connection import Durability
from .due import DueSession
from .errors import (
    CannotOpen,
    JournalCorrupt,
    NotADatabase,
    ReadFailed,
    SchemaTooNew,
    StaleEpoch,
    StorageError,
    StoreLocked,
    Unstorable,
    WriteFailed,
)
from .history import ENVELOPE_BYTES
from .journal import Journal
from .reader import Reader
from .records import EVENT_NAMES, EVENT_TYPES, Batch, EventRow, SessionRow, StoredSession

__all__ = [
    "ENVELOPE_BYTES",
    "EVENT_NAMES",
    "EVENT_TYPES",
    "Batch",
    "CannotOpen",
    "DueSession",
    "Durability",
    "EventRow",
    "Journal",
    "JournalCorrupt",
    "NotADatabase",
    "ReadFailed",
    "Reader",
    "SchemaTooNew",
    "SessionRow",
    "StaleEpoch",
    "StorageError",
    "StoreLocked",
    "StoredSession",
    "Unstorable",
    "WriteFailed",
]
