"""What happened in each hour, counted as it is gathered: charts of months are sums of some thousand rows.

Triggers keep the counts in step with the tables that they count, so that nothing which changes or deletes a
row can forget them. An hour also knows between which ids its messages lie: a search from one day to another
looks at no others.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Final

from .source import HOUR

EXPIRIES: Final = ("inactivity", "keep_alive", "max_lifetime")
AUTHORS: Final = ("user", "ai", "human", "system")

COUNTED: Final = (
    "opened",
    "closed",
    "resolved",
    *(f"expired_{reason}" for reason in EXPIRIES),
    "handovers",
    *AUTHORS,
)
"""The columns of `hours` that count."""

_TABLE: Final = f"""
CREATE TABLE hours (
    hour INTEGER NOT NULL,
    channel TEXT NOT NULL,
    {", ".join(f"{name} INTEGER NOT NULL DEFAULT 0" for name in COUNTED)},
    first_message INTEGER,
    last_message INTEGER,
    PRIMARY KEY (hour, channel)
) WITHOUT ROWID
"""

_OF_CLOSING: Final = {"closed": "1", "resolved": "{row}.resolved_by IS NOT NULL"}
_OF_EXPIRY: Final = {f"expired_{reason}": f"{{row}}.expiry_reason = '{reason}'" for reason in EXPIRIES}
_OF_AUTHORS: Final = {author: f"{{row}}.{author}" for author in AUTHORS}


def _add(row: str, at: str, counts: Mapping[str, str], sign: str = "", channel: str = "{row}.channel") -> str:
    """SQL that adds what one row, `NEW` or `OLD`, counts at this instant; nothing where there is none."""
    values = ", ".join(f"{sign}({each.format(row=row)})" for each in counts.values())
    more = ", ".join(f"{name} = {name} + excluded.{name}" for name in counts)
    return f"""
        INSERT INTO hours (hour, channel, {", ".join(counts)})
        SELECT CAST({row}.{at} / {HOUR} AS INTEGER), {channel.format(row=row)}, {values}
        WHERE {row}.{at} IS NOT NULL
        ON CONFLICT (hour, channel) DO UPDATE SET {more};
    """


def _triggers() -> Iterable[str]:
    session = "(SELECT channel FROM sessions WHERE key = {row}.session)"
    counted = (
        ("sessions", "created_at", {"opened": "1"}, (), "{row}.channel"),
        ("sessions", "closed_at", _OF_CLOSING, ("closed_at", "resolved_by"), "{row}.channel"),
        ("sessions", "expired_at", _OF_EXPIRY, ("expired_at", "expiry_reason"), "{row}.channel"),
        ("handovers", "waiting_since", {"handovers": "1"}, (), session),
        ("activity", "at", _OF_AUTHORS, AUTHORS, session),
    )
    for table, at, counts, changing, channel in counted:
        new, old = _add("NEW", at, counts, "", channel), _add("OLD", at, counts, "-", channel)
        name = f"{table}_{at}"
        yield f"CREATE TRIGGER {name}_new AFTER INSERT ON {table} BEGIN {new} END"
        yield f"CREATE TRIGGER {name}_gone AFTER DELETE ON {table} BEGIN {old} END"
        if changing:
            changed = " OR ".join(f"OLD.{each} IS NOT NEW.{each}" for each in changing)
            yield (
                f"CREATE TRIGGER {name}_changed AFTER UPDATE OF {', '.join(changing)} ON {table}"
                f" WHEN {changed} BEGIN {old} {new} END"
            )


CREATE: Final = (_TABLE, *_triggers())
"""Behind the tables `sessions`, `handovers` and `activity`."""

_WIDEN: Final = """
INSERT INTO hours (hour, channel, first_message, last_message) VALUES (?, ?, ?, ?)
ON CONFLICT (hour, channel) DO UPDATE SET
    first_message = min(coalesce(first_message, excluded.first_message), excluded.first_message),
    last_message = max(coalesce(last_message, excluded.last_message), excluded.last_message)
"""


def widen(connection: sqlite3.Connection, messages: Iterable[tuple[int, str, int]]) -> None:
    """Note (hour, channel, id) of new messages."""
    ids: dict[tuple[int, str], list[int]] = {}
    for hour, channel, message in messages:
        ids.setdefault((hour, channel), []).append(message)
    connection.executemany(_WIDEN, [(*place, min(there), max(there)) for place, there in ids.items()])


def drop_empty(connection: sqlite3.Connection) -> None:
    """Forget the hours of which nothing is left."""
    nothing = " AND ".join(f"{name} = 0" for name in COUNTED)
    connection.execute(f"DELETE FROM hours WHERE {nothing}")  # noqa: S608 - of constants alone
