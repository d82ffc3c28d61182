"""`kill -9` amid a scrub, which writes into the pages of the file itself: no row is harmed."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from sojourn.storage import Journal

SCRUBBING = """
import random, sqlite3, sys
from sojourn.storage import Journal
from tests.storage.samples import batch, event, session

path, seed = sys.argv[1], int(sys.argv[2])
chance = random.Random(seed)
with Journal.open(path, "relaxed") as journal:
    key, page = journal.next_key, 1
    while True:
        rows = [
            session(each, snapshot=b"%d " % each * chance.randint(1, 900)) for each in range(key, key + 20)
        ]
        events = [event(row.key, 1, b"%d " % row.key * chance.randint(1, 900)) for row in rows]
        journal.commit(batch(sessions=rows, events=events, erased=[key - 7] if key > 20 else []))
        journal.index()
        key += 20
        print(key, flush=True)
        for _ in range(3):
            step = journal.scrub(page, 8)
            if step is not None:
                page = step.next_page or 1
"""


@pytest.mark.parametrize("seed", range(2))
def test_a_scrub_that_was_killed_harms_no_row(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "sessions.db"
    acknowledged = 1
    for _ in range(2):  # killed again amid what the first one left
        with subprocess.Popen(
            [sys.executable, "-c", SCRUBBING, str(path), str(seed)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for _ in range(random.Random(seed).randint(4, 12)):
                acknowledged = int(process.stdout.readline())
            process.kill()
    with Journal.open(str(path)) as journal:
        assert journal.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert journal.next_key >= acknowledged
    with closing(sqlite3.connect(path)) as connection:
        for statement in ("SELECT key, snapshot FROM sessions", "SELECT session, body FROM events"):
            rows: list[tuple[int, bytes]] = connection.execute(statement).fetchall()
            assert len({key for key, _ in rows}) == len(rows) > 80
            assert all(set(body.split()) == {b"%d" % key} for key, body in rows)
