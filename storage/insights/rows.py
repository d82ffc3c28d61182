"""The statements that write the insights file; all within a transaction of the caller."""

# ruff: noqa: S608 - statements are joined from constants of this package; what a caller gives is always bound

import json
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, Final

from .facts import STORED, Facts, Handover, facts_of
from .hours import AUTHORS, drop_empty, widen
from .source import HOUR, Place

_KEYS: Final = "(SELECT value FROM json_each(?))"

_PUT_FACTS: Final = f"""
INSERT INTO sessions ({", ".join(STORED)}) VALUES ({", ".join("?" * len(STORED))})
ON CONFLICT (key) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in STORED[1:])}
"""

_PUT_HANDOVER: Final = """
INSERT INTO handovers (session, number, queue, reason, waiting_since, ended_at, outcome, assignee)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (session, number) DO UPDATE SET queue = excluded.queue, ended_at = excluded.ended_at,
    outcome = excluded.outcome, assignee = excluded.assignee
"""

_MORE: Final = ", ".join(f"{name} = {name} + excluded.{name}" for name in AUTHORS)
_ADD_ACTIVITY: Final = f"""
INSERT INTO activity (session, hour, {", ".join(AUTHORS)}) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (session, hour) DO UPDATE SET {_MORE}
"""


class Gathered:
    """What one slice of events adds."""

    def __init__(self) -> None:
        self.facts: dict[int, Facts] = {}
        """By the session's key."""
        self.retagged: set[int] = set()
        self.messages: list[tuple[int, int, int, float, str, str | None, str]] = []
        """Rows of `messages`."""
        self.handovers: dict[tuple[int, int], Handover] = {}
        """Each as it is at the end, by session and number."""
        self.activity: Counter[tuple[int, int, str]] = Counter()
        """Messages by session, hour and author."""

    def message(self, event: int, session: int, seq: int, at: float, payload: dict[str, Any]) -> None:
        """A message of any author; one without text is counted, there is nothing to find in it."""
        author: str = payload["author"]
        self.activity[session, int(at // HOUR), author] += 1
        text: str | None = payload.get("text")
        if text:
            self.messages.append((event, session, seq, at, author, payload.get("author_id"), text))

    def write(self, connection: sqlite3.Connection) -> None:
        """Put it all into the file."""
        connection.executemany(_PUT_FACTS, [facts.row() for facts in self.facts.values()])
        connection.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?)", self.messages)
        connection.executemany(_PUT_HANDOVER, self.handovers.values())
        connection.executemany(_ADD_ACTIVITY, _by_hour(self.activity))
        widen(
            connection,
            ((int(at // HOUR), self.facts[key].channel, event) for event, key, _, at, *_ in self.messages),
        )
        for key in self.retagged:
            connection.execute("DELETE FROM session_tags WHERE session = ?", (key,))
            connection.executemany(
                "INSERT INTO session_tags (tag, session) VALUES (?, ?)",
                [(tag, key) for tag in dict.fromkeys(self.facts[key].tags)],
            )


def _by_hour(activity: Counter[tuple[int, int, str]]) -> Iterable[tuple[int, ...]]:
    places = sorted({(session, hour) for session, hour, _ in activity})
    return [
        (session, hour, *(activity[session, hour, author] for author in AUTHORS)) for session, hour in places
    ]


def read_facts(connection: sqlite3.Connection, keys: Collection[int]) -> dict[int, Facts]:
    """What is known of these sessions so far."""
    rows = connection.execute(
        f"SELECT {', '.join(STORED)} FROM sessions WHERE key IN {_KEYS}", (json.dumps(sorted(keys)),)
    )
    found = [facts_of(row) for row in rows]
    return {facts.key: facts for facts in found}


def delete_sessions(connection: sqlite3.Connection, keys: Collection[int]) -> int:
    """Remove all that is known of these sessions; how many messages that were."""
    names = (json.dumps(sorted(keys)),)
    gone = connection.execute(f"DELETE FROM messages WHERE session IN {_KEYS}", names).rowcount
    for table in ("session_tags", "handovers", "activity"):
        connection.execute(f"DELETE FROM {table} WHERE session IN {_KEYS}", names)
    connection.execute(f"DELETE FROM sessions WHERE key IN {_KEYS}", names)
    drop_empty(connection)
    return gone


def last_places(connection: sqlite3.Connection, limit: int) -> list[Place]:
    """Where the sessions' last events stood, the newest first."""
    rows = connection.execute(
        "SELECT event, key, session_id, seq FROM sessions ORDER BY event DESC LIMIT ?", (limit,)
    )
    return [Place(*row) for row in rows]


def keys_of(connection: sqlite3.Connection, session_ids: Collection[str]) -> dict[str, int]:
    """The keys of those sessions that are known, by id."""
    return dict(
        connection.execute(
            f"SELECT session_id, key FROM sessions WHERE session_id IN {_KEYS}",
            (json.dumps(list(session_ids)),),
        ).fetchall()
    )


def all_keys(connection: sqlite3.Connection) -> list[int]:
    """The keys of all sessions that are known."""
    return [key for (key,) in connection.execute("SELECT key FROM sessions")]


def numbers(connection: sqlite3.Connection) -> dict[str, int]:
    """The follower's own numbers, by name."""
    return dict(connection.execute("SELECT name, value FROM meta").fetchall())


def remember(connection: sqlite3.Connection, name: str, value: int) -> None:
    """Set one of them."""
    connection.execute("UPDATE meta SET value = ? WHERE name = ?", (value, name))
