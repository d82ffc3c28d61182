"""What do others wait while old sessions go, and while a person with 100,000 events is erased?

The file holds 20,000,000 events in 200,000 sessions that all ended long ago (see `benchmarks.large_filling`),
and 1,000 sessions of one person with 100 events each, spread over the journal. `sojourn serve`,
`durability=full`, search and analytics off. The load is open: 2,000 messages a second from 50 connections
with 20 new sessions each; a message's latency counts from the instant it was due.

1. `retention` on and off in turn, on the same file, each round on a server of its own; the load runs while
   the pass does. p99 of a round with it over the p99 of the round without.
2. The person is erased as the window opens. How long the others waited at most, how long the answer took,
   and how long it took until the receipt said that no byte is left.

Bars: p99 with retention at most 2 × without, our reading of "unharmed"; erasing, nobody waits over 100 ms,
our reading of "some milliseconds", with one hiccup of the machine.

Not measured: the insights, a disk that is slow, retention beside a load that fills the server.
"""

import argparse
import sqlite3
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

from sojourn.storage import Reader, erasure

from . import loadgen
from .asking import Asking
from .findings import ANSWERS, Answer, Chart, Finding, command_line
from .harness import Spread, progress
from .large_filling import fill_large
from .loadgen import Load, LoadgenError, LoadResult, build
from .machine import machine, scratch
from .servers import HarnessError, ServerProcess, default_cores, pinned, sojourn
from .standing import LONG, clean

EVENTS = 20_000_000
EVENTS_EACH = 100
PERSON = "the-person"
PERSON_EVENTS = 100_000
P99_BAR = 2.0
LONGEST_BAR_MS = 100.0
OLD = 1_600_000_000.0
"""When the old sessions ended."""
DAY = 86_400.0


class Served:
    """A file, served again and again under the same load."""

    def __init__(self, db: Path, load: Load) -> None:
        self.db = db
        self.load = load
        self._cores = default_cores()

    def server(self, *, retention: bool) -> ServerProcess:
        """Started on the file, with or without it."""
        settings = self.db.with_suffix(".toml")
        kept = DAY if retention else '"never"'
        settings.write_text(f"passivate_after = {LONG}\nsession_timeout = {LONG}\nretention = {kept}\n")
        server_core, load_cores = self._cores
        both = None if server_core is None or load_cores is None else (*server_core, *load_cores)
        return ServerProcess(sojourn(self.db, "--settings", str(settings)), cores=both)

    def loaded(self, server: ServerProcess, opened: Any = None) -> LoadResult:
        """The load played on it; `opened` is called when the window opens and when it ends."""
        with pinned(self._cores[1]):
            return clean(server, loadgen.run(self.load, server.address, on_window=opened))

    def counted(self, server: ServerProcess) -> tuple[LoadResult, float]:
        """The load played on it, and how many sessions a second went meanwhile."""
        counts: list[tuple[float, int]] = []

        def count(_: object) -> None:
            counts.append((time.monotonic(), self.gone()))

        result = self.loaded(server, count)
        (begun, before), (ended, after) = counts
        return result, (after - before) / (ended - begun)

    def gone(self) -> int:
        """Sessions that retention has removed."""
        return int(self._ask("SELECT count(*) FROM erasures WHERE why = 'retention'"))

    def left(self) -> int:
        """Sessions that it has not."""
        return int(self._ask("SELECT count(*) FROM sessions WHERE status = 'expired'"))

    def _ask(self, statement: str) -> Any:
        with closing(sqlite3.connect(f"file:{self.db}?mode=ro", uri=True)) as connection:
            return connection.execute(statement).fetchone()[0]


def keeping(served: Served, rounds: int, answer: Answer, title: str, *, bars: bool) -> None:
    """Part 1; adds to `answer`."""
    results: dict[bool, list[LoadResult]] = {True: [], False: []}
    rates: list[float] = []
    for number in range(rounds):
        for retention in (True, False):
            with served.server(retention=retention) as server:
                result, rate = served.counted(server)
                results[retention].append(result)
            if retention:
                rates.append(rate)
        ms = [results[each][-1].latency_us["p99"] / 1e3 for each in (True, False)]
        progress(f"round {number + 1}/{rounds}: p99 {ms[0]:.2f} ms with, {ms[1]:.2f} ms without")
    left = served.left()
    for name in ("p50", "p99", "max"):
        with_it, without = (
            Spread.of([each.latency_us[name] / 1e3 for each in results[on]]) for on in (True, False)
        )
        ratios = Spread.of(
            [
                a.latency_us[name] / b.latency_us[name]
                for a, b in zip(results[True], results[False], strict=True)
            ]
        )
        answer.findings.append(
            Finding(
                what=f"{name} of others while retention removes sessions, over without, {title}",
                value=ratios.median,
                low=ratios.low,
                high=ratios.high,
                unit="×",
                bar=P99_BAR if bars and name == "p99" else None,
                at_most=True,
                note=f"{with_it.format('.2f')} ms against {without.format('.2f')} ms; "
                f"{served.load.rate or 0:,.0f} messages/s, {rounds} pairs; {left:,} old sessions were left",
            )
        )
    gone = Spread.of(rates)
    answer.findings.append(
        Finding(
            what=f"sessions with {EVENTS_EACH} events that go meanwhile, {title}",
            value=gone.median,
            low=gone.low,
            high=gone.high,
            unit="sessions/s",
        )
    )
    answer.detail["retention"] = {
        str(on): [each.latency_us for each in found] for on, found in results.items()
    }
    points: dict[str, list[tuple[str | float, float, float, float]]] = {}
    for on, label in ((True, "with"), (False, "without")):
        spreads = {
            name: Spread.of([e.latency_us[name] / 1e3 for e in results[on]])
            for name in ("p50", "p99", "p99_9", "max")
        }
        points[label] = [(name, each.median, each.low, each.high) for name, each in spreads.items()]
    answer.charts.append(
        Chart(
            name="retention",
            title="Latency of others while old sessions go, and while none do",
            kind="bars",
            y="ms",
            log_y=True,
            series=points,
        )
    )


