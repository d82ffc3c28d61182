"""How many messages a second does one Sojourn server acknowledge, against servers that do less?

The same frames, alternately in one run, Sojourn with `durability=full` unless told otherwise and on a new
database file each round. Two cases:

a. 1,000 connections with a session each, one message outstanding, against a bare uvloop echo: the cost of a
   turn of the loop and of the system calls, which batching cannot hide. Bar: 0.40 of the echo's rate.
b. 50 connections with 20 sessions each, 32 messages outstanding, against a server that only decodes and
   encodes msgpack: the cost of a message where everything can be batched. Bar: 0.25 of that server's rate.

Machine: Linux, two cores. The load generator has the second to itself and its CPU stands beside each figure:
near 100 % it is the bottleneck, and the ratio flatters Sojourn. Sojourn is played in two placements: on the
first core alone, and on both, where its storage thread may use what the load leaves of the second. The peers
have one thread, always on the first core.

Not measured: a network, TLS, idle sessions beside the busy ones, reading history, pushes to other
connections, a database that is already large, more than one server process.
"""

import argparse
import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .harness import Comparison, Round, Spread, alternate, play, progress
from .loadgen import Load, LoadgenError, build
from .machine import machine, scratch
from .servers import HarnessError, default_cores, peer, sojourn

Cores = tuple[int, ...] | None


@dataclass(frozen=True, kw_only=True)
class Case:
    """One shape of load, what it is compared with, and the least ratio that will do."""

    connections: int
    sessions: int
    "A connection."
    outstanding: int
    "A connection."
    floor: str
    bar: float

    @property
    def title(self) -> str:
        """The shape in words."""
        return (
            f"{self.connections:,} connections, each {self.sessions} sessions, {self.outstanding} outstanding"
        )


