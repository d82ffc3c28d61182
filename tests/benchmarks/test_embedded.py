"""Each side is really asked in each way, and a wrong answer ends the run; how fast is not a test's affair."""

import asyncio
import threading

import pytest

from benchmarks import embedded
from benchmarks.embedded import RUNTIME, SIDES, THREADING_ACTOR, WAYS, Door
from benchmarks.servers import HarnessError

SESSIONS = 3
A_MOMENT = 0.02
"""Seconds a round lasts; whatever it brings is right."""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("side", SIDES)
def test_every_side_plays_every_way_and_leaves_no_thread(side: str, way: str) -> None:
    before = threading.enumerate()
    assert embedded.play(side, way, SESSIONS, A_MOMENT) > 0
    for thread in set(threading.enumerate()) - set(before):
        thread.join(30)  # an actor is stopped a moment before its thread has ended
        assert not thread.is_alive()


@pytest.mark.parametrize("side", SIDES)
def test_messages_count_from_one_and_a_known_id_is_not_counted_again(side: str) -> None:
    with embedded.opened(side, 2) as door:
        assert door.sessions == 2
        assert [door.ask(0, "a"), door.ask(0, "b"), door.ask(0, "a")] == [1, 2, 1]
        assert door.wait(door.post(0, "c")) == 3
        assert door.ask(1, "a") == 1


def test_peer_of_the_tasks_is_the_faster_of_its_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    def one(_door: Door, _seconds: float) -> float:
        return 7.0

    def pipelined(_door: Door, _seconds: float) -> float:
        return 5.0

    monkeypatch.setattr(embedded, "one", one)
    monkeypatch.setattr(embedded, "pipelined", pipelined)
    for way in embedded.IN_LOOP:
        assert embedded.play(THREADING_ACTOR, way, SESSIONS, A_MOMENT) == 7.0


def forgetful(sessions: int) -> Door:
    """Sessions that lose each second message."""
    seen = [0] * sessions

    def ask(n: int, message_id: str) -> int:
        seen[n] += 1
        return (seen[n] + 1) // 2

    async def arrive(n: int) -> int:
        return ask(n, "")

    return Door(sessions=sessions, post=lambda n, _: n, wait=lambda n: ask(n, ""), ask=ask, arrive=arrive)


def test_lost_message_ends_the_run_in_every_way() -> None:
    with pytest.raises(HarnessError, match="message 2 "):
        embedded.one(forgetful(2), 60.0)
    with pytest.raises(HarnessError, match="message 2 "):
        embedded.pipelined(forgetful(2), 60.0)
    with pytest.raises(HarnessError, match="message 2 "):
        asyncio.run(embedded.tasks(forgetful(2), 60.0))
    with pytest.raises(HarnessError, match="message 2 "):
        asyncio.run(embedded.waves(forgetful(2), 60.0))


def test_ratios_are_of_neighbouring_rounds_and_carry_the_bar() -> None:
    rates = {"pipelined": {RUNTIME: [30.0, 80.0], THREADING_ACTOR: [10.0, 20.0], "LoopActor": [10.0, 100.0]}}
    ratio, of_the_actor, *plain = embedded.findings("here", rates, with_bars=True)
    assert (ratio.value, ratio.low, ratio.high, ratio.bar, ratio.met) == (3.5, 3.0, 4.0, 3.0, True)
    assert (of_the_actor.value, of_the_actor.met) == (3.0, True)
    assert [finding.bar for finding in plain] == [None] * 3
    assert all(found.bar is None for found in embedded.findings("here", rates, with_bars=False))
