"""Every store gives back what it was given; what the figures are is not a test's business."""

import asyncio
import json
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from benchmarks.agent_sdks import __main__ as agent_sdks
from benchmarks.agent_sdks.conversation import (
    RECENT,
    Durability,
    Level,
    Plan,
    Reading,
    Result,
    Said,
    Store,
    Talk,
    Window,
    WrongAnswer,
    measure,
)
from benchmarks.agent_sdks.environments import ENVIRONMENTS, PEERS, PINS, Side
from benchmarks.agent_sdks.sojourn_runtime import SojournRuntime
from benchmarks.findings import Answer
from benchmarks.loadgen import ROOT

SMALL = Plan(case="alone", db="", conversations=3, seconds=0.05, lengths=(10, 20), window=4, rounds=2)
CASES: tuple[Literal["alone", "together", "aging"], ...] = ("alone", "together", "aging")


class MemoryStore:
    """A list a conversation."""

    async def open(self, path: Path, durability: Level) -> None: ...

    async def close(self) -> None: ...

    async def durability(self) -> Durability:
        return Durability(journal_mode="memory", synchronous=0)

    async def start(self, name: str) -> list[Said]:
        return []

    async def say(self, conversation: list[Said], said: Said) -> None:
        conversation.append(said)

    async def exchange(self, conversation: list[Said], question: Said, answer: Said) -> None:
        conversation += [question, answer]

    async def read(self, conversation: list[Said], reading: Reading) -> Sequence[Said]:
        return conversation[-RECENT:] if reading == "recent" else conversation

    async def grow(self, conversation: list[Said], exchanges: Sequence[tuple[Said, Said]]) -> None:
        for exchange in exchanges:
            conversation += exchange


class ForgetfulStore(MemoryStore):
    """Drops what the user says."""

    async def say(self, conversation: list[Said], said: Said) -> None:
        if said.author != "user":
            conversation.append(said)


class BehindStore(MemoryStore):
    """Reads what was there a turn ago."""

    async def read(self, conversation: list[Said], reading: Reading) -> Sequence[Said]:
        return (await super().read(conversation, reading))[:-2]


class CutStore(MemoryStore):
    """Reads the last messages where all are wanted."""

    async def read(self, conversation: list[Said], reading: Reading) -> Sequence[Said]:
        return conversation[-RECENT:]


async def _turns(store: Store, turns: int, reading: Reading) -> Talk:
    talk = await Talk.begin(store, "talk")
    for _ in range(turns):
        await talk.take_turn(reading)
    return talk


@pytest.mark.parametrize("store", [ForgetfulStore(), BehindStore(), CutStore()])
def test_store_that_does_not_give_back_what_was_said_is_found_out(store: Store) -> None:
    with pytest.raises(WrongAnswer):
        asyncio.run(_turns(store, 6, "whole"))


def test_store_that_gives_it_back_is_not() -> None:
    assert asyncio.run(_turns(MemoryStore(), 6, "whole")).turns == 6


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_sojourn_keeps_every_turn_of_each_case(
    case: Literal["alone", "together", "aging"], at_once: bool, tmp_path: Path
) -> None:
    plan = replace(SMALL, case=case, at_once=at_once, db=str(tmp_path / "sessions.db"))
    result = asyncio.run(measure(SojournRuntime(), plan))
    assert result.durability.is_full
    if case == "alone":
        measured = [(window.length, window.reading, window.turns) for window in result.windows]
        assert measured == [(10, "recent", 12), (10, "whole", 12), (20, "recent", 12), (20, "whole", 12)]
        assert [len(window.turn_ms) for window in result.windows] == [12] * 4
    elif case == "aging":
        assert [(window.length, window.turns) for window in result.windows] == [(10, 12), (20, 12)] * 2
    else:
        assert len(result.windows) == 1
        assert result.windows[0].turns >= 3


