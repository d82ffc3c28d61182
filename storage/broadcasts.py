"""Who was reached by which broadcast: written in the commit of the message itself, asked before a repeat."""

# ruff: noqa: S608 - statements are joined from constants and question marks; what is given is bound

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final

INSERT: Final = "INSERT OR IGNORE INTO broadcast_outcomes (user_id, broadcast_id, session, outcome)"

OUTCOMES: Final[Mapping[int, str]] = {1: "created", 2: "delivered", 3: "reopened"}
"""What became of the session, as stored and as people read it."""

_PEOPLE: Final = 200
"""Names in one statement: two variables each, of which every SQLite allows 999."""


def outcomes_of(connection: sqlite3.Connection, broadcast_id: str, user_ids: Sequence[str]) -> dict[str, int]:
    """The outcome of each of these people whom the broadcast has reached."""
    found: dict[str, int] = {}
    for start in range(0, len(user_ids), _PEOPLE):
        people = user_ids[start : start + _PEOPLE]
        found.update(
            connection.execute(
                "SELECT user_id, outcome FROM broadcast_outcomes WHERE broadcast_id = ? "
                f"AND user_id IN ({', '.join('?' * len(people))})",
                (broadcast_id, *people),
            )
        )
    return found


def outcomes_in(
    connection: sqlite3.Connection, sessions: Sequence[tuple[int, str | None]]
) -> dict[int, dict[str, int]]:
    """By the key of a session: which broadcasts reached its user in it, and how; `sessions`: (key, user_id),
    at most 200 of them.
    """
    people = sorted({user_id for _, user_id in sessions if user_id is not None})
    if not people:
        return {}
    keys = [key for key, user_id in sessions if user_id is not None]
    found: dict[int, dict[str, int]] = {}
    for session, broadcast_id, outcome in connection.execute(
        f"SELECT session, broadcast_id, outcome FROM broadcast_outcomes "
        f"WHERE user_id IN ({', '.join('?' * len(people))}) AND session IN (SELECT value FROM json_each(?)) "
        "ORDER BY broadcast_id",
        (*people, json.dumps(keys)),
    ):
        found.setdefault(session, {})[broadcast_id] = outcome
    return found


def sessions_of(
    connection: sqlite3.Connection, channel: str, user_ids: Sequence[str]
) -> list[tuple[list[str], str | None]]:
    """What `Reader.find_user` says of each of these people, in their order.

    Names are bound, never put into JSON: SQLite's JSON would cut one at a zero character, and find another
    person's sessions.
    """
    found: list[tuple[list[str], str | None]] = []
    for start in range(0, len(user_ids), _PEOPLE):
        people = user_ids[start : start + _PEOPLE]
        names = [each for pair in enumerate(people) for each in pair]
        row = connection.execute(
            f"""
            WITH people (place, user_id) AS (VALUES {", ".join(["(?, ?)"] * len(people))})
            SELECT json_group_array(json_array(place,
                json((SELECT json_group_array(session_id) FROM (
                    SELECT session_id FROM sessions s
                    WHERE s.user_id = people.user_id AND s.channel = ? AND s.status <> 'expired'
                    ORDER BY s.key DESC))),
                (SELECT session_id FROM sessions s
                    WHERE s.user_id = people.user_id AND s.channel = ? AND s.status = 'expired'
                    ORDER BY s.key DESC LIMIT 1)))
            FROM people
            """,
            (*names, channel, channel),
        ).fetchone()
        answers: list[tuple[int, list[str], str | None]] = sorted(
            json.loads(row[0]), key=lambda each: each[0]
        )
        found += ((unexpired, expired) for _, unexpired, expired in answers)
    return found


def forget_session(connection: sqlite3.Connection, key: int) -> None:
    """Forget whom this session, which is being erased, was reached for."""
    connection.execute(
        "DELETE FROM broadcast_outcomes "
        "WHERE user_id = (SELECT user_id FROM sessions WHERE key = ?) AND session = ?",
        (key, key),
    )
