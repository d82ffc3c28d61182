"""The numbers of a running runtime are those of what happened."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from sojourn.actors import Runtime, SessionConfig
from sojourn.actors.errors import StorageFailed
from sojourn.actors.instruments import Instruments, Overview
from sojourn.actors.measures import WINDOW
from sojourn.actors.pulse import BEAT, Pulse
from sojourn.actors.testing import VirtualClock
from sojourn.actors.timers import NEVER, TimingWheel
from tests.actors.house import PATIENCE, House, config, say

SHORT = SessionConfig(session_timeout=100.0, keep_alive=10.0)


@pytest.fixture(params=["file", "memory"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[House]:
    path = tmp_path / "sojourn.db" if request.param == "file" else None
    with House(path, config=config(session=SHORT)) as made:
        yield made


def instruments_of(house: House) -> Instruments:
    made: Instruments = house.on_loop(lambda: Instruments(house.runtime.core))
    return made


def read(house: House, instruments: Instruments | None = None) -> Overview:
    house.settle()
    return house.runtime.run((instruments or instruments_of(house)).read(), PATIENCE)


def sessions_of(overview: Overview) -> dict[tuple[str, str], int]:
    assert overview.sessions is not None
    return {(each.status, each.handling): each.sessions for each in overview.sessions}


def test_sessions_are_counted_by_status_and_handling(house: House) -> None:
    talking, closed, waiting, over = (house.create() for _ in range(4))
    closed.close().result(PATIENCE)
    waiting.hand_over().result(PATIENCE)
    over.close().result(PATIENCE)
    house.advance(5.0)
    over.reopen().result(PATIENCE)
    assert sessions_of(read(house)) == {("active", "ai"): 2, ("active", "queued"): 1, ("closed", "ai"): 1}
    house.advance(20.0)
    assert sessions_of(read(house)) == {("active", "ai"): 2, ("active", "queued"): 1, ("expired", "ai"): 1}
    say(talking)
    house.advance(90.0)
    assert sessions_of(read(house)) == {
        ("active", "ai"): 1,
        ("expired", "queued"): 1,
        ("expired", "ai"): 2,
    }


def test_messages_expiries_and_live_sessions_are_counted(house: House) -> None:
    session = house.create()
    for _ in range(3):
        say(session)
    other = house.create()
    other.close().result(PATIENCE)
    house.advance(10.0)
    overview = read(house)
    assert overview.messages == 3
    assert overview.expired == {"inactivity": 0, "keep_alive": 1, "max_lifetime": 0}
    assert overview.live == 1
    assert overview.events["session:created"] == 2
    assert overview.at == house.clock.now()


def test_at_rest_nothing_waits_and_nothing_is_due(house: House) -> None:
    say(house.create())
    overview = read(house)
    assert set(overview.waiting.values()) == {0}
    assert set(overview.waiting) == {"mailboxes", "loading", "commit", "store", "reads", "turns"}
    assert (overview.due, overview.restarts, overview.turns, overview.draining) == (0, 0, 0, False)
    assert overview.dead_letters == {}


def test_what_waits_is_told_where_it_waits(tmp_path: Path) -> None:
    with House(tmp_path / "sojourn.db") as house:
        session, instruments = house.create(), instruments_of(house)
        house.settle()  # a start looks for erasures that were cut short, by the store too
        core = house.runtime.core
        hold, held = threading.Event(), threading.Event()

        def stop_the_store(_connection: sqlite3.Connection) -> None:
            held.set()
            assert hold.wait(PATIENCE)

        async def look() -> Overview:
            work = [asyncio.ensure_future(core.tend(stop_the_store))]
            await asyncio.to_thread(held.wait, PATIENCE)
            inbox = house.registry.live[session.id].actor_inbox
            inbox.hold()
            for _ in range(3):
                house.runtime.send_to(session.id, "hello", context={"a": 1})
            work.append(asyncio.ensure_future(core.tend(lambda _connection: None)))
            await asyncio.sleep(0)
            try:
                return await instruments.read()
            finally:
                hold.set()
                inbox.release()
                await asyncio.gather(*work)

        overview = house.runtime.run(look(), PATIENCE)
        assert overview.waiting["mailboxes"] == 3
        assert overview.waiting["store"] == 1


def test_a_late_wake_up_is_due_until_it_is_dealt_with_and_then_was_late(house: House) -> None:
    house.create()
    instruments = instruments_of(house)
    house.clock.set(house.clock.now() + 130.0)  # nothing fires before the next advance
    assert read(house, instruments).due == 1
    house.advance(0.0)
    overview = read(house, instruments)
    assert overview.due == 0
    assert overview.timer_lateness == pytest.approx(30.0)
    assert instruments.tally.expiry_lateness.total == pytest.approx(30.0)


@contextmanager
def read_only(house: House) -> Generator[None]:
    """The writer's connection refuses to write."""
    house.settle()
    store: Any = house.runtime.core._store
    connection: sqlite3.Connection = store._journal.connection
    connection.execute("PRAGMA query_only = ON")
    yield
    house.settle()
    connection.execute("PRAGMA query_only = OFF")


