"""How many messages a second does Sojourn acknowledge, beside what one would use instead?

All servers answer the same frames from the same load generator: sessions are created, then each message is
answered with a whole `message:accepted`. The floors (`echo` and `msgpack`) know no sessions and are sent
frames of the same length. What the others are and what their answers promise stands in `benchmarks/peers/`.
Rounds alternate in one run, each ratio is of a round of the peer and of Sojourn's neighbouring one, and each
round of a server that keeps a file has a new one.

Cases, with the bars that Sojourn's rate over the peer's must reach (issue 3, points 1 to 3):

1. 1,000 connections with a session each, one message outstanding, `full`: a turn of the loop, the system
   calls and the commit, which batching cannot hide. 0.55 of echo, 1.2 of Erlang in memory, 1.3 of Erlang with
   a synced log, 3.5 of hand-written asyncio with a commit a message, 2.5 with a commit every 5 ms (these two
   pinned to one core, where alone they have the bar), 80 of the obvious implementation.
2. 50 connections with a session each, one outstanding, `full`: the latency of the commit. 1.0 of Erlang with
   a synced log.
3. 50 connections with 20 sessions each, 32 outstanding a connection, `full`: the cost of a message where all
   can be batched. 2.0 of Erlang in memory; 0.25 of msgpack (issue 2).
4. The same in durability `memory`: 0.6 of msgpack.

Machine: Linux, two cores. The load generator is pinned to the second; its CPU stands beside each figure:
near 100 % it is the bottleneck, and the ratio of the faster server suffers. Two placements: the server on the
first core alone, and on both, where its other threads may use what the load leaves of the second. Peers get
the cores that Sojourn gets, Erlang a scheduler for each; the floors are one thread on the first core always.

Not measured: a network, TLS, idle sessions beside the busy ones, reading history, pushes to other
connections, a database that is already large, more than one server process. Erlang in memory stores nothing
at all; no peer keeps a context, snapshots, or what it would need to answer after a restart.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from .cases import CASES, QUICK_PEERS, Case
from .findings import ANSWERS, Answer, Chart, Finding, command_line
from .harness import Comparison, Round, Spread, play, progress, take_turns
from .loadgen import Load, LoadgenError, build
from .machine import machine, scratch
from .peers import PEERS, missing
from .servers import HarnessError, default_cores, peer, sojourn

Cores = tuple[int, ...] | None


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How every round of this run is played."""

    rounds: int
    seconds: float
    warmup: float
    session_id_bytes: int
    directory: Path | None
    floor_cores: Cores
    load_cores: Cores

    def compare(self, case: Case, peers: Sequence[str], server_cores: Cores) -> dict[str, Comparison]:
        """Play one case against `peers` with Sojourn on `server_cores`."""
        load = Load(
            connections=case.connections,
            sessions=case.sessions,
            outstanding=case.outstanding,
            seconds=self.seconds,
            warmup=self.warmup,
        )
        others: dict[str, Callable[[], Round]] = {}
        for name in peers:
            long_enough = replace(
                load,
                seconds=max(load.seconds, PEERS[name].least_seconds),
                warmup=max(load.warmup, PEERS[name].least_warmup),
            )
            others[name] = partial(self._play_peer, name, long_enough, server_cores)
        return take_turns(
            partial(self._play_sojourn, case.durability, load, server_cores), others, self.rounds
        )

    def _play_sojourn(self, durability: str, load: Load, cores: Cores) -> Round:
        with scratch(self.directory) as place:
            server = sojourn(place / "sessions.db", durability=durability)
            return play(server, load, server_cores=cores, load_cores=self.load_cores)

    def _play_peer(self, name: str, load: Load, cores: Cores) -> Round:
        if PEERS[name].is_floor:
            bare = replace(load, echo=True, session_id_bytes=self.session_id_bytes)
            return play(peer(name), bare, server_cores=self.floor_cores, load_cores=self.load_cores)
        with scratch(self.directory) as place:
            server = peer(name, place / "peer.db" if PEERS[name].stores else None)
            return play(server, load, server_cores=cores, load_cores=self.load_cores)


def findings_of(
    case: Case, server_cores: Cores, comparisons: dict[str, Comparison], *, judged: bool
) -> list[Finding]:
    """A ratio for each peer, with its bar when `judged`, and Sojourn's own rate."""
    where = f"{case.title}, `{case.durability}`, server on {name_of(server_cores)}"
    found: list[Finding] = []
    for name, comparison in comparisons.items():
        ratio = Spread.of(comparison.ratios)
        asked = judged and (name not in case.one_core_bars or server_cores is None or len(server_cores) == 1)
        found.append(
            Finding(
                what=f"{where}: of {name}'s rate",
                value=ratio.median,
                unit="×",
                low=ratio.low,
                high=ratio.high,
                bar=case.bars[name] if asked else None,
                note=f"{told(comparison.subject)}; {told(comparison.floor)} ({PEERS[name].durability})",
            )
        )
    own = distinct(comparisons)
    if own:
        rate = Spread.of([r.load.rate for r in own])
        found.append(
            Finding(
                what=f"{where}: Sojourn",
                value=rate.median,
                unit="messages/s",
                low=rate.low,
                high=rate.high,
                note=told(own),
            )
        )
    return found


def distinct(comparisons: dict[str, Comparison]) -> list[Round]:
    """Sojourn's rounds, each once: several peers share one."""
    return list({id(r): r for comparison in comparisons.values() for r in comparison.subject}.values())


