"""A session over time: it expires at its instant and once, whether or not anything was in memory or
running.
"""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import weakref
from collections.abc import Callable
from contextlib import closing
from math import nextafter
from pathlib import Path
from typing import Any

import pytest

from sojourn.actors import RuntimeConfig, SessionConfig, SessionHandle
from sojourn.actors.errors import IllegalState, SessionClosed, SessionExpired, SessionNotFound, StorageFailed
from tests.actors.house import ADA, PATIENCE, START, House, config, history, say, state, texts, told

SHORT = SessionConfig(session_timeout=100.0, keep_alive=10.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sojourn.db"


def remind(house: House, session: SessionHandle, name: str, after: float) -> None:
    """Set a reminder `after` seconds from now, as the life cycle records one."""

    def step() -> None:
        actor = house.registry.live[session.id]
        due_at = house.clock.now() + after
        actor.record("reminder:set", {"name": name, "due_at": due_at, "data": None}, house.clock.now())

    state(session)  # it is in memory now
    house.on_loop(step)
    house.settle()


# -- at its instant, once ------------------------------------------------------------------------------


def test_silence_expires_a_session_at_its_deadline_and_not_a_moment_before() -> None:
    with House(config=config(session=SHORT)) as house:
        session = house.create()
        house.advance(nextafter(START + 100, 0) - START)
        assert state(session)["status"] == "active"
        house.advance(1.0)
        found = state(session)
        assert (found["status"], found["expiry_reason"], found["expired_at"]) == (
            "expired",
            "inactivity",
            START + 100,
        )
        house.advance(10_000)
        assert told(session) == [("session:created", 0.0), ("session:expired", 100.0)]


def test_it_expires_without_anybody_asking() -> None:
    with House(config=config(session=SHORT)) as house:
        session = house.create()
        seen: list[tuple[str, float]] = []
        session.subscribe(lambda event: seen.append((event["type"], event["at"] - START)))
        house.advance(100)
        assert seen == [("session:expired", 100.0)]
        assert house.live(session) is None


def test_a_message_moves_the_deadline_and_one_at_the_deadline_is_too_late() -> None:
    with House(config=config(session=SHORT)) as house:
        session = house.create()
        house.advance(99)
        say(session)
        assert state(session)["expires_at"] == START + 199
        house.clock.set(START + 199)  # no wake-up has run yet
        with pytest.raises(SessionExpired):
            say(session, "late")
        assert told(session)[-1] == ("session:expired", 199.0)
        assert texts(session) == ["hello"]


@pytest.mark.parametrize(("author", "expires"), [("user", 150.0), ("human", 100.0), ("system", 100.0)])
def test_only_the_users_own_message_is_activity(author: str, expires: float) -> None:
    with House(config=config(session=SHORT)) as house:
        session = house.create()
        house.advance(50)
        say(session, author=author)
        session.update_context({"a": 1}).result(PATIENCE)
        session.tag(["vip"]).result(PATIENCE)
        assert state(session)["expires_at"] == START + expires


def test_what_counts_as_activity_is_a_setting() -> None:
    settings = config(session=SHORT, activity=frozenset({"human_message", "tag"}))
    with House(config=settings) as house:
        session = house.create()
        house.advance(50)
        say(session)
        assert state(session)["expires_at"] == START + 100
        say(session, author="human")
        assert state(session)["expires_at"] == START + 150
        house.advance(10)
        session.tag(["vip"]).result(PATIENCE)
        assert state(session)["expires_at"] == START + 160


def test_a_close_starts_the_grace_period_and_says_until_when() -> None:
    with House(config=config(session=SHORT)) as house:
        session = house.create()
        house.advance(5)
        closed = session.close("done").result(PATIENCE)
        assert (closed.reason, closed.reopen_until) == ("done", START + 15)
        house.advance(3)
        assert session.close("again").result(PATIENCE) == closed
        house.advance(7)
        assert told(session) == [
            ("session:created", 0.0),
            ("session:closed", 5.0),
            ("session:expired", 15.0),
        ]
        assert state(session)["expiry_reason"] == "keep_alive"


def test_the_grace_period_never_outlives_the_users_silence() -> None:
    with House(config=config(session=SHORT)) as house:
        session = house.create()
        house.advance(95)
        assert session.close().result(PATIENCE).reopen_until == START + 100
        house.advance(5)
        assert state(session)["expiry_reason"] == "inactivity"


def test_without_grace_a_close_expires_in_the_same_breath() -> None:
    with House(config=config()) as house:
        session = house.create(timeouts={"keep_alive": 0})
        house.advance(1)
        assert session.close().result(PATIENCE).reopen_until == START + 1
        assert told(session)[1:] == [("session:closed", 1.0), ("session:expired", 1.0)]
        with pytest.raises(SessionExpired):
            session.reopen().result(PATIENCE)


def test_a_users_message_reopens_and_nobody_elses_does() -> None:
    with House(config=config(session=SHORT)) as house:
        session = house.create()
        session.close("done").result(PATIENCE)
        for author in ("human", "system"):
            with pytest.raises(SessionClosed):
                say(session, author=author)
        with pytest.raises(SessionClosed):
            session.update_context({"a": 1}).result(PATIENCE)
        assert say(session).reopened
        found = state(session)
        assert (found["status"], found["closed_at"], found["close_reason"]) == ("active", None, None)
        with pytest.raises(IllegalState):
            session.reopen().result(PATIENCE)
        house.advance(50)
        assert state(session)["status"] == "active"


def test_a_longest_life_ends_whatever_the_user_does() -> None:
    with House(config=config(session=SessionConfig(session_timeout=100, max_lifetime=250))) as house:
        session = house.create()
        for _ in range(4):
            house.advance(60)
            say(session)
        house.advance(60)
        assert told(session)[-1] == ("session:expired", 250.0)
        assert state(session)["expiry_reason"] == "max_lifetime"


def test_channels_and_sessions_have_timeouts_of_their_own() -> None:
    settings = config(channels={"kiosk": SessionConfig(session_timeout=7)})
    with House(config=settings) as house:
        kiosk = house.create(channel="kiosk")
        voice = house.create(channel="voice")
        own = house.create(timeouts={"session_timeout": 3})
        for_ever = house.create(timeouts={"session_timeout": None})
        house.advance(100_000)
        ends = [state(each)["expired_at"] for each in (kiosk, voice, own, for_ever)]
        assert ends == [START + 7, START + 300, START + 3, None]


# -- the clock jumps -----------------------------------------------------------------------------------


def test_a_clock_set_back_holds_the_instants_of_a_session() -> None:
    with House(config=config(session=SHORT)) as house:
        session = house.create()
        house.advance(50)
        say(session)
        house.clock.set(START - 1000)
        say(session)
        session.close().result(PATIENCE)
        house.clock.set(START + 55)
        say(session)
        assert [at for _, at in told(session)] == [0.0, 50.0, 50.0, 50.0, 55.0, 55.0]


def test_a_clock_that_jumps_forward_expires_what_it_passes_at_its_own_instants() -> None:
    with House(config=config()) as house:
        sessions = [house.create(timeouts={"session_timeout": 10.0 * n}) for n in range(1, 6)]
        house.clock.set(START + 35)
        house.advance(0)
        found = [state(session) for session in sessions]
        assert [each["expired_at"] for each in found] == [START + 10, START + 20, START + 30, None, None]


# -- memory --------------------------------------------------------------------------------------------


def test_an_idle_session_leaves_memory_and_comes_back_the_same(path: Path) -> None:
    with House(path, config=RuntimeConfig(passivate_after=30.0)) as house:
        session = house.create(context={"a": {"b": 1}}, tags=["x"], metadata={"m": [1, 2]})
        say(session, context={"a": {"c": 2}})
        before, told_before = state(session), history(session)
        house.advance(29)
        assert house.live(session) is not None
        house.advance(100)
        assert house.live(session) is None
        assert state(session) == before
        assert house.live(session) is not None
        assert history(session) == told_before


def test_what_is_asked_keeps_a_session_in_memory() -> None:
    with House(config=RuntimeConfig(passivate_after=30.0)) as house:
        session = house.create()
        for _ in range(10):
            house.advance(29)
            state(session)
        assert house.live(session) is not None


def test_an_actor_that_left_memory_is_really_gone() -> None:
    with House(config=RuntimeConfig(passivate_after=30.0)) as house:
        session = house.create(timeouts={"session_timeout": 1e6})
        actor = house.live(session)
        assert actor is not None
        gone = weakref.ref(actor)
        del actor
        house.advance(200)
        assert house.live(session) is None
        assert gone() is None


def test_at_most_max_live_sessions_are_in_memory_and_the_busy_ones_stay() -> None:
    with House(config=config(max_live=10)) as house:
        sessions = [house.create(user={"user_id": f"u{n}"}) for n in range(10)]
        busy = sessions[3]
        for n in range(10, 40):
            state(busy)
            sessions.append(house.create(user={"user_id": f"u{n}"}))
            house.settle()
        assert len(house.registry.live) <= 10
        assert house.live(busy) is not None
        assert [state(session)["user"]["user_id"] for session in sessions] == [f"u{n}" for n in range(40)]
        house.settle()
        assert len(house.registry.live) <= 10


def test_a_passivated_sessions_deadline_fires_on_time(path: Path) -> None:
    with House(path, config=config(session=SHORT)) as house:
        seen: list[tuple[str, str, float]] = []
        house.runtime.subscribe(lambda event: seen.append((event["session_id"], event["type"], house.now)))
        first = house.create(timeouts={"session_timeout": 60})
        second = house.create()
        house.advance(10)
        say(second)
        house.passivate(first)
        house.passivate(second)
        seen.clear()
        house.advance(200)
        assert seen == [(first.id, "session:expired", 60.0), (second.id, "session:expired", 110.0)]
        assert told(second)[-1] == ("session:expired", 110.0)


TIMED = SessionConfig(session_timeout=1000.0, dialog_timeout=40.0)


@pytest.mark.parametrize("away", ["passivate", "restart", "kill"])
def test_dialog_timers_and_reminders_survive_being_away(path: Path, away: str) -> None:
    """The dialog timer starts with a message, after the session's row was written with a later deadline."""
    with House(path, config=config(session=TIMED)) as house:
        session = house.create()
        house.advance(5)
        say(session)
        remind(house, session, "tea", 60)
        remind(house, session, "later", 70)
        if away == "passivate":
            house.passivate(session)
        else:
            getattr(house, away)()
            session = house.again(session)
            house.advance(0)
        assert house.live(session) is None
        seen: list[tuple[str, float]] = []
        house.runtime.subscribe(lambda event: seen.append((event["type"], house.now)))
        house.advance(200)
        assert seen == [("dialog:expired", 45.0), ("reminder:fired", 65.0), ("reminder:fired", 75.0)]
        assert [at for kind, at in told(session) if kind != "reminder:set"] == [0.0, 5.0, 45.0, 65.0, 75.0]
        house.advance(1000)
        assert told(session)[-1] == ("session:expired", 1005.0)


def test_a_reminder_is_cancelled_by_a_users_message_and_by_a_close(path: Path) -> None:
    with House(path, config=config()) as house:
        spoken, closed, replaced = house.create(), house.create(), house.create()
        for session in (spoken, closed, replaced):
            remind(house, session, "tea", 60)
        say(spoken)
        closed.close().result(PATIENCE)
        closed.reopen().result(PATIENCE)
        remind(house, replaced, "tea", 90)
        house.advance(100)
        assert [kind for kind, _ in told(spoken) + told(closed) if kind == "reminder:fired"] == []
        assert [at for kind, at in told(replaced) if kind == "reminder:fired"] == [90.0]


# -- restarts ------------------------------------------------------------------------------------------


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


def test_a_dialog_timer_runs_again_after_the_next_message() -> None:
    with House(config=config(session=TIMED)) as house:
        session = house.create()
        say(session)
        house.advance(100)
        say(session)
        house.advance(100)
        assert [at for kind, at in told(session) if kind == "dialog:expired"] == [40.0, 140.0]


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


# -- what it answers -----------------------------------------------------------------------------------


def test_an_id_that_never_was_is_not_found() -> None:
    with House() as house:
        nobody = house.runtime.session("nobody")
        asked: list[Any] = [nobody.get(), nobody.history(), nobody.close(), nobody.send("x")]
        for answer in asked:
            with pytest.raises(SessionNotFound):
                answer.result(PATIENCE)


def test_an_expired_session_is_read_and_never_written() -> None:
    with House(config=config(session=SHORT)) as house:
        session = house.create()
        house.advance(100)
        before = state(session), history(session)
        asked: list[Any] = [
            session.send("x"),
            session.send("x", author="human"),
            session.update_context({"a": 1}),
            session.close(),
            session.reopen(),
            session.rate(5),
            session.tag(["a"]),
        ]
        for answer in asked:
            with pytest.raises(SessionExpired):
                answer.result(PATIENCE)
        assert (state(session), history(session)) == before


def test_history_comes_in_pages(path: Path) -> None:
    with House(path) as house:
        session = house.create()
        for n in range(10):
            say(session, f"m{n}")
        first = session.history(limit=4).result(PATIENCE)
        second = session.history(after_seq=4, limit=7).result(PATIENCE)
        assert [event["seq"] for event in first.events] == [1, 2, 3, 4]
        assert first.more
        assert [event["seq"] for event in second.events] == [5, 6, 7, 8, 9, 10, 11]
        assert not second.more
        assert session.history(after_seq=11).result(PATIENCE).events == []
        assert session.history(after_seq=99).result(PATIENCE).events == []


def test_ratings_tags_and_contents_are_kept_as_sent() -> None:
    with House() as house:
        session = house.create()
        say(session, None, data={"deep": [1, {"x": None}]})
        say(session, None, attachments=[{"url": "a"}])
        say(session, "")
        assert session.rate(4, "good").result(PATIENCE).seq == 5
        assert session.tag(["a", "b", "a"]).result(PATIENCE).tags == ["a", "b"]
        assert session.tag(["c"], ["a"]).result(PATIENCE).tags == ["b", "c"]
        first, second, third, rated = history(session)[1:5]
        assert (first["text"], first["data"]) == (None, {"deep": [1, {"x": None}]})
        assert second["attachments"] == [{"url": "a"}]
        assert third["text"] == ""
        assert (rated["rating"], rated["feedback"], rated["by"]["role"]) == (4, "good", "user")
        assert state(session)["tags"] == ["b", "c"]
        assert state(session)["user"] == ADA
