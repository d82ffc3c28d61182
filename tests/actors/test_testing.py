"""`VirtualClock` as it is shipped: each wake-up at its time, all settled in between, nothing sleeps."""

from __future__ import annotations

import asyncio
import time

import pytest

from sojourn import Runtime, RuntimeConfig, SessionConfig
from sojourn.actors import SessionHandle, Turn
from sojourn.actors.testing import DEFAULT_START, VirtualClock, settle
from tests.actors.house import START, House, config


def test_the_example_of_the_docstring_runs() -> None:
    async def run() -> None:
        clock = VirtualClock()
        async with Runtime(clock=clock) as runtime:
            session = await runtime.create()
            await clock.advance(3600)
            assert (await session.get())["status"] == "expired"

    asyncio.run(run())


def test_time_stands_still_until_it_is_advanced() -> None:
    clock = VirtualClock(5.0)
    assert (clock.now(), clock.now()) == (5.0, 5.0)
    asyncio.run(clock.advance(2.5))
    assert clock.now() == 7.5
    asyncio.run(clock.advance_to(3.0))  # not back
    assert clock.now() == 7.5
    clock.set(1.0)
    assert clock.now() == 1.0
    assert VirtualClock().now() == DEFAULT_START


def test_wake_ups_fire_in_their_order_each_at_its_time() -> None:
    async def run() -> None:
        clock = VirtualClock(0.0)
        loop = asyncio.get_running_loop()
        fired: list[tuple[str, float]] = []

        def note(name: str) -> None:
            fired.append((name, clock.now()))
            if name == "b":
                clock.call_at(loop, 25.0, lambda: note("made by b"))

        for name, when in (("c", 30.0), ("a", 10.0), ("b", 20.0), ("also b", 20.0), ("never", 99.0)):
            clock.call_at(loop, when, lambda name=name: note(name))  # type: ignore[misc]
        clock.call_at(loop, 15.0, lambda: note("cancelled")).cancel()
        assert clock.next_deadline() == 10.0
        await clock.advance(50)
        assert fired == [("a", 10.0), ("b", 20.0), ("also b", 20.0), ("made by b", 25.0), ("c", 30.0)]
        assert clock.now() == 50.0
        assert clock.next_deadline() == 99.0

    asyncio.run(run())


def test_days_pass_in_no_time_and_nothing_is_left_undone() -> None:
    """A month of one talk: each wake-up, commit and expiry on the way has happened when it returns."""
    with House(config=config(session=SessionConfig(session_timeout=600, dialog_timeout=60))) as house:
        seen: list[tuple[str, float]] = []
        house.runtime.subscribe(lambda event: seen.append((event["type"], house.now - (event["at"] - START))))
        began = time.process_time()
        for _ in range(30):
            house.send("hello")
            house.advance(86_400)
        assert [kind for kind, _ in seen] == [
            "session:created",
            "message:received",
            "dialog:expired",
            "session:expired",
        ] * 30
        assert {late for _, late in seen} == {0.0}
        assert time.process_time() - began < 30  # not a measurement: it would sleep for a month


def test_settle_waits_for_turns_reads_and_commits() -> None:
    async def run() -> None:
        async def agent(turn: Turn) -> str:
            for _ in range(10):
                await asyncio.sleep(0)
            return "answer"

        async with Runtime(clock=VirtualClock(), agent=agent) as runtime:
            session = runtime.create()
            sent = session.send("x")
            page = session.history()
            await settle(runtime)
            assert runtime.core.idle
            assert (await sent).seq == 2
            assert [event["seq"] for event in (await page).events] == [1, 2]
            assert (await session.get())["seq"] == 3

    asyncio.run(run())


def test_one_clock_drives_several_runtimes_one_after_the_other_and_together() -> None:
    async def run() -> None:
        clock = VirtualClock()
        settings = RuntimeConfig(session=SessionConfig(session_timeout=10))
        async with Runtime(clock=clock, config=settings) as first:
            session = await first.create()
            async with Runtime(clock=clock, config=settings) as second:
                other = await second.create()
                await clock.advance(10)
                assert (await session.get())["status"] == "expired"
                assert (await other.get())["status"] == "expired"
                again = await first.create()
            await clock.advance(10)
            assert (await again.get())["status"] == "expired"
        await clock.advance(10)
        async with Runtime(clock=clock, config=settings) as third:
            last = await third.create()
            await clock.advance(9)
            assert (await last.get())["status"] == "active"
            await clock.advance(1)
            assert (await last.get())["status"] == "expired"

    asyncio.run(run())


def test_move_to_fires_what_is_due_on_the_way() -> None:
    with House(config=config(session=SessionConfig(session_timeout=100))) as house:
        session = house.create()

        async def move() -> None:
            await house.clock.move_to(START + 50)
            assert (await session.get())["status"] == "active"
            await house.clock.move_to(START + 150)
            found = await session.get()
            assert (found["status"], found["expired_at"]) == ("expired", START + 100)

        house.runtime.run(move(), 20)
        assert house.now == 150


@pytest.mark.parametrize("back", [1.0, 1000.0])
def test_a_clock_set_back_fires_again_when_the_time_has_come_anew(back: float) -> None:
    with House(config=config(session=SessionConfig(session_timeout=100))) as house:
        session = house.create()
        house.advance(50)
        house.clock.set(house.clock.now() - back)
        house.advance(50 + back)
        assert house.runtime.run(_status(session), 20) == ("expired", START + 100)


async def _status(session: SessionHandle) -> tuple[str, float]:
    found = await session.get()
    return found["status"], found["expired_at"]