def told(rounds: Sequence[Round]) -> str:
    """The rounds of one server in words: what a reader must know to trust a ratio."""
    rate = Spread.of([r.load.rate for r in rounds])
    p50, p99 = (Spread.of([r.load.latency_us[p] / 1e3 for r in rounds]).median for p in ("p50", "p99"))
    server_cpu, load_cpu, others = (
        Spread.of(values).median
        for values in (
            [r.server_cpu_utilisation for r in rounds],
            [r.load.cpu_utilisation for r in rounds],
            [r.others_cpu for r in rounds],
        )
    )
    return (
        f"{rounds[0].server} {rate.format()} messages/s of {rounds[0].load.frame_bytes} bytes, "
        f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, CPU of the server {server_cpu:.0%}, "
        f"of the load {load_cpu:.0%}, of others {others:.0%}"
    )


def chart_of(number: str, case: Case, by_placement: dict[Cores, dict[str, Comparison]]) -> Chart:
    """The rates of all servers of one case, side by side; a colour for each placement."""
    series: dict[str, list[tuple[str | float, float, float, float]]] = {}
    for cores, comparisons in by_placement.items():
        servers = {f"sojourn {case.durability}": distinct(comparisons)}
        servers |= {name: comparison.floor for name, comparison in comparisons.items()}
        points = series.setdefault(f"server on {name_of(cores)}", [])
        for name, rounds in servers.items():
            rate = Spread.of([r.load.rate for r in rounds])
            points.append((name, rate.median, rate.low, rate.high))
    return Chart(
        name=f"throughput-{number}",
        title=f"Messages a second: {case.title}",
        kind="bars",
        y="messages/s",
        # The obvious implementation is two orders below: on a linear axis it would not show at all.
        log_y="obvious" in {name for comparisons in by_placement.values() for name in comparisons},
        series=series,
    )


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
    made.add_argument(
        "--case", choices=list(CASES), action="append", help="may be given more than once (all)"
    )
    made.add_argument(
        "--peer", choices=list(PEERS), action="append", help="may be given more than once (all)"
    )
    made.add_argument("--rounds", type=int, default=5, help="of each peer (5)")
    made.add_argument("--seconds", type=float, default=4.0, help="measured, of each round (4)")
    made.add_argument("--warmup", type=float, default=1.0, help="of the same load before them (1)")
    made.add_argument("--durability", choices=["full", "relaxed", "memory"], help="instead of the case's own")
    made.add_argument(
        "--server-cores",
        type=cores_of,
        action="append",
        metavar="0,1",
        help="the servers'; may be given more than once (the first core, then the first two)",
    )
    made.add_argument(
        "--session-id-bytes",
        type=int,
        default=30,
        help="length of the made-up ids towards the floors, which know no sessions",
    )
    made.add_argument("--directory", type=Path, help="for the database files (.cache/ in the checkout)")
    made.add_argument("--into", type=Path, default=ANSWERS, help="where the answer is saved")
    made.add_argument(
        "--quick", action="store_true", help="one short round of a few peers on one core: does it run at all"
    )
    return made


def chosen_peers(number: str, arguments: argparse.Namespace) -> list[str]:
    """The peers of that case which are asked for and can run here."""
    asked: Sequence[str] | None = arguments.peer
    if asked is None:
        asked = QUICK_PEERS.get(number, ()) if arguments.quick else list(CASES[number].bars)
    here: list[str] = []
    for name in CASES[number].bars:
        if name in asked and (reason := missing(name)):
            progress(f"{name} is left out: {reason}")
        elif name in asked:
            here.append(name)
    return here


def main() -> None:
    arguments = parser().parse_args()
    floor_cores, load_cores = default_cores()
    placements: list[Cores] = arguments.server_cores or [floor_cores]
    if not arguments.server_cores and not arguments.quick and floor_cores and load_cores:
        placements.append((*floor_cores, *load_cores))
    if floor_cores is None:
        progress("one core only: server and load share it, and the ratios say little")
    setting = Setting(
        rounds=1 if arguments.quick else arguments.rounds,
        seconds=0.5 if arguments.quick else arguments.seconds,
        warmup=0.3 if arguments.quick else arguments.warmup,
        session_id_bytes=arguments.session_id_bytes,
        directory=arguments.directory,
        floor_cores=floor_cores,
        load_cores=load_cores,
    )
    answer = Answer(
        question="throughput", command=command_line("throughput"), machine=machine(arguments.directory)
    )
    try:
        build()
        for number in arguments.case or CASES:
            case = replace(CASES[number], durability=arguments.durability or CASES[number].durability)
            peers = chosen_peers(number, arguments)
            if not peers:
                continue
            by_placement: dict[Cores, dict[str, Comparison]] = {}
            for cores in placements:
                progress(f"case {number}: {case.title}, `{case.durability}`, server on {name_of(cores)}")
                by_placement[cores] = compared = setting.compare(case, peers, cores)
                judged = not arguments.quick and case == CASES[number]
                found = findings_of(case, cores, compared, judged=judged)
                for finding in found:
                    print(finding.format(), flush=True)
                answer.findings.extend(found)
                answer.detail[f"case {number}, {name_of(cores)}"] = {
                    name: asdict(comparison) for name, comparison in compared.items()
                }
            answer.charts.append(chart_of(number, case, by_placement))
    except (HarnessError, LoadgenError) as error:
        sys.exit(f"throughput: {error}")
    progress(f"saved {answer.save(arguments.into)}")


if __name__ == "__main__":
    main()
