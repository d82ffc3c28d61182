"""Two kinds of rounds played alternately: each pair of neighbours gives one ratio of CPU time a message.

Rates move by a quarter between rounds, CPU a message by much less.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .findings import ANSWERS, Answer, Chart, Finding, command_line
from .harness import Round, Spread
from .loadgen import Load
from .machine import machine

BAR = 1.05
PAIRS = 10
"""Fewer say nothing of five per cent."""


def cpu_us(played: Round) -> float:
    """The server's CPU microseconds a message, over all its threads."""
    return played.server_cpu_utilisation / played.load.rate * 1e6


def options(question: str, description: str | None, seconds: float) -> argparse.ArgumentParser:
    """What such a benchmark may be told; `seconds`: of each round."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{question}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pairs", type=int, default=PAIRS, help=f"of rounds ({PAIRS})")
    parser.add_argument(
        "--seconds", type=float, default=seconds, help=f"measured, of each round ({seconds:g})"
    )
    parser.add_argument("--directory", type=Path, help="for what is only needed while it runs")
    parser.add_argument("--into", type=Path, default=ANSWERS, help="folder for the answer")
    parser.add_argument("--quick", action="store_true", help="two short pairs: does it run at all")
    return parser


def asked(arguments: argparse.Namespace, *, quick_seconds: float) -> tuple[int, Load]:
    """How many pairs, and the load of each round."""
    load = Load(
        connections=50,
        sessions=20,
        outstanding=32,
        seconds=quick_seconds if arguments.quick else arguments.seconds,
        warmup=0.3 if arguments.quick else 1.0,
    )
    return 2 if arguments.quick else arguments.pairs, load


def tell(
    question: str,
    what: str,
    arguments: argparse.Namespace,
    over: tuple[str, Sequence[float]],
    under: tuple[str, Sequence[float]],
    *,
    note: str = "",
    **detail: Any,
) -> None:
    """Print the ratio of the two, each named with its CPU microseconds by pair, and keep the answer."""
    ratios = Spread.of([a / b for a, b in zip(over[1], under[1], strict=True)])
    medians = " and ".join(f"{Spread.of(values).median:.2f}" for _, values in (over, under))
    finding = Finding(
        what=what,
        value=ratios.median,
        low=ratios.low,
        high=ratios.high,
        unit="×",
        bar=BAR if len(over[1]) >= PAIRS else None,
        at_most=True,
        note=f"medians {medians} µs, {len(over[1])} pairs{note}",
    )
    points: dict[str, list[tuple[str | float, float, float, float]]] = {
        name: [(str(number), value, value, value) for number, value in enumerate(values, 1)]
        for name, values in (over, under)
    }
    chart = Chart(name=question, title="CPU a plain message, by pair", kind="bars", y="µs", series=points)
    print(finding.format())
    Answer(
        question=question,
        command=command_line(question),
        machine=machine(arguments.directory),
        findings=[finding],
        charts=[chart],
        detail={name: list(values) for name, values in (over, under)} | detail,
    ).save(arguments.into)
