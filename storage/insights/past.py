"""Sessions by what is known of them: filtered, sorted, in pages."""

# ruff: noqa: S608 - statements are joined from constants of this package; what a caller gives is always bound

import json
import sqlite3
from typing import Any, Final, NamedTuple

from .errors import InvalidQuestion
from .filters import Filters, check_limit, make_cursor, read_cursor, where
from .search import exact

MOST_SESSIONS: Final = 1000

SORTS: Final = ("created_at", "ended_at", "messages", "length", "rating", "first_answer", "handover_wait")
ORDERS: Final = ("desc", "asc")

_NUMBERS: Final = ("created_at", "closed_at", "expired_at", "ended_at", "last_message_at", "length",
                   "first_answer", "handover_wait", "rating", "waiting_since")  # fmt: skip
"""Columns with fractions."""

_PLAIN: Final = ("session_id", "user_id", "channel", "status", "handling", "queue", "assignee", "feedback",
                 "close_reason", "expiry_reason", "reason", "resolved_by", "reopenings", "messages",
                 "user_messages", "ai_messages", "human_messages", "system_messages", "failures", "handovers",
                 "with_human", "seq")  # fmt: skip

_ROW: Final = ", ".join(
    (
        *(f"'{name}', s.{name}" for name in _PLAIN),
        *(f"'{name}', CASE WHEN s.{name} IS NOT NULL THEN {exact(f's.{name}')} END" for name in _NUMBERS),
        "'tags', json(s.tags)",
    )
)


class Page(NamedTuple):
    """A page of sessions."""

    sessions: list[dict[str, Any]]
    """The facts of each by the names of the columns of `sessions`; `with_human` is a boolean."""
    cursor: str | None
    """For the next page; None: there is none."""
    total: int
    """How many sessions there are on all pages."""


def list_sessions(
    connection: sqlite3.Connection, filters: Filters, sort: str, order: str, limit: int, cursor: str | None
) -> Page:
    """The sessions that match, at most `limit`; those without a value for `sort` come last in either order.

    Raises InvalidQuestion.
    """
    check_limit(limit, MOST_SESSIONS)
    if sort not in SORTS:
        raise InvalidQuestion("sort", f"one of {', '.join(SORTS)}, not {sort!r}")
    if order not in ORDERS:
        raise InvalidQuestion("order", f"one of {', '.join(ORDERS)}, not {order!r}")
    conditions, names = session_conditions(filters)
    total: int = connection.execute(
        f"SELECT count(*) FROM sessions s {where(*conditions)}", names
    ).fetchone()[0]
    if cursor is not None:
        conditions.append(_behind(sort, order, cursor, names))
    text = connection.execute(
        f"""
        WITH found AS MATERIALIZED (
            SELECT key, row_number() OVER () AS place FROM (
                SELECT s.key FROM sessions s {where(*conditions)}
                ORDER BY s.{sort} {order} NULLS LAST, s.key {order} LIMIT :limit + 1
            )
        )
        SELECT json_group_array(json_array(place, s.key, json_object({_ROW})))
        FROM found CROSS JOIN sessions s ON s.key = found.key
        """,
        {**names, "limit": limit},
    ).fetchone()[0]
    rows: list[tuple[int, int, dict[str, Any]]] = sorted(json.loads(text), key=lambda row: row[0])
    page = [_facts(row) for _, _, row in rows[:limit]]
    more = len(rows) > limit
    return Page(page, make_cursor(sort, order, page[-1][sort], rows[limit - 1][1]) if more else None, total)


def session_conditions(filters: Filters) -> tuple[list[str], dict[str, Any]]:
    """Conditions on `sessions` as `s` for all filters, and their values."""
    conditions, names = filters.of_sessions()
    times, instants = filters.times("s.created_at")
    conditions += times
    if filters.author is not None:
        conditions.append(f"s.{filters.author}_messages > 0")
    return conditions, names | instants


def _behind(sort: str, order: str, cursor: str, names: dict[str, Any]) -> str:
    its_sort, its_order, value, key = read_cursor(cursor, ((str,), (str,), (int, float, type(None)), (int,)))
    if (its_sort, its_order) != (sort, order):
        raise InvalidQuestion("cursor", f"it is of a page sorted by {its_sort}, {its_order}")
    sign = "<" if order == "desc" else ">"
    names["last_key"] = key
    if value is None:
        return f"s.{sort} IS NULL AND s.key {sign} :last_key"
    names["last_value"] = value
    return (
        f"(s.{sort} IS NULL OR s.{sort} {sign} :last_value"
        f" OR (s.{sort} = :last_value AND s.key {sign} :last_key))"
    )


def _facts(row: dict[str, Any]) -> dict[str, Any]:
    for name in _NUMBERS:
        if row[name] is not None:
            row[name] = float(row[name])
    row["with_human"] = bool(row["with_human"])
    return row
