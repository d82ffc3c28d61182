"""The tables, the steps that make them, and the check that a file is ours and not newer than we are.

A step, once released, is never edited: what changes is a new step. `user_version` counts the steps applied.

The journal (`events`) has no index beside its row id, so that a commit only appends. The index, which finds
the events of a session, follows behind in sorted batches: each is a run of `event_runs` first and is moved to
`event_index` later (see `runs`). `meta.watermark` is the last event id that the two contain. Whoever looks
for events asks `event_index` and each run of `index_runs`, and scans the few events above the watermark.
"""

# ruff: noqa: S608 - statements are joined from constants of this package; what a caller gives is always bound

from collections.abc import Callable
from typing import Final, cast

from sqlite_utils import Database, Migrations

from . import counts, erasure, sensitive
from .errors import NotADatabase, SchemaTooNew
from .records import EVENT_TYPES

APPLICATION_ID: Final = 0x536A726E
"""`Sjrn` in the file's header, which `file(1)` and `PRAGMA application_id` show."""

WATERMARK: Final = "(SELECT value FROM meta WHERE name = 'watermark')"
"""SQL for the last event id that the index contains, in a run or in `event_index`."""

_ISO: Final = "strftime('%Y-%m-%dT%H:%M:%fZ', {0}, 'unixepoch')"

Step = Callable[[Database], None]
_migrations = Migrations("sojourn")
# The library's decorator is typed loosely.
_step = cast(Callable[[], Callable[[Step], Step]], _migrations)


@_step()
def create_tables(db: Database) -> None:
    """Sessions, their journal, its index, and the writer's own numbers."""
    db.conn.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID")
    db.conn.execute("INSERT INTO meta (name, value) VALUES ('epoch', 0), ('watermark', 0), ('last_key', 0)")
    db.conn.execute("CREATE TABLE event_types (code INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)")
    db.conn.execute(
        """
        CREATE TABLE sessions (
            key INTEGER PRIMARY KEY,
            session_id TEXT NOT NULL UNIQUE,
            user_id TEXT,
            channel TEXT NOT NULL,
            request_key TEXT,
            resume_hash BLOB,
            created_at REAL NOT NULL,
            status TEXT NOT NULL,
            handling TEXT NOT NULL,
            queue TEXT,
            assignee TEXT,
            due_at REAL,
            seq INTEGER NOT NULL,
            snapshot BLOB
        )
        """
    )
    # An index ends with the row's key by itself, so both give their rows in its order.
    db.conn.execute("CREATE INDEX sessions_by_user ON sessions (user_id, channel) WHERE user_id IS NOT NULL")
    db.conn.execute("CREATE INDEX sessions_by_due_at ON sessions (due_at) WHERE due_at IS NOT NULL")
    db.conn.execute(
        "CREATE UNIQUE INDEX sessions_by_request ON sessions (request_key) WHERE request_key IS NOT NULL"
    )
    db.conn.execute(
        """
        CREATE TABLE events (
            id INTEGER PRIMARY KEY,
            session INTEGER NOT NULL,
            seq INTEGER NOT NULL,
            at REAL NOT NULL,
            type INTEGER NOT NULL,
            flags INTEGER NOT NULL,
            body BLOB NOT NULL
        )
        """
    )
    db.conn.execute(
        """
        CREATE TABLE event_index (
            session INTEGER NOT NULL,
            seq INTEGER NOT NULL,
            event INTEGER NOT NULL,
            PRIMARY KEY (session, seq)
        ) WITHOUT ROWID
        """
    )


