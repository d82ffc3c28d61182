"""How much slower does an acknowledgement come than a bare echo, at half of what the server can do?

For each of two shapes of load, `durability=full`: a short closed loop finds the maximum rate; then an open
loop sends at half of it for a minute. Each message has an instant at which it is due, whatever the server
does, and its latency counts from there, so a server that stalls is charged for all that waited behind. The
same open loop then goes to a bare uvloop echo. Three such pairs, one ratio of the p99 for each.

Bars (issue "speed and scale", 5): p99 at most 5 × the echo's; nothing above 100 ms in a minute.

Sojourn runs on both cores, the echo, which has one thread, on the first, the load generator on the second.

Not measured: a network, TLS, pushes to other connections, reading, a large file, rates above the half.
"""

import argparse
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .findings import ANSWERS, Answer, Chart, Finding, command_line
from .harness import Round, Spread, describe, play, progress
from .loadgen import Load, LoadgenError, build
from .machine import machine, scratch
from .servers import HarnessError, default_cores, peer, sojourn

P99_BAR = 5.0
MAX_BAR_MS = 100.0
PERCENTILES = {"p50": 2.0, "p90": 10.0, "p99": 100.0, "p99_9": 1_000.0, "p99_99": 10_000.0}
"""Name in `LoadResult.latency_us` → one message in so many is slower."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A shape of load."""

    connections: int
    sessions: int
    "A connection."
    outstanding: int
    "A connection, in the closed loop that finds the maximum."

    @property
    def title(self) -> str:
        """The shape in words."""
        return f"{self.connections:,} connections × {self.sessions} sessions"


