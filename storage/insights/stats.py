"""What happened in a time: counts by hour, day, week or month, and what was typical."""

# ruff: noqa: S608 - statements are joined from constants of this package; what a caller gives is always bound

import json
import math
import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from .errors import InvalidQuestion
from .filters import Filters, where
from .past import session_conditions
from .search import exact

BUCKETS: Final = ("hour", "day", "week", "month")
MOST_BUCKETS: Final = 10_000

COUNTS: Final = (
    "opened",
    "closed",
    "resolved",
    "expired_inactivity",
    "expired_keep_alive",
    "expired_max_lifetime",
    "messages",
    "user_messages",
    "ai_messages",
    "human_messages",
    "system_messages",
    "handovers",
)
"""What is counted in each bucket, at the instant when it happened."""

_HOUR: Final = 3600
_SECONDS: Final = {"hour": 3600, "day": 86_400, "week": 604_800}
_MONDAY: Final = 345_600
"""The first Monday of Unix time: weeks begin there."""

_SESSIONS: Final = "sessions s"
_HANDOVERS: Final = "sessions s JOIN handovers h ON h.session = s.key"
_HAPPENINGS: Final = (
    ("s.created_at", {"opened": "1"}, _SESSIONS),
    ("s.closed_at", {"closed": "1", "resolved": "s.resolved_by IS NOT NULL"}, _SESSIONS),
    (
        "s.expired_at",
        {
            f"expired_{reason}": f"s.expiry_reason = '{reason}'"
            for reason in ("inactivity", "keep_alive", "max_lifetime")
        },
        _SESSIONS,
    ),
    ("h.waiting_since", {"handovers": "1"}, _HANDOVERS),
)
"""(when, {what: which of them}, of what): each is one pass over a table, grouped by one number alone,
which SQLite sorts quickly."""
_AUTHORS: Final = ("user", "ai", "human", "system")


class Statistics(NamedTuple):
    """What happened in a time."""

    buckets: list[dict[str, Any]]
    """`at` (the bucket's first instant) and each of `COUNTS`; also those in which nothing happened."""
    summary: dict[str, Any]
    """Of the sessions created in that time; see `summarise`."""


def gather(connection: sqlite3.Connection, filters: Filters, bucket: str) -> Statistics:
    """The counts and the summary; without `since` and `until` from the first to the last happening.

    Buckets are of UTC, weeks begin on Monday. Raises InvalidQuestion.
    """
    if bucket not in BUCKETS:
        raise InvalidQuestion("bucket", f"one of {', '.join(BUCKETS)}, not {bucket!r}")
    return Statistics(_buckets(connection, filters, bucket), summarise(connection, filters))