@_step()
def create_views(db: Database) -> None:
    """What a person with any SQL tool wants to see: histories and sessions, with readable times."""
    columns = f"s.session_id, e.seq, {_ISO.format('e.at')} AS at, t.name AS type, e.body"
    db.create_view(
        "history",
        f"""
        SELECT {columns} FROM sessions s
        JOIN event_index i ON i.session = s.key JOIN events e ON e.id = i.event
        LEFT JOIN event_types t ON t.code = e.type
        UNION ALL
        SELECT {columns} FROM events e
        JOIN sessions s ON s.key = e.session LEFT JOIN event_types t ON t.code = e.type
        WHERE e.id > {WATERMARK}
        """,
    )
    db.create_view(
        "session_list",
        f"""
        SELECT session_id, user_id, channel, status, handling, queue, assignee,
            {_ISO.format("created_at")} AS created_at, {_ISO.format("due_at")} AS due_at
        FROM sessions ORDER BY key DESC
        """,
    )


@_step()
def create_user_scopes(db: Database) -> None:
    """The context that is kept of a user across sessions."""
    db.conn.execute(
        """
        CREATE TABLE user_scopes (
            user_id TEXT NOT NULL PRIMARY KEY,
            version INTEGER NOT NULL,
            context BLOB NOT NULL
        )
        """
    )


@_step()
def create_broadcasts(db: Database) -> None:
    """Who was reached by which broadcast."""
    db.conn.execute(
        """
        CREATE TABLE broadcast_outcomes (
            user_id TEXT NOT NULL,
            broadcast_id TEXT NOT NULL,
            session INTEGER NOT NULL,
            outcome INTEGER NOT NULL,
            PRIMARY KEY (user_id, broadcast_id)
        ) WITHOUT ROWID
        """
    )


@_step()
def create_outbox(db: Database) -> None:
    """What is to be sent outside: a cursor a hook, references to events in lanes, and what was given up."""
    db.conn.execute(
        "CREATE TABLE outbox_cursors (hook TEXT PRIMARY KEY, event INTEGER NOT NULL) WITHOUT ROWID"
    )
    db.conn.execute(
        """
        CREATE TABLE outbox (
            session INTEGER NOT NULL,
            hook TEXT NOT NULL,
            seq INTEGER NOT NULL,
            event INTEGER NOT NULL,
            PRIMARY KEY (session, hook, seq)
        ) WITHOUT ROWID
        """
    )
    db.conn.execute(
        """
        CREATE TABLE outbox_lanes (
            session INTEGER NOT NULL,
            hook TEXT NOT NULL,
            due_at REAL NOT NULL,
            attempts INTEGER NOT NULL,
            PRIMARY KEY (session, hook)
        ) WITHOUT ROWID
        """
    )
    db.conn.execute("CREATE INDEX outbox_lanes_by_due_at ON outbox_lanes (hook, due_at)")
    db.conn.execute(
        """
        CREATE TABLE outbox_dead (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            hook TEXT NOT NULL,
            session INTEGER NOT NULL,
            seq INTEGER NOT NULL,
            event INTEGER NOT NULL,
            died_at REAL NOT NULL,
            attempts INTEGER NOT NULL,
            reason TEXT NOT NULL
        )
        """
    )
    db.conn.execute("CREATE INDEX outbox_dead_by_session ON outbox_dead (session)")


@_step()
def create_open_turns(db: Database) -> None:
    """What an agent is busy with, so that a crash in the middle of it is known."""
    db.conn.execute(
        """
        CREATE TABLE open_turns (
            session INTEGER NOT NULL,
            seq INTEGER NOT NULL,
            message_id TEXT NOT NULL,
            PRIMARY KEY (session, seq)
        ) WITHOUT ROWID
        """
    )


@_step()
def create_desk_index(db: Database) -> None:
    """What waits for a human, or has one: few among many, and looked for at every start."""
    db.conn.execute(
        "CREATE INDEX sessions_at_desk ON sessions (key) WHERE handling <> 'ai' AND status = 'active'"
    )


