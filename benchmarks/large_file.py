"""Do activation, resume, history and writing stay what they are with twenty million events in the file?

The file holds 200,000 sessions with 100 events each, none in memory, each history spread over the journal
(see `benchmarks.large_filling` for how it is written). `sojourn serve`, `durability=full`, and two parts:

1. One request after the other on one connection, each to a session that was not touched before, so that each
   is activated for it: `session:get`, `session:resume` with the last ten events, `session:history` with all
   hundred. Once after the system was asked to drop the file from its page cache (`posix_fadvise`; the
   server's start and earlier requests bring a part back), and once on sessions that lie beside those. Bar:
   p99 of 10 ms, which is our reading of "still in milliseconds".
2. Messages a second in the closed loop, 50 connections × 20 new sessions, 32 outstanding, against a server on
   an empty file, both standing, loaded in turn. Bar: 0.8 of the rate. The same load on 1,000 of the old
   sessions is told without a bar: their index entries lie all over the index.

Bars: issue "speed and scale", 8. The servers may use both cores, the load has the second.

Not measured: a disk that is slow to read, more than one reader at a time, erasure, search.
"""

import argparse
import os
import random
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from .asking import Asking
from .findings import ANSWERS, Answer, Chart, Finding, command_line
from .harness import Comparison, Round, Spread, alternate, progress
from .large_filling import fill_large
from .loadgen import Load, LoadgenError, build
from .machine import machine, scratch
from .servers import HarnessError, ServerProcess, default_cores, pinned
from .standing import keeping_all, measured

EVENTS = 20_000_000
EVENTS_EACH = 100
P99_BAR_MS = 10.0
RATE_BAR = 0.8
RESUMED = 10
"""Events replayed by a resume."""

Ask = Callable[[str], dict[str, Any]]


def questions(events_each: int) -> dict[str, tuple[Ask, str, int]]:
    """Name → the request for a session id, the type of the answer, how many events it must hold."""
    return {
        "activation (session:get)": (
            lambda session_id: {"type": "session:get", "session_id": session_id},
            "session:state",
            0,
        ),
        f"resume with {RESUMED} events": (
            lambda session_id: {
                "type": "session:resume",
                "session_id": session_id,
                "after_seq": events_each - RESUMED,
            },
            "session:resumed",
            RESUMED,
        ),
        f"history of {events_each} events": (
            lambda session_id: {"type": "session:history", "session_id": session_id, "limit": events_each},
            "session:events",
            events_each,
        ),
    }


