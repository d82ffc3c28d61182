"""`kill -9` amid the erasure of a person: the next start finishes it, and keeps everybody else."""

from __future__ import annotations

import random
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from sojourn.storage import Reader, erasure
from sojourn.storage.erasure import Receipt
from tests.integration.server_process import ServerProcess
from tests.integration.wire import Closed, Map

SESSIONS = 60
WORDS = "the very words of this person"


def fill(server: ServerProcess) -> str:
    """Ada's many sessions, one of them long, and one of Bob's; Bob's id."""
    with server.connect("service") as wire:
        bob: Map = wire.ok("session:create", user={"user_id": "bob"})
        for number in range(SESSIONS):
            session_id = wire.ok("session:create", user={"user_id": "lovelace"})["session_id"]
            for start in range(0, 1500 if number == 0 else 5, 100):
                asked = [
                    wire.send(
                        "message:send",
                        session_id=session_id,
                        message_id=f"{number}-{each}",
                        text=WORDS,
                    )
                    for each in range(start, min(start + 100, 1500 if number == 0 else 5))
                ]
                for request_id in asked:
                    wire.reply(request_id)
            wire.ok(
                "message:send", session_id=bob["session_id"], message_id=str(number), text=f"bob {number}"
            )
            wire.pushes.clear()
    return str(bob["session_id"])


def receipts(path: Path) -> list[Receipt]:
    with Reader.open(str(path)) as reader:
        return reader.look(lambda connection: erasure.receipts(connection, 10))


def wait_for(server: ServerProcess) -> None:
    """Until every receipt is complete; the test's own time limit ends it otherwise."""
    with server.connect("service") as wire:
        while any(each.completed_at is None for each in receipts(server.path)):
            for _ in range(100):
                wire.ok("session:list", limit=1)


@pytest.mark.timeout(90)
@pytest.mark.parametrize("seed", [0, 1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_erasure_that_was_killed_is_finished_by_the_next_start(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    server = ServerProcess(tmp_path, insights=True)
    bob = fill(server)

    def ask() -> None:
        try:
            with server.connect("service") as wire:
                wire.reply(wire.send("session:erase", user_id="lovelace"))
        except Closed:
            pass

    thread = threading.Thread(target=ask)
    thread.start()
    # Killed once so many of the sessions are gone.
    target = chance.randrange(1, SESSIONS)
    with closing(sqlite3.connect(f"file:{server.path}?mode=ro", uri=True)) as looking:
        while looking.execute("SELECT count(*) FROM erasures").fetchone()[0] < target:
            pass
    server.kill()
    thread.join()
    with ServerProcess(tmp_path, insights=True) as server:
        wait_for(server)
        (receipt,) = receipts(server.path)
        assert (receipt.sessions, receipt.subject) == (SESSIONS, "user")
        assert receipt.events == SESSIONS * 6 + 1495
        data = b"".join(
            each.read_bytes() for each in tmp_path.iterdir() if each.name.startswith("sessions.db")
        )
        assert WORDS.encode() not in data
        assert data.count(b"lovelace") == 0
        with server.connect("service") as wire:
            assert wire.ok("session:list", user_id="lovelace")["sessions"] == []
            events = wire.ok("session:history", session_id=bob, limit=500)["events"]
            said = [each["text"] for each in events if each["type"] == "message:received"]
            assert said == [f"bob {number}" for number in range(SESSIONS)]
        assert server.stop() == 0
