"""Memory and garbage collection of `sojourn serve`: the parts of `benchmarks.memory` that need sockets."""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from . import loadgen
from .asking import Asking
from .collecting import FULL, recorded, watched
from .findings import Finding
from .harness import progress
from .loadgen import Load
from .servers import HarnessError, ServerProcess, default_cores, pinned
from .standing import clean, create_sessions, keeping_all, measured, stored_ids

BYTES_EACH_CONNECTION = 4096
PAUSE_BAR_MS = 20.0
SPREAD = 200_000
"""Of the live sessions, that are written to."""
MODEST_RATE = 5000.0


def both_cores() -> tuple[int, ...] | None:
    """Those of the server: all that are used; the load has the second of them."""
    server, load = default_cores()
    return None if server is None or load is None else (*server, *load)


def connections(count: int, place: Path, *, bars: bool) -> tuple[list[Finding], dict[str, Any]]:
    """What a connection costs that is attached to a session which was live before.

    Two waves: the second cannot live on what the first requests left behind. The dearer figure counts.
    """
    _, load_cores = default_cores()
    with ExitStack() as stack:
        server = ServerProcess(keeping_all(place / "attached.db", max_live=2 * count), cores=both_cores())
        stack.callback(server.kill)
        create_sessions(server, count, load_cores=load_cores)
        ids = stored_ids(place / "attached.db", count - 50, place / "ids").read_text().split()
        resident = [server.resident_bytes()]
        for wave in (ids[: len(ids) // 2], ids[len(ids) // 2 :]):
            for session_id in wave:
                connection = stack.enter_context(Asking(server.address))
                answer = connection.ask({"type": "session:resume", "id": 1, "session_id": session_id})
                if answer["type"] != "session:resumed":
                    raise HarnessError(f"{session_id} was not resumed: {answer}")
            resident.append(server.resident_bytes())
            progress(f"{len(wave):,} more connections; the server has {resident[-1] / 1e6:,.1f} MB")
    before, half, after = resident
    whole = (after - before) / len(ids)
    second = (after - half) / (len(ids) - len(ids) // 2)
    finding = Finding(
        what=f"resident for each TCP connection attached to a live session, {len(ids):,} of them",
        value=max(whole, second),
        unit="bytes",
        bar=BYTES_EACH_CONNECTION if bars else None,
        at_most=True,
        note=f"all: {whole:,.0f}, their second half: {second:,.0f}; without the kernel's socket buffers",
    )
    return [finding], {"resident_bytes": resident, "connections": len(ids)}


def collections(
    sessions: int, seconds: float, place: Path, *, bars: bool
) -> tuple[list[Finding], dict[str, Any]]:
    """How long the collector stops a server that grows to `sessions` live ones and is then written to."""
    _, load_cores = default_cores()
    record = place / "collections"
    with ExitStack() as stack:
        command = watched(keeping_all(place / "collected.db", max_live=2 * sessions), record)
        server = ServerProcess(command, cores=both_cores())
        stack.callback(server.kill)
        # What is collected before the ready line holds up nobody.
        ready_at, before = time.time(), server.resident_bytes()
        created, creation = create_sessions(server, sessions, load_cores=load_cores)
        after = server.resident_bytes()
        each = (after - before) / creation.sessions
        progress(f"{creation.sessions:,} sessions, {created:,.0f}/s, {each:,.0f} bytes each")
        filled_at = time.time()
        spread = min(SPREAD, sessions // 2)
        ids = stored_ids(place / "collected.db", spread, place / "ids")
        busy = Load(connections=50, sessions=spread // 50, outstanding=32, seconds=seconds, ids=ids)
        played = measured(server, busy, load_cores=load_cores)
        progress(f"written to {spread:,} of them, {played.load.rate:,.0f}/s")
        modest = Load(connections=50, sessions=20, rate=MODEST_RATE, seconds=seconds)
        with pinned(load_cores):
            calm = clean(server, loadgen.run(modest, server.address))
        runs = [run for run in recorded(record) if run.at > ready_at]
    full = [run for run in runs if run.generation == FULL]
    late = [run for run in full if run.at > filled_at]
    longest = max((run.seconds for run in full), default=0.0) * 1e3
    younger = max((run.seconds for run in runs if run.generation != FULL), default=0.0) * 1e3
    bar = PAUSE_BAR_MS if bars else None
    title = f"`sojourn serve` growing to {creation.sessions:,} live sessions, then written to"
    findings = [
        Finding(
            what=f"longest full garbage collection, {title}",
            value=longest,
            unit="ms",
            bar=bar,
            at_most=True,
            note=f"{len(full)} full collections in all, {len(late)} of them when all sessions were live",
        ),
        Finding(
            what=f"longest collection of a younger generation, {title}",
            value=younger,
            unit="ms",
            bar=bar,
            at_most=True,
            note="the bar speaks of full collections; the loop stands still in a younger one just as well",
        ),
        Finding(
            what=f"slowest acknowledgement, {MODEST_RATE:,.0f} messages/s beside {creation.sessions:,} live",
            value=calm.latency_us["max"] / 1e3,
            unit="ms",
            note=f"full, open loop, {seconds:.0f} s; p99 {calm.latency_us['p99'] / 1e3:.1f} ms; "
            f"CPU of the load {calm.cpu_utilisation:.0%}",
        ),
        Finding(
            what=f"resident for each live session of `sojourn serve`, {creation.sessions:,} made over TCP",
            value=each,
            unit="bytes",
            note="sessions without user or context, attached to nobody",
        ),
    ]
    return findings, {"collections": [vars(run) for run in runs], "filled_at": filled_at, "calm": vars(calm)}