def drop_from_cache(db: Path) -> None:
    """Ask the system to forget the pages of the file; those that are not written yet stay."""
    descriptor = os.open(db, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def reading(server: ServerProcess, ids: list[str], events_each: int) -> dict[str, list[float]]:
    """Milliseconds of each request, sorted, by question; each session is asked once."""
    asked = questions(events_each)
    taken: dict[str, list[float]] = {name: [] for name in asked}
    with Asking(server.address) as connection:
        connection.ask({"type": "ping", "id": 0})
        # The questions in turn, so that all meet the same state of the caches.
        for number in range(len(ids) // len(asked)):
            for place, (name, (request, wanted, events)) in enumerate(asked.items()):
                session_id = ids[number * len(asked) + place]
                begun = time.perf_counter()
                answer = connection.ask({"id": 1, **request(session_id)})
                taken[name].append((time.perf_counter() - begun) * 1e3)
                if answer["type"] != wanted or len(answer.get("events", ())) != events:
                    raise HarnessError(f"{name} of {session_id} was answered with {answer}"[:500])
    return {name: sorted(milliseconds) for name, milliseconds in taken.items()}


def read_findings(cache: str, taken: dict[str, list[float]], bar: float | None) -> list[Finding]:
    """p99 with the bar, p50 beside it."""
    findings: list[Finding] = []
    for name, milliseconds in taken.items():
        note = f"{len(milliseconds)} sessions, none in memory; at most {milliseconds[-1]:.2f} ms"
        p50 = milliseconds[len(milliseconds) // 2]
        p99 = milliseconds[int(len(milliseconds) * 0.99)]
        what = f"of {name}, {cache}"
        findings.append(Finding(what=f"p50 {what}", value=p50, unit="ms", note=note))
        findings.append(Finding(what=f"p99 {what}", value=p99, unit="ms", bar=bar, at_most=True, note=note))
    return findings


def rate_finding(what: str, comparison: Comparison, bar: float | None) -> Finding:
    """The ratio of two servers' rates."""
    ratio = Spread.of(comparison.ratios)
    subject, floor = (
        Spread.of([r.load.rate for r in rounds]) for rounds in (comparison.subject, comparison.floor)
    )
    cpu = max(r.load.cpu_utilisation for r in (*comparison.subject, *comparison.floor))
    note = f"full; {subject.format()} against {floor.format()} messages/s; CPU of the load at most {cpu:.0%}"
    return Finding(
        what=what, value=ratio.median, low=ratio.low, high=ratio.high, unit="×", bar=bar, note=note
    )


def measure(db: Path, ids: list[str], arguments: argparse.Namespace, answer: Answer, *, bars: bool) -> None:
    """Both parts on the filled file; adds to `answer`."""
    server_core, load_cores = default_cores()
    both = None if server_core is None or load_cores is None else (*server_core, *load_cores)
    events_each: int = arguments.events_each
    random.Random(8).shuffle(ids)
    samples: int = min(arguments.samples, len(ids) // 7)
    cold, warm, old = ids[: 3 * samples], ids[3 * samples : 6 * samples], ids[6 * samples :]
    size = db.stat().st_size
    title = f"{len(ids) * events_each:,} events"
    answer.findings.append(Finding(what=f"size of the file, {title}", value=size / 1e9, unit="GB"))
    drop_from_cache(db)
    with ExitStack() as stack:

        def start(path: Path) -> ServerProcess:
            server = ServerProcess(keeping_all(path, max_live=1_000_000), cores=both)
            stack.callback(server.kill)
            return server

        large = start(db)
        ready = large.seconds_to_ready
        answer.findings.append(Finding(what=f"ready with {title}, page cache emptied", value=ready, unit="s"))
        with pinned(load_cores):
            first = reading(large, cold, events_each)
            # These lie on other pages: into the page cache with them first, as for a file in daily use.
            _read_whole(db)
            second = reading(large, warm, events_each)
        bar = P99_BAR_MS if bars else None
        answer.findings.extend(read_findings(f"{title}, page cache emptied", first, bar))
        answer.findings.extend(read_findings(f"{title}, file in the page cache", second, bar))
        for finding in answer.findings:
            progress(finding.format())
        empty = start(db.with_name("empty.db"))
        load = Load(connections=50, sessions=20, outstanding=32, seconds=arguments.seconds)
        on_old = replace(load, ids=_written(old, load.connections * load.sessions, db.with_name("ids")))

        def played(server: ServerProcess, sent: Load) -> Callable[[], Round]:
            return lambda: measured(server, sent, load_cores=load_cores)

        new = alternate(played(large, load), played(empty, load), arguments.rounds)
        answer.findings.append(
            rate_finding(
                f"messages to new sessions, {title} in the file, of the rate on an empty file",
                new,
                RATE_BAR if bars else None,
            )
        )
        if on_old.ids is not None:
            again = alternate(played(large, on_old), played(empty, load), max(1, arguments.rounds // 2))
            answer.findings.append(
                rate_finding(f"messages to old sessions among {title}, of the same", again, None)
            )
            answer.detail["old"] = again.summary()
    answer.detail["new"] = new.summary()
    answer.detail["milliseconds"] = {"cold": first, "warm": second}
    answer.charts.append(
        Chart(
            name="large-file",
            title=f"p50 and p99 of one request to a session not in memory, {title}",
            kind="bars",
            y="ms",
            log_y=True,
            series={
                f"{label}, {cache}": [
                    (name, value, value, value)
                    for name, milliseconds in taken.items()
                    for value in (milliseconds[int(len(milliseconds) * share)],)
                ]
                for cache, taken in (("cold", first), ("warm", second))
                for label, share in (("p50", 0.5), ("p99", 0.99))
            },
        )
    )


def _read_whole(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        while file.read(1 << 24):
            pass


def _written(ids: list[str], count: int, into: Path) -> Path | None:
    if len(ids) < count:
        return None
    into.write_text("".join(f"{session_id}\n" for session_id in ids[:count]))
    return into


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.large_file",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--events", type=int, default=EVENTS, help=f"in the file ({EVENTS:,})")
    parser.add_argument("--events-each", type=int, default=EVENTS_EACH, help=f"of a session ({EVENTS_EACH})")
    parser.add_argument("--samples", type=int, default=1000, help="sessions asked, each question (1,000)")
    parser.add_argument("--rounds", type=int, default=5, help="of each server (5)")
    parser.add_argument("--seconds", type=float, default=4.0, help="measured, of each round (4)")
    parser.add_argument("--directory", type=Path, help="for the database files (.cache/ in the checkout)")
    parser.add_argument("--quick", action="store_true", help="500,000 events, one round: does it run at all")
    parser.add_argument("--into", type=Path, default=ANSWERS, help="folder for the answer (.cache/bench)")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.events, arguments.samples, arguments.rounds, arguments.seconds = 500_000, 200, 1, 1.0
    bars = arguments.events >= EVENTS
    answer = Answer(
        question="large_file", command=command_line("large_file"), machine=machine(arguments.directory)
    )
    try:
        build()
        with scratch(arguments.directory) as place:
            db = place / "large.db"
            begun = time.perf_counter()
            ids = fill_large(db, events=arguments.events, events_each=arguments.events_each)
            answer.detail["fill_seconds"] = time.perf_counter() - begun
            measure(db, ids, arguments, answer, bars=bars)
    except (HarnessError, LoadgenError) as error:
        sys.exit(f"large_file: {error}")
    answer.save(arguments.into)
    for finding in answer.findings:
        print(finding.format())


if __name__ == "__main__":
    main()