def why_not_ready(house: House, instruments: Instruments) -> list[str]:
    return house.runtime.run(instruments.why_not_ready(), PATIENCE)


def test_a_store_that_cannot_write_is_not_ready_until_it_can(tmp_path: Path) -> None:
    with House(tmp_path / "sojourn.db") as house:
        session, instruments = house.create(), instruments_of(house)
        assert why_not_ready(house, instruments) == []
        with read_only(house):
            with pytest.raises(StorageFailed):
                say(session)
            (why,) = why_not_ready(house, instruments)
            assert why.startswith("storage_failed: ")
        # Nobody sends anything to a server that is not ready: it finds out by itself.
        assert why_not_ready(house, instruments) == []
        assert instruments.tally.failures == 1


def test_who_drains_is_not_ready(tmp_path: Path) -> None:
    with House(tmp_path / "sojourn.db") as house:
        instruments = instruments_of(house)
        house.on_loop(lambda: setattr(house.runtime.core, "draining", True))
        assert why_not_ready(house, instruments) == ["draining"]


class Loop:
    """What a pulse needs of a loop, with a time that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0
        self.callback: Callable[[], None] = lambda: None

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        del when
        self.callback = callback

    def beat(self, late: float = 0.0) -> None:
        self.now += BEAT + late
        self.callback()


def pulse_of(loop: Loop, counts: Callable[[], tuple[int, ...]] = lambda: (0,)) -> Pulse:
    return Pulse(cast("asyncio.AbstractEventLoop", loop), counts)


def test_a_beat_that_comes_late_says_for_how_long_the_loop_was_held() -> None:
    loop = Loop()
    pulse = pulse_of(loop)
    pulse.start()
    for late in (0.0, 0.3, 0.02, 0.0):
        loop.beat(late)
    assert pulse.recent_lag.values(loop.now) == pytest.approx([0.0, 0.0, 0.02, 0.3])
    assert pulse.stalls == 1  # a hundredth of a second is none
    assert pulse.lag.total == pytest.approx(0.32)


def test_rates_are_told_of_the_last_seconds() -> None:
    loop = Loop()
    counted = [0]
    pulse = pulse_of(loop, lambda: (counted[0],))
    assert pulse.rates() == (0.0,)
    pulse.start()
    for _ in range(100):  # ten seconds, ten messages a second
        counted[0] += 1
        loop.beat()
    (rate,) = pulse.rates()
    assert rate == pytest.approx(10.0)
    for _ in range(100):
        loop.beat()
    assert pulse.rates() == (0.0,)
    assert pulse.recent_lag.values(loop.now + WINDOW) == []


def test_overdue_entries_are_those_that_would_be_woken() -> None:
    class Entry:
        wake_at = NEVER

    wheel = TimingWheel()
    entries = [Entry() for _ in range(6)]
    for entry, at in zip(entries, (1.0, 1.01, 1.02, 2.0, 3.0, 9.0), strict=True):
        wheel.file(entry, at)
    for now in (0.5, 1.0, 1.015, 2.5, 9.0):
        assert wheel.overdue(now) == sum(entry.wake_at <= now for entry in entries)
    assert wheel.next_at() == 1.0  # opens a bucket
    wheel.file(entries[1], 5.0)  # leaves its place behind
    wheel.cancel(entries[3])
    assert wheel.overdue(3.0) == 3
    assert len(wheel.due(3.0)) == 3
    assert wheel.overdue(3.0) == 0


def test_without_an_answer_of_storage_the_rest_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sojourn.actors.instruments.PATIENCE", 0.01)

    async def play() -> Overview:
        async with Runtime(clock=VirtualClock()) as runtime:
            hold = threading.Event()
            slow = asyncio.ensure_future(runtime.core.reads.get(lambda _reader: hold.wait(PATIENCE)))
            await asyncio.sleep(0)
            try:
                return await Instruments(runtime.core).read()
            finally:
                hold.set()
                await slow

    overview = asyncio.run(play())
    assert overview.sessions is None
    assert overview.messages == 0