def erase(server: ServerProcess, db: Path) -> tuple[float, float]:
    """Seconds until the answer, and until no byte of the person is left in the file."""
    began = time.monotonic()
    with Asking(server.address, timeout=300.0) as service:
        service.ask({"type": "hello", "id": 1, "protocol": 1, "role": "service"})
        answer = service.ask({"type": "session:erase", "id": 2, "user_id": PERSON})
    if answer.get("events") != PERSON_EVENTS:
        raise HarnessError(f"the person was to go, and the answer is {answer}"[:500])
    answered = time.monotonic() - began
    with Reader.open(str(db)) as reader:
        while not any(each.scrubbed_at for each in reader.look(lambda it: erasure.receipts(it, 1))):
            time.sleep(0.05)
    return answered, time.monotonic() - began


def erasing(served: Served, answer: Answer, title: str, *, bars: bool) -> None:
    """Part 2; adds to `answer`."""
    with served.server(retention=False) as server:
        with ThreadPoolExecutor(1) as beside:
            asked: list[Future[tuple[float, float]]] = []

            def opened(opens: bool) -> None:
                if opens:
                    asked.append(beside.submit(erase, server, served.db))

            result = served.loaded(server, opened)
            answered, scrubbed = asked[0].result()
        quiet = served.loaded(server)
    note = (
        f"{served.load.seconds:g} s from the request on; "
        f"without: p99 {quiet.latency_us['p99'] / 1e3:.2f} ms, at most {quiet.latency_us['max'] / 1e3:.2f} ms"
    )
    answer.findings.extend(
        [
            Finding(
                what=f"longest wait of others while {PERSON_EVENTS:,} events of a person are erased, {title}",
                value=result.latency_us["max"] / 1e3,
                unit="ms",
                bar=LONGEST_BAR_MS if bars else None,
                at_most=True,
                note=note,
            ),
            Finding(
                what="p99 of others meanwhile", value=result.latency_us["p99"] / 1e3, unit="ms", note=note
            ),
            Finding(what="until it was answered: nobody can ask for them", value=answered, unit="s"),
            Finding(what="until no byte was left in the file", value=scrubbed, unit="s", note=title),
        ]
    )
    answer.detail["erasure"] = {
        "during": result.latency_us,
        "without": quiet.latency_us,
        "answered": answered,
        "scrubbed": scrubbed,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.retention",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--events", type=int, default=EVENTS, help=f"of old sessions in the file ({EVENTS:,})"
    )
    parser.add_argument("--rounds", type=int, default=5, help="pairs, with and without (5)")
    parser.add_argument("--seconds", type=float, default=8.0, help="measured, of each round (8)")
    parser.add_argument("--rate", type=float, default=2000.0, help="messages a second (2,000)")
    parser.add_argument("--directory", type=Path, help="for the database files (.cache/ in the checkout)")
    parser.add_argument("--quick", action="store_true", help="200,000 events, one pair: does it run at all")
    parser.add_argument("--into", type=Path, default=ANSWERS, help="folder for the answer (.cache/bench)")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.events, arguments.rounds, arguments.seconds = 200_000, 1, 1.5
    load = Load(
        connections=50,
        sessions=20,
        rate=arguments.rate,
        seconds=arguments.seconds,
        warmup=0.3 if arguments.quick else 1.0,
    )
    answer = Answer(
        question="retention", command=command_line("retention"), machine=machine(arguments.directory)
    )
    try:
        build()
        with scratch(arguments.directory) as place:
            db = place / "old.db"
            fill_large(db, events=PERSON_EVENTS, events_each=EVENTS_EACH, user_id=PERSON)
            fill_large(db, events=arguments.events, events_each=EVENTS_EACH, ended_at=OLD)
            title = f"{arguments.events:,} events in the file"
            answer.findings.append(
                Finding(what=f"size of the file, {title}", value=db.stat().st_size / 1e9, unit="GB")
            )
            served = Served(db, load)
            bars = arguments.events >= 2_000_000
            erasing(served, answer, title, bars=bars)
            keeping(served, arguments.rounds, answer, title, bars=bars)
    except (HarnessError, LoadgenError) as error:
        sys.exit(f"retention: {error}")
    answer.save(arguments.into)
    for finding in answer.findings:
        print(finding.format())


if __name__ == "__main__":
    main()
