"""docs/insights.md names every table, view and column of the insights file, and no other."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

from sojourn.storage.insights.schema import create_anew

PAGE = Path(__file__).parent.parent.parent / "docs" / "insights.md"


def documented() -> dict[str, list[str]]:
    """Columns by table, in the order of the page."""
    found: dict[str, list[str]] = {}
    for section in re.split(r"^### ", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        name = section.partition("\n")[0].strip()
        rows = re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE)
        found[name] = [column for row in rows for column in re.findall(r"`(\w+)`", row)]
    return found


def test_the_page_names_every_column_there_is() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    create_anew(connection)
    tables = connection.execute(
        "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
        " AND name NOT LIKE 'messages_fts%' AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    there = {
        name: [row[1] for row in connection.execute(f"PRAGMA table_xinfo({name})")] for (name,) in tables
    }
    connection.close()
    assert documented() == there
