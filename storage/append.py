"""The batch that comes most often, some events and nothing else, in a statement that is its own transaction.

The store's thread waits for the interpreter's lock after every statement, and beside a busy loop each wait is
up to 5 ms: `BEGIN`, the question for the epoch, the rows and `COMMIT` are four, this is one.
"""

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Final

from .bulk import EXACT
from .connection import UNSTORABLE, write_error
from .errors import StaleEpoch
from .records import EventRow
from .writer import Writer

_ROW: Final = "(?, ?, ?, ?, ?, ?)"
# The condition makes SQLite copy each row once more (1.7 µs): worth it for a few, too dear for thousands.
_STATEMENT: Final = """
INSERT INTO events (session, seq, at, type, flags, body) SELECT * FROM (VALUES {})
WHERE (SELECT value FROM meta WHERE name = 'epoch') = ?
"""
_TEXTS: Final = ("", *(_STATEMENT.format(", ".join([_ROW] * count)) for count in range(1, EXACT + 1)))


def append(writer: Writer, events: Sequence[EventRow]) -> int:
    """Store 1 to `EXACT` events; the id of the last. Raises as a transaction of `writer` does."""
    try:
        cursor = writer.connection.execute(_TEXTS[len(events)], (*chain.from_iterable(events), writer.epoch))
        if not cursor.rowcount:
            raise StaleEpoch(writer.path, writer.epoch, writer.stored_epoch())
    except (sqlite3.Error, *UNSTORABLE) as error:
        writer.roll_back()
        raise write_error(error, writer.path) from error
    return cursor.lastrowid or 0
