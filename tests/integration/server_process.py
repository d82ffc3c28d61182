"""A real server in a process of its own, as an operator starts it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from tests.integration.wire import Wire
from tests.prepared import Command

START_TIMEOUT = 20.0
STOP_TIMEOUT = 20.0


class ServerProcess:
    """`sojourn serve` on a free port.

    folder: holds the database (`sessions.db`) and the log; a second server on the same folder goes on
    with the same sessions. options: further command line arguments. environment: `SOJOURN_*` variables.
    memory: no file at all. insights: they are gathered beside it, by one process more. fresh: all of it as
    an operator has it, by an interpreter that has read nothing yet.
    """

    def __init__(
        self,
        folder: Path,
        *options: str,
        environment: dict[str, str] | None = None,
        memory: bool = False,
        insights: bool = False,
        fresh: bool = False,
    ) -> None:
        self.path = folder / "sessions.db"
        self.log = folder / "server.log"
        where = ["--durability", "memory"] if memory else ["--db", str(self.path)]
        words = ["serve", *where, "--port", "0", "--http-port", "off", *options]
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("SOJOURN_")}
        if not (insights or fresh):
            inherited["SOJOURN_INSIGHTS"] = "false"
        whole = inherited | (environment or {})
        with self.log.open("ab") as log:
            self._process: subprocess.Popen[bytes] | Command
            if fresh:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "sojourn", *words],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    cwd=folder,
                    env=whole,
                )
            else:
                self._process = Command(words, environment=whole, folder=folder, stderr=log.fileno())
        self.ready_line = self._wait_for_ready()
        host, _, port = _value(self.ready_line, "tcp").rpartition(":")
        self.address = (host, int(port))
        self.http_address = self.address
        """Of the HTTP port, where the options have one."""
        if " http=" in self.ready_line:
            host, _, port = _value(self.ready_line, "http").rpartition(":")
            self.http_address = (host, int(port))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def connect(
        self, role: str | None = None, identity: str | None = None, *, receive_buffer: int | None = None
    ) -> Wire:
        """A new connection; it says `hello` only when a role or an identity is given."""
        wire = Wire(self.address, receive_buffer=receive_buffer)
        if role is not None or identity is not None:
            wire.ok("hello", protocol=1, role=role or "user", identity=identity)
        return wire

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """`kill -9`, and the process is gone when this returns."""
        self._process.kill()
        self._process.wait(STOP_TIMEOUT)

    def wait(self) -> int:
        """The exit code, once the process has ended by itself."""
        return self._process.wait(STOP_TIMEOUT)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def close(self) -> None:
        """Ends the process whatever its condition; one that was stopped already is left alone."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def complaints(self) -> str:
        """The log when it holds a traceback, else nothing."""
        text = self.log.read_text(errors="replace")
        return text if "Traceback" in text else ""

    def _wait_for_ready(self) -> str:
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        deadline = time.monotonic() + START_TIMEOUT
        seen = b""
        while (remaining := deadline - time.monotonic()) > 0:
            if not select.select([output], [], [], remaining)[0]:
                continue
            data = os.read(output, 4096)
            if not data:
                break
            seen += data
            for line in seen.splitlines(keepends=True):
                if line.startswith(b"ready ") and line.endswith(b"\n"):
                    return line.decode().strip()
        self.kill()
        raise AssertionError(f"no ready line in {seen!r}; the log says: {self.log.read_text()}")


def _value(line: str, key: str) -> str:
    for word in line.split():
        name, _, value = word.partition("=")
        if name == key:
            return value
    raise AssertionError(f"no {key}= in {line!r}")
