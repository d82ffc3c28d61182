"""Full-text search over messages: hits with snippets, the newest first."""

# ruff: noqa: S608 - statements are joined from constants of this package; what a caller gives is always bound

import json
import math
import secrets
import sqlite3
from typing import Any, Final, NamedTuple

from .filters import MOST_INSTANT, Filters, check_limit, make_cursor, read_cursor, where
from .query import match_expression
from .source import HOUR

MOST_HITS: Final = 200
FEW: Final = 2000
"""Sessions whose messages are gathered before the words are looked up: what is in none of them is then passed
over without a look at it. Of more sessions, the newest messages with the words fill a page soon."""
_SNIPPET_TOKENS: Final = 32


class Hit(NamedTuple):
    """One message that was found."""

    session_id: str
    seq: int
    at: float
    author: str
    snippet: list[tuple[str, bool]]
    """The part of the text around what was looked for, in pieces; True: this piece is a word looked for."""
    user_id: str | None
    channel: str
    status: str
    rating: float | None
    tags: list[str]


class Hits(NamedTuple):
    """A page of hits."""

    hits: list[Hit]
    cursor: str | None
    """For the next page; None: there is none."""


def exact(column: str) -> str:
    """SQL for a number as text with all its digits: in JSON, SQLite prints 15 of them."""
    return f"printf('%!.17g', {column})"


def find(connection: sqlite3.Connection, q: str, filters: Filters, limit: int, cursor: str | None) -> Hits:
    """The newest messages that match `q`, as `query` reads it, at most `limit`.

    A text without a word finds nothing. Raises InvalidQuestion.
    """
    check_limit(limit, MOST_HITS)
    before = None if cursor is None else read_cursor(cursor, ((int,),))[0]
    expression = match_expression(q)
    if expression is None:
        return Hits([], None)
    of_sessions, names = filters.of_sessions()
    times, instants = filters.times("m.at")
    conditions = ["messages_fts MATCH :expression", *of_sessions, *times]
    names |= instants
    if filters.author is not None:
        conditions.append("m.author = :author")
        names["author"] = filters.author
    if before is not None:
        conditions.append("f.rowid < :before")
        names["before"] = min(before, 2**63 - 1)
    among = _few_sessions(connection, filters)
    if among is not None:
        # +: each word's list is gone through once, not looked into for each of these messages.
        conditions.append(f"+f.rowid IN (SELECT id FROM messages WHERE session IN ({among}))")
    ids = _between(connection, filters)
    if ids is not None:
        conditions.append("f.rowid BETWEEN :first_id AND :last_id")
        names["first_id"], names["last_id"] = ids
    # Nobody can write them into a message beforehand.
    begin, end = f"<{secrets.token_hex(8)}>", f"</{secrets.token_hex(8)}>"
    # CROSS JOIN: the words are looked up first, by falling id, and the rest only until the page is full. A
    # snippet, for which the whole text is split, is made of nothing but what is on the page.
    found = f"""
        SELECT f.rowid AS id, m.session AS session,
            snippet(messages_fts, 0, :begin, :end, '…', {_SNIPPET_TOKENS}) AS snippet FROM messages_fts f
        CROSS JOIN messages m ON m.id = f.rowid CROSS JOIN sessions s ON s.key = m.session
        WHERE {" AND ".join(conditions)} ORDER BY f.rowid DESC LIMIT :limit + 1
    """
    text = connection.execute(
        f"""
        WITH found AS MATERIALIZED ({found})
        SELECT json_group_array(json_array(
            m.id, s.session_id, m.seq, {exact("m.at")}, m.author, found.snippet,
            s.user_id, s.channel, s.status, s.rating, s.tags
        )) FROM found CROSS JOIN messages m ON m.id = found.id CROSS JOIN sessions s ON s.key = found.session
        """,
        {**names, "expression": expression, "begin": begin, "end": end, "limit": limit},
    ).fetchone()[0]
    rows: list[list[Any]] = sorted(json.loads(text), key=lambda row: row[0], reverse=True)
    page = rows[:limit]
    hits = [
        Hit(
            session_id, seq, float(at), author, segments(snippet, begin, end),
            user_id, channel, status, rating, json.loads(tags),
        )
        for _, session_id, seq, at, author, snippet, user_id, channel, status, rating, tags in page
    ]  # fmt: skip
    return Hits(hits, make_cursor(page[-1][0]) if len(rows) > limit else None)


def _few_sessions(connection: sqlite3.Connection, filters: Filters) -> str | None:
    """SQL for the keys of the sessions that the filters leave; None: there are many, or no filter."""
    conditions, names = filters.of_sessions()
    if filters.author is not None:
        conditions.append(f"s.{filters.author}_messages > 0")
    if not conditions:
        return None
    keys = f"SELECT s.key FROM sessions s {where(*conditions)}"
    count: int = connection.execute(f"SELECT count(*) FROM ({keys} LIMIT {FEW + 1})", names).fetchone()[0]
    return keys if count <= FEW else None


def _between(connection: sqlite3.Connection, filters: Filters) -> tuple[int, int] | None:
    """Ids between which all messages of the time lie, the second below the first where there are none.

    None: of any time.
    """
    if filters.since is None and filters.until is None:
        return None
    hours = (
        math.floor((filters.since or 0.0) / HOUR),
        math.ceil((MOST_INSTANT if filters.until is None else filters.until) / HOUR),
    )
    first, last = connection.execute(
        "SELECT coalesce(min(first_message), 1), coalesce(max(last_message), 0) FROM hours"
        " WHERE hour >= ? AND hour < ?",
        hours,
    ).fetchone()
    return first, last


def segments(snippet: str, begin: str, end: str) -> list[tuple[str, bool]]:
    """A snippet with marks, as pieces without them."""
    pieces: list[tuple[str, bool]] = []
    before, *marked = snippet.split(begin)
    if before:
        pieces.append((before, False))
    for each in marked:
        word, _, rest = each.partition(end)
        pieces.append((word, True))
        if rest:
            pieces.append((rest, False))
    return pieces