@pytest.mark.slow  # seconds each, to read these libraries
@pytest.mark.parametrize(
    "peer", PEERS, ids=[" ".join((peer.module, *peer.options)).replace(" --", "-") for peer in PEERS]
)
def test_installed_peer_keeps_every_turn(peer: Side, tmp_path: Path) -> None:
    if not peer.is_installed(ENVIRONMENTS):
        pytest.skip("its environment is not installed")
    plan = replace(SMALL, conversations=2, lengths=(6,), db=str(tmp_path / "conversations.db"))
    done = subprocess.run(
        [
            peer.interpreter(ENVIRONMENTS),
            "-m",
            f"benchmarks.agent_sdks.{peer.module}",
            *peer.options,
            plan.dump(),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result = Result.load(done.stdout)
    assert [(window.reading, window.turns) for window in result.windows] == [("recent", 8), ("whole", 8)]


def test_each_environment_has_pins_that_name_exact_versions() -> None:
    for name in {peer.environment for peer in PEERS}:
        lines = (PINS / f"{name}.txt").read_text().splitlines()
        assert lines
        assert all("==" in line and "://" not in line for line in lines), name


def test_environment_with_other_pins_counts_as_missing(tmp_path: Path) -> None:
    stamp = tmp_path / "openai" / ".installed"
    stamp.parent.mkdir()
    peer = next(peer for peer in PEERS if peer.environment == "openai")
    stamp.write_text((PINS / "openai.txt").read_text())
    assert peer.is_installed(tmp_path)
    stamp.write_text("openai-agents==0.0.1\n")
    assert not peer.is_installed(tmp_path)


def test_without_the_sdks_it_says_what_is_missing_and_measures_sojourn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agent_sdks.main(
        ["--quick", "--into", str(tmp_path), "--directory", str(tmp_path), "--environments", str(tmp_path)]
    )
    printed = capsys.readouterr()
    (said,) = [line for line in printed.err.splitlines() if "not installed" in line]
    assert all(peer.name in said for peer in PEERS)
    assert said.endswith("python -m benchmarks.agent_sdks --install")
    answer = Answer.load(tmp_path / "agent_sdks.json")
    assert [finding.format() for finding in answer.findings] == printed.out.splitlines()
    assert [finding.bar for finding in answer.findings] == [None] * len(answer.findings)
    assert any("CPU time a turn at turn 40" in finding.what for finding in answer.findings)


def _round(rate: float) -> Window:
    return Window(length=20, reading="recent", turns=round(rate), seconds=1.0, cpu_seconds=1.0)


def test_bar_stands_at_the_best_peer_alone_and_only_in_a_long_round() -> None:
    slow, fast = (
        agent_sdks.Duel(peer, [_round(rate), _round(2 * rate)], [_round(2000), _round(2000)])
        for peer, rate in zip(PEERS[:2], (10, 100), strict=True)
    )
    setting = agent_sdks.setting_of(agent_sdks.parser().parse_args([]))
    first, second, *rates = agent_sdks.findings_together(setting, [slow, fast], at_once=False)
    assert (first.value, first.low, first.high, first.bar, first.met) == (15.0, 10.0, 20.0, 20.0, False)
    assert fast.peer.name in first.what
    assert (second.value, second.bar) == (150.0, None)
    assert [finding.value for finding in rates] == [2000, 150, 15]
    quick = agent_sdks.setting_of(agent_sdks.parser().parse_args(["--quick"]))
    assert agent_sdks.findings_together(quick, [slow, fast], at_once=False)[0].bar is None


def test_aging_compares_each_old_window_with_the_young_one_before_it() -> None:
    setting = agent_sdks.setting_of(agent_sdks.parser().parse_args([]))
    cpu = [(10, 1.0), (1000, 1.1), (10, 2.0), (1000, 2.6), (10, 1.0), (1000, 1.0)]
    windows = [
        Window(length=length, reading="recent", turns=1000, seconds=1.0, cpu_seconds=seconds)
        for length, seconds in cpu
    ]
    result = Result(durability=Durability(journal_mode="wal", synchronous=2), windows=windows)
    (finding,) = agent_sdks.findings_aging(setting, result)
    assert [finding.value, finding.low, finding.high] == pytest.approx([1.1, 1.0, 1.3])
    assert (finding.bar, finding.at_most, finding.met) == (1.2, True, True)


def test_plan_and_result_survive_the_way_between_processes() -> None:
    assert Plan.load(SMALL.dump()) == SMALL
    kept: dict[str, Any] = {
        "durability": {"journal_mode": "wal", "synchronous": 1},
        "windows": [
            {"length": 1, "reading": "whole", "turns": 4, "seconds": 2.0, "cpu_seconds": 1.0, "turn_ms": []}
        ],
    }
    result = Result.load(json.dumps(kept))
    assert not result.durability.is_full
    assert (result.windows[0].rate, result.windows[0].cpu_ms) == (2.0, 250.0)
