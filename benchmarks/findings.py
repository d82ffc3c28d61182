"""What a benchmark found, in one shape: figures with their bars, and the series that charts are drawn from.

Each question saves one `Answer` as JSON; `benchmarks.report` makes text and pictures of a folder of them.
"""

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from .loadgen import CACHE

ANSWERS = CACHE / "bench"
"""Where answers go unless told otherwise; what is kept for readers lies in `benchmarks/answers/`."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One figure."""

    what: str
    "For a reader: what was measured, against what."
    value: float
    unit: str = ""
    "`×` for a ratio, else `ms`, `bytes`, `messages/s`, …"
    low: float | None = None
    "The least and the most of the rounds, where there were several; `value` is their median."
    high: float | None = None
    bar: float | None = None
    "None: a figure for the reader, which nothing is asked of."
    at_most: bool = False
    "The bar is a ceiling; else it is a floor."
    note: str = ""
    "What a reader must know to trust the figure: durability of each side, CPU of the load, sizes."

    @property
    def met(self) -> bool | None:
        """None where there is no bar."""
        if self.bar is None:
            return None
        return self.value <= self.bar if self.at_most else self.value >= self.bar

    def format(self) -> str:
        """The finding in one line."""
        spread = (
            "" if self.low is None or self.high is None else f" ({number(self.low)} to {number(self.high)})"
        )
        asked = (
            ""
            if self.bar is None
            else f"; {'at most' if self.at_most else 'at least'} {number(self.bar)} asked: "
        )
        verdict = {None: "", True: "met", False: "MISSED"}[self.met]
        return f"{self.what}: {number(self.value)}{spread} {self.unit}".rstrip() + asked + verdict


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One picture: bars side by side, or lines over a number."""

    name: str
    "Of the file, without its ending."
    title: str
    "What is seen, as a claim or a question."
    kind: Literal["bars", "lines"]
    y: str
    "Name and unit of the axis."
    x: str = ""
    log_x: bool = False
    log_y: bool = False
    series: dict[str, list[tuple[str | float, float, float, float]]]
    "Of each series its points: where on x (a label for bars), the median, the least, the most."


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one run of one question found."""

    question: str
    "The module's name: `python -m benchmarks.QUESTION` asks it."
    command: str
    "The command line that made it, to run again."
    machine: dict[str, Any]
    "See `benchmarks.machine`."
    findings: list[Finding] = field(default_factory=list[Finding])
    charts: list[Chart] = field(default_factory=list[Chart])
    detail: dict[str, Any] = field(default_factory=dict[str, Any])
    "JSON-like: each round, for whoever wants to compute something else."

    def save(self, directory: Path) -> Path:
        """Write `QUESTION.json` there; the path."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.question}.json"
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")
        return path

    @classmethod
    def load(cls, path: Path) -> Self:
        """What `save` wrote."""
        kept = json.loads(path.read_text())
        kept["findings"] = [Finding(**finding) for finding in kept["findings"]]
        kept["charts"] = [Chart(**chart) for chart in kept["charts"]]
        return cls(**kept)


def command_line(question: str, arguments: Sequence[str] | None = None) -> str:
    """The command that asks `question` again with this process's arguments."""
    return shlex.join(
        ["python", "-m", f"benchmarks.{question}", *(sys.argv[1:] if arguments is None else arguments)]
    )


def number(value: float) -> str:
    """Three digits that say something, thousands apart."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
