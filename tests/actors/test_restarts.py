"""Stopped or killed, and started again: nothing acknowledged is lost, what fell due expires as it should."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sojourn.actors import SessionConfig
from sojourn.actors.errors import SessionExpired, StorageFailed
from sojourn.actors.sweep import SWEEP_PAGE
from sojourn.storage import ReadFailed
from tests.actors.house import PATIENCE, START, House, config, history, say, state, texts, told

SHORT = SessionConfig(session_timeout=100.0, keep_alive=10.0)
TIMED = SessionConfig(session_timeout=1000.0, dialog_timeout=40.0)


@pytest.mark.parametrize("end", ["restart", "kill"])
def test_nothing_is_lost_and_nothing_changes_over_a_restart(path: Path, end: str) -> None:
    with House(path, config=config(session=SHORT)) as house:
        active = house.create(context={"a": 1})
        closed = house.create()
        for n in range(5):
            house.advance(1)
            say(active, f"m{n}", context={"n": n})
        say(closed)
        closed.close("bye").result(PATIENCE)
        before = [(state(each), history(each)) for each in (active, closed)]
        getattr(house, end)()
        again = [house.again(each) for each in (active, closed)]
        assert [(state(each), history(each)) for each in again] == before
        house.advance(5)
        say(again[0], "on")
        assert texts(again[0])[-1] == "on"
        house.advance(200)
        assert told(again[0])[-1] == ("session:expired", 110.0)
        assert told(again[1])[-1] == ("session:expired", 15.0)


@pytest.mark.parametrize("end", ["restart", "kill"])
def test_what_fell_due_while_down_expires_at_its_deadline_and_once(path: Path, end: str) -> None:
    with House(path, config=config()) as house:
        sessions = [house.create(timeouts={"session_timeout": float(n)}) for n in range(50, 0, -1)]
        house.advance(20.5)
        getattr(house, end)(after=20.0)
        again = [house.again(each) for each in sessions]
        house.advance(0)
        ends = [told(each)[1:] for each in again]
        assert ends == [[("session:expired", float(n))] if n <= 40 else [] for n in range(50, 0, -1)]
        getattr(house, end)(after=1000.0)
        house.advance(0)
        assert [len(history(house.again(each))) for each in sessions] == [2] * 50


@pytest.mark.parametrize("end", ["restart", "kill"])
def test_what_fell_due_while_down_expires_in_the_order_of_the_deadlines(path: Path, end: str) -> None:
    """Also when messages had moved the deadlines, which the rows of the killed do not know."""
    with House(path, config=config(session=SHORT)) as house:
        sessions = [house.create() for _ in range(8)]
        for at, index in enumerate((5, 2, 7, 0, 3, 6, 1, 4), 1):
            house.advance(1)
            assert house.now == at
            say(sessions[index])
        early = house.create(timeouts={"session_timeout": 97.5})
        getattr(house, end)(after=1000.0)
        house.advance(0)
        expired = [row for row in house.journal() if row[2] == "session:expired"]
        assert [at for _, _, _, at in expired] == [
            101.0,
            102.0,
            103.0,
            104.0,
            105.0,
            105.5,
            106.0,
            107.0,
            108.0,
        ]
        assert expired[5][0] == early.id


def test_a_runtime_is_ready_at_once_and_whoever_asks_sees_expired_what_fell_due(path: Path) -> None:
    with House(path, config=config(session=SHORT)) as house:
        due = [house.create() for _ in range(300)]
        house.stop()
        house.start(after=500.0)
        last = house.again(due[-1])
        found = state(last)  # asked before anything has settled
        assert (found["status"], found["expired_at"]) == ("expired", START + 100)
        with pytest.raises(SessionExpired):
            say(house.again(due[-2]))
        fresh = house.create()
        assert state(fresh)["status"] == "active"
        house.advance(0)
        for session in due:
            assert told(house.again(session)) == [("session:created", 0.0), ("session:expired", 100.0)]


def test_what_is_asked_for_while_it_is_brought_up_expires_once(path: Path) -> None:
    with House(path, config=config(session=SHORT)) as house:
        due = [house.create() for _ in range(700)]
        house.stop()
        house.start(after=500)

        async def ask_all() -> None:
            sweeping = asyncio.ensure_future(house.clock.advance(0))
            for start in range(0, len(due), 40):
                asked = [house.again(session).get() for session in due[start : start + 40]]
                for each in asked:
                    assert (await each)["expired_at"] == START + 100
            await sweeping

        house.runtime.run(ask_all(), PATIENCE)
        house.settle()
        rows = house.journal()
        assert len(rows) == 2 * len(due)
        assert len(set(rows)) == len(rows)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until it is so."""
    while not condition():  # noqa: ASYNC110  # nothing tells it
        await asyncio.sleep(0)


