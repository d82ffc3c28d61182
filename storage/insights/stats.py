"""What happened in a time, and what was typical of its sessions."""

# ruff: noqa: S608 - statements are joined from constants of this package; what a caller gives is always bound

import json
import sqlite3
from typing import Any, NamedTuple

from .buckets import BUCKETS, count_buckets
from .errors import InvalidQuestion
from .filters import Filters, where
from .past import session_conditions
from .search import exact


class Statistics(NamedTuple):
    """What happened in a time."""

    buckets: list[dict[str, Any]]
    """`at` (the bucket's first instant) and each of `COUNTS`; also those in which nothing happened."""
    summary: dict[str, Any]
    """Of the sessions created in that time; see `summarise`."""


def gather(connection: sqlite3.Connection, filters: Filters, bucket: str) -> Statistics:
    """The counts and the summary; without `since` and `until` from the first to the last happening.

    Raises InvalidQuestion.
    """
    if bucket not in BUCKETS:
        raise InvalidQuestion("bucket", f"one of {', '.join(BUCKETS)}, not {bucket!r}")
    return Statistics(count_buckets(connection, filters, bucket), summarise(connection, filters))


def summarise(connection: sqlite3.Connection, filters: Filters) -> dict[str, Any]:
    """What was typical: quantiles (nearest rank), shares from 0 to 1, None where nothing tells.

    `length` and `first_answer` and `handover_wait` {p50, p90, count} in seconds · `messages_a_session` (mean)
    · `share_without_human` of the resolved sessions · `ratings` by rating · `sessions`, `users`, `messages`.
    """
    conditions, names = session_conditions(filters)

    def sessions_by(index: str) -> str:
        # By itself SQLite takes a range of time for narrow, and sorts what the index has in order.
        return f"sessions s INDEXED BY sessions_by_{index}" if filters.plain else "sessions s"

    counted = connection.execute(
        f"""
        SELECT json_array(count(*), total(s.messages), total(s.resolved_by IS NOT NULL),
            total(s.resolved_by IS NOT NULL AND NOT s.with_human))
        FROM {sessions_by("created_at")} {where(*conditions)}
        """,
        names,
    ).fetchone()[0]
    sessions, messages, resolved, without = json.loads(counted)
    users: int = connection.execute(
        f"""
        SELECT count(*) FROM (
            SELECT DISTINCT s.user_id FROM {sessions_by("user")}
            {where("s.user_id IS NOT NULL", *conditions)})
        """,
        names,
    ).fetchone()[0]
    rated: str = connection.execute(
        f"""
        SELECT json_group_array(json_array(rating, sessions)) FROM (
            SELECT s.rating, count(*) AS sessions FROM {sessions_by("created_at")}
            {where("s.rating IS NOT NULL", *conditions)} GROUP BY s.rating)
        """,
        names,
    ).fetchone()[0]
    ratings = {f"{rating:g}": count for rating, count in json.loads(rated)}
    return {
        "sessions": sessions,
        "users": users,
        "messages": int(messages),
        "messages_a_session": messages / sessions if sessions else None,
        "share_without_human": without / resolved if resolved else None,
        "length": _quantiles(
            connection, "s.length", sessions_by("length"), ["s.messages > 0", *conditions], names
        ),
        "first_answer": _quantiles(
            connection,
            "s.first_answer",
            sessions_by("first_answer"),
            ["s.first_answer_at IS NOT NULL", *conditions],
            names,
        ),
        "handover_wait": _quantiles(
            connection,
            "h.wait",
            "handovers h CROSS JOIN sessions s ON s.key = h.session"
            if filters.plain
            else "sessions s JOIN handovers h ON h.session = s.key",
            ["h.outcome = 'taken'", *conditions],
            names,
        ),
        "ratings": {name: ratings.get(name, 0) for name in sorted({"1", "2", "3", "4", "5", *ratings})},
    }


def _quantiles(
    connection: sqlite3.Connection,
    column: str,
    table: str,
    conditions: list[str],
    names: dict[str, Any],
) -> dict[str, Any]:
    # Two places in one sorted list: a window over all rows takes three times as long.
    text: str = connection.execute(
        f"""
        WITH sorted AS MATERIALIZED (
            SELECT {column} AS value FROM {table} {where(*conditions)} ORDER BY {column}
        )
        SELECT json_array(
            (SELECT count(*) FROM sorted),
            (SELECT {exact("value")} FROM sorted
                LIMIT 1 OFFSET (SELECT (count(*) * 50 + 99) / 100 - 1 FROM sorted)),
            (SELECT {exact("value")} FROM sorted
                LIMIT 1 OFFSET (SELECT (count(*) * 90 + 99) / 100 - 1 FROM sorted))
        )
        """,
        names,
    ).fetchone()[0]
    count, half, most = json.loads(text)
    if not count:
        return {"p50": None, "p90": None, "count": 0}
    return {"p50": float(half), "p90": float(most), "count": count}
