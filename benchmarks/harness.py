"""Loads a server, reads the clocks of both sides, and compares rounds.

Figures of one machine move by a quarter and more between runs, while the ratio of two servers measured one
right after the other holds: so rounds alternate A B A B …, and each pair of neighbours gives one ratio.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from . import loadgen
from .loadgen import Load, LoadResult
from .servers import Command, HarnessError, ServerProcess, pinned


@dataclass(frozen=True, kw_only=True)
class Round:
    """One server under one load."""

    server: str
    load: LoadResult
    server_cpu_utilisation: float
    "Of one core, over all threads, in the measured window; a server pinned to one core has 1.0 and no more."
    server_cpu_by_thread: dict[str, float]
    "The same a thread, by thread name; those below 0.5 % are left out."
    others_cpu: float
    "Cores that the rest of the machine kept busy meanwhile; where it is not near 0 the round was disturbed."
    server_resident_bytes: int
    seconds_to_ready: float


def play(
    command: Command,
    load: Load,
    *,
    server_cores: Sequence[int] | None,
    load_cores: Sequence[int] | None,
    beside: Callable[[ServerProcess], AbstractContextManager[object]] | None = None,
) -> Round:
    """Start the server, send the load, stop the server; `beside` goes on around the load, on its cores.

    HarnessError: a message was refused or lost.
    """
    clocks: list[tuple[float, float, dict[str, float]]] = []
    with ServerProcess(command, cores=server_cores) as server:

        def read_clocks(_opens: bool) -> None:
            clocks.append((time.perf_counter(), busy_seconds(), server.cpu_by_thread()))

        with pinned(load_cores), nullcontext() if beside is None else beside(server):
            try:
                result = loadgen.run(
                    load,
                    server.http_address if load.websocket else server.address,
                    on_window=read_clocks,
                )
            except loadgen.LoadgenError as error:
                raise HarnessError(f"{command.name}: {error}\n{server.complaints()}") from error
        resident = server.resident_bytes()
        seconds_to_ready = server.seconds_to_ready
    if not result.messages:
        raise HarnessError(f"{command.name} answered nothing within {load.seconds:g} s after the warm-up")
    if not result.is_clean:
        raise HarnessError(f"{command.name}: not every message was answered once and well: {asdict(result)}")
    (opened, busy_before, before), (ended, busy_after, after) = clocks
    used = {name: (cpu - before.get(name, 0.0)) / (ended - opened) for name, cpu in after.items()}
    busy = (busy_after - busy_before) / (ended - opened)
    return Round(
        server=command.name,
        load=result,
        server_cpu_utilisation=sum(used.values()),
        server_cpu_by_thread={name: share for name, share in used.items() if share >= 0.005},
        others_cpu=max(0.0, busy - sum(used.values()) - result.cpu_utilisation),
        server_resident_bytes=resident,
        seconds_to_ready=seconds_to_ready,
    )


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Median and the two ends of what several rounds gave."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        return cls(median=statistics.median(values), low=min(values), high=max(values))

    def format(self, form: str = ",.0f") -> str:
        return f"{self.median:{form}} ({self.low:{form}} to {self.high:{form}})"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Rounds of a subject and of its floor, played alternately."""

    subject: list[Round] = field(default_factory=list[Round])
    floor: list[Round] = field(default_factory=list[Round])

    @property
    def ratios(self) -> list[float]:
        """Subject's rate over the floor's, one for each pair of neighbouring rounds."""
        return [a.load.rate / b.load.rate for a, b in zip(self.subject, self.floor, strict=True)]

    def summary(self) -> dict[str, Any]:
        """What a report needs, as one JSON-like map."""
        return {"ratio": asdict(Spread.of(self.ratios)), "ratios": self.ratios} | {
            role: {
                "server": rounds[0].server,
                "rate": asdict(Spread.of([r.load.rate for r in rounds])),
                "p50_us": asdict(Spread.of([r.load.latency_us["p50"] for r in rounds])),
                "p99_us": asdict(Spread.of([r.load.latency_us["p99"] for r in rounds])),
                "server_cpu": asdict(Spread.of([r.server_cpu_utilisation for r in rounds])),
                "load_cpu": asdict(Spread.of([r.load.cpu_utilisation for r in rounds])),
                "others_cpu": asdict(Spread.of([r.others_cpu for r in rounds])),
                "frame_bytes": rounds[0].load.frame_bytes,
                "rounds": [asdict(r) for r in rounds],
            }
            for role, rounds in (("subject", self.subject), ("floor", self.floor))
        }


def alternate(subject: Callable[[], Round], floor: Callable[[], Round], rounds: int) -> Comparison:
    """Plays both alternately, `rounds` times each."""
    [comparison] = take_turns(subject, {"": floor}, rounds).values()
    return comparison


TOGETHER = 3
"""Servers that one round of the subject is compared with: the last of them is played some 20 s after it."""


def take_turns(
    subject: Callable[[], Round], others: Mapping[str, Callable[[], Round]], rounds: int
) -> dict[str, Comparison]:
    """Plays the subject, then up to `TOGETHER` of the others, the subject again and the rest of them, and so
    on, `rounds` times: each round of each is compared with the subject's last one before it.

    One of the others that fails is told of once and left out from then on; a failure of the subject ends all.
    """
    compared = {name: Comparison() for name in others}
    left = dict(others)
    for number in range(1, rounds + 1):
        names = list(left)
        for first in range(0, len(names), TOGETHER):
            own = subject()
            progress(f"round {number}/{rounds}  {describe(own)}")
            for name in names[first : first + TOGETHER]:
                try:
                    played = left[name]()
                except HarnessError as error:
                    progress(f"round {number}/{rounds}  {name} failed and is left out from here: {error}")
                    del left[name]
                    continue
                compared[name].subject.append(own)
                compared[name].floor.append(played)
                ratio = compared[name].ratios[-1]
                progress(f"round {number}/{rounds}  {describe(played)}  ratio {ratio:.3f}")
    return {name: comparison for name, comparison in compared.items() if comparison.floor}


def describe(played: Round) -> str:
    """A round in one line."""
    latency = played.load.latency_us
    threads = ", ".join(f"{name} {share:.0%}" for name, share in played.server_cpu_by_thread.items())
    return (
        f"{played.server:<16} {played.load.rate:>11,.0f}/s  p50 {latency['p50'] / 1e3:8.3f} ms  "
        f"p99 {latency['p99'] / 1e3:8.3f} ms  CPU load {played.load.cpu_utilisation:4.0%}, "
        f"server {played.server_cpu_utilisation:4.0%} ({threads}), others {played.others_cpu:.0%}"
    )


def busy_seconds() -> float:
    """CPU seconds of the whole machine that were not idle, since it started; in steps of 10 ms a core."""
    user, nice, system, _idle, _wait, irq, softirq, steal, *_ = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def progress(line: str) -> None:
    """A line for whoever watches; the result alone goes to stdout."""
    print(line, file=sys.stderr, flush=True)
