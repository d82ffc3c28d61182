"""Rows read as one JSON text a statement.

Read row by row, a result costs one wait for the interpreter's lock a row (see `bulk`): beside a busy thread
500 events took 120 ms, packed by SQLite into one value 12 ms. So SQLite makes a text, one call decodes it.

JSON cannot hold bytes, and SQLite prints floats with 15 digits. So bytes travel as hexadecimal, an instant as
two integers, its whole seconds and the rest in units of 2**-62 s; both are exact, and so is their sum, for
any instant that is 0 or at least a millisecond away from the epoch.
"""

import json
from typing import Any, Final

from .records import EventRow, SessionRow

_UNIT: Final = 2.0**-62
_from_hex = bytes.fromhex


def _instant(column: str) -> str:
    whole = f"CAST({column} AS INTEGER)"
    return f"{whole}, CAST(({column} - {whole}) * (1 << 62) AS INTEGER)"


def _bytes_or_null(column: str) -> str:
    return f"CASE WHEN {column} IS NOT NULL THEN hex({column}) END"


PACKED_EVENT: Final = f"json_array(e.session, e.seq, {_instant('e.at')}, e.type, e.flags, hex(e.body))"
"""SQL for one event of a table or alias `e`; to be aggregated with `json_group_array`."""

PACKED_SESSION: Final = f"""json_array(
    s.key, s.session_id, s.user_id, s.channel, s.request_key, {_bytes_or_null("s.resume_hash")},
    {_instant("s.created_at")}, s.status, s.handling, s.queue, s.assignee,
    {_instant("s.due_at")}, s.seq, {_bytes_or_null("s.snapshot")})"""
"""SQL for one row of `sessions` under the alias `s`; to be aggregated with `json_group_array`."""

PACKED_DEADLINE: Final = f"json_array({_instant('s.due_at')}, s.key, s.session_id)"
"""SQL for the deadline of one row under the alias `s`; to be aggregated with `json_group_array`."""


def unpack_events(text: str) -> list[EventRow]:
    """The events of a `json_group_array` of `PACKED_EVENT`."""
    rows: list[Any] = json.loads(text)
    return [
        (session, seq, whole + rest * _UNIT, code, flags, _from_hex(body))
        for session, seq, whole, rest, code, flags, body in rows
    ]


def unpack_sessions(text: str) -> list[SessionRow]:
    """The rows of a `json_group_array` of `PACKED_SESSION`."""
    return [_session(*row) for row in json.loads(text)]


def unpack_deadlines(text: str) -> list[tuple[float, int, str]]:
    """(due_at, key, session_id) of a `json_group_array` of `PACKED_DEADLINE`."""
    return [(whole + rest * _UNIT, key, session_id) for whole, rest, key, session_id in json.loads(text)]


def _session(
    key: int,
    session_id: str,
    user_id: str | None,
    channel: str,
    request_key: str | None,
    resume_hash: str | None,
    created_whole: int,
    created_rest: int,
    status: str,
    handling: str,
    queue: str | None,
    assignee: str | None,
    due_whole: int | None,
    due_rest: int | None,
    seq: int,
    snapshot: str | None,
) -> SessionRow:
    return SessionRow(
        key,
        session_id,
        user_id,
        channel,
        request_key,
        None if resume_hash is None else _from_hex(resume_hash),
        created_whole + created_rest * _UNIT,
        status,
        handling,
        queue,
        assignee,
        None if due_whole is None or due_rest is None else due_whole + due_rest * _UNIT,
        seq,
        None if snapshot is None else _from_hex(snapshot),
    )