CASES = {
    "a": Case(connections=1000, sessions=1, outstanding=1, floor="echo", bar=0.40),
    "b": Case(connections=50, sessions=20, outstanding=32, floor="msgpack", bar=0.25),
}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How every round of this run is played."""

    rounds: int
    seconds: float
    warmup: float
    durability: str
    session_id_bytes: int
    directory: Path | None
    floor_cores: Cores
    load_cores: Cores

    def compare(self, case: Case, server_cores: Cores) -> Comparison:
        """Play one case with Sojourn on `server_cores`."""
        load = Load(
            connections=case.connections,
            sessions=case.sessions,
            outstanding=case.outstanding,
            seconds=self.seconds,
            warmup=self.warmup,
        )
        bare = replace(load, echo=True, session_id_bytes=self.session_id_bytes)

        def subject() -> Round:
            with scratch(self.directory) as place:
                server = sojourn(place / "sessions.db", durability=self.durability)
                return play(server, load, server_cores=server_cores, load_cores=self.load_cores)

        def floor() -> Round:
            return play(peer(case.floor), bare, server_cores=self.floor_cores, load_cores=self.load_cores)

        return alternate(subject, floor, self.rounds)


def report(case: Case, server_cores: Cores, comparison: Comparison) -> str:
    """The outcome of one case in one placement, for reading."""
    ratio = Spread.of(comparison.ratios)
    verdict = "met" if ratio.median >= case.bar else "MISSED"
    lines = [
        f"{case.title}; Sojourn on {name_of(server_cores)}:",
        f"    {ratio.format('.3f')} of {case.floor}'s rate; the bar of {case.bar:.2f} is {verdict}",
    ]
    for rounds in (comparison.subject, comparison.floor):
        rate = Spread.of([r.load.rate for r in rounds])
        p99 = Spread.of([r.load.latency_us["p99"] / 1e3 for r in rounds])
        server_cpu = Spread.of([r.server_cpu_utilisation for r in rounds])
        load_cpu = Spread.of([r.load.cpu_utilisation for r in rounds])
        others = Spread.of([r.others_cpu for r in rounds])
        lines.append(
            f"    {rounds[0].server:<16} {rate.format():>32} messages/s, p99 {p99.format('.1f')} ms, "
            f"CPU of the server {server_cpu.format('.0%')}, of the load {load_cpu.format('.0%')}, "
            f"of others {others.format('.0%')}"
        )
    bytes_each = {rounds[0].load.frame_bytes for rounds in (comparison.subject, comparison.floor)}
    if len(bytes_each) > 1:
        lines.append(f"    The frames differ in length {sorted(bytes_each)}: see --session-id-bytes.")
    return "\n".join(lines)


def name_of(cores: Cores) -> str:
    """`core 0`, `cores 0,1`, `any core`."""
    if cores is None:
        return "any core"
    return f"core{'s' if len(cores) > 1 else ''} {','.join(map(str, cores))}"


def cores_of(text: str) -> tuple[int, ...]:
    """`0,1` as (0, 1)."""
    cores = tuple(int(part) for part in text.split(","))
    if not set(cores) <= os.sched_getaffinity(0):
        raise argparse.ArgumentTypeError(f"this machine has the cores {sorted(os.sched_getaffinity(0))}")
    return cores


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--case", choices=[*CASES, "all"], default="all")
    made.add_argument("--rounds", type=int, default=5, help="of each server (5)")
    made.add_argument("--seconds", type=float, default=4.0, help="measured, of each round (4)")
    made.add_argument("--warmup", type=float, default=1.0, help="of the same load before them (1)")
    made.add_argument("--connections", type=int, help="instead of the case's own")
    made.add_argument("--sessions", type=int, help="a connection, instead of the case's own")
    made.add_argument("--outstanding", type=int, help="a connection, instead of the case's own")
    made.add_argument("--durability", choices=["full", "relaxed", "memory"], default="full")
    made.add_argument(
        "--server-cores",
        type=cores_of,
        action="append",
        metavar="0,1",
        help="Sojourn's; may be given more than once (the first core, then the first two)",
    )
    made.add_argument(
        "--session-id-bytes",
        type=int,
        default=30,
        help="length of the made-up ids towards peers, which know no sessions",
    )
    made.add_argument("--directory", type=Path, help="for the database files (.cache/ in the checkout)")
    made.add_argument("--quick", action="store_true", help="two short rounds on one core: does it run at all")
    made.add_argument("--json", action="store_true", help="print one object with every round")
    return made


def main() -> None:
    arguments = parser().parse_args()
    floor_cores, load_cores = default_cores()
    placements: list[Cores] = arguments.server_cores or [floor_cores]
    if not arguments.server_cores and not arguments.quick and floor_cores and load_cores:
        placements.append((*floor_cores, *load_cores))
    if floor_cores is None:
        progress("one core only: server and load share it, and the ratios say little")
    setting = Setting(
        rounds=2 if arguments.quick else arguments.rounds,
        seconds=1.0 if arguments.quick else arguments.seconds,
        warmup=0.3 if arguments.quick else arguments.warmup,
        durability=arguments.durability,
        session_id_bytes=arguments.session_id_bytes,
        directory=arguments.directory,
        floor_cores=floor_cores,
        load_cores=load_cores,
    )
    result: dict[str, Any] = {"machine": machine(arguments.directory), "durability": arguments.durability}
    outcomes: list[dict[str, Any]] = []
    try:
        build()
        for name in CASES if arguments.case == "all" else [arguments.case]:
            case = replace(
                CASES[name],
                connections=arguments.connections or CASES[name].connections,
                sessions=arguments.sessions or CASES[name].sessions,
                outstanding=arguments.outstanding or CASES[name].outstanding,
            )
            for server_cores in placements:
                progress(f"{case.title}; Sojourn on {name_of(server_cores)}")
                comparison = setting.compare(case, server_cores)
                outcomes.append(
                    {"case": name, **vars(case), "server_cores": server_cores, **comparison.summary()}
                )
                if not arguments.json:
                    print(report(case, server_cores, comparison), flush=True)
    except (HarnessError, LoadgenError) as error:
        sys.exit(f"throughput: {error}")
    if arguments.json:
        print(json.dumps({**result, "cases": outcomes}, indent=2))
    else:
        print("machine: " + json.dumps(result["machine"]))


if __name__ == "__main__":
    main()
