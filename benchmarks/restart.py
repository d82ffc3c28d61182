"""How long is a server gone after `kill -9`, and does a wave of expiries hold up the others?

Two parts on one database file, `durability=full`, filled through the real runtime in a process that is then
killed with SIGKILL, its sessions unexpired:

1. `sojourn serve` on 1,000,000 sessions: from the start of the process to its ready line, interpreter and
   imports included, and to the first answer of a stored session. Killed and started again, `--starts` times.
   Bar: ready within 5 s.
2. 100,000 sessions with one deadline, stored and not loaded, beside the million. The server runs, others
   write at a modest rate (open loop: latency from the intended instant), the deadline comes. Until the file,
   read by another program, shows every one of them expired: bar 5 s. The others' p99 in these seconds: bar
   100 ms. Each must have expired once, at its deadline.

The server has the first core, the load and whoever reads the file the second.
Not measured: a cold page cache (the file has just been written), a slow disk, several waves.
"""

import argparse
import contextlib
import json
import random
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from . import loadgen
from .filling import FILLED
from .harness import Spread, progress
from .loadgen import ROOT, Load, LoadgenError, LoadResult, build
from .machine import machine, scratch
from .peers import pack, unpack
from .servers import HarnessError, ServerProcess, default_cores, pinned, sojourn

READY_BAR = 5.0
EXPIRED_BAR = 5.0
P99_BAR_US = 100_000.0
DUE = "due"
POLL = 0.1
"""Seconds between two looks into the file."""


@contextlib.contextmanager
def killed_after_filling(db: Path, *options: str) -> Generator[list[str]]:
    """Fill `db` in another process, which lives until this block ends and is killed then. Gives some ids."""
    command = [sys.executable, "-m", "benchmarks.filling", str(db), *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as filler:
        assert filler.stdout is not None
        try:
            line = filler.stdout.readline()
            if not line.startswith(FILLED):
                raise HarnessError("the file could not be filled")
            yield json.loads(line.removeprefix(FILLED))
        finally:
            filler.send_signal(signal.SIGKILL)


def ask(address: tuple[str, int], frame: dict[str, Any]) -> dict[str, Any]:
    """One request on a connection of its own."""
    body = pack(frame)
    with socket.create_connection(address, timeout=30) as connection, connection.makefile("rb") as answers:
        connection.sendall(struct.pack(">I", len(body)) + body)
        (length,) = struct.unpack(">I", answers.read(4))
        return unpack(answers.read(length))


def start(db: Path, cores: tuple[int, ...] | None, ids: list[str]) -> tuple[ServerProcess, dict[str, float]]:
    """Start on what a killed server left; seconds until it was `ready` and a stored session `answered`."""
    begun = time.perf_counter()
    server = ServerProcess(sojourn(db), cores=cores, ready_timeout=120.0)
    answer = ask(server.address, {"type": "session:get", "id": 1, "session_id": random.choice(ids)})
    answered = time.perf_counter() - begun
    if answer["type"] != "session:state":
        server.kill()
        raise HarnessError(f"a stored session was asked for and the answer was {answer}")
    return server, {"ready": server.seconds_to_ready, "answered": answered}


def restarts(db: Path, starts: int, ids: list[str], cores: tuple[int, ...] | None) -> list[dict[str, float]]:
    """Start on the file and kill again, several times."""
    taken: list[dict[str, float]] = []
    for number in range(1, starts + 1):
        server, seconds = start(db, cores, ids)
        server.kill()
        taken.append(seconds)
        progress(
            f"start {number}: ready in {seconds['ready']:.2f} s, answered in {seconds['answered']:.2f} s"
        )
    return taken


class Reader:
    """Another program's look into the file of a running server."""

    def __init__(self, db: Path) -> None:
        self._connection = sqlite3.connect(f"file:{db}?mode=ro", uri=True, check_same_thread=False)

    def any_left(self) -> bool:
        """Some due session has not expired; stops at the first, as it is asked while the load runs."""
        one = f"SELECT 1 FROM sessions WHERE {_IS_DUE} AND status != 'expired'"
        return self._row(f"SELECT EXISTS ({one})") == (1,)

    def expiries(self) -> dict[str, float]:
        """Sessions due, those `expired`, their expiry `events`, and the first and last `at` of these."""
        row = self._row(
            f"""
            SELECT (SELECT count(*) FROM sessions WHERE {_IS_DUE}),
                (SELECT count(*) FROM sessions WHERE {_IS_DUE} AND status = 'expired'),
                count(*), min(at), max(at)
            FROM events JOIN sessions ON sessions.key = events.session
            WHERE {_IS_DUE} AND type = (SELECT code FROM event_types WHERE name = 'session:expired')
            """
        )
        return dict(zip(("sessions", "expired", "events", "first_at", "last_at"), row, strict=True))

    def close(self) -> None:
        self._connection.close()

    def _row(self, query: str) -> tuple[Any, ...]:
        return cast("tuple[Any, ...]", self._connection.execute(query).fetchone())


_IS_DUE = f"user_id >= '{DUE}-' AND user_id < '{DUE}.'"  # '.' follows '-': a range of the index on user_id


def wave(
    db: Path, ids: list[str], *, expire_at: float, limit: float, load: Load
) -> tuple[dict[str, Any], LoadResult]:
    """Serve `db` under `load` while the due sessions expire: what the file shows, what the load measured."""
    server_cores, load_cores = default_cores()
    server, seconds = start(db, server_cores, ids)
    with (
        server,
        pinned(load_cores),
        contextlib.closing(Reader(db)) as reader,
        ThreadPoolExecutor(1) as pool,
    ):
        if time.time() > expire_at - 2:
            raise HarnessError("the deadline came before the server was ready: give it more with --lead")
        writers = pool.submit(loadgen.run, load, server.address)
        time.sleep(max(0.0, expire_at - time.time()))
        while (left := reader.any_left()) and time.time() < expire_at + limit:
            time.sleep(POLL)
        expired_after = time.time() - expire_at
        others = writers.result()
        outcome = {
            "seconds_to_ready": seconds["ready"],
            "expired_after": None if left else expired_after,
            "resident_bytes": server.resident_bytes(),
            **reader.expiries(),
        }
    return outcome, others


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.restart",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sessions", type=int, default=1_000_000, help="stored, unexpired (1,000,000)")
    parser.add_argument("--due", type=int, default=100_000, help="that expire together (100,000)")
    parser.add_argument("--starts", type=int, default=3, help="after kill -9 (3)")
    parser.add_argument("--rate", type=float, default=5000.0, help="messages/s of the others (5,000)")
    parser.add_argument(
        "--lead", type=float, default=45.0, help="seconds to store the due ones and start (45)"
    )
    parser.add_argument("--limit", type=float, default=60.0, help="seconds to wait for the expiries (60)")
    parser.add_argument("--directory", type=Path, help="for the database file (.cache/ in the checkout)")
    parser.add_argument("--json", action="store_true", help="print one object instead of a report")
    arguments = parser.parse_args()
    server_cores, _ = default_cores()
    result: dict[str, Any] = {"machine": machine(arguments.directory), "sessions": arguments.sessions}
    try:
        build()
        with scratch(arguments.directory) as place:
            db = place / "sessions.db"
            with killed_after_filling(db, "--sessions", str(arguments.sessions)) as ids:
                progress("filled; killing it")
            result["file_bytes"] = sum(path.stat().st_size for path in place.iterdir())
            result["starts"] = restarts(db, arguments.starts, ids, server_cores)
            expire_at = float(int(time.time() + arguments.lead))
            due = ("--sessions", str(arguments.due), "--prefix", DUE, "--expire-at", str(expire_at))
            with killed_after_filling(db, *due):
                progress(f"filled; {expire_at - time.time():.0f} s left to their deadline")
            load = Load(
                connections=50, sessions=20, rate=arguments.rate, measure_at=expire_at, seconds=EXPIRED_BAR
            )
            outcome, others = wave(db, ids, expire_at=expire_at, limit=arguments.limit, load=load)
            result["wave"] = {**outcome, "due": arguments.due, "others": asdict(others)}
    except (HarnessError, LoadgenError) as error:
        sys.exit(f"restart: {error}")
    print(json.dumps(result, indent=2) if arguments.json else report(result))


