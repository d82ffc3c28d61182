"""Does a message, a creation, a stop or an expiry cost more when a million sessions are in memory?

`durability=full` throughout, and four parts:

1. Creations over TCP: the server is filled with 1,000,000 sessions, attached to nobody, and stays up with all
   of them in memory; how many a second were acknowledged. Bar: 20,000. The embedded runtime too.
2. Messages to 1,000 sessions beside the idle million, against the same load on a server that holds no others,
   both standing at the same time, loaded in turn. Bar: 0.7 of the rate.
3. Messages spread over 200,000 of the million (each takes its turn), against the same 1,000. Bar: 0.7.
4. CPU time of the whole process for a stop (through the session's reference) and for an expiry (on time, with
   its commit), of a thousand at once, in a process with 1,000 and one with 1,000,000 live sessions, in turn.
   "The same" is read as: at most 1.5 ×.

Bars of 1 to 3: issue "speed and scale", 6; that of 4 is our reading of its words. Closed loop, 50 connections
with 32 outstanding. The servers may use both cores, the load has the second.

Not measured: sessions with long histories or large contexts, more than a million, attached connections
(memory).
"""

import argparse
import resource
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .endings import Endings
from .findings import ANSWERS, Answer, Chart, Finding, command_line
from .harness import Comparison, Round, Spread, alternate, progress
from .loadgen import Load, LoadgenError, build
from .machine import machine, scratch
from .servers import HarnessError, ServerProcess, default_cores
from .standing import create_sessions, keeping_all, measured, stored_ids

