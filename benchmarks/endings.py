"""What a stop and an expiry cost in a process that holds many live sessions, as a process that does it on
demand.

`python -m benchmarks.endings DB --sessions N` fills a file with N live sessions (`durability=full`), prints
`filled` with the seconds it took, and answers each line `stop COUNT` or `expire COUNT` of its standard input
with the CPU seconds of all its threads a session. `Endings` is the other side.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from sojourn import Runtime, RuntimeConfig

from .filling import FILLED, fill
from .loadgen import ROOT
from .servers import HarnessError
from .standing import LONG

AHEAD = 1.0
"""Seconds between the making of the sessions that expire together and their deadline."""
SETTLED = 0.2
"""Seconds before the deadline at which the clock is read: the creations are done by then."""


class Endings:
    """A process that holds `sessions` live sessions; a context manager, leaving it ends the process."""

    def __init__(self, db: Path, sessions: int) -> None:
        self.sessions = sessions
        command = [sys.executable, "-m", "benchmarks.endings", str(db), "--sessions", str(sessions)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            line = self._line()
            if not line.startswith(FILLED):
                raise HarnessError(f"{sessions:,} sessions could not be made")
        except BaseException:
            self._end()
            raise
        self.fill_seconds = float(line.removeprefix(FILLED))

    def cpu_us(self, ending: str, count: int) -> float:
        """Let `count` sessions `stop` or `expire`: CPU of each, microseconds."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{ending} {count}\n")
        self._process.stdin.flush()
        line = self._line()
        if not line:
            raise HarnessError(f"{count} sessions beside {self.sessions:,} did not {ending}")
        return float(json.loads(line)) * 1e6

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def _end(self) -> None:
        # Its sessions are of no use any more, and saving a million of them takes a while.
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._end()


async def stop(runtime: Runtime, count: int) -> float:
    """CPU seconds a session of a stop through its reference, with what the registry does about it."""
    ids = await fill(runtime, count, prefix="stopped", keep=count)
    registry = runtime.core.registry
    refs = [ref for ref in map(registry.ref, ids) if ref is not None]
    if len(refs) != count:
        raise HarnessError(f"{len(refs)} of {count} sessions are live")
    begun = time.process_time()
    stopping = [ref.stop(block=False) for ref in refs]
    for stopped in stopping:
        await stopped
    if any(session_id in registry.live for session_id in ids):
        raise HarnessError("a stopped session is still live")
    return (time.process_time() - begun) / count


async def expire(runtime: Runtime, count: int) -> float:
    """CPU seconds a session of expiries on time, from before the deadline until all are committed."""
    expire_at = time.time() + AHEAD
    ids = set(await fill(runtime, count, prefix="expired", expire_at=expire_at, keep=count))
    all_ended = asyncio.Event()

    def see(event: dict[str, object]) -> None:
        if event["type"] == "session:expired":
            ids.discard(str(event["session_id"]))
            if not ids:
                all_ended.set()

    subscription = runtime.subscribe(see)
    await asyncio.sleep(max(0.0, expire_at - SETTLED - time.time()))
    begun = time.process_time()
    await asyncio.wait_for(all_ended.wait(), 60.0)
    used = time.process_time() - begun
    subscription.cancel()
    return used / count


async def serve(db: Path, sessions: int) -> None:
    """Fill `db`, then do what standard input asks for."""
    # As `sojourn serve` has it: what it costs to collect garbage is a question of its own (memory).
    gc.set_threshold(50_000, 20, 100)
    loop = asyncio.get_running_loop()
    config = RuntimeConfig(max_live=10 * sessions + 1_000_000, passivate_after=LONG)
    async with Runtime(str(db), durability="full", config=config) as runtime:
        begun = time.perf_counter()
        await fill(runtime, sessions)
        print(f"{FILLED}{time.perf_counter() - begun}", flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            ending, count = line.split()
            cpu = await (stop if ending == "stop" else expire)(runtime, int(count))
            print(json.dumps(cpu), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.endings", description=__doc__)
    parser.add_argument("db", type=Path)
    parser.add_argument("--sessions", type=int, default=1000)
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(arguments.db, arguments.sessions))


if __name__ == "__main__":
    main()
