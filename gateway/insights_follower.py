"""The process that gathers insights beside a server: `python -m sojourn.gateway.insights_follower FILE`.

It is a process of its own so that the one that serves pays nothing for it, and it gives way to all others.
It ends when its standard input does, which happens also when the server is killed. On standard output it says
how many events it is behind, a number a line, whenever that changes.
"""

import os
import signal
import sys
import threading
from typing import Final

from sojourn.storage import StorageError, StoreLocked
from sojourn.storage.insights import Insights

POLL: Final = 0.25
"""Seconds between two looks at a journal in which nothing was new."""
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
    while not ended.is_set():
        progress = insights.catch_up()
        if progress.behind != said:
            said = progress.behind
            sys.stdout.write(f"{said}\n")
            sys.stdout.flush()
        if not progress.taken:
            ended.wait(POLL)


def _wait_for_end(ended: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    ended.set()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