def summarise(connection: sqlite3.Connection, filters: Filters) -> dict[str, Any]:
    """What was typical: quantiles (nearest rank), shares from 0 to 1, None where nothing tells.

    `length` and `first_answer` and `handover_wait` {p50, p90, count} in seconds · `messages_a_session` (mean)
    · `share_without_human` of the resolved sessions · `ratings` by rating · `sessions`, `users`, `messages`.
    """
    conditions, names = session_conditions(filters)
    counted = connection.execute(
        f"""
        SELECT json_array(count(*), count(DISTINCT s.user_id), total(s.messages),
            total(s.resolved_by IS NOT NULL),
            total(s.resolved_by IS NOT NULL AND NOT s.with_human))
        FROM sessions s {where(*conditions)}
        """,
        names,
    ).fetchone()[0]
    sessions, users, messages, resolved, without = json.loads(counted)
    rated: str = connection.execute(
        f"""
        SELECT json_group_array(json_array(rating, sessions)) FROM (
            SELECT s.rating, count(*) AS sessions FROM sessions s
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
        "length": _quantiles(connection, "s.length", "s.messages > 0", conditions, names),
        "first_answer": _quantiles(
            connection, "s.first_answer", "s.first_answer_at IS NOT NULL", conditions, names
        ),
        "handover_wait": _quantiles(
            connection, "h.wait", "h.outcome = 'taken'", conditions, names, _HANDOVERS
        ),
        "ratings": {name: ratings.get(name, 0) for name in sorted({"1", "2", "3", "4", "5", *ratings})},
    }  # fmt: skip


def _quantiles(
    connection: sqlite3.Connection,
    column: str,
    there: str,
    conditions: list[str],
    names: dict[str, Any],
    table: str = _SESSIONS,
) -> dict[str, Any]:
    # Two places in one sorted list: a window over all rows takes three times as long.
    text: str = connection.execute(
        f"""
        WITH sorted AS MATERIALIZED (
            SELECT {column} AS value FROM {table} {where(there, *conditions)} ORDER BY {column}
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


def _buckets(connection: sqlite3.Connection, filters: Filters, bucket: str) -> list[dict[str, Any]]:
    conditions, names = session_conditions(replace(filters, since=None, until=None))
    counted: dict[int, dict[str, int]] = {}

    def count(statement: str, values: dict[str, Any], kinds: Iterable[str]) -> None:
        text: str = connection.execute(statement, values).fetchone()[0]
        for at, *counts in json.loads(text):
            row = counted.setdefault(at, dict.fromkeys(COUNTS, 0))
            row.update(zip(kinds, counts, strict=True))

    for column, kinds, table in _HAPPENINGS:
        times, instants = filters.times(column)
        sums = ", ".join(f"sum({which}) AS {kind}" for kind, which in kinds.items())
        count(
            f"""
            SELECT json_group_array(json_array(at, {", ".join(kinds)})) FROM (
                SELECT {_bucket(bucket, column)} AS at, {sums} FROM {table}
                {where(f"{column} IS NOT NULL", *conditions, *times)} GROUP BY 1)
            """,
            names | instants,
            kinds,
        )
    # Messages are counted by the hour: a range that cuts an hour counts that hour whole.
    hours: list[str] = []
    if filters.since is not None:
        hours.append("a.hour >= :first_hour")
        names["first_hour"] = math.floor(filters.since / _HOUR)
    if filters.until is not None:
        hours.append("a.hour < :end_hour")
        names["end_hour"] = math.ceil(filters.until / _HOUR)
    join = "JOIN sessions s ON s.key = a.session" if conditions else ""
    kinds = [f"{author}_messages" for author in _AUTHORS]
    count(
        f"""
        WITH per_hour AS MATERIALIZED (
            SELECT a.hour * {_HOUR} AS hour, {", ".join(f"sum(a.{each}) AS {each}" for each in _AUTHORS)}
            FROM activity a {join} {where(*conditions, *hours)} GROUP BY a.hour
        )
        SELECT json_group_array(json_array(at, {", ".join(_AUTHORS)})) FROM (
            SELECT {_bucket(bucket, "hour")} AS at, {", ".join(f"sum({each}) AS {each}" for each in _AUTHORS)}
            FROM per_hour GROUP BY 1)
        """,
        names,
        kinds,
    )
    for row in counted.values():
        row["messages"] = sum(row[kind] for kind in kinds)
    nothing: dict[str, int] = dict.fromkeys(COUNTS, 0)
    return [{"at": float(at)} | counted.get(at, nothing) for at in _starts(bucket, filters, sorted(counted))]


def _bucket(bucket: str, column: str) -> str:
    """SQL for the first instant of the bucket that a time lies in."""
    if bucket == "month":
        return f"CAST(strftime('%s', {column}, 'unixepoch', 'start of month') AS INTEGER)"
    size = _SECONDS[bucket]
    origin = _MONDAY if bucket == "week" else 0
    return f"(CAST(({column} - {origin}) / {size} AS INTEGER) * {size} + {origin})"


def _starts(bucket: str, filters: Filters, counted: list[int]) -> list[int]:
    """The first instants of all buckets, from the first to the last asked for or with anything in it."""
    edges = [*counted[:1], *counted[-1:]]
    if filters.since is not None:
        edges.append(_start(bucket, filters.since))
    if filters.until is not None:
        edges.append(_start(bucket, math.nextafter(filters.until, -math.inf)))
    if not edges:
        return []
    starts: list[int] = []
    at, last = min(edges), max(edges)
    if bucket != "month" and (last - at) // _SECONDS[bucket] >= MOST_BUCKETS:
        raise InvalidQuestion("bucket", f"more than {MOST_BUCKETS} of a {bucket}: choose a shorter time")
    while at <= last:
        starts.append(at)
        at = _start(bucket, at + 32 * 86_400) if bucket == "month" else at + _SECONDS[bucket]
    return starts


def _start(bucket: str, at: float) -> int:
    if bucket == "month":
        month = datetime.fromtimestamp(at, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return int(month.timestamp())
    size = _SECONDS[bucket]
    origin = _MONDAY if bucket == "week" else 0
    return math.floor((at - origin) / size) * size + origin
