"""Erlang/OTP on the same frames: `sojourn_peer.erl`, compiled on first use, run in place of this process."""

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import NoReturn

from benchmarks.loadgen import CACHE

SOURCE = Path(__file__).with_name("sojourn_peer.erl")


class ErlangFailed(Exception):
    """The module does not compile; the message holds what the compiler said."""


def compiled() -> Path:
    """The folder that holds the compiled module, made anew when the source changed."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    folder = CACHE / f"erlang-{digest}"
    if folder.exists():
        return folder
    CACHE.mkdir(exist_ok=True)
    # Under a name of its own until it is whole: two runs may compile at the same time.
    with tempfile.TemporaryDirectory(dir=CACHE) as parent:
        unfinished = Path(parent) / "ebin"
        unfinished.mkdir()
        command = ["erlc", "-o", str(unfinished), str(SOURCE)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ErlangFailed(done.stdout + done.stderr)
        try:
            unfinished.replace(folder)
        except OSError:
            if not folder.exists():
                raise
    return folder


def serve(mode: str, host: str, port: int, path: Path | None) -> NoReturn:
    """Become the Erlang server, with a scheduler for each core of this process. `mode`: memory or durable."""
    cores = len(os.sched_getaffinity(0))
    # Idle schedulers that spin would take the core that the load runs on.
    machine = ["+S", f"{cores}:{cores}", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"]
    machine += ["+P", "2000000", "+Q", "65536"]
    machine += ["-noshell", "-noinput", "-pa", str(compiled())]
    run = ["-run", "sojourn_peer", "main", mode, host, str(port), *([str(path)] if path else [])]
    os.execvp("erl", ["erl", *machine, *run])
