"""Builds the load generator (`loadgen.c`) on first use and runs it: `Load` in, `LoadResult` out.

Where it cannot be built, several Python processes do the same, more slowly (`loadgen_python`).

`python -m benchmarks.loadgen --port 7411 --connections 50 --outstanding 32` runs it by hand.
"""

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
SOURCE = Path(__file__).with_name("loadgen.c")


class LoadgenError(Exception):
    """The load could not be generated; the message says why."""


class LoadgenUnavailable(LoadgenError):
    """The compiled load generator cannot be had here: no C compiler, or no Linux."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is sent, and for how long."""

    connections: int
    sessions: int = 1
    "Sessions a connection; its messages go round them in turn."
    outstanding: int | None = None
    "Unanswered messages a connection. None: 1 in the closed loop, 1,024 in the open, only to bound memory."
    seconds: float = 4.0
    "Length of the measured window."
    warmup: float = 1.0
    "Seconds of the same load before the window."
    measure_at: float | None = None
    "Unix time at which the window opens, instead of `warmup`."
    rate: float | None = None
    "Messages a second in the open loop; None: closed loop."
    echo: bool = False
    "The peer knows no sessions: none is created, and a frame that comes back counts as the answer."
    session_id_bytes: int = 30
    "Length of the made-up session ids towards such a peer, so that the frames are as long as Sojourn's."
    text_bytes: int = 32
    "Length of each message's text."
    setup_seconds: float = 120.0
    "How long creating the sessions may take."
    create_only: bool = False
    "Make the sessions and leave: no message is sent, and `setup_seconds` of the result is the measurement."
    attach: bool = True
    "Made sessions are attached to the connection that made them."
    ids: Path | None = None
    "File with one session id a line, to write to instead of new sessions: each connection takes the next."
    websocket: bool = False
    "Over WebSocket, binary messages, instead of TCP; the compiled load generator alone can do it."
    drain_seconds: float = 10.0
    "How long to wait, after the window, for answers that are still due."

    def arguments(self) -> list[str]:
        """The load generator's command line, without host and port."""
        mode: Literal["open", "closed"] = "closed" if self.rate is None else "open"
        options: dict[str, object] = {
            "mode": mode,
            "connections": self.connections,
            "sessions": self.sessions,
            "outstanding": self.outstanding,
            "seconds": self.seconds,
            "warmup": self.warmup,
            "measure-at": self.measure_at,
            "rate": self.rate,
            "session-id-bytes": self.session_id_bytes,
            "text-bytes": self.text_bytes,
            "setup-seconds": self.setup_seconds,
            "drain-seconds": self.drain_seconds,
            "ids": self.ids and self.ids.absolute(),
        }
        given = [f"--{name}={value}" for name, value in options.items() if value is not None]
        flags = {
            "--echo": self.echo,
            "--create-only": self.create_only,
            "--no-attach": not self.attach,
            "--websocket": self.websocket,
        }
        return [*given, *(flag for flag, wanted in flags.items() if wanted)]


@dataclass(frozen=True, kw_only=True)
class LoadResult:
    """What one run measured. Latencies are microseconds, in the open loop from the intended instant."""

    mode: str
    connections: int
    sessions: int
    outstanding: int
    intended_rate: float
    frame_bytes: int
    setup_seconds: float
    "Connecting and creating all sessions."
    messages: int
    "Accepted messages of the measured window."
    seconds: float
    rate: float
    sent: int
    "Over the whole run, like the counts that follow."
    answered: int
    unanswered: int
    errors: int
    strays: int
    "Answers to nothing that was asked, or asked and already answered."
    pushes: int
    disconnects: int
    latency_us: dict[str, float]
    "`mean`, `p50`, `p90`, `p99`, `p99_9`, `p99_99`, `max`; the percentiles are at most 0.8 % too high."
    late_us_max: float
    "Open loop: the most that the generator itself was behind its schedule."
    cpu_seconds: float
    "The generator's own, in the measured window, or with `create_only` in all."
    cpu_utilisation: float
    "Of one core; near 1 the generator may be the bottleneck. Of several processes the busiest's."
    error_codes: dict[str, int] = field(default_factory=dict[str, int])
    first_error: str = ""

    @property
    def is_clean(self) -> bool:
        """Every message was answered once, without an error."""
        return not (self.unanswered or self.errors or self.strays or self.disconnects)


PYTHON: tuple[str, ...] = (sys.executable, "-m", "benchmarks.loadgen_python")
"""The load generator that needs no compiler."""


def build() -> tuple[str, ...]:
    """The load generator's command: the compiled one, else, with a warning, the one in Python.

    May raise LoadgenError: there is a compiler, and it failed.
    """
    try:
        return (str(compiled()),)
    except LoadgenUnavailable as reason:
        _warn(f"{reason}: several Python processes generate the load, and may be the bottleneck")
        return PYTHON


@functools.cache
def _warn(warning: str) -> None:
    """Say it once."""
    print(f"loadgen: {warning}", file=sys.stderr, flush=True)


def compiled() -> Path:
    """Path of the load generator, compiled anew when the source changed. May raise LoadgenUnavailable."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    program = CACHE / f"loadgen-{digest}"
    if program.exists():
        return program
    if not sys.platform.startswith("linux"):
        raise LoadgenUnavailable("the load generator needs Linux: it is built on epoll")
    names = (os.environ.get("CC", "cc"), "gcc", "clang")
    compiler = next((name for name in names if shutil.which(name)), None)
    if compiler is None:
        raise LoadgenUnavailable(
            "the load generator is written in C, and no C compiler (cc, gcc, clang) was found"
        )
    CACHE.mkdir(exist_ok=True)
    # Under a name of its own until it is whole: two runs may build at the same time.
    unfinished = program.with_suffix(f".{os.getpid()}")
    options = ("-O2", "-Wall", "-Wextra", "-o", str(unfinished), str(SOURCE))
    done = subprocess.run([compiler, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LoadgenError(f"{compiler} could not build {SOURCE.name}:\n{done.stderr}")
    unfinished.replace(program)
    return program


def run(
    load: Load,
    address: tuple[str, int],
    *,
    on_window: Callable[[bool], object] | None = None,
    command: tuple[str, ...] | None = None,
) -> LoadResult:
    """Send `load` to `address` and wait for the end.

    `on_window` is called with True when the measured window opens, with False when it ends: the instants to
    read the server's clocks. `command` is the load generator, else what `build` gives.
    """
    host, port = address
    arguments = [*(command or build()), f"--host={host}", f"--port={port}", *load.arguments()]
    with subprocess.Popen(
        arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        result: dict[str, Any] | None = None
        for line in process.stdout:
            if line.startswith("{"):
                result = json.loads(line)
            elif on_window is not None:
                on_window(line.strip() == "measuring")
        complaint = process.stderr.read().strip()
    if process.returncode or result is None:
        raise LoadgenError(complaint or f"the load generator ended with status {process.returncode}")
    return LoadResult(**result)


def main() -> None:
    try:
        command = build()
    except LoadgenError as error:
        sys.exit(f"loadgen: {error}")
    os.execv(command[0], [*command, *sys.argv[1:]])


if __name__ == "__main__":
    main()
