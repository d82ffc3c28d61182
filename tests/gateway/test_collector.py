"""The collector of a server: what it collects by itself, and what it leaves until that is cheap."""

import gc
import subprocess
import sys
import weakref
from collections.abc import Callable, Generator

import pytest

from sojourn.gateway.cli.collector import (
    FEWEST_BLOCKS,
    LOOK_EVERY,
    MOST_SECONDS,
    SECONDS_PER_BLOCK,
    YOUNG,
    Collector,
)

ROOM = int(MOST_SECONDS / SECONDS_PER_BLOCK)
"""Blocks that a whole collection may have to walk, at the usual cost of one."""


class Ring:
    """Garbage that only the collector frees."""

    def __init__(self) -> None:
        self.itself = self


class Ticking:
    """A clock on which every collection takes the same, whatever the machine does meanwhile."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._now = 0.0

    def __call__(self) -> float:
        self._now += self.seconds
        return self._now


class Hours:
    """As much of a loop as the collector needs; its time passes by hand."""

    def __init__(self) -> None:
        self.waiting: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, delay: float, callback: Callable[[], None]) -> "Hour":
        self.waiting.append((delay, callback))
        return Hour(self)

    def pass_one(self) -> None:
        [(_, callback)] = self.waiting
        self.waiting.clear()
        callback()


class Hour:
    def __init__(self, hours: Hours) -> None:
        self._hours = hours

    def cancel(self) -> None:
        self._hours.waiting.clear()


@pytest.fixture(autouse=True)
def own_collector() -> Generator[None]:
    """The process's collector as it was, whatever a test did to it."""
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()
    gc.collect()
    gc.freeze()


@pytest.fixture
def collector() -> Generator[Collector]:
    collector = Collector(Ticking(0.000_001))
    collector.start(Hours())
    yield collector
    collector.stop()


def grown_old() -> "weakref.ref[Ring]":
    """Garbage that a young collection has found alive: it is in an older generation."""
    ring = Ring()
    gc.collect(0)
    return weakref.ref(ring)


@pytest.mark.usefixtures("collector")
def test_young_garbage_is_freed_without_being_asked_for() -> None:
    garbage = weakref.ref(Ring())
    kept: list[list[int]] = []
    while len(kept) <= YOUNG:
        kept.append([])
    assert garbage() is None


@pytest.mark.usefixtures("collector")
def test_older_objects_are_never_walked_by_themselves() -> None:
    generations: list[int] = []

    def see(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            generations.append(info["generation"])

    gc.callbacks.append(see)
    try:
        kept: list[list[int]] = [[] for _ in range(200 * YOUNG)]
    finally:
        gc.callbacks.remove(see)
    assert len(kept) == 200 * YOUNG
    assert len(generations) >= 199
    assert set(generations) == {0}


def test_old_garbage_is_freed_while_few_objects_live(collector: Collector) -> None:
    garbage = grown_old()
    assert collector.look()
    assert garbage() is None


def test_nothing_is_walked_while_many_objects_live_and_all_is_when_they_are_gone(
    collector: Collector,
) -> None:
    garbage = grown_old()
    sessions: list[list[int]] = [[] for _ in range(2 * ROOM)]
    assert collector.foreseen > MOST_SECONDS
    assert not collector.look()
    assert garbage() is not None
    sessions.clear()
    assert collector.look()
    assert garbage() is None


def test_a_slow_machine_has_fewer_objects_walked() -> None:
    collector = Collector(Ticking(FEWEST_BLOCKS * 100 * SECONDS_PER_BLOCK))
    collector.start(Hours())
    sessions: list[list[int]] = [[] for _ in range(ROOM // 4)]
    assert collector.look()
    assert not collector.look(), f"{len(sessions)} objects take too long at the pace of the first collection"
    collector.stop()


def test_one_slow_collection_does_not_rule_out_all_that_follow() -> None:
    clock = Ticking(FEWEST_BLOCKS * 100 * SECONDS_PER_BLOCK)
    collector = Collector(clock)
    collector.start(Hours())
    sessions: list[list[int]] = [[] for _ in range(ROOM // 4)]
    assert collector.look()
    clock.seconds = 0.000_001
    made = [collector.look() for _ in range(10)]
    assert made[0] is False
    assert made[-1] is True
    assert len(sessions) == ROOM // 4
    collector.stop()


@pytest.mark.usefixtures("collector")
def test_what_the_start_made_is_frozen() -> None:
    assert gc.get_freeze_count() > 10_000


def test_it_looks_every_half_minute_until_it_is_stopped() -> None:
    hours = Hours()
    collector = Collector(Ticking(0.000_001))
    collector.start(hours)
    for _ in range(3):
        garbage = grown_old()
        hours.pass_one()
        assert garbage() is None
        assert [delay for delay, _ in hours.waiting] == [LOOK_EVERY]
    collector.stop()
    assert hours.waiting == []


def test_a_program_that_embeds_a_runtime_keeps_its_own_collector() -> None:
    program = (
        "import gc; gc.disable(); gc.set_threshold(123, 4, 5)\n"
        "from sojourn import Runtime\n"
        "with Runtime(None) as runtime: runtime.create().send('hello').result(10)\n"
        "assert (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()) == (False, (123, 4, 5), 0)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
