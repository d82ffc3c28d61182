"""What does gathering search and statistics cost the server? CPU time a message, with it over without.

`python -m benchmarks.gathering` plays the same load on the same server alternately, with `insights` on and
off: 50 connections with 20 sessions each and 32 messages outstanding, `durability=full`, no agent. The
process that gathers shares the server's one core, which the load keeps full: the hardest place to give way.
Each pair of neighbouring rounds gives one ratio of CPU seconds (all threads of the server) a message, and one
of messages a second. When the load is over, the server rests until all is gathered.

Bar: 1.05 at most, over six pairs or more.

Not measured: how long a question takes (`python -m benchmarks.insights`), and a machine with a core to spare.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sojourn.storage.insights import InsightsMissing, InsightsReader

from .findings import ANSWERS, Answer, Chart, Finding, command_line
from .harness import Round, Spread, play, progress
from .loadgen import Load, LoadgenError, build
from .machine import machine, scratch
from .pairs import cpu_us
from .servers import Command, HarnessError, ServerProcess, default_cores, sojourn

BAR = 1.05
PAIRS = 6
PATIENCE = 120.0
"""Seconds that gathering what a round left may take."""


@dataclass(frozen=True)
class Remainder:
    """What is to be gathered when the load ends, and how long that takes on a core that is free again."""

    events: int
    seconds: float
    taken: int
    """Events that were gathered under load."""
    cpu: float
    """CPU seconds of the process that gathers, over the load."""


@contextmanager
def gathered(db: Path, server: ServerProcess, remainders: list[Remainder]) -> Generator[None]:
    """Wait until somebody gathers; then, behind the load, until there is nothing left to gather."""
    deadline = time.monotonic() + PATIENCE
    while (follower := _follower(server.pid)) is None or behind(db) is None:
        _wait(deadline)
    before = _cpu_seconds(follower)
    yield
    cpu = _cpu_seconds(follower) - before
    begun = time.perf_counter()
    with InsightsReader.open(str(db)) as reader:
        left = reader.behind()
        taken = sum(row["messages"] for row in reader.stats(bucket="day").buckets)
    deadline = time.monotonic() + PATIENCE
    while behind(db):
        _wait(deadline)
    remainders.append(Remainder(left, time.perf_counter() - begun, taken, cpu))


def behind(db: Path) -> int | None:
    """Events that are not gathered; None: there is no file of insights yet."""
    try:
        with InsightsReader.open(str(db)) as reader:
            return reader.behind()
    except InsightsMissing:
        return None


def _wait(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise HarnessError(f"nothing was gathered within {PATIENCE:g} s")
    time.sleep(0.05)


def _follower(server: int) -> int | None:
    children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    # Another child of its writes the file: a fork, which has the server's own command line.
    own = Path(f"/proc/{server}/cmdline").read_bytes()
    others = [child for child in children if Path(f"/proc/{child}/cmdline").read_bytes() != own]
    return int(others[0]) if others else None


def _cpu_seconds(pid: int) -> float:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def gathering(command: Command) -> Command:
    """The same server with the setting on; what measures it turns it off."""
    return replace(command, arguments=("env", "SOJOURN_INSIGHTS=true", *command.arguments))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gathering",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pairs", type=int, default=PAIRS, help=f"of rounds ({PAIRS})")
    parser.add_argument("--seconds", type=float, default=2.0, help="measured, of each round (2)")
    parser.add_argument("--directory", type=Path, help="for database files")
    parser.add_argument("--into", type=Path, default=ANSWERS, help="folder for the answer")
    parser.add_argument("--quick", action="store_true", help="one short pair: does it run at all")
    arguments = parser.parse_args()
    pairs = 1 if arguments.quick else arguments.pairs
    load = Load(
        connections=50,
        sessions=20,
        outstanding=32,
        seconds=0.5 if arguments.quick else arguments.seconds,
        warmup=0.3 if arguments.quick else 0.7,
    )
    server_cores, load_cores = default_cores()
    on: list[Round] = []
    off: list[Round] = []
    remainders: list[Remainder] = []
    try:
        build()
        with scratch(arguments.directory) as place:
            for number in range(pairs):
                db = place / f"on-{number}.db"
                on.append(
                    play(
                        gathering(sojourn(db)),
                        load,
                        server_cores=server_cores,
                        load_cores=load_cores,
                        beside=lambda server, db=db: gathered(db, server, remainders),  # type: ignore[misc]
                    )
                )
                off.append(
                    play(
                        sojourn(place / f"off-{number}.db"),
                        load,
                        server_cores=server_cores,
                        load_cores=load_cores,
                    )
                )
                progress(
                    f"pair {number + 1}/{pairs}: {cpu_us(on[-1]):.2f} µs on, {cpu_us(off[-1]):.2f} µs off, "
                    f"{on[-1].load.rate:,.0f}/s on, {off[-1].load.rate:,.0f}/s off, {remainders[-1]}"
                )
    except (HarnessError, LoadgenError, subprocess.CalledProcessError) as error:
        sys.exit(f"gathering: {error}")
    cpu = Spread.of([cpu_us(a) / cpu_us(b) for a, b in zip(on, off, strict=True)])
    rates = Spread.of([a.load.rate / b.load.rate for a, b in zip(on, off, strict=True)])
    rest = Spread.of([each.seconds for each in remainders])
    share = Spread.of([each.cpu / (load.seconds + load.warmup) for each in remainders])
    findings = [
        Finding(
            what="CPU time a plain message while search is gathered, over off",
            value=cpu.median,
            low=cpu.low,
            high=cpu.high,
            unit="×",
            bar=BAR if pairs >= PAIRS else None,
            at_most=True,
            note=f"medians {Spread.of([cpu_us(each) for each in on]).median:.2f} and "
            f"{Spread.of([cpu_us(each) for each in off]).median:.2f} µs, {pairs} pairs",
        ),
        Finding(
            what="Messages a second while search is gathered on the same core, over off",
            value=rates.median,
            low=rates.low,
            high=rates.high,
            unit="×",
        ),
        Finding(
            what="Share of that core that gathering takes under full load",
            value=share.median * 100,
            low=share.low * 100,
            high=share.high * 100,
            unit="%",
            note=f"{Spread.of([each.taken for each in remainders]).median:,.0f} messages gathered meanwhile, "
            f"{Spread.of([each.events for each in remainders]).median:,.0f} events behind at its end",
        ),
        Finding(
            what="From the end of the load until all is gathered",
            value=rest.median,
            low=rest.low,
            high=rest.high,
            unit="s",
            note=f"behind a load of {load.seconds + load.warmup:g} s",
        ),
    ]
    for finding in findings:
        print(finding.format())
    points: dict[str, list[tuple[str | float, float, float, float]]] = {
        name: [(str(number + 1), value, value, value) for number, value in enumerate(map(cpu_us, rounds))]
        for name, rounds in (("on", on), ("off", off))
    }
    Answer(
        question="gathering",
        command=command_line("gathering"),
        machine=machine(arguments.directory),
        findings=findings,
        charts=[
            Chart(name="gathering", title="CPU a plain message, by pair", kind="bars", y="µs", series=points)
        ],
        detail={"cpu_us": {name: [each[1] for each in series] for name, series in points.items()}},
    ).save(arguments.into)


if __name__ == "__main__":
    main()