CASES = {
    "few": Case(connections=50, sessions=20, outstanding=32),
    "many": Case(connections=1000, sessions=1, outstanding=1),
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One shape's rounds: the closed loop, and the pairs of open loops at `rate`."""

    case: Case
    maximum: Round
    rate: float
    subject: list[Round]
    floor: list[Round]

    def findings(self, *, quick: bool) -> list[Finding]:
        """The ratio and the worst with their bars, and what they come from."""
        title = f"{self.case.title}, open loop at {self.rate:,.0f} messages/s"
        pairs = list(zip(self.subject, self.floor, strict=True))
        ratios = Spread.of([_ms(ours, "p99") / _ms(echo, "p99") for ours, echo in pairs])
        cpu = max(r.load.cpu_utilisation for r in self.subject)
        late = max(r.load.late_us_max for r in (*self.subject, *self.floor)) / 1e3
        seconds = self.subject[0].load.seconds
        note = (
            f"full; {seconds:.0f} s a round; the load used {cpu:.0%} of its core and was at most {late:.1f} "
            "ms behind its own schedule, which counts as latency"
        )
        found = [
            Finding(
                what=f"p99 of the acknowledgement over bare echo's, {title}",
                value=ratios.median,
                low=ratios.low,
                high=ratios.high,
                unit="×",
                bar=None if quick else P99_BAR,
                at_most=True,
                note=note,
            ),
            Finding(
                what=f"slowest acknowledgement of all rounds, {title}",
                value=max(_ms(r, "max") for r in self.subject),
                low=min(_ms(r, "max") for r in self.subject),
                high=max(_ms(r, "max") for r in self.subject),
                unit="ms",
                bar=None if quick else MAX_BAR_MS,
                at_most=True,
                note=note,
            ),
            Finding(
                what=f"maximum rate, closed loop, {self.case.title}, {self.case.outstanding} outstanding",
                value=self.maximum.load.rate,
                unit="messages/s",
                note=f"full; CPU of the load {self.maximum.load.cpu_utilisation:.0%}",
            ),
        ]
        for name, rounds in (("Sojourn", self.subject), ("bare echo", self.floor)):
            for percentile in ("p50", "p99", "p99_9"):
                spread = Spread.of([_ms(r, percentile) for r in rounds])
                found.append(
                    Finding(
                        what=f"{percentile.replace('_', '.')} of {name}, {title}",
                        value=spread.median,
                        low=spread.low,
                        high=spread.high,
                        unit="ms",
                    )
                )
        return found

    def series(self) -> dict[str, list[tuple[str | float, float, float, float]]]:
        """Latency in ms over how rare it is, of both."""
        return {
            f"{name}, {self.case.title}": [
                (rarity, spread.median, spread.low, spread.high)
                for percentile, rarity in PERCENTILES.items()
                for spread in (Spread.of([_ms(r, percentile) for r in rounds]),)
            ]
            for name, rounds in (("Sojourn, full", self.subject), ("echo", self.floor))
        }


def _ms(played: Round, percentile: str) -> float:
    return played.load.latency_us[percentile] / 1e3


def ask(case: Case, *, rounds: int, seconds: float, closed_seconds: float, directory: Path | None) -> Outcome:
    """Find the maximum of one shape, then play the pairs."""
    floor_cores, load_cores = default_cores()
    both = None if floor_cores is None or load_cores is None else (*floor_cores, *load_cores)
    closed = Load(
        connections=case.connections,
        sessions=case.sessions,
        outstanding=case.outstanding,
        seconds=closed_seconds,
        warmup=1.0,
    )

    def ours(load: Load) -> Round:
        with scratch(directory) as place:
            return play(sojourn(place / "sessions.db"), load, server_cores=both, load_cores=load_cores)

    maximum = ours(closed)
    progress(f"closed loop  {describe(maximum)}")
    rate = float(int(maximum.load.rate / 2))
    open_loop = replace(closed, outstanding=None, rate=rate, seconds=seconds)
    subject: list[Round] = []
    floor: list[Round] = []
    for number in range(1, rounds + 1):
        subject.append(ours(open_loop))
        progress(f"round {number}/{rounds}  {describe(subject[-1])}  max {_ms(subject[-1], 'max'):.1f} ms")
        bare = replace(open_loop, echo=True)
        floor.append(play(peer("echo"), bare, server_cores=floor_cores, load_cores=load_cores))
        progress(f"round {number}/{rounds}  {describe(floor[-1])}  max {_ms(floor[-1], 'max'):.1f} ms")
    return Outcome(case=case, maximum=maximum, rate=rate, subject=subject, floor=floor)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.latency",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--case", choices=[*CASES, "all"], default="all")
    parser.add_argument("--rounds", type=int, default=3, help="of each server (3)")
    parser.add_argument("--seconds", type=float, default=60.0, help="measured, of each round (60)")
    parser.add_argument("--directory", type=Path, help="for the database files (.cache/ in the checkout)")
    parser.add_argument("--quick", action="store_true", help="one round of two seconds: does it run at all")
    parser.add_argument("--into", type=Path, default=ANSWERS, help="folder for the answer (.cache/bench)")
    arguments = parser.parse_args()
    quick: bool = arguments.quick
    outcomes: list[Outcome] = []
    try:
        build()
        for name in CASES if arguments.case == "all" else [arguments.case]:
            progress(CASES[name].title)
            outcomes.append(
                ask(
                    CASES[name],
                    rounds=1 if quick else arguments.rounds,
                    seconds=2.0 if quick else arguments.seconds,
                    closed_seconds=1.0 if quick else 5.0,
                    directory=arguments.directory,
                )
            )
    except (HarnessError, LoadgenError) as error:
        sys.exit(f"latency: {error}")
    detail: dict[str, Any] = {"cases": [asdict(outcome) for outcome in outcomes]}
    answer = Answer(
        question="latency",
        command=command_line("latency"),
        machine=machine(arguments.directory),
        findings=[finding for outcome in outcomes for finding in outcome.findings(quick=quick)],
        charts=[
            Chart(
                name="latency",
                title="Latency from the intended instant, open loop at half of Sojourn's maximum rate",
                kind="lines",
                y="latency, ms",
                x="one message in so many is slower",
                log_x=True,
                log_y=True,
                series={name: points for outcome in outcomes for name, points in outcome.series().items()},
            )
        ],
        detail=detail,
    )
    answer.save(arguments.into)
    for finding in answer.findings:
        print(finding.format())


if __name__ == "__main__":
    main()
