"""What happened in a time, by hour, day, week or month, of UTC; weeks begin on Monday."""

# ruff: noqa: S608 - statements are joined from constants of this package; what a caller gives is always bound

import json
import math
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from .errors import InvalidQuestion
from .filters import Filters, where
from .hours import AUTHORS, COUNTED, EXPIRIES
from .past import session_conditions
from .source import HOUR

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

_SECONDS: Final = {"hour": HOUR, "day": 86_400, "week": 604_800}
_MONDAY: Final = 345_600
"""The first Monday of Unix time: weeks begin there."""

_HAPPENINGS: Final = (
    ("created_at", {"opened": "1"}, "chosen"),
    ("closed_at", {"closed": "1", "resolved": "resolved"}, "chosen"),
    ("expired_at", {f"expired_{reason}": f"expiry_reason = '{reason}'" for reason in EXPIRIES}, "chosen"),
    ("waiting_since", {"handovers": "1"}, "chosen JOIN handovers h ON h.session = chosen.key"),
    ("at", {author: author for author in AUTHORS}, "chosen JOIN activity a ON a.session = chosen.key"),
)
"""(when, {what: how many}, of what)."""


def count_buckets(connection: sqlite3.Connection, filters: Filters, bucket: str) -> list[dict[str, Any]]:
    """`at` (the first instant) and `COUNTS` of each bucket, from the first to the last asked for.

    A range that cuts an hour counts that hour whole. Raises InvalidQuestion.
    """
    counted: dict[int, dict[str, int]] = {}
    whole = replace(
        filters,
        since=None if filters.since is None else float(math.floor(filters.since / HOUR) * HOUR),
        until=None if filters.until is None else float(math.ceil(filters.until / HOUR) * HOUR),
    )
    statement, names = _from_hours(whole, bucket) if filters.plain else _from_tables(whole, bucket)
    text: str = connection.execute(statement, names).fetchone()[0]
    for kinds, rows in json.loads(text):
        for at, *counts in rows:
            row = counted.setdefault(at, dict.fromkeys(COUNTED, 0))
            row.update(zip(kinds, counts, strict=True))
    nothing = dict.fromkeys(COUNTED, 0)
    return [
        {"at": float(at)} | _named(counted.get(at, nothing))
        for at in _starts(bucket, filters, sorted(counted))
    ]


_Statement = tuple[str, dict[str, Any]]
"""SQL that answers a JSON list of [[what is counted], [[bucket, count of each], …]], and its values."""


def _from_hours(filters: Filters, bucket: str) -> _Statement:
    conditions, names = filters.times("h.hour * 3600")
    if filters.channel is not None:
        conditions.append("h.channel = :channel")
        names["channel"] = filters.channel
    sums = {name: f"sum(h.{name})" for name in COUNTED}
    statement = f"""
        SELECT json_array({_grouped(sums)}) FROM (
            SELECT {_bucket(bucket, "h.hour * 3600")} AS bucket, {_named_sums(sums)}
            FROM hours h {where(*conditions)}
            GROUP BY 1 HAVING {" + ".join(sums.values())} > 0)
    """
    return statement, names


def _from_tables(filters: Filters, bucket: str) -> _Statement:
    """One pass over the sessions, then one over what is left for each kind; grouped by one number alone,
    which SQLite sorts quickly.
    """
    conditions, names = session_conditions(replace(filters, since=None, until=None))
    parts: list[str] = []
    for column, counts, table in _HAPPENINGS:
        times, instants = filters.times(column)
        names |= instants
        sums = {name: f"sum({each})" for name, each in counts.items()}
        parts.append(
            f"""
            (SELECT {_grouped(sums)} FROM (
                SELECT {_bucket(bucket, column)} AS bucket, {_named_sums(sums)} FROM {table}
                {where(f"{column} IS NOT NULL", *times)} GROUP BY 1))
            """
        )
    statement = f"""
        WITH chosen AS MATERIALIZED (
            SELECT s.key, s.created_at, s.closed_at, s.resolved_by IS NOT NULL AS resolved, s.expired_at,
                s.expiry_reason
            FROM sessions s {where(*conditions)}
        )
        SELECT json_array({", ".join(f"json({part})" for part in parts)})
    """
    return statement, names


def _grouped(sums: Mapping[str, str]) -> str:
    kinds = ", ".join(f"'{name}'" for name in sums)
    return f"json_array(json_array({kinds}), json_group_array(json_array(bucket, {', '.join(sums)})))"


def _named_sums(sums: Mapping[str, str]) -> str:
    return ", ".join(f"{each} AS {name}" for name, each in sums.items())


def _named(counts: dict[str, int]) -> dict[str, int]:
    """By the names of `COUNTS`, with the messages of all."""
    written = {f"{author}_messages": counts[author] for author in AUTHORS}
    whole = counts | written | {"messages": sum(written.values())}
    return {name: whole[name] for name in COUNTS}


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