def test_what_was_read_before_a_session_expired_and_left_memory_is_not_believed(path: Path) -> None:
    """The sweep read its page; before it comes to it, somebody asks for a session of that page."""
    with House(path, config=config(session=SHORT)) as house:
        session = house.create()
        house.stop()
        house.start(after=500)
        reads: Any = house.runtime.core.reads
        ask = reads.ask
        held: list[Callable[[], None]] = []

        def hold(question: Any, done: Any, failed: Any) -> None:
            def keep(answer: Any) -> None:
                held.append(lambda: done(answer))

            ask(question, keep, failed)

        async def sweep() -> None:
            reads.ask = hold
            house.registry.sweep(house.clock.now())
            await until(lambda: bool(held))
            del reads.ask
            assert (await house.again(session).get())["status"] == "expired"
            await until(lambda: session.id not in house.registry.live)
            held.pop()()

        house.runtime.run(sweep(), PATIENCE)
        house.settle()
        assert [seq for _, seq, _, _ in house.journal()] == [1, 2]


def test_a_failed_read_ends_a_sweep_behind_the_pages_that_it_has_begun(path: Path) -> None:
    """The second page cannot be read while the first is ticked: that is stored first, the rest follows."""
    with House(path, config=config(session=SHORT)) as house:
        count = SWEEP_PAGE + 100
        for number in range(count):
            house.create(timeouts={"session_timeout": 100.0 + number})
        house.stop()
        house.start(after=5000)
        core = house.runtime.core
        reads: Any = core.reads
        ask = reads.ask
        asked = 0

        def fail_the_second(question: Any, done: Any, failed: Any) -> None:
            nonlocal asked
            asked += 1
            if asked == 2:
                core.loop.call_soon(failed, ReadFailed(str(path), "no"))
            else:
                ask(question, done, failed)

        async def sweep() -> int:
            reads.ask = fail_the_second
            house.registry.sweep(house.clock.now())
            await until(lambda: not house.registry.sweeping)
            del reads.ask
            return core.commits.committed_events

        assert house.runtime.run(sweep(), PATIENCE) == SWEEP_PAGE
        house.advance(10)
        expired = [at for _, _, kind, at in house.journal() if kind == "session:expired"]
        assert expired == [100.0 + number for number in range(count)]


def test_a_session_that_cannot_be_restored_harms_no_other(path: Path) -> None:
    with House(path, config=config(session=SHORT)) as house:
        bad, good = house.create(), house.create()
        bobs = house.create(user={"user_id": "bob"})
        house.stop()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE sessions SET snapshot = x'c1' WHERE session_id = ?", (bad.id,))
            connection.commit()
        house.start()

        async def ask_all() -> None:
            asked = [house.again(each).get() for each in (bobs, bad, good)]
            assert (await asked[0])["status"] == "active"
            with pytest.raises(StorageFailed, match=bad.id):
                await asked[1]
            assert (await asked[2])["status"] == "active"

        house.runtime.run(ask_all(), PATIENCE)
        with pytest.raises(StorageFailed):
            house.send()
        assert house.send(user={"user_id": "bob"}).session_id == bobs.id
        house.restart(after=100)
        house.advance(10)
        assert [told(house.again(each))[-1] for each in (good, bobs)] == [("session:expired", 100.0)] * 2


def test_a_deadline_that_falls_due_while_down_and_one_after_fire_each_at_its_time(path: Path) -> None:
    with House(path, config=config(session=TIMED)) as house:
        session = house.create()
        say(session)
        house.kill(after=500.0)
        session = house.again(session)
        house.advance(0)
        assert told(session)[1:] == [("message:received", 0.0), ("dialog:expired", 40.0)]
        house.advance(500)
        assert told(session)[-1] == ("session:expired", 1000.0)


CHILD = """
import asyncio, os, signal, sys
from sojourn import Runtime, RuntimeConfig, SessionConfig
from sojourn.actors.testing import VirtualClock

async def main():
    config = RuntimeConfig(session=SessionConfig(session_timeout=100.0, dialog_timeout=10.0))
    runtime = Runtime(sys.argv[1], clock=VirtualClock(float(sys.argv[2])), config=config)
    async with runtime:
        session = await runtime.create(user={"user_id": "ada"})
        for number in range(20):
            accepted = await session.send(f"m{number}", message_id=f"id{number}")
        print(session.id, accepted.seq, flush=True)
        session.send("may be lost", message_id="last")
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal there")
def test_a_killed_process_loses_nothing_it_acknowledged(path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), str(START)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ended.returncode == -9, ended.stderr
    session_id, seq = ended.stdout.split()
    with House(path, now=50.0) as house:
        session = house.runtime.session(session_id)
        house.advance(0)
        assert int(seq) == 21
        assert texts(session)[:20] == [f"m{n}" for n in range(20)]
        assert told(session)[-1] == ("dialog:expired", 10.0)
        again = say(session, "m7", message_id="id7")
        assert (again.seq, again.duplicate) == (9, True)
        say(session, "may be lost", message_id="last")
        assert texts(session).count("may be lost") == 1
