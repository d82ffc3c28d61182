"""How soon are many sessions answered whose agent waits, all at once, in one process?

`python -m benchmarks.turns` makes 10,000 sessions of as many users in a file (`durability=full`), sends each
a message at once, and waits for all answers; the agent awaits 2 s and returns a text. Asked: all within 5 s
of the first send. What is not measured: a network, and what a real agent does while it waits.

Two kinds of rounds, in turn, each in a process of its own: with the garbage collector as `sojourn serve` has
it, and as Python has it, which is what a program gets that embeds a runtime and changes nothing. The latter
walks everything that is alive, all turns under way among it, eight times in such a storm: more than half of
all CPU time.
"""

import argparse
import asyncio
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Final

from sojourn import Runtime, RuntimeConfig
from sojourn.actors import Turn
from sojourn.gateway.cli.collector import Collector

from .findings import ANSWERS, Answer, Finding, command_line
from .machine import machine

BAR = 5.0
"""Seconds asked for the last answer."""
KINDS: Final = ("served", "embedded")
"""How the garbage collector is set."""


@dataclass(frozen=True)
class Round:
    """What one round came to."""

    seconds: list[float]
    """From the first send to each answer, in their order."""
    cpu_seconds: float
    """Of the whole process, from the first send to the last answer."""


async def round_of(sessions: int, wait: float, path: Path, kind: str) -> Round:
    """One round; the process is its own."""

    async def answer(turn: Turn) -> str:
        await asyncio.sleep(wait)
        return f"you said {turn.text}"

    config = RuntimeConfig(max_turns=max(20_000, sessions), passivate_after=3600.0)
    async with Runtime(str(path), agent=answer, config=config) as runtime:
        made = [runtime.create(user={"user_id": f"user-{number}"}) for number in range(sessions)]
        for session in made:
            await session
        if kind == "served":
            Collector().start(asyncio.get_running_loop())
        answered: list[float] = []
        begun = time.perf_counter()
        cpu_begun = time.process_time()

        async def talk(number: int) -> None:
            reply = await made[number].send(f"message {number}").answer
            if reply.text != f"you said message {number}":
                raise RuntimeError(f"session {number} was answered {reply.text!r}")
            answered.append(time.perf_counter() - begun)

        await asyncio.gather(*(talk(number) for number in range(sessions)))
        return Round(answered, time.process_time() - cpu_begun)


def alone(sessions: int, wait: float, kind: str) -> Round:
    """One round in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_round, sessions, wait, kind).result()


def _round(sessions: int, wait: float, kind: str) -> Round:
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(round_of(sessions, wait, Path(folder) / "turns.db", kind))


def findings_of(kind: str, rounds: list[Round], sessions: int, wait: float) -> list[Finding]:
    """What the rounds of one kind say."""
    what = f"{sessions:,} sessions whose agent awaits {wait:g} s, {kind}"
    last = sorted(each.seconds[-1] for each in rounds)
    middle = sorted(median(each.seconds) for each in rounds)
    cpu = sorted(each.cpu_seconds / sessions * 1e6 for each in rounds)
    return [
        Finding(
            what=f"{what}: the last answer",
            value=median(last),
            unit="s",
            low=last[0],
            high=last[-1],
            bar=BAR,
            at_most=True,
            note="durability full, one process, one loop",
        ),
        Finding(
            what=f"{what}: the median answer", value=median(middle), unit="s", low=middle[0], high=middle[-1]
        ),
        Finding(what=f"{what}: CPU a turn", value=median(cpu), unit="µs", low=cpu[0], high=cpu[-1]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turns", description=__doc__)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--wait", type=float, default=2.0, help="seconds that the agent awaits")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=ANSWERS, help="folder for the answer")
    arguments = parser.parse_args()
    rounds: dict[str, list[Round]] = {kind: [] for kind in KINDS}
    for _ in range(arguments.rounds):
        for kind in KINDS:
            rounds[kind].append(alone(arguments.sessions, arguments.wait, kind))
    findings = [
        finding
        for kind in KINDS
        for finding in findings_of(kind, rounds[kind], arguments.sessions, arguments.wait)
    ]
    for finding in findings:
        print(finding.format())
    answer = Answer(
        question="turns",
        command=command_line("turns"),
        machine=machine(),
        findings=findings,
        detail={
            kind: [
                {"last": each.seconds[-1], "median": median(each.seconds), "cpu_seconds": each.cpu_seconds}
                for each in rounds[kind]
            ]
            for kind in KINDS
        },
    )
    print(answer.save(arguments.json))


if __name__ == "__main__":
    main()
