"""The `sojourn` command with a watch on its garbage collector.

`python -m benchmarks.collecting RECORD serve …` runs `sojourn serve …`, unchanged, and appends a line of JSON
to RECORD for each full collection, and for each younger one that took longer than any before. The world
stands still for all of a collection, whichever thread it comes in.
"""

import gc
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from sojourn.gateway.cli import main as sojourn_main

from .servers import Command

FULL = 2
"""The oldest generation: everything that is not frozen is walked."""


@dataclass(frozen=True, kw_only=True)
class Collection:
    """One run of the collector."""

    generation: int
    at: float
    "When it ended, Unix time."
    seconds: float


def watched(command: Command, record: Path) -> Command:
    """The same `sojourn` command, with its collections appended to `record`."""
    python, _, _, *arguments = command.arguments
    return Command(command.name, (python, "-m", "benchmarks.collecting", str(record), *arguments))


def recorded(record: Path) -> list[Collection]:
    """What was appended up to now."""
    lines = record.read_text().splitlines() if record.exists() else []
    return [Collection(**json.loads(line)) for line in lines]


def watch(record: Path) -> None:
    """Append to `record` from now on."""
    begun = 0.0
    longest = [0.0, 0.0, 0.0]
    file = record.open("a", buffering=1)

    def see(phase: str, info: dict[str, int]) -> None:
        nonlocal begun
        if phase == "start":
            begun = time.perf_counter()
            return
        seconds = time.perf_counter() - begun
        generation = info["generation"]
        if generation == FULL or seconds > longest[generation]:
            longest[generation] = max(seconds, longest[generation])
            file.write(json.dumps({"generation": generation, "at": time.time(), "seconds": seconds}) + "\n")

    gc.callbacks.append(see)


def main() -> None:
    record, *arguments = sys.argv[1:]
    sys.argv[:] = ["sojourn", *arguments]
    watch(Path(record))
    sojourn_main()


if __name__ == "__main__":
    main()
