"""What falls due, with as little of each session as tells when and why.

A wave may be a hundred thousand sessions in one second: a row read here costs a quarter of a whole one.
"""

import json
import sqlite3
from collections.abc import Container, Sequence
from typing import Any, Final, NamedTuple

from .history import read_tails
from .packed import PACKED_DEADLINE, unpack_deadlines
from .records import EventRow

_ROWS: Final = """
SELECT json_group_array({packed}), json_group_array(s.seq) FROM (
    SELECT due_at, key, session_id, seq FROM sessions WHERE {which}
) s
"""

_DUE: Final = _ROWS.format(
    packed=PACKED_DEADLINE,
    which="due_at >= :after AND due_at <= :now AND (due_at > :after OR key > :key) "
    "ORDER BY due_at, key LIMIT :limit",
)

_AMONG: Final = _ROWS.format(
    packed=PACKED_DEADLINE,
    which="due_at IS NOT NULL AND session_id IN (SELECT value FROM json_each(:ids))",
)

_SNAPSHOTS: Final = """
SELECT json_group_array(json_array(key, hex(snapshot))) FROM sessions
WHERE key IN (SELECT value FROM json_each(?)) AND snapshot IS NOT NULL
"""


class DueSession(NamedTuple):
    """A session that something may fall due for: its times are the fold of `tail` over `snapshot`."""

    due_at: float
    """A lower bound of the true deadline."""
    key: int
    session_id: str
    snapshot: bytes | None
    tail: list[EventRow]
    """The events behind the snapshot, oldest first."""


def read_due(
    connection: sqlite3.Connection,
    now: float,
    limit: int,
    after: tuple[float, int] | None,
    known: Container[str],
) -> tuple[list[tuple[float, int, str]], list[DueSession]]:
    """(due_at, key, session_id) of at most `limit` sessions with `due_at` ≤ `now`, in this order, and what is
    stored of those that are not `known`.
    """
    after_due, after_key = (float("-inf"), 0) if after is None else after
    return _read(connection, _DUE, {"now": now, "limit": limit, "after": after_due, "key": after_key}, known)


def read_due_among(connection: sqlite3.Connection, session_ids: Sequence[str]) -> list[DueSession]:
    """The sessions of these ids for which anything may ever fall due."""
    return _read(connection, _AMONG, {"ids": json.dumps(list(session_ids))}, ())[1]


def _read(
    connection: sqlite3.Connection, statement: str, names: dict[str, Any], known: Container[str]
) -> tuple[list[tuple[float, int, str]], list[DueSession]]:
    packed, packed_seqs = connection.execute(statement, names).fetchone()
    rows = unpack_deadlines(packed)
    seqs: list[int] = json.loads(packed_seqs)
    wanted = {row[1]: seq for row, seq in zip(rows, seqs, strict=True) if row[2] not in known}
    rows.sort()
    snapshots: dict[int, bytes] = {}
    if with_snapshot := [key for key, seq in wanted.items() if seq]:
        text = connection.execute(_SNAPSHOTS, (json.dumps(with_snapshot),)).fetchone()[0]
        snapshots = {key: bytes.fromhex(snapshot) for key, snapshot in json.loads(text)}
    tails = read_tails(connection, wanted) if wanted else {}
    return rows, [
        DueSession(due_at, key, session_id, snapshots.get(key), tails[key])
        for due_at, key, session_id in rows
        if key in wanted
    ]
