"""What does it cost to be looked at? CPU time a message with Prometheus and a dashboard, over without them.

`python -m benchmarks.looking` plays the same load on the same server alternately: alone, and with `/metrics`
scraped each second while one reader follows `/v1/overview/events`, as an open dashboard does. 50 connections
with 20 sessions each and 32 messages outstanding, `durability=full`, no agent, the HTTP port open in both.
Each pair of neighbouring rounds gives one ratio of CPU seconds (all threads of the server) a message.

Bar: 1.05 at most, over ten pairs or more.

Not measured: what is counted whether or not somebody looks (`python -m benchmarks.before` compares commits),
many readers, and the first scrape, which loads the library for it (it is made before the load).
"""

import argparse
import http.client
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from .before import cpu_us
from .findings import ANSWERS, Answer, Chart, Finding, command_line
from .harness import Spread, play, progress
from .loadgen import Load, LoadgenError, build
from .machine import machine, scratch
from .servers import Command, HarnessError, ServerProcess, default_cores, sojourn

BAR = 1.05
PAIRS = 10
"""Fewer say nothing of five per cent."""
EVERY = 1.0
"""Seconds between two scrapes."""


class Lookers:
    """Who looks at one server, each in a thread of its own. Numbers are read when they have ended."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._ended = threading.Event()
        self._stream = http.client.HTTPConnection(*address, timeout=30)
        self._threads = [threading.Thread(target=self._scrape), threading.Thread(target=self._follow)]
        self.scrapes = 0
        self.page_bytes = 0
        self.overviews = 0

    def start(self) -> None:
        """Look once, then have both look on."""
        self._scrape_once()
        self._stream.request("GET", "/v1/overview/events", headers={"Accept": "text/event-stream"})
        self._answer = self._stream.getresponse()
        if self._answer.status != 200:
            raise HarnessError(f"/v1/overview/events answered {self._answer.status}")
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Look no more; the server has gone, or has sent its last overview soon."""
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._stream.close()

    def _scrape(self) -> None:
        while not self._ended.wait(EVERY):
            self._scrape_once()

    def _scrape_once(self) -> None:
        connection = http.client.HTTPConnection(*self._address, timeout=30)
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        page = answer.read()
        connection.close()
        if answer.status != 200:
            raise HarnessError(f"/metrics answered {answer.status}")
        self.page_bytes = len(page)
        self.scrapes += 1

    def _follow(self) -> None:
        while not self._ended.is_set():
            line = self._answer.readline()
            if not line:
                return
            self.overviews += line.startswith(b"data: ")


@contextmanager
def looked_at(server: ServerProcess, lookers: list[Lookers]) -> Generator[None]:
    """Lookers at the server, noted in the list."""
    looker = Lookers(server.http_address)
    looker.start()
    lookers.append(looker)
    try:
        yield
    finally:
        looker.end()


def with_http(command: Command) -> Command:
    """The same server with its HTTP port open."""
    port = command.arguments.index("--http-port") + 1
    return Command(command.name, (*command.arguments[:port], "0", *command.arguments[port + 1 :]))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.looking",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pairs", type=int, default=PAIRS, help=f"of rounds ({PAIRS})")
    parser.add_argument("--seconds", type=float, default=5.0, help="measured, of each round (5)")
    parser.add_argument("--directory", type=Path, help="for database files")
    parser.add_argument("--into", type=Path, default=ANSWERS, help="folder for the answer")
    parser.add_argument("--quick", action="store_true", help="two short pairs: does it run at all")
    arguments = parser.parse_args()
    pairs = 2 if arguments.quick else arguments.pairs
    load = Load(
        connections=50,
        sessions=20,
        outstanding=32,
        seconds=2.0 if arguments.quick else arguments.seconds,
        warmup=0.3 if arguments.quick else 1.0,
    )
    server_cores, load_cores = default_cores()
    watched: list[float] = []
    alone: list[float] = []
    lookers: list[Lookers] = []
    try:
        build()
        with scratch(arguments.directory) as place:
            for number in range(pairs):
                for name, into in (("watched", watched), ("alone", alone)):
                    played = play(
                        with_http(sojourn(place / f"{name}-{number}.db")),
                        load,
                        server_cores=server_cores,
                        load_cores=load_cores,
                        beside=(lambda server: looked_at(server, lookers)) if into is watched else None,
                    )
                    into.append(cpu_us(played))
                progress(f"pair {number + 1}/{pairs}: {watched[-1]:.2f} watched, {alone[-1]:.2f} µs alone")
    except (HarnessError, LoadgenError) as error:
        sys.exit(f"looking: {error}")
    ratios = Spread.of([a / b for a, b in zip(watched, alone, strict=True)])
    scrapes, overviews = sum(each.scrapes for each in lookers), sum(each.overviews for each in lookers)
    finding = Finding(
        what="CPU time a plain message while it is looked at, over alone",
        value=ratios.median,
        low=ratios.low,
        high=ratios.high,
        unit="×",
        bar=BAR if pairs >= PAIRS else None,
        at_most=True,
        note=f"medians {Spread.of(watched).median:.2f} and {Spread.of(alone).median:.2f} µs, {pairs} pairs; "
        f"{scrapes} scrapes of {lookers[-1].page_bytes:,} bytes, {overviews} overviews",
    )
    points: dict[str, list[tuple[str | float, float, float, float]]] = {
        name: [(str(number + 1), value, value, value) for number, value in enumerate(values)]
        for name, values in (("watched", watched), ("alone", alone))
    }
    chart = Chart(name="looking", title="CPU a plain message, by pair", kind="bars", y="µs", series=points)
    print(finding.format())
    Answer(
        question="looking",
        command=command_line("looking"),
        machine=machine(arguments.directory),
        findings=[finding],
        charts=[chart],
        detail={"watched": watched, "alone": alone, "scrapes": scrapes, "overviews": overviews},
    ).save(arguments.into)


if __name__ == "__main__":
    main()
