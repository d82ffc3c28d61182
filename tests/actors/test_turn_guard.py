"""A handler that holds the event loop is named: when its step ends, and while it does not end."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading

import pytest

from sojourn.actors import Turn
from sojourn.actors.guard import LoopGuard
from tests.actors.house import PATIENCE, House, config


class Seconds:
    """A clock that only computing moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_step_that_is_too_long_is_named_and_counted_and_waiting_is_no_step(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seconds = Seconds()
    guard = LoopGuard(0.5, seconds)

    async def handler() -> str:
        seconds.now += 0.5  # not more than the limit
        await asyncio.sleep(0)
        seconds.now += 0.75
        await asyncio.sleep(0)
        return "done"

    async def run() -> str:
        task = asyncio.ensure_future(watched())
        seconds.now += 10  # while it waits, others compute
        return await task

    async def watched() -> str:
        return await guard.watch(handler(), "shop.answer")

    assert asyncio.run(run()) == "done"
    guard.stop()
    assert guard.held == {"shop.answer": 1}
    assert "shop.answer held the event loop for 750 ms" in caplog.text


def test_what_the_collector_takes_is_not_the_handlers(caplog: pytest.LogCaptureFixture) -> None:
    """Bad: a handler of 0.3 s, in which a collection of 0.4 s begins, would be named for 0.7 s."""
    seconds = Seconds()
    guard = LoopGuard(0.5, seconds)

    def slow_collection(phase: str, _info: object) -> None:
        if phase == "start":
            seconds.now += 0.4

    async def handler(computing: float) -> None:
        seconds.now += computing
        gc.collect()

    async def watched(computing: float) -> None:
        await guard.watch(handler(computing), f"computes {computing}")

    gc.disable()  # the only collection is the handler's own
    try:
        asyncio.run(watched(0.1))  # the guard's callback is the first, so the slow one lies within its pause
        gc.callbacks.append(slow_collection)
        for computing in (0.3, 0.6):
            asyncio.run(watched(computing))
    finally:
        gc.enable()
        gc.callbacks.remove(slow_collection)
        guard.stop()
    assert guard.held == {"computes 0.6": 1}
    assert "computes 0.6 held the event loop for 600 ms" in caplog.text
    assert guard._on_collection not in gc.callbacks


def test_exceptions_and_cancellations_pass_through_the_guard() -> None:
    guard = LoopGuard(1e9)
    seen: list[str] = []

    async def handler() -> None:
        try:
            await asyncio.sleep(PATIENCE)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise ValueError("mine") from None

    async def run() -> None:
        async def watched() -> None:
            await guard.watch(handler(), "x")

        task = asyncio.ensure_future(watched())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(ValueError, match="mine"):
            await task

    asyncio.run(run())
    guard.stop()
    assert seen == ["cancelled"]


def test_a_handler_that_blocks_the_loop_is_named_while_it_does(caplog: pytest.LogCaptureFixture) -> None:
    named = threading.Event()

    async def blocks(turn: Turn) -> str:
        # Blocks until the log names it: without the guard's thread this would last for ever.
        assert named.wait(PATIENCE)
        return "done"

    def tell(_record: logging.LogRecord) -> bool:
        named.set()
        return True

    logger = logging.getLogger("sojourn.actors.guard")
    logger.addFilter(tell)
    try:
        with House(config=config(slow_handler=0.01), agent=blocks) as house:
            assert house.create().send("x").reply(PATIENCE).text == "done"
    finally:
        logger.removeFilter(tell)
    assert "blocks is holding the event loop" in caplog.text
    assert "named.wait" in caplog.text
