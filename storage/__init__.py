"""How sessions last: the journal of events, the rows beside it, and the questions to both.

Nothing here knows a clock or a rule of the life cycle.
"""

from . import archive, broadcasts, erasure, outbox
from .calls import Call
from .connection import Durability
from .counts import SessionCount, count_overdue, count_sessions, rewrite_epoch
from .due import DueSession
from .erasure import Receipt
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
    WriterLost,
)
from .history import ENVELOPE_BYTES
from .journal import Journal
from .raw_files import files_with
from .reader import Reader
from .records import (
    ERASED,
    EVENT_NAMES,
    EVENT_TYPES,
    RETENTION,
    Batch,
    BroadcastRow,
    EventRow,
    Gone,
    ScopeRow,
    SessionRow,
    StoredSession,
    TurnRow,
)
from .retention import Ended, EndedPage, ended_before
from .scrub import Scrubbed
from .sensitive import add_sensitive_keys, read_sensitive_keys
from .turns import OpenTurn, read_open_turns

__all__ = [
    "ENVELOPE_BYTES",
    "ERASED",
    "EVENT_NAMES",
    "EVENT_TYPES",
    "RETENTION",
    "Batch",
    "BroadcastRow",
    "Call",
    "CannotOpen",
    "DueSession",
    "Durability",
    "Ended",
    "EndedPage",
    "EventRow",
    "Gone",
    "Journal",
    "JournalCorrupt",
    "NotADatabase",
    "OpenTurn",
    "ReadFailed",
    "Reader",
    "Receipt",
    "SchemaTooNew",
    "ScopeRow",
    "Scrubbed",
    "SessionCount",
    "SessionRow",
    "StaleEpoch",
    "StorageError",
    "StoreLocked",
    "StoredSession",
    "TurnRow",
    "Unstorable",
    "WriteFailed",
    "WriterLost",
    "add_sensitive_keys",
    "archive",
    "broadcasts",
    "count_overdue",
    "count_sessions",
    "ended_before",
    "erasure",
    "files_with",
    "outbox",
    "read_open_turns",
    "read_sensitive_keys",
    "rewrite_epoch",
]
