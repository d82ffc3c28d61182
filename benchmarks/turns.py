"""How soon are many sessions answered whose agent waits, all at once, in one process?

`python -m benchmarks.turns` makes 10,000 sessions of as many users in a file (`durability=full`), sends each
a message at once, and waits for all answers; the agent awaits 2 s and returns a text. Asked: all within 5 s
of the first send. What is not measured: a network, and what a real agent does while it waits.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from statistics import median

from sojourn import Runtime, RuntimeConfig
from sojourn.actors import Turn

from .findings import ANSWERS, Answer, Finding, command_line
from .machine import machine

BAR = 5.0
"""Seconds asked for the last answer."""


async def round_of(sessions: int, wait: float, path: Path) -> list[float]:
    """Seconds from the first send to each answer, in their order."""

    async def answer(turn: Turn) -> str:
        await asyncio.sleep(wait)
        return f"you said {turn.text}"

    config = RuntimeConfig(max_turns=max(20_000, sessions), passivate_after=3600.0)
    async with Runtime(str(path), agent=answer, config=config) as runtime:
        made = [runtime.create(user={"user_id": f"user-{number}"}) for number in range(sessions)]
        for session in made:
            await session
        answered: list[float] = []
        begun = time.perf_counter()

        async def talk(number: int) -> None:
            reply = await made[number].send(f"message {number}").answer
            if reply.text != f"you said message {number}":
                raise RuntimeError(f"session {number} was answered {reply.text!r}")
            answered.append(time.perf_counter() - begun)

        await asyncio.gather(*(talk(number) for number in range(sessions)))
        return answered


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turns", description=__doc__)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--wait", type=float, default=2.0, help="seconds that the agent awaits")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=ANSWERS, help="folder for the answer")
    arguments = parser.parse_args()
    rounds: list[list[float]] = []
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "turns.db"
            rounds.append(asyncio.run(round_of(arguments.sessions, arguments.wait, path)))
    last = sorted(times[-1] for times in rounds)
    middle = sorted(median(times) for times in rounds)
    what = f"{arguments.sessions:,} sessions whose agent awaits {arguments.wait:g} s"
    findings = [
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
            what=f"{what}: the median answer",
            value=median(middle),
            unit="s",
            low=middle[0],
            high=middle[-1],
        ),
    ]
    for finding in findings:
        print(finding.format())
    answer = Answer(
        question="turns",
        command=command_line("turns"),
        machine=machine(),
        findings=findings,
        detail={"last": last, "median": middle},
    )
    print(answer.save(arguments.json))


if __name__ == "__main__":
    main()
