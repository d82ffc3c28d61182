"""Server processes to measure: how each is started, on which cores, what it uses, how it ends."""

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from .loadgen import ROOT

READY = "ready "


class HarnessError(Exception):
    """A server did not start, or a round went wrong; the message holds what the server said."""


@contextmanager
def pinned(cores: Sequence[int] | None) -> Generator[None]:
    """What is started inside runs on `cores` only; this thread returns to its own. None: anywhere."""
    before = os.sched_getaffinity(0)
    if cores is not None:
        os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def default_cores() -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
    """Cores of the server and of the load: the first and the second; on a machine with one (None, None)."""
    cores = sorted(os.sched_getaffinity(0))
    return ((cores[0],), (cores[1],)) if len(cores) > 1 else (None, None)


@dataclass(frozen=True)
class Command:
    """A server to measure: its name in the report and how it is started."""

    name: str
    arguments: tuple[str, ...]


def peer(name: str, db: Path | None = None) -> Command:
    """The peer of that name in `benchmarks.peers`; one that stores messages needs a new file, `db`."""
    where = () if db is None else ("--db", str(db))
    return Command(name, (sys.executable, "-m", "benchmarks.peers", name, "--port", "0", *where))


def sojourn(db: Path, *options: str, durability: str = "full") -> Command:
    """`sojourn serve` on `db`, which durability `memory` leaves out: it keeps no file."""
    where = () if durability == "memory" else ("--db", str(db))
    serve = (sys.executable, "-m", "sojourn", "serve", "--port", "0", "--http-port", "off")
    return Command(f"sojourn {durability}", (*serve, *where, "--durability", durability, *options))


ENVIRONMENT: Final = {**os.environ, "SOJOURN_INSIGHTS": "false"}
"""Search and analytics are gathered by a process of their own: what that takes is a question of its own."""


class ServerProcess:
    """A started server: its address, its clocks, its end. A context manager; leaving it ends the process."""

    def __init__(
        self, command: Command, *, cores: Sequence[int] | None = None, ready_timeout: float = 60.0
    ) -> None:
        self.command = command
        self._http: str | None = None
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed by _end
        begun = time.perf_counter()
        with pinned(cores):
            self._process = subprocess.Popen(
                command.arguments,
                cwd=ROOT,
                env=ENVIRONMENT,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                text=True,
            )
        self.pid = self._process.pid
        try:
            self.address = self._wait_until_ready(ready_timeout)
        except BaseException:
            self.kill()
            raise
        self.seconds_to_ready = time.perf_counter() - begun
        "From the start of the process to its ready line, interpreter and imports included."

    def _wait_until_ready(self, timeout: float) -> tuple[str, int]:
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout
        while True:
            left = max(0.0, deadline - time.monotonic())
            readable, _, _ = select.select([self._process.stdout], [], [], left)
            line: str = self._process.stdout.readline() if readable else ""
            if line.startswith(READY):
                addresses = dict(word.split("=", 1) for word in line.split() if "=" in word)
                self._http = addresses.get("http")
                return _address(addresses["tcp"])
            if not line:
                why = "ended" if readable else f"was not ready within {timeout:g} s"
                raise HarnessError(f"{self.command.name} {why}: {self.complaints() or 'it said nothing'}")

    @property
    def http_address(self) -> tuple[str, int]:
        """Of its HTTP port; HarnessError: it has none."""
        if self._http is None:
            raise HarnessError(f"{self.command.name} listens on no HTTP port")
        return _address(self._http)

    def complaints(self) -> str:
        """The end of what the process wrote to stderr."""
        if self._complaints.closed:
            return ""
        self._complaints.seek(0)
        return self._complaints.read().decode(errors="replace").strip()[-2000:]

    def cpu_by_thread(self) -> dict[str, float]:
        """CPU seconds of each live thread, of its processes too, by `name-tid`."""
        seconds: dict[str, float] = {}
        for pid in (self.pid, *_children(self.pid)):
            for task in _tasks(pid):
                try:
                    name = (task / "comm").read_text().strip()
                    seconds[f"{name}-{task.name}"] = int((task / "schedstat").read_text().split()[0]) / 1e9
                except (FileNotFoundError, ProcessLookupError):
                    continue
        return seconds

    def resident_bytes(self) -> int:
        """Resident memory now, of its processes what they do not share."""
        return resident_bytes(self.pid) + sum(map(private_bytes, _children(self.pid)))

    def kill(self) -> None:
        """SIGKILL: the process gets no chance to finish anything."""
        self._end(signal.SIGKILL, 30.0)

    def stop(self, timeout: float = 30.0) -> int:
        """SIGTERM, SIGKILL after `timeout`; the exit status."""
        return self._end(signal.SIGTERM, timeout)

    def _end(self, number: signal.Signals, timeout: float) -> int:
        if self._process.poll() is None:
            self._process.send_signal(number)
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._complaints.close()
        return self._process.returncode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


def _address(text: str) -> tuple[str, int]:
    host, port = text.rsplit(":", 1)
    return host, int(port)


def _tasks(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except FileNotFoundError:
        return []


def _children(pid: int) -> list[int]:
    """The processes that it has started and that are there."""
    found: list[int] = []
    for task in _tasks(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, (task / "children").read_text().split())
    return found


def private_bytes(pid: int) -> int:
    """Resident memory that a process shares with no other; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def resident_bytes(pid: int | str = "self") -> int:
    """Resident memory of a process (`VmRSS`)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise HarnessError(f"/proc/{pid}/status tells no VmRSS")
