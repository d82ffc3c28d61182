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
import math
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from . import loadgen
from .asking import Asking
from .filling import FILLED
from .findings import ANSWERS, Answer, Finding, command_line
from .harness import Spread, progress
from .loadgen import ROOT, Load, LoadgenError, LoadResult, build
from .machine import machine, scratch
from .servers import HarnessError, ServerProcess, default_cores, pinned, sojourn

READY_BAR = 5.0
EXPIRED_BAR = 5.0
P99_BAR_MS = 100.0
SESSIONS = 1_000_000
DUE_SESSIONS = 100_000
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


def start(db: Path, cores: tuple[int, ...] | None, ids: list[str]) -> tuple[ServerProcess, dict[str, float]]:
    """Start on what a killed server left; seconds until it was `ready` and a stored session `answered`."""
    begun = time.perf_counter()
    server = ServerProcess(sojourn(db), cores=cores, ready_timeout=120.0)
    with Asking(server.address) as connection:
        answer = connection.ask({"type": "session:get", "id": 1, "session_id": random.choice(ids)})
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
    parser.add_argument("--sessions", type=int, default=SESSIONS, help="stored, unexpired (1,000,000)")
    parser.add_argument("--due", type=int, default=DUE_SESSIONS, help="that expire together (100,000)")
    parser.add_argument("--starts", type=int, default=3, help="after kill -9 (3)")
    parser.add_argument("--rate", type=float, default=5000.0, help="messages/s of the others (5,000)")
    parser.add_argument(
        "--lead", type=float, default=45.0, help="seconds to store the due ones and start (45)"
    )
    parser.add_argument("--limit", type=float, default=60.0, help="seconds to wait for the expiries (60)")
    parser.add_argument("--directory", type=Path, help="for the database file (.cache/ in the checkout)")
    parser.add_argument("--quick", action="store_true", help="20,000 sessions, 2,000 due, one start")
    parser.add_argument("--into", type=Path, default=ANSWERS, help="folder for the answer (.cache/bench)")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.sessions, arguments.due, arguments.starts = 20_000, 2_000, 1
        arguments.rate, arguments.lead = 1000.0, 8.0
    bars = arguments.sessions >= SESSIONS and arguments.due >= DUE_SESSIONS
    server_cores, _ = default_cores()
    result: dict[str, Any] = {"sessions": arguments.sessions}
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
    answer = Answer(
        question="restart",
        command=command_line("restart"),
        machine=machine(arguments.directory),
        findings=findings(result, bars=bars),
        detail=result,
    )
    answer.save(arguments.into)
    for finding in answer.findings:
        print(finding.format())


def findings(result: dict[str, Any], *, bars: bool) -> list[Finding]:
    """The outcome with its bars, which hold for the full size."""
    ready = Spread.of([start["ready"] for start in result["starts"]])
    answered = Spread.of([start["answered"] for start in result["starts"]])
    wave_, others = result["wave"], result["wave"]["others"]
    after = wave_["expired_after"]
    span = (wave_["last_at"] or 0.0) - (wave_["first_at"] or 0.0)
    stored = f"{result['sessions']:,} sessions stored"
    due = f"{wave_['due']:,} sessions with one deadline, {stored} beside them"
    return [
        Finding(
            what=f"ready after kill -9, {stored}",
            value=ready.median,
            low=ready.low,
            high=ready.high,
            unit="s",
            bar=READY_BAR if bars else None,
            at_most=True,
            note=f"full; {result['file_bytes'] / 1e6:,.0f} MB; imports included; page cache warm",
        ),
        Finding(
            what=f"first answer of a stored session after kill -9, {stored}",
            value=answered.median,
            low=answered.low,
            high=answered.high,
            unit="s",
        ),
        Finding(
            what=f"until all are expired in the file, {due}",
            value=math.inf if after is None else after,
            unit="s",
            bar=EXPIRED_BAR if bars else None,
            at_most=True,
            note=f"full; beside {others['intended_rate']:,.0f} messages/s of others; "
            f"the deadlines lie within {span:.3f} s",
        ),
        Finding(
            what=f"expiries that happened once each, of {due}",
            # A session expired twice has two events, one never expired has none: both are missing here.
            value=wave_["expired"] - abs(wave_["events"] - wave_["expired"]),
            bar=wave_["due"] if bars else None,
            note=f"{wave_['expired']:,} expired in the file, with {wave_['events']:,} events",
        ),
        Finding(
            what=f"p99 of the others in the {EXPIRED_BAR:g} s from the deadline on, {due}",
            value=others["latency_us"]["p99"] / 1e3,
            unit="ms",
            bar=P99_BAR_MS if bars else None,
            at_most=True,
            note=f"at most {others['latency_us']['max'] / 1e3:.1f} ms; {others['messages']:,} answered, "
            f"{others['errors']} errors, {others['unanswered']} unanswered; "
            f"CPU of the load {others['cpu_utilisation']:.0%}",
        ),
    ]


if __name__ == "__main__":
    main()
