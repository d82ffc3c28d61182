"""How sessions last: the journal of events, the rows beside it, and the questions to both.

Nothing here knows a clock or a rule of the life cycle.
"""

from . import broadcasts, outbox
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
from .records import (
    EVENT_NAMES,
    EVENT_TYPES,
    Batch,
    BroadcastRow,
    EventRow,
    ScopeRow,
    SessionRow,
    StoredSession,
    TurnRow,
)
from .turns import OpenTurn, read_open_turns

__all__ = [
    "ENVELOPE_BYTES",
    "EVENT_NAMES",
    "EVENT_TYPES",
    "Batch",
    "BroadcastRow",
    "CannotOpen",
    "DueSession",
    "Durability",
    "EventRow",
    "Journal",
    "JournalCorrupt",
    "NotADatabase",
    "OpenTurn",
    "ReadFailed",
    "Reader",
    "SchemaTooNew",
    "ScopeRow",
    "SessionRow",
    "StaleEpoch",
    "StorageError",
    "StoreLocked",
    "StoredSession",
    "TurnRow",
    "Unstorable",
    "WriteFailed",
    "broadcasts",
    "outbox",
    "read_open_turns",
]
