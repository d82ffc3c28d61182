"""Did a plain message get dearer since a commit? The server's CPU time a message, now over then.

`python -m benchmarks.before COMMIT` checks that commit out beside this one and plays both alternately, 50
connections with 20 sessions each and 32 messages outstanding, `durability=full`, no agent. Each pair of
neighbouring rounds gives one ratio of CPU seconds (all threads of the server) a message; rates move by a
quarter between rounds, CPU a message by much less. Run it without the compiled build (`make pure`).

Bar: 1.05 at most, over ten pairs or more (what a feature may cost those who do not use it).

Not measured: start-up, memory, and other requests than messages.
"""

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from .harness import play, progress
from .loadgen import ROOT, LoadgenError, build
from .machine import scratch
from .pairs import asked, cpu_us, options, tell
from .servers import Command, HarnessError, default_cores, sojourn


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


def main() -> None:
    parser = options("before", __doc__, seconds=3.0)
    parser.add_argument("commit", nargs="?", default="HEAD~1", help="what to compare with (HEAD~1)")
    arguments = parser.parse_args()
    pairs, load = asked(arguments, quick_seconds=1.0)
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
    what = f"CPU time a plain message, now over {arguments.commit}"
    tell("before", what, arguments, ("now", now), ("then", then))


if __name__ == "__main__":
    main()