FEW = 1000
RATE_BAR = 0.7
CREATED_BAR = 20_000.0
ENDING_BAR = 1.5
CONNECTIONS = 50
PARTS = ("messages", "endings")


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much of everything."""

    sessions: int
    spread: int
    "Of them, that are written to in turn."
    rounds: int
    seconds: float
    endings: int
    "Stops, or expiries, in one round."
    bars: bool

    def bar(self, value: float) -> float | None:
        """The bar, which holds for the full size only."""
        return value if self.bars else None


WHOLE = Size(sessions=1_000_000, spread=200_000, rounds=5, seconds=4.0, endings=1000, bars=True)
QUICK = Size(sessions=20_000, spread=5_000, rounds=1, seconds=1.0, endings=500, bars=False)


def messages(size: Size, place: Path) -> tuple[list[Finding], list[Chart], dict[str, Any]]:
    """Parts 1 to 3."""
    _, load_cores = default_cores()
    load = Load(connections=CONNECTIONS, sessions=FEW // CONNECTIONS, outstanding=32, seconds=size.seconds)
    with ExitStack() as stack:
        few = _server(stack, place / "few.db", size)
        many = _server(stack, place / "many.db", size)
        created, creation = create_sessions(many, size.sessions, load_cores=load_cores)
        resident = many.resident_bytes()
        progress(f"{creation.sessions:,} sessions, {created:,.0f}/s; the server has {resident / 1e6:,.0f} MB")
        ids = stored_ids(place / "many.db", size.spread, place / "ids")
        wide = replace(load, sessions=size.spread // CONNECTIONS, ids=ids)

        def played(server: ServerProcess, sent: Load) -> Callable[[], Round]:
            return lambda: measured(server, sent, load_cores=load_cores)

        progress(f"{FEW:,} sessions beside {size.sessions:,}, against {FEW:,} alone")
        beside = alternate(played(many, load), played(few, load), size.rounds)
        progress(f"{size.spread:,} of {size.sessions:,} sessions, against {FEW:,} alone")
        spread = alternate(played(many, wide), played(few, load), size.rounds)
    findings = [
        _rate(f"messages to {FEW:,} sessions beside {size.sessions:,} live ones, of the rate", beside, size),
        _rate(f"messages to {size.spread:,} of {size.sessions:,} live sessions, of the rate", spread, size),
        Finding(
            what=f"sessions created over TCP, up to {creation.sessions:,}",
            value=created,
            unit="sessions/s",
            bar=size.bar(CREATED_BAR),
            note=f"full; CPU of the load {creation.cpu_seconds / creation.setup_seconds:.0%}",
        ),
    ]
    chart = Chart(
        name="growth",
        title=f"Messages a second with {FEW:,} and with {size.sessions:,} live sessions",
        kind="bars",
        y="messages/s",
        series={
            "Sojourn, full": [
                (label, rate.median, rate.low, rate.high)
                for label, rounds in (
                    (f"{FEW:,} live", beside.floor + spread.floor),
                    (f"{FEW:,} busy of {size.sessions:,}", beside.subject),
                    (f"{size.spread:,} busy of {size.sessions:,}", spread.subject),
                )
                for rate in (Spread.of([r.load.rate for r in rounds]),)
            ]
        },
    )
    detail = {
        "creation": asdict(creation),
        "resident_bytes": resident,
        "beside": beside.summary(),
        "spread": spread.summary(),
    }
    return findings, [chart], detail


def _server(stack: ExitStack, db: Path, size: Size) -> ServerProcess:
    server_core, load_core = default_cores()
    both = None if server_core is None or load_core is None else (*server_core, *load_core)
    server = ServerProcess(keeping_all(db, max_live=2 * size.sessions + 100_000), cores=both)
    # Killed, not stopped: to save a million sessions that nobody wants takes a while.
    stack.callback(server.kill)
    return server


def _rate(what: str, comparison: Comparison, size: Size) -> Finding:
    ratio = Spread.of(comparison.ratios)
    subject, floor = (
        Spread.of([r.load.rate for r in rounds]) for rounds in (comparison.subject, comparison.floor)
    )
    cpu = max(r.load.cpu_utilisation for r in (*comparison.subject, *comparison.floor))
    return Finding(
        what=f"{what} with {FEW:,}",
        value=ratio.median,
        low=ratio.low,
        high=ratio.high,
        unit="×",
        bar=size.bar(RATE_BAR),
        note=f"full; {subject.format()} against {floor.format()} messages/s; CPU of the load up to {cpu:.0%}",
    )


def endings(size: Size, place: Path) -> tuple[list[Finding], list[Chart], dict[str, Any]]:
    """Part 4, and the creations of the embedded runtime."""
    cost: dict[str, dict[int, list[float]]] = {
        kind: {FEW: [], size.sessions: []} for kind in ("stop", "expire")
    }
    with Endings(place / "few.db", FEW) as few, Endings(place / "many.db", size.sessions) as many:
        progress(f"{size.sessions:,} sessions made in {many.fill_seconds:.1f} s")
        for warm in (few, many):
            for kind in cost:
                warm.cpu_us(kind, size.endings)
        for number in range(1, size.rounds + 1):
            for kind, by_sessions in cost.items():
                for process in (many, few):
                    by_sessions[process.sessions].append(process.cpu_us(kind, size.endings))
                shown = ", ".join(f"{used[-1]:.1f} µs of {count:,}" for count, used in by_sessions.items())
                progress(f"round {number}/{size.rounds}  {kind}: {shown}")
        created = size.sessions / many.fill_seconds
    findings: list[Finding] = []
    for kind, name in (("stop", "a stop"), ("expire", "an expiry")):
        of_many, of_few = cost[kind][size.sessions], cost[kind][FEW]
        ratio = Spread.of([a / b for a, b in zip(of_many, of_few, strict=True)])
        findings.append(
            Finding(
                what=f"CPU of {name} with {size.sessions:,} live sessions over that with {FEW:,}",
                value=ratio.median,
                low=ratio.low,
                high=ratio.high,
                unit="×",
                bar=size.bar(ENDING_BAR),
                at_most=True,
                note=f"full; {Spread.of(of_many).format('.1f')} against "
                f"{Spread.of(of_few).format('.1f')} µs each, "
                f'{size.endings:,} at once; the bar is our reading of "the same"',
            )
        )
    findings.append(
        Finding(
            what=f"sessions created in process, up to {size.sessions:,}",
            value=created,
            unit="sessions/s",
            bar=size.bar(CREATED_BAR),
            note="full; with user, three context keys and a timeout; one asyncio thread asks and hosts",
        )
    )
    chart = Chart(
        name="growth-endings",
        title=f"CPU of a stop and of an expiry with {FEW:,} and with {size.sessions:,} live sessions",
        kind="bars",
        y="µs",
        series={
            f"{count:,} live": [
                (name, used.median, used.low, used.high)
                for kind, name in (("stop", "stop"), ("expire", "expiry"))
                for used in (Spread.of(cost[kind][count]),)
            ]
            for count in (FEW, size.sessions)
        },
    )
    return findings, [chart], {"cpu_us": cost, "fill_seconds": many.fill_seconds}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--sessions", type=int, help=f"live ({WHOLE.sessions:,}); with another there are no bars"
    )
    parser.add_argument("--rounds", type=int, help=f"of each side ({WHOLE.rounds})")
    parser.add_argument("--part", choices=[*PARTS, "all"], default="all")
    parser.add_argument("--directory", type=Path, help="for the database files (.cache/ in the checkout)")
    parser.add_argument("--quick", action="store_true", help="20,000 sessions, one round: does it run at all")
    parser.add_argument("--into", type=Path, default=ANSWERS, help="folder for the answer (.cache/bench)")
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else WHOLE
    if arguments.sessions is not None:
        spread = min(size.spread, arguments.sessions // 5)
        size = replace(size, sessions=arguments.sessions, spread=spread, bars=False)
    if arguments.rounds is not None:
        size = replace(size, rounds=arguments.rounds)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    answer = Answer(question="growth", command=command_line("growth"), machine=machine(arguments.directory))
    try:
        build()
        for name, part in zip(PARTS, (messages, endings), strict=True):
            if arguments.part in (name, "all"):
                with scratch(arguments.directory) as place:
                    findings, charts, detail = part(size, place)
                answer.findings.extend(findings)
                answer.charts.extend(charts)
                answer.detail[name] = detail
                for finding in findings:
                    print(finding.format(), flush=True)
    except (HarnessError, LoadgenError) as error:
        sys.exit(f"growth: {error}")
    answer.save(arguments.into)


if __name__ == "__main__":
    main()
