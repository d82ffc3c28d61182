"""Servers that stay up between rounds: filled once, with a million sessions or twenty million events, and
then loaded in turn with another that is not.
"""

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from . import loadgen
from .harness import Round, busy_seconds
from .loadgen import Load, LoadResult
from .servers import Command, HarnessError, ServerProcess, pinned, sojourn

LONG = 86_400.0
"""Seconds until something that shall not happen during a run: expiry, passivation."""
CREATING_CONNECTIONS = 50
CREATES_OUTSTANDING = 64
"""A connection: the most that the load generator sends ahead."""


def keeping_all(db: Path, *, max_live: int) -> Command:
    """`sojourn serve` on `db`, whose sessions neither expire nor leave memory during a run."""
    settings = db.with_suffix(".toml")
    settings.write_text(f"passivate_after = {LONG}\nsession_timeout = {LONG}\nmax_live = {max_live}\n")
    return sojourn(db, "--settings", str(settings))


def clean(server: ServerProcess, result: LoadResult) -> LoadResult:
    """The result, or HarnessError: a message was refused or lost."""
    if not result.is_clean:
        name = server.command.name
        raise HarnessError(f"{name}: not every message was answered once and well: {asdict(result)}")
    return result


def measured(server: ServerProcess, load: Load, *, load_cores: Sequence[int] | None) -> Round:
    """Send `load` to a running server, and read the clocks around its window."""
    clocks: list[tuple[float, float, dict[str, float]]] = []

    def read_clocks(_opens: bool) -> None:
        clocks.append((time.perf_counter(), busy_seconds(), server.cpu_by_thread()))

    with pinned(load_cores):
        result = clean(server, loadgen.run(load, server.address, on_window=read_clocks))
    (opened, busy_before, before), (ended, busy_after, after) = clocks
    used = {name: (cpu - before.get(name, 0.0)) / (ended - opened) for name, cpu in after.items()}
    busy = (busy_after - busy_before) / (ended - opened)
    return Round(
        server=server.command.name,
        load=result,
        server_cpu_utilisation=sum(used.values()),
        server_cpu_by_thread={name: share for name, share in used.items() if share >= 0.005},
        others_cpu=max(0.0, busy - sum(used.values()) - result.cpu_utilisation),
        server_resident_bytes=server.resident_bytes(),
        seconds_to_ready=server.seconds_to_ready,
    )


def create_sessions(
    server: ServerProcess, sessions: int, *, load_cores: Sequence[int] | None
) -> tuple[float, LoadResult]:
    """Make so many sessions over TCP, attached to nobody: how many a second were acknowledged."""
    load = Load(
        connections=CREATING_CONNECTIONS,
        sessions=max(1, sessions // CREATING_CONNECTIONS),
        outstanding=CREATES_OUTSTANDING,
        create_only=True,
        attach=False,
        setup_seconds=1800.0,
    )
    with pinned(load_cores):
        result = clean(server, loadgen.run(load, server.address))
    return result.sessions / result.setup_seconds, result


def stored_ids(db: Path, count: int, into: Path) -> Path:
    """A file with the ids of `count` stored sessions, evenly spread over all, for `Load.ids`."""
    with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection:
        (last,) = connection.execute("SELECT max(key) FROM sessions").fetchone()
        stride = max(1, last // count)
        rows = connection.execute("SELECT session_id FROM sessions WHERE key % ? = 0", (stride,)).fetchmany(
            count
        )
    if len(rows) < count:
        raise HarnessError(f"{db.name} holds {len(rows)} sessions where {count} were asked for")
    into.write_text("".join(f"{session_id}\n" for (session_id,) in rows))
    return into