@_step()
def create_event_runs(db: Database) -> None:
    """The first level of the index, and the view of the histories that knows it."""
    db.conn.execute(
        """
        CREATE TABLE index_runs (
            run INTEGER PRIMARY KEY,
            first_session INTEGER NOT NULL,
            last_session INTEGER NOT NULL
        )
        """
    )
    db.conn.execute(
        """
        CREATE TABLE event_runs (
            run INTEGER NOT NULL,
            session INTEGER NOT NULL,
            seq INTEGER NOT NULL,
            event INTEGER NOT NULL,
            PRIMARY KEY (run, session, seq)
        ) WITHOUT ROWID
        """
    )
    columns = f"s.session_id, e.seq, {_ISO.format('e.at')} AS at, t.name AS type, e.body"
    db.conn.execute("DROP VIEW history")
    # CROSS JOIN: one session is looked up in each run, where SQLite would scan all of them.
    db.create_view(
        "history",
        f"""
        SELECT {columns} FROM sessions s
        JOIN event_index i ON i.session = s.key JOIN events e ON e.id = i.event
        LEFT JOIN event_types t ON t.code = e.type
        UNION ALL
        SELECT {columns} FROM index_runs l CROSS JOIN event_runs r ON r.run = l.run
        JOIN sessions s ON s.key = r.session JOIN events e ON e.id = r.event
        LEFT JOIN event_types t ON t.code = e.type
        UNION ALL
        SELECT {columns} FROM events e
        JOIN sessions s ON s.key = e.session LEFT JOIN event_types t ON t.code = e.type
        WHERE e.id > {WATERMARK}
        """,
    )


@_step()
def create_session_counts(db: Database) -> None:
    """Sessions by status and handling, kept as numbers."""
    for statement in counts.CREATE:
        db.conn.execute(statement)


@_step()
def create_erasures(db: Database) -> None:
    """Which sessions are gone, the receipts of who asked for it, and what is still to be removed."""
    for statement in erasure.CREATE:
        db.conn.execute(statement)


@_step()
def create_sensitive_keys(db: Database) -> None:
    """Which keys of a context are masked for people, also for who reads the file without the settings."""
    db.conn.execute(sensitive.CREATE)


STEPS: Final = (
    create_tables.__name__,
    create_views.__name__,
    create_user_scopes.__name__,
    create_broadcasts.__name__,
    create_outbox.__name__,
    create_open_turns.__name__,
    create_desk_index.__name__,
    create_event_runs.__name__,
    create_session_counts.__name__,
    create_erasures.__name__,
    create_sensitive_keys.__name__,
)
"""Names of all steps in their order; a file that has others is newer than this code."""

SCHEMA_VERSION: Final = len(STEPS)


def schema_version(db: Database, path: str) -> int:
    """How many steps the file has: 0 for an empty one. Changes nothing.

    Raises NotADatabase for another program's file, SchemaTooNew for one of a later Sojourn.
    """
    application_id = _pragma(db, "application_id")
    version = _pragma(db, "user_version")
    if application_id != APPLICATION_ID:
        if application_id or version or db.table_names():
            raise NotADatabase(path, "it holds another program's tables")
        return 0
    if version > SCHEMA_VERSION:
        raise SchemaTooNew(path, f"schema {version}", SCHEMA_VERSION)
    unknown = [step.name for step in _migrations.applied(db) if step.name not in STEPS]
    if unknown:
        raise SchemaTooNew(path, f"the later step {', '.join(unknown)}", SCHEMA_VERSION)
    return version


def migrate(db: Database) -> None:
    """Bring the file to `SCHEMA_VERSION`, or leave it as it was: one transaction for all steps."""
    # One transaction, the library's own table included: killed in between, the file would pass for another's.
    with db.atomic():
        if _pragma(db, "user_version") < SCHEMA_VERSION:
            _migrations.apply(db)
            db.conn.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.conn.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        # Names are appended to the table without a step of their own.
        db.conn.executemany(
            "INSERT OR IGNORE INTO event_types (name, code) VALUES (?, ?)", EVENT_TYPES.items()
        )


def _pragma(db: Database, name: str) -> int:
    return int(db.conn.execute(f"PRAGMA {name}").fetchone()[0])
