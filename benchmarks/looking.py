"""What does it cost to be looked at? CPU time a message with Prometheus and a dashboard, over without them.

`python -m benchmarks.looking` plays the same load on the same server alternately: alone, and with `/metrics`
scraped each second while one reader follows `/v1/overview/events`, as an open dashboard does. 50 connections
with 20 sessions each and 32 messages outstanding, `durability=full`, no agent, the HTTP port open in both.
Each pair of neighbouring rounds gives one ratio of CPU seconds (all threads of the server) a message.

Bar: 1.05 at most, over ten pairs or more.

Not measured: what is counted whether or not somebody looks (`python -m benchmarks.before` compares commits),
many readers, and the first scrape, which loads the library for it (it is made before the load).
"""

import http.client
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager

from .harness import play, progress
from .loadgen import LoadgenError, build
from .machine import scratch
from .pairs import asked, cpu_us, options, tell
from .servers import Command, HarnessError, ServerProcess, default_cores, sojourn

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
    arguments = options("looking", __doc__, seconds=5.0).parse_args()
    pairs, load = asked(arguments, quick_seconds=2.0)
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
    scrapes, overviews = sum(each.scrapes for each in lookers), sum(each.overviews for each in lookers)
    tell(
        "looking",
        "CPU time a plain message while it is looked at, over alone",
        arguments,
        ("watched", watched),
        ("alone", alone),
        note=f"; {scrapes} scrapes of {lookers[-1].page_bytes:,} bytes, {overviews} overviews",
        scrapes=scrapes,
        overviews=overviews,
    )


if __name__ == "__main__":
    main()
