"""How much memory does a session take, live and passivated, and a connection; how long is garbage collected?

Four cases, each in a fresh process. The first two go through the embedded runtime with `durability=full` on a
file (in memory the database itself would be counted with the sessions), and each session has a user id, three
context keys and its timers armed:

* `live`: every session's actor stays in memory. Resident memory after less before, over the sessions. Bar:
  1,536 bytes beyond a session's own data, at a million; compared is all of it, own data included.
* `passivated`: at most a thousand actors may live, so all others are saved and leave. Resident memory of
  the whole process, interpreter and SQLite's cache included; bar: 400 MB. Then 1,000 of them, evenly
  spread, are asked for their state one after the other: the latency of finding, loading and answering.

The other two are `sojourn serve` (see `benchmarks.memory_serving`):

* `connections`: 10,000 connections, each attached to a session that was live before. Bar: 4,096 bytes each.
* `collections`: the server grows to a million live sessions over TCP and is then written to, with a watch on
  its collector. Bar: no full collection stops it for more than 20 ms.

Bars: issue "speed and scale", 7; that of `passivated` is the runtime's own.

Not measured: the kernel's buffers of a socket, histories longer than a few events, the page cache of
the system, which holds the file and makes the loading fast.
"""

import argparse
import asyncio
import gc
import json
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sojourn import Runtime, RuntimeConfig

from .filling import fill
from .findings import ANSWERS, Answer, Chart, Finding, command_line
from .harness import progress
from .loadgen import ROOT, LoadgenError
from .machine import machine, scratch
from .memory_serving import collections, connections
from .servers import HarnessError, resident_bytes

EMBEDDED = ("live", "passivated")
CASES = (*EMBEDDED, "connections", "collections")
SESSIONS = 1_000_000
CONNECTIONS = 10_000
ASKED = 1000
BYTES_EACH_LIVE = 1536
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
        raise HarnessError(f"the case {case} ended with status {done.returncode}")
    return Outcome(**json.loads(done.stdout))


def embedded(
    case: str, sessions: int, directory: Path | None, *, bars: bool
) -> tuple[list[Finding], dict[str, Any]]:
    """One of the first two cases."""
    outcome = in_fresh_process(case, sessions, directory)
    if case == "live":
        size = Finding(
            what=f"resident for each live idle session, its own data included, {sessions:,} of them",
            value=outcome.bytes_each,
            unit="bytes",
            bar=BYTES_EACH_LIVE if bars else None,
            at_most=True,
            note="embedded, full; with user, three context keys and timers",
        )
    else:
        size = Finding(
            what=f"resident for the whole process, {sessions:,} sessions passivated",
            value=outcome.after_bytes / 1e6,
            unit="MB",
            bar=BYTES_PASSIVATED / 1e6 if bars else None,
            at_most=True,
            note="embedded, full",
        )
    answered = Finding(
        what=f"p99 of asking one of {sessions:,} {case} sessions for its state",
        value=outcome.get_p99_ms,
        unit="ms",
        note=f"p50 {outcome.get_p50_ms:.3f} ms, at most {outcome.get_max_ms:.2f} ms; page cache warm",
    )
    return [size, answered], asdict(outcome)


def ask(case: str, arguments: argparse.Namespace, *, bars: bool) -> tuple[list[Finding], dict[str, Any]]:
    """One case."""
    if case in EMBEDDED:
        return embedded(case, arguments.sessions, arguments.directory, bars=bars)
    with scratch(arguments.directory) as place:
        if case == "connections":
            return connections(arguments.connections, place, bars=bars)
        return collections(arguments.sessions, 2.0 if arguments.quick else 20.0, place, bars=bars)


def chart(findings: list[Finding]) -> Chart:
    """Bytes of a session and of a connection."""
    return Chart(
        name="memory",
        title="Resident bytes of each",
        kind="bars",
        y="bytes",
        series={
            "measured": [
                (
                    finding.what.split(",")[0].removeprefix("resident for each "),
                    finding.value,
                    finding.value,
                    finding.value,
                )
                for finding in findings
                if finding.unit == "bytes"
            ]
        },
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.memory",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sessions", type=int, default=SESSIONS, help=f"({SESSIONS:,})")
    parser.add_argument("--connections", type=int, default=CONNECTIONS, help=f"({CONNECTIONS:,})")
    parser.add_argument("--case", choices=[*CASES, "all"], default="all")
    parser.add_argument("--directory", type=Path, help="for the database files (.cache/ in the checkout)")
    parser.add_argument("--quick", action="store_true", help="10,000 sessions, 500 connections: does it run")
    parser.add_argument("--into", type=Path, default=ANSWERS, help="folder for the answer (.cache/bench)")
    parser.add_argument("--inside", choices=EMBEDDED, help=argparse.SUPPRESS)
    parser.add_argument("--db", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        print(json.dumps(asdict(asyncio.run(measure(arguments.inside, arguments.sessions, arguments.db)))))
        return
    if arguments.quick:
        arguments.sessions, arguments.connections = 10_000, 500
    raise_file_limit(arguments.connections)
    answer = Answer(question="memory", command=command_line("memory"), machine=machine(arguments.directory))
    bars = arguments.sessions >= SESSIONS and arguments.connections >= CONNECTIONS
    try:
        for case in CASES if arguments.case == "all" else [arguments.case]:
            progress(f"{case}: {arguments.connections if case == 'connections' else arguments.sessions:,}")
            findings, answer.detail[case] = ask(case, arguments, bars=bars)
            answer.findings.extend(findings)
            for finding in findings:
                print(finding.format(), flush=True)
    except (HarnessError, LoadgenError) as error:
        sys.exit(f"memory: {error}")
    answer.charts.append(chart(answer.findings))
    answer.save(arguments.into)


def raise_file_limit(wanted: int) -> None:
    """Let this process and the servers it starts open that many sockets."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < wanted + 100:
        sys.exit(f"memory: only {hard:,} open files are allowed here (ulimit -Hn): see --connections")


if __name__ == "__main__":
    main()
