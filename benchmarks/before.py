"""Did a plain message get dearer since a commit? The server's CPU time a message, now over then.

`python -m benchmarks.before COMMIT` checks that commit out beside this one and plays both alternately, 50
connections with 20 sessions each and 32 messages outstanding, `durability=full`, no agent. Each pair of
neighbouring rounds gives one ratio of CPU seconds (all threads of the server) a message; rates move by a
quarter between rounds, CPU a message by much less. Run it without the compiled build (`make pure`).

Bar: 1.05 at most, over ten pairs or more (what a feature may cost those who do not use it).

Not measured: start-up, memory, and other requests than messages.
"""

import argparse
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from .findings import ANSWERS, Answer, Chart, Finding, command_line
from .harness import Round, Spread, play, progress
from .loadgen import ROOT, Load, LoadgenError, build
from .machine import machine, scratch
from .servers import Command, HarnessError, default_cores, sojourn

BAR = 1.05
PAIRS = 10
"""Fewer say nothing of five per cent."""


@contextmanager
def checked_out(commit: str, into: Path) -> Generator[Path]:
    """A work tree of that commit."""
    tree = into / "then"
    subprocess.run(["git", "worktree", "add", "--detach", str(tree), commit], cwd=ROOT, check=True)
    try:
        yield tree
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=True)


def from_tree(command: Command, name: str, tree: Path) -> Command:
    """The same server, its package taken from `tree`."""
    executable, *rest = command.arguments
    module = rest[rest.index("-m") + 1 :]
    # `-m` would put the folder that the server is started in before any other.
    begin = (
        "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); "
        "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
    )
    return replace(command, name=name, arguments=(executable, "-P", "-c", begin, str(tree), *module))


def cpu_us(played: Round) -> float:
    """The server's CPU microseconds a message, over all its threads."""
    return played.server_cpu_utilisation / played.load.rate * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.before",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("commit", nargs="?", default="HEAD~1", help="what to compare with (HEAD~1)")
    parser.add_argument("--pairs", type=int, default=PAIRS, help=f"of rounds ({PAIRS})")
    parser.add_argument("--seconds", type=float, default=3.0, help="measured, of each round (3)")
    parser.add_argument("--directory", type=Path, help="for database files and the other work tree")
    parser.add_argument("--into", type=Path, default=ANSWERS, help="folder for the answer")
    parser.add_argument("--quick", action="store_true", help="two short pairs: does it run at all")
    arguments = parser.parse_args()
    pairs = 2 if arguments.quick else arguments.pairs
    load = Load(
        connections=50,
        sessions=20,
        outstanding=32,
        seconds=1.0 if arguments.quick else arguments.seconds,
        warmup=0.3 if arguments.quick else 1.0,
    )
    server_cores, load_cores = default_cores()
    now: list[float] = []
    then: list[float] = []
    try:
        build()
        with scratch(arguments.directory) as place, checked_out(arguments.commit, place) as tree:
            for number in range(pairs):
                for name, root, into in (("now", ROOT, now), ("then", tree, then)):
                    server = from_tree(sojourn(place / f"{name}-{number}.db"), name, root)
                    played = play(server, load, server_cores=server_cores, load_cores=load_cores)
                    into.append(cpu_us(played))
                progress(f"pair {number + 1}/{pairs}: {now[-1]:.2f} now, {then[-1]:.2f} µs then")
    except (HarnessError, LoadgenError, subprocess.CalledProcessError) as error:
        sys.exit(f"before: {error}")
    ratios = Spread.of([a / b for a, b in zip(now, then, strict=True)])
    finding = Finding(
        what=f"CPU time a plain message, now over {arguments.commit}",
        value=ratios.median,
        low=ratios.low,
        high=ratios.high,
        unit="×",
        bar=BAR if pairs >= PAIRS else None,
        at_most=True,
        note=f"medians {Spread.of(now).median:.2f} and {Spread.of(then).median:.2f} µs, {pairs} pairs",
    )
    points: dict[str, list[tuple[str | float, float, float, float]]] = {
        name: [(str(number + 1), value, value, value) for number, value in enumerate(values)]
        for name, values in (("now", now), ("then", then))
    }
    chart = Chart(name="before", title="CPU a plain message, by pair", kind="bars", y="µs", series=points)
    print(finding.format())
    Answer(
        question="before",
        command=command_line("before"),
        machine=machine(arguments.directory),
        findings=[finding],
        charts=[chart],
        detail={"now": now, "then": then},
    ).save(arguments.into)


if __name__ == "__main__":
    main()
