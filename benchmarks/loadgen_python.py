"""The load generator for where no C compiler is: several Python processes, the same flags, the same result.

`python -m benchmarks.loadgen_python --port 7411 --connections 50` takes the flags of `loadgen.c` and prints
what that prints: `measuring`, `measured`, one line of JSON. The connections are dealt out among the processes
and what these count is added up; `cpu_utilisation` is that of the busiest of them: near 1 it is the
bottleneck. (Measured against the echo peer, 50 connections, 32 outstanding, two cores: two processes reach
215,000 messages a second, the compiled one 2.2 million.)
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

from .loadgen_counts import Counts, bucket_top
from .loadgen_worker import LoadFailed, Share, Window, Worker

MOST_PROCESSES = 8
TO_THE_START = 0.05
"""Seconds that the processes have to hear when it begins."""


@dataclass(frozen=True)
class Failure:
    """Why a process gave up."""

    message: str


def work(share: Share, pipe: Pipe) -> None:
    """A process: set up, say so, wait for the window, send the load, tell the counts."""
    try:
        worker = Worker(share)
        worker.set_up()
        if share.create_only:
            worker.counts.cpu_seconds = time.process_time()
        pipe.send(worker.counts)
        window: Window | None = pipe.recv()
        if window is not None:
            worker.run(window)
            pipe.send(worker.counts)
        worker.close()
    except (LoadFailed, OSError, ValueError) as error:
        pipe.send(Failure(str(error)))
    except EOFError:
        pass  # whoever started it is gone


def heard(pipes: Sequence[Pipe]) -> list[Counts]:
    """What each process says next; `LoadFailed` when one gave up."""
    counts: list[Counts] = []
    for pipe in pipes:
        try:
            said: Counts | Failure = pipe.recv()
        except EOFError:
            raise LoadFailed("a process of the load generator ended unexpectedly") from None
        if isinstance(said, Failure):
            raise LoadFailed(said.message)
        counts.append(said)
    return counts


def generate(arguments: argparse.Namespace) -> dict[str, Any]:
    """Have the processes send the load; the result as `loadgen.c` prints it."""
    processes = min(arguments.connections, arguments.processes)
    context = multiprocessing.get_context("spawn")
    pipes: list[Pipe] = []
    begun = time.monotonic()
    for number in range(processes):
        share = Share(
            host=arguments.host,
            port=arguments.port,
            connections=arguments.connections,
            indexes=range(number, arguments.connections, processes),
            sessions=arguments.sessions,
            outstanding=arguments.outstanding or (1 if arguments.mode == "closed" else 1024),
            rate=arguments.rate if arguments.mode == "open" else None,
            echo=arguments.echo,
            create_only=arguments.create_only,
            attach=not arguments.no_attach,
            ids=arguments.ids,
            session_id_bytes=arguments.session_id_bytes,
            text_bytes=arguments.text_bytes,
            setup_seconds=arguments.setup_seconds,
        )
        ours, theirs = context.Pipe()
        # A daemon ends with this process, also when that fails.
        context.Process(target=work, args=(share, theirs), daemon=True).start()
        theirs.close()
        pipes.append(ours)
    counts = heard(pipes)
    setup = time.monotonic() - begun
    seconds = setup
    if arguments.create_only:
        for pipe in pipes:
            pipe.send(None)
    else:
        window = window_of(arguments)
        for pipe in pipes:
            pipe.send(window)
        announce("measuring", window.opens)
        announce("measured", window.ends)
        counts = heard(pipes)
        seconds = window.ends - window.opens
    return result_of(arguments, counts, setup, seconds)


def window_of(arguments: argparse.Namespace) -> Window:
    """The instants of a run that begins now."""
    start = time.monotonic() + TO_THE_START
    opens = start + arguments.warmup
    if arguments.measure_at is not None:
        opens = time.monotonic() + arguments.measure_at - time.time()
        if opens < start:
            raise LoadFailed("--measure-at passed before the sessions were made")
    ends = opens + arguments.seconds
    return Window(start=start, opens=opens, ends=ends, drained=ends + arguments.drain_seconds)


def announce(line: str, at: float) -> None:
    """Print a line at an instant."""
    time.sleep(max(0.0, at - time.monotonic()))
    print(line, flush=True)


def result_of(
    arguments: argparse.Namespace, counts: list[Counts], setup: float, seconds: float
) -> dict[str, Any]:
    """The counts of all processes as one result."""

    def total(name: str) -> int:
        return sum(getattr(each, name) for each in counts)

    latencies = sum((each.latencies for each in counts), Counter[int]())
    longest = max(each.latency_max for each in counts)
    recorded = latencies.total()
    mean = total("latency_sum") / 1e3 / recorded if recorded else 0.0
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99_9": 0.999, "p99_99": 0.9999}
    latency = {name: percentile(latencies, share, longest) / 1e3 for name, share in shares.items()}
    codes = sum((each.codes for each in counts), Counter[str]())
    cpu = [each.cpu_seconds for each in counts]
    return {
        "mode": "create" if arguments.create_only else arguments.mode,
        "connections": arguments.connections,
        "sessions": total("created"),
        "outstanding": arguments.outstanding or (1 if arguments.mode == "closed" else 1024),
        "intended_rate": arguments.rate if arguments.mode == "open" else 0.0,
        "frame_bytes": max(each.frame_bytes for each in counts),
        "setup_seconds": setup,
        "messages": total("measured"),
        "seconds": seconds,
        "rate": total("measured") / seconds,
        "sent": total("sent"),
        "answered": total("answered"),
        "unanswered": total("sent") - total("answered") + total("unsent"),
        "errors": total("errors"),
        "strays": total("strays"),
        "pushes": total("pushes"),
        "disconnects": total("disconnects"),
        "latency_us": {"mean": mean, **latency, "max": longest / 1e3},
        "late_us_max": max(each.late_max for each in counts) * 1e6,
        "cpu_seconds": sum(cpu),
        "cpu_utilisation": max(cpu) / seconds,
        "error_codes": dict(codes),
        "first_error": next((each.first_error for each in counts if each.first_error), ""),
    }


def percentile(latencies: Counter[int], share: float, longest: int) -> int:
    """Nanoseconds that `share` of the latencies do not exceed, at most 0.8 % too many; 0 of none."""
    wanted = max(1, int(share * latencies.total() + 0.999999))
    seen = 0
    for bucket in sorted(latencies):
        seen += latencies[bucket]
        if seen >= wanted:
            return min(bucket_top(bucket), longest)
    return 0


def _number(low: float, high: float) -> Any:
    def parse(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not from {low:g} to {high:g}")
        return value

    return parse


def _count(low: int, high: int) -> Any:
    def parse(text: str) -> int:
        return int(_number(low, high)(text))

    return parse


def parser() -> argparse.ArgumentParser:
    """The flags of `loadgen.c`, and `--processes`."""
    parser = argparse.ArgumentParser(prog="loadgen", allow_abbrev=False)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=_count(1, 65_535), required=True)
    parser.add_argument("--mode", choices=("closed", "open"), default="closed")
    parser.add_argument("--connections", type=_count(1, 1_000_000), default=50)
    parser.add_argument("--sessions", type=_count(1, 1_000_000), default=1)
    parser.add_argument("--outstanding", type=_count(1, 65_536))
    parser.add_argument("--seconds", type=_number(0.001, 1e6), default=4.0)
    parser.add_argument("--warmup", type=_number(0, 1e6), default=1.0)
    parser.add_argument("--measure-at", type=_number(1, 1e11))
    parser.add_argument("--rate", type=_number(0.001, 1e8), default=1000.0)
    parser.add_argument("--echo", action="store_true")
    parser.add_argument("--create-only", action="store_true")
    parser.add_argument("--no-attach", action="store_true")
    parser.add_argument("--ids", type=Path)
    parser.add_argument("--session-id-bytes", type=_count(12, 62), default=30)
    parser.add_argument("--text-bytes", type=_count(1, 64_512), default=32)
    parser.add_argument("--setup-seconds", type=_number(0.001, 1e6), default=120.0)
    parser.add_argument("--drain-seconds", type=_number(0, 1e6), default=10.0)
    parser.add_argument("--processes", type=_count(1, MOST_PROCESSES), default=default_processes())
    return parser


def default_processes() -> int:
    """Two at the least: one is always behind a server that is faster than itself."""
    return min(MOST_PROCESSES, max(2, (os.cpu_count() or 2) - 1))


def main() -> None:
    arguments = parser().parse_args()
    try:
        if arguments.echo and (arguments.create_only or arguments.ids):
            raise LoadFailed("a peer that knows no sessions goes with neither")
        print(json.dumps(generate(arguments)), flush=True)
    except (LoadFailed, OSError) as error:
        sys.exit(f"loadgen: {error}")


if __name__ == "__main__":
    main()
