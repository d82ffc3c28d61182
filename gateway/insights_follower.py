"""The process that gathers insights beside a server: `python -m sojourn.gateway.insights_follower FILE`.

It is a process of its own so that the one that serves pays nothing for it, and it gives way to all others.
It ends when its standard input does, which happens also when the server is killed. On standard output it says
how many events it is behind, a number a line, whenever that changes.
"""

import os
import signal
import sys
import threading
import time
from typing import Final

from sojourn.storage import StorageError, StoreLocked
from sojourn.storage.insights import Insights
from sojourn.storage.insights.follower import TAKEN_AT_ONCE

POLL: Final = 0.25
"""Seconds between two looks at a journal in which nothing was new."""
FIRST: Final = 100
"""Events of the first slice; a slice as long as the follower's follows when the processor is free."""
STARVED: Final = 4.0
"""Times that a slice took longer than it was worked on: others need the processor."""
LOSING: Final = 3.0
"""Times as long as a slice took to rest behind it, while the journal grows faster than it is read: to hurry
would slow down who writes, on a core that is one thread of two, and be late all the same."""
WAIT_FOR_OTHERS: Final = 2.0
"""Seconds until the next attempt, when a command follows the journal just now."""


def main(path: str) -> int:
    """Follow the journal until standard input ends; the exit code."""
    # Ctrl-C reaches all processes of a terminal; the server decides when this one ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(19)
    ended = threading.Event()
    threading.Thread(target=_wait_for_end, args=(ended,), daemon=True).start()
    while not ended.is_set():
        try:
            with Insights.open(path) as insights:
                _follow(insights, ended)
        except StoreLocked:
            ended.wait(WAIT_FOR_OTHERS)
        except StorageError as error:
            sys.stderr.write(f"insights: {error}\n")
            return 1
    return 0


def _follow(insights: Insights, ended: threading.Event) -> None:
    said: int | None = None
    limit = FIRST
    while not ended.is_set():
        begun, used = time.monotonic(), time.process_time()
        progress = insights.catch_up(limit)
        losing = said is not None and progress.behind > said
        limit, rest = give_way(limit, time.monotonic() - begun, time.process_time() - used, losing=losing)
        if progress.behind != said:
            said = progress.behind
            sys.stdout.write(f"{said}\n")
            sys.stdout.flush()
        ended.wait(rest if progress.taken else POLL)


def give_way(limit: int, elapsed: float, worked: float, *, losing: bool) -> tuple[int, float]:
    """How long the next slice may be, and how many seconds to rest before it.

    Where the processor is not free, a slice is read slowly, and as long as it is read the server's log cannot
    begin anew: then slices are short and come after a rest. `losing`: there is more to read than before.
    """
    if elapsed > POLL / 2 and elapsed > STARVED * worked:
        return FIRST, POLL
    return min(limit * 2, TAKEN_AT_ONCE), LOSING * elapsed if losing else 0.0


def _wait_for_end(ended: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    ended.set()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
