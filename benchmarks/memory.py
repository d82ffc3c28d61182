"""How much memory does a session take, live and passivated, and how fast does a passivated one answer?

One fresh process a case, through the embedded runtime with `durability=full` on a file: in memory the
database itself would be counted with the sessions. Each session has a user id, three context keys and its
timers armed.

* `live`: every session's actor stays in memory. Resident memory after less before, over the sessions; the bar
  is 2.5 KB (2,560 bytes) each at a million.
* `passivated`: at most a thousand actors may live, so all others are saved and leave. Resident memory of
  the whole process, interpreter and SQLite's cache included; the bar is 400 MB. Then 1,000 of them, evenly
  spread, are asked for their state one after the other: the latency of finding, loading and answering.

Not measured: connections (those are the gateway's), histories longer than the first event, the page cache of
the system, which holds the file and makes the loading fast.
"""

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sojourn import Runtime, RuntimeConfig

from .filling import fill
from .harness import progress
from .loadgen import ROOT
from .machine import machine, scratch
from .servers import resident_bytes

CASES = ("live", "passivated")
ASKED = 1000
BYTES_EACH_LIVE = 2560
BYTES_PASSIVATED = 400_000_000


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One case: bytes resident, and milliseconds until a session answered `get`."""

    case: str
    sessions: int
    before_bytes: int
    "Before the first session; the runtime had started."
    after_bytes: int
    bytes_each: float
    fill_seconds: float
    get_p50_ms: float
    get_p99_ms: float
    get_max_ms: float


async def measure(case: str, sessions: int, db: Path) -> Outcome:
    """Run one case in this process, which should be a fresh one."""
    live = case == "live"
    config = RuntimeConfig(
        passivate_after=86_400.0,
        max_live=sessions + ASKED if live else ASKED,
    )
    async with Runtime(str(db), durability="full", config=config) as runtime:
        gc.collect()
        before = resident_bytes()
        begun = time.perf_counter()
        ids = await fill(runtime, sessions, keep=ASKED)
        fill_seconds = time.perf_counter() - begun
        gc.collect()
        after = resident_bytes()
        taken: list[float] = []
        for session_id in ids:
            asked = time.perf_counter()
            await runtime.session(session_id).get()
            taken.append((time.perf_counter() - asked) * 1e3)
        taken.sort()
        progress("asked; stopping")
    return Outcome(
        case=case,
        sessions=sessions,
        before_bytes=before,
        after_bytes=after,
        bytes_each=(after - before) / sessions,
        fill_seconds=fill_seconds,
        get_p50_ms=taken[len(taken) // 2],
        get_p99_ms=taken[int(len(taken) * 0.99)],
        get_max_ms=taken[-1],
    )


def in_fresh_process(case: str, sessions: int, directory: Path | None) -> Outcome:
    """Run one case in a process of its own."""
    with scratch(directory) as place:
        command = (
            sys.executable,
            "-m",
            "benchmarks.memory",
            "--inside",
            case,
            "--db",
            str(place / "sessions.db"),
        )
        done = subprocess.run(
            [*command, "--sessions", str(sessions)], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
        )
    if done.returncode:
        sys.exit(f"memory: the case {case} ended with status {done.returncode}")
    return Outcome(**json.loads(done.stdout))


def report(outcome: Outcome) -> str:
    """One case for reading, with its bar; the bars are for a million."""
    if outcome.case == "live":
        verdict = "met" if outcome.bytes_each <= BYTES_EACH_LIVE else "MISSED"
        size = f"{outcome.bytes_each:,.0f} bytes each; the bar of {BYTES_EACH_LIVE:,} is {verdict}"
    else:
        verdict = "met" if outcome.after_bytes <= BYTES_PASSIVATED else "MISSED"
        whole, bar = outcome.after_bytes / 1e6, BYTES_PASSIVATED / 1e6
        size = f"{whole:,.0f} MB in all; the bar of {bar:,.0f} MB is {verdict}"
    return (
        f"{outcome.sessions:,} {outcome.case}: {size}\n"
        f"    resident {outcome.before_bytes / 1e6:,.0f} -> {outcome.after_bytes / 1e6:,.0f} MB, "
        f"made in {outcome.fill_seconds:.1f} s; one answers in {outcome.get_p50_ms:.2f} ms, "
        f"p99 {outcome.get_p99_ms:.2f} ms, at most {outcome.get_max_ms:.2f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.memory",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--case", choices=[*CASES, "all"], default="all")
    parser.add_argument("--directory", type=Path, help="for the database files (.cache/ in the checkout)")
    parser.add_argument("--json", action="store_true", help="print one object instead of a report")
    parser.add_argument("--inside", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--db", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        print(json.dumps(asdict(asyncio.run(measure(arguments.inside, arguments.sessions, arguments.db)))))
        return
    result: dict[str, Any] = {"machine": machine(arguments.directory)}
    for case in CASES if arguments.case == "all" else [arguments.case]:
        progress(f"{arguments.sessions:,} sessions, {case}")
        outcome = in_fresh_process(case, arguments.sessions, arguments.directory)
        result[case] = asdict(outcome)
        if not arguments.json:
            print(report(outcome), flush=True)
    print(json.dumps(result, indent=2) if arguments.json else "machine: " + json.dumps(result["machine"]))


if __name__ == "__main__":
    main()
