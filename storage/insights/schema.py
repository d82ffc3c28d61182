"""The insights file: tables, views and what each column means.

The file stands beside the database (`sessions.db` → `sessions.db-insights`) and holds nothing that is not in
its journal, so it has no migrations: one of another version is made anew. Its tables are for people too: any
SQL tool opens the file, Datasette finds the full-text search of `messages` by itself.
"""

# ruff: noqa: S608 - statements are joined from constants of this package; what a caller gives is always bound

import sqlite3
from collections.abc import Mapping
from typing import Final, cast

from sqlite_utils import Database
from sqlite_utils.db import Table

from sojourn.storage.errors import NotADatabase

from . import hours

APPLICATION_ID: Final = 0x536A496E
"""`SjIn` in the file's header."""

VERSION: Final = 2
"""Raised at every change of a table, a view, or of what `facts` makes of events: the file is made anew."""

_ISO: Final = "strftime('%Y-%m-%dT%H:%M:%fZ', {0}, 'unixepoch')"

_CREATE: Final = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    """
    INSERT INTO meta (name, value) VALUES ('cursor', 0), ('cursor_session', 0), ('cursor_seq', 0),
        ('erasure', 0), ('purged', 0), ('deleted', 0)
    """,
    """
    CREATE TABLE sessions (
        key INTEGER PRIMARY KEY,
        session_id TEXT NOT NULL UNIQUE,
        user_id TEXT,
        channel TEXT NOT NULL,
        created_at REAL NOT NULL,
        status TEXT NOT NULL,
        handling TEXT NOT NULL,
        queue TEXT,
        assignee TEXT,
        tags TEXT NOT NULL,
        rating REAL,
        feedback TEXT,
        closed_at REAL,
        close_reason TEXT,
        expired_at REAL,
        expiry_reason TEXT,
        ended_at REAL AS (coalesce(closed_at, expired_at)),
        reason TEXT AS (CASE WHEN closed_at IS NULL THEN expiry_reason ELSE close_reason END),
        resolved_by TEXT,
        reopenings INTEGER NOT NULL,
        messages INTEGER NOT NULL,
        user_messages INTEGER NOT NULL,
        ai_messages INTEGER NOT NULL,
        human_messages INTEGER NOT NULL,
        system_messages INTEGER NOT NULL,
        failures INTEGER NOT NULL,
        last_message_at REAL,
        length REAL AS (coalesce(last_message_at, created_at) - created_at),
        first_user_at REAL,
        first_answer_at REAL,
        first_answer REAL AS (first_answer_at - first_user_at),
        handovers INTEGER NOT NULL,
        handover_reason TEXT,
        waiting_since REAL,
        handover_wait REAL,
        with_human INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        event INTEGER NOT NULL
    )
    """,
    "CREATE INDEX sessions_by_event ON sessions (event)",
    # What was typical of a time or a channel is read from the next four alone, already sorted.
    """
    CREATE INDEX sessions_by_created_at
        ON sessions (created_at, channel, messages, resolved_by, with_human, rating)
    """,
    "CREATE INDEX sessions_by_user ON sessions (user_id, created_at, channel) WHERE user_id IS NOT NULL",
    "CREATE INDEX sessions_by_length ON sessions (length, created_at, channel) WHERE messages > 0",
    """
    CREATE INDEX sessions_by_first_answer
        ON sessions (first_answer, created_at, channel) WHERE first_answer_at IS NOT NULL
    """,
    """
    CREATE TABLE session_tags (
        tag TEXT NOT NULL,
        session INTEGER NOT NULL REFERENCES sessions (key),
        PRIMARY KEY (tag, session)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX session_tags_by_session ON session_tags (session)",
    """
    CREATE TABLE messages (
        id INTEGER PRIMARY KEY,
        session INTEGER NOT NULL REFERENCES sessions (key),
        seq INTEGER NOT NULL,
        at REAL NOT NULL,
        author TEXT NOT NULL,
        author_id TEXT,
        text TEXT NOT NULL
    )
    """,
    "CREATE INDEX messages_by_session ON messages (session, seq)",
    """
    CREATE TABLE handovers (
        session INTEGER NOT NULL REFERENCES sessions (key),
        number INTEGER NOT NULL,
        queue TEXT,
        reason TEXT,
        waiting_since REAL NOT NULL,
        ended_at REAL,
        outcome TEXT,
        assignee TEXT,
        wait REAL AS (ended_at - waiting_since),
        PRIMARY KEY (session, number)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE activity (
        session INTEGER NOT NULL REFERENCES sessions (key),
        hour INTEGER NOT NULL,
        user INTEGER NOT NULL,
        ai INTEGER NOT NULL,
        human INTEGER NOT NULL,
        system INTEGER NOT NULL,
        at INTEGER AS (hour * 3600),
        PRIMARY KEY (session, hour)
    ) WITHOUT ROWID
    """,
    *hours.CREATE,
)

_DAY: Final = "strftime('%Y-%m-%d', {0}, 'unixepoch')"

_VIEWS: Final[Mapping[str, str]] = {
    "session_facts": f"""
        SELECT session_id, user_id, channel, status, handling, queue, assignee, tags, rating, feedback,
            {_ISO.format("created_at")} AS created_at, {_ISO.format("ended_at")} AS ended_at, reason,
            resolved_by, reopenings, messages, user_messages, ai_messages, human_messages, system_messages,
            failures, length, first_answer, handovers, handover_wait, with_human
        FROM sessions
        """,
    "message_list": f"""
        SELECT m.id, s.session_id, m.seq, {_ISO.format("m.at")} AS at, m.author, m.author_id, m.text,
            s.user_id, s.channel
        FROM messages m JOIN sessions s ON s.key = m.session
        """,
    "sessions_by_day": f"""
        SELECT {_DAY.format("hour * 3600")} AS day, sum(opened) AS opened, sum(closed) AS closed,
            sum(resolved) AS resolved,
            sum(expired_inactivity + expired_keep_alive + expired_max_lifetime) AS expired,
            sum(user + ai + human + system) AS messages
        FROM hours GROUP BY day
        """,
    "messages_by_hour": f"""
        SELECT {_ISO.format("hour * 3600")} AS hour, sum(user) AS user, sum(ai) AS ai, sum(human) AS human,
            sum(system) AS system, sum(user + ai + human + system) AS messages
        FROM hours GROUP BY hours.hour HAVING sum(user + ai + human + system) > 0
        """,
    "ratings": f"""
        SELECT rating, session_id, user_id, channel, {_ISO.format("ended_at")} AS ended_at, resolved_by,
            with_human, messages, feedback
        FROM sessions WHERE rating IS NOT NULL
        """,
    "handover_waits": f"""
        SELECT s.session_id, h.number, h.queue, h.reason, {_ISO.format("h.waiting_since")} AS waiting_since,
            {_ISO.format("h.ended_at")} AS ended_at, h.outcome, h.assignee, h.wait, s.channel
        FROM handovers h JOIN sessions s ON s.key = h.session
        """,
}

TABLES: Final = (
    "messages_fts",
    "messages",
    "session_tags",
    "handovers",
    "activity",
    "sessions",
    "hours",
    "meta",
)
"""What is dropped to begin anew, in this order."""


def version_of(connection: sqlite3.Connection, path: str) -> int:
    """The version of the file: 0 for an empty one. Raises NotADatabase for another program's."""
    application_id: int = connection.execute("PRAGMA application_id").fetchone()[0]
    if application_id != APPLICATION_ID:
        if application_id or connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise NotADatabase(path, "it holds another program's tables")
        return 0
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def create_anew(connection: sqlite3.Connection) -> None:
    """Empty the file and make all tables and views; killed meanwhile, its version stays another."""
    db = Database(connection, recursive_triggers=False, execute_plugins=False)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("PRAGMA user_version = 0")
    with db.atomic():
        views = connection.execute("SELECT name FROM sqlite_master WHERE type = 'view'").fetchall()
        for (view,) in views:
            connection.execute(f'DROP VIEW "{view}"')
        for table in TABLES:
            connection.execute(f"DROP TABLE IF EXISTS {table}")
        for statement in _CREATE:
            connection.execute(statement)
        # No prefix index: each one is a second index of all words, and `pay*` is found without.
        # Triggers keep the index of words in step, so that a deletion cannot forget it.
        cast("Table", db["messages"]).enable_fts(
            ["text"], tokenize="unicode61 remove_diacritics 2", create_triggers=True
        )
        for name, statement in _VIEWS.items():
            db.create_view(name, statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")