def report(result: dict[str, Any]) -> str:
    """The outcome for reading, with its bars."""
    ready = Spread.of([start["ready"] for start in result["starts"]])
    answered = Spread.of([start["answered"] for start in result["starts"]])
    wave_, others = result["wave"], result["wave"]["others"]
    after, p99 = wave_["expired_after"], others["latency_us"]["p99"]
    when = "NOT within the limit" if after is None else f"{after:.2f} s after the deadline"
    in_time = after is not None and after <= EXPIRED_BAR
    exact = wave_["sessions"] == wave_["expired"] == wave_["events"] == wave_["due"]
    span = (wave_["last_at"] or 0.0) - (wave_["first_at"] or 0.0)
    lines = (
        f"{result['sessions']:,} sessions stored, {result['file_bytes'] / 1e6:,.0f} MB; after kill -9:",
        f"    ready in {ready.format('.2f')} s (bar {READY_BAR:g}: {_verdict(ready.high <= READY_BAR)})",
        f"    a stored session answered after {answered.format('.2f')} s",
        f"{wave_['due']:,} sessions with one deadline (the real ones lie within {span:.3f} s):",
        f"    all expired in the file {when} (bar {EXPIRED_BAR:g}: {_verdict(in_time)})",
        f"    {wave_['expired']:,} expired with {wave_['events']:,} events (once each: {_verdict(exact)})",
        f"others at {others['intended_rate']:,.0f} messages/s meanwhile:",
        f"    p99 {p99 / 1e3:.1f} ms (bar {P99_BAR_US / 1e3:g}: {_verdict(p99 <= P99_BAR_US)})",
        f"    at most {others['latency_us']['max'] / 1e3:.1f} ms",
        f"    CPU of the load {others['cpu_utilisation']:.0%} of a core",
        f"    {others['messages']:,} answered, {others['errors']} errors, {others['unanswered']} unanswered",
        "machine: " + json.dumps(result["machine"]),
    )
    return "\n".join(lines)


def _verdict(met: bool) -> str:
    return "met" if met else "MISSED"


if __name__ == "__main__":
    main()
