"""The wheel hands back what is due, in order and in time, against a model that is a dict and a sort."""

from __future__ import annotations

import weakref
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.actors.timers import NEVER, TimingWheel, Wakeable
from tests.actors.lives import START, patient


class Entry:
    """What is filed."""

    wake_at = NEVER


class File(NamedTuple):
    number: int
    wake_at: float


class TakeDue(NamedTuple):
    now: float
    limit: int


_times = st.sampled_from((0.0, 0.01, 0.04, 0.05, 0.06, 1.0, 1.01, 2.0, 5.0, 100.0)).map(START.__add__)
_steps = st.lists(
    st.builds(File, st.integers(0, 5), _times | st.just(NEVER))
    | st.builds(TakeDue, _times, st.sampled_from((1, 2, 1000))),
    max_size=40,
)


@patient
@given(_steps, st.sampled_from((0.05, 1.0, 1000.0)))
def test_the_wheel_is_a_sorted_list_of_what_is_filed(steps: list[File | TakeDue], resolution: float) -> None:
    wheel = TimingWheel(resolution)
    entries: list[Wakeable] = [Entry() for _ in range(6)]
    filed: dict[int, float] = {}
    for step in steps:
        if isinstance(step, File):
            wheel.file(entries[step.number], step.wake_at)
            filed[step.number] = step.wake_at
        else:
            taken = [entries.index(entry) for entry in wheel.due(step.now, step.limit)]
            due = sorted(wake_at for wake_at in filed.values() if wake_at <= step.now)[: step.limit]
            assert [filed.pop(number) for number in taken] == due
            assert all(entries[number].wake_at == NEVER for number in taken)
        assert wheel.next_at() == min(filed.values(), default=NEVER)


@pytest.fixture
def wheel() -> TimingWheel:
    return TimingWheel()


def test_nothing_is_handed_back_before_its_time(wheel: TimingWheel) -> None:
    """Also not by a part of a bucket."""
    entry = Entry()
    wheel.file(entry, START + 0.049)
    assert wheel.due(START + 0.048) == []
    assert entry.wake_at == START + 0.049
    assert wheel.due(START + 0.049) == [entry]


def test_an_entry_is_handed_back_once(wheel: TimingWheel) -> None:
    entry = Entry()
    wheel.file(entry, START)
    assert wheel.due(START) == [entry]
    assert wheel.due(START + 1000) == []
    assert wheel.next_at() == NEVER


def test_the_place_that_a_moved_entry_left_hides_nothing_behind_it(wheel: TimingWheel) -> None:
    """A session that was closed, and expired by its grace period, left a place at its inactivity limit."""
    moved, other = Entry(), Entry()
    wheel.file(moved, START + 3600)
    wheel.file(moved, START + 120)
    wheel.file(other, START + 7200)
    assert wheel.due(START + 120) == [moved]
    assert wheel.next_at() == START + 7200
    assert wheel.due(START + 7200) == [other]


def test_the_place_that_an_entry_left_does_not_stand_for_its_later_time(wheel: TimingWheel) -> None:
    moved, other = Entry(), Entry()
    wheel.file(moved, START + 10)
    wheel.file(moved, START + 30)
    wheel.file(other, START + 20)
    assert wheel.next_at() == START + 20
    assert wheel.due(START + 100) == [other, moved]


def test_an_entry_that_is_filed_for_never_is_forgotten(wheel: TimingWheel) -> None:
    entry, other = Entry(), Entry()
    wheel.file(entry, START)
    wheel.file(other, START + 1)
    wheel.file(entry, NEVER)
    assert wheel.next_at() == START + 1
    assert wheel.due(START + 10) == [other]


@pytest.mark.parametrize("looked_at", [False, True])
def test_a_cancelled_entry_is_neither_handed_back_nor_held(wheel: TimingWheel, looked_at: bool) -> None:
    """A session that leaves memory must not stay in it for its deadline's sake."""
    entry, other = Entry(), Entry()
    wheel.file(entry, START)
    wheel.file(other, START + 1)
    if looked_at:
        assert wheel.next_at() == START
    wheel.cancel(entry)
    wheel.cancel(entry)
    assert wheel.next_at() == START + 1
    gone = weakref.ref(entry)
    del entry
    assert gone() is None
    assert wheel.due(START + 10) == [other]


def test_an_entry_that_comes_back_to_an_old_time_is_handed_back_once(wheel: TimingWheel) -> None:
    entry = Entry()
    for wake_at in (START + 1, START + 2, START + 1, START + 1):
        wheel.file(entry, wake_at)
    assert wheel.due(START + 10) == [entry]
    assert wheel.next_at() == NEVER


def test_entries_of_one_instant_come_each_once_also_in_parts(wheel: TimingWheel) -> None:
    entries = {Entry() for _ in range(100)}
    for entry in entries:
        wheel.file(entry, START)
    first = wheel.due(START, limit=30)
    assert len(first) == 30
    rest = wheel.due(START)
    assert len(rest) == 70
    assert {*first, *rest} == entries


def test_a_limit_leaves_the_rest_for_the_next_time(wheel: TimingWheel) -> None:
    entries = [Entry() for _ in range(5)]
    for late, entry in enumerate(entries):
        wheel.file(entry, START + late)
    assert wheel.due(START + 10, limit=2) == entries[:2]
    assert wheel.next_at() == START + 2
    assert wheel.due(START + 10, limit=2) == entries[2:4]
    assert wheel.due(START + 10, limit=2) == entries[4:]


def test_an_entry_may_be_filed_for_a_time_that_is_past(wheel: TimingWheel) -> None:
    late, entry = Entry(), Entry()
    wheel.file(late, START + 100)
    assert wheel.next_at() == START + 100
    wheel.file(entry, START - 100)
    assert wheel.next_at() == START - 100
    assert wheel.due(START) == [entry]


def test_whoever_drives_the_wheel_hears_of_an_earlier_time_only(wheel: TimingWheel) -> None:
    calls: list[float] = []
    wheel.changed = lambda: calls.append(wheel.next_at())
    wheel.file(Entry(), START + 100)
    wheel.armed_at = START + 100
    wheel.file(Entry(), START + 100)
    wheel.file(Entry(), START + 200)
    wheel.file(Entry(), NEVER)
    wheel.file(Entry(), START + 50)
    assert calls == [START + 100, START + 50]
