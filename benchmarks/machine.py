"""What figures depend on: processor, memory, kernel, file system and its fsync, versions, commit."""

import importlib.metadata
import os
import platform
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .loadgen import CACHE, ROOT

PACKAGES = ("sojourn", "msgpack", "pykka", "uvloop", "sqlite-utils")


@contextmanager
def scratch(directory: Path | None = None) -> Generator[Path]:
    """An empty directory for database files, gone afterwards.

    By default inside the checkout and not among the system's temporary files: those are often kept in
    memory, where fsync costs nothing.
    """
    parent = directory or CACHE
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=parent) as name:
        yield Path(name)


def machine(directory: Path | None = None) -> dict[str, Any]:
    """The machine and the versions as a JSON-like map; the file system is that of `scratch(directory)`."""
    with scratch(directory) as probe:
        file_system = _file_system(probe)
        fsync = _fsync_seconds(probe)
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "load_average": round(os.getloadavg()[0], 2),
        "file_system": file_system,
        "fsync_us": round(fsync * 1e6, 1),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "packages": {name: _version(name) for name in PACKAGES},
        "commit": _commit(),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _file_system(path: Path) -> str:
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    inside = [(point, kind) for point, kind in mounts if path.is_relative_to(point)]
    return max(inside, key=lambda mount: len(mount[0]), default=("", "unknown"))[1]


def _fsync_seconds(directory: Path, times: int = 50) -> float:
    """Median of one 4 KiB append followed by fdatasync."""
    taken: list[float] = []
    with (directory / "fsync").open("wb", buffering=0) as file:
        for _ in range(times):
            begun = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The checkout's commit, with `+changes` when files differ from it; None outside git."""
    head = _git("rev-parse", "HEAD")
    return head and head + ("+changes" if _git("status", "--porcelain") else "")


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
