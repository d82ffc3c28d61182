"""What the store counts of its commits, with a real journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from sojourn.actors.packing import pack
from sojourn.actors.tally import Tally
from sojourn.storage import EVENT_TYPES, Batch, EventRow, Journal, WriteFailed
from tests.storage.samples import batch, event, session

Commit = Callable[[Batch], None]
NOW = 1_700_000_100.0


@pytest.fixture
def journal() -> Iterator[Journal]:
    with Journal.open(None, "memory") as opened:
        yield opened


@pytest.fixture
def tally() -> Tally:
    """Its clock stands still; each commit takes a quarter of a second."""
    steps = count()
    return Tally(lambda: NOW, lambda: next(steps) * 0.25)


@pytest.fixture
def commit(tally: Tally, journal: Journal) -> Commit:
    return tally.measured(journal)


def expired(key: int, reason: str, at: float) -> EventRow:
    return (key, 2, at, EVENT_TYPES["session:expired"], 0, pack({"reason": reason}))


def test_commits_and_their_events_are_counted_by_type(tally: Tally, commit: Commit) -> None:
    commit(batch(sessions=[session(1)], events=[event(1, 1), event(1, 2)]))
    commit(batch(events=[event(1, 3), (1, 4, NOW, EVENT_TYPES["session:closed"], 0, b"\x80")]))
    commit(batch(deadlines=[(1, 5.0)]))
    assert tally.commits == 3
    assert tally.messages == 3
    assert {name: number for name, number in tally.events().items() if number} == {
        "message:received": 3,
        "session:closed": 1,
    }
    assert set(tally.events()) == set(EVENT_TYPES)


def test_how_long_commits_take_and_how_large_they_are_is_known(tally: Tally, commit: Commit) -> None:
    commit(batch(sessions=[session(1)], events=[event(1, seq) for seq in range(1, 6)]))
    commit(batch(events=[event(1, 6)]))
    assert tally.seconds.total == 0.5
    assert tally.recent_seconds.values(1.0) == [0.25, 0.25]
    assert tally.recent_sizes.values(1.0) == [1, 5]
    assert dict(zip(tally.sizes.bounds, tally.sizes.cumulative(), strict=False))[4] == 1


def test_expired_sessions_are_counted_by_reason_with_their_lateness(tally: Tally, commit: Commit) -> None:
    over = batch(sessions=[session(key) for key in (1, 2, 3)])
    over.events = [
        expired(1, "inactivity", NOW - 2.0),
        expired(2, "inactivity", NOW - 0.02),
        expired(3, "keep_alive", NOW + 1.0),  # the clock was set back since
    ]
    commit(over)
    assert tally.expired() == {"inactivity": 2, "keep_alive": 1, "max_lifetime": 0}
    assert tally.expiry_lateness.total == pytest.approx(2.02)
    assert tally.expiry_lateness.cumulative()[-1] == 3


def test_a_commit_that_fails_is_told_and_counted_as_that_and_nothing_else(
    tally: Tally, commit: Commit
) -> None:
    commit(batch(sessions=[session(1, request_key="once")]))
    with pytest.raises(WriteFailed):
        commit(batch(sessions=[session(2, request_key="once")], events=[event(2, 1)]))
    assert (tally.commits, tally.failures, tally.failing, tally.messages) == (1, 1, True, 0)
    commit(Batch())
    assert (tally.commits, tally.failures, tally.failing) == (2, 1, False)
