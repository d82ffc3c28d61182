"""The server's numbers in Prometheus' format: one table of what each is, read when somebody scrapes."""

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from sojourn._version import __version__
from sojourn.actors.instruments import Instruments, Overview
from sojourn.actors.lifecycle import Handling, Status
from sojourn.actors.measures import Distribution

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

STATUSES: Final = tuple(status.value for status in Status)
HANDLINGS: Final = tuple(handling.value for handling in Handling)

Samples = Iterable[tuple[tuple[str, ...], float]]
"""Of each combination of labels' values, the number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What one scrape sees."""

    overview: Overview
    instruments: Instruments
    connections: Mapping[str, int]
    """By door."""
    ready: bool
    insights_behind: int | None


@dataclass(frozen=True, slots=True)
class Number:
    """One gauge or counter; a counter's name has `_total` behind it on the page."""

    name: str
    kind: str
    "`gauge` or `counter`."
    is_: str
    "For people."
    labels: tuple[str, ...]
    read: Callable[[Sight], Samples]

    @property
    def shown(self) -> str:
        """Its name on the page."""
        return f"{self.name}_total" if self.kind == "counter" else self.name


@dataclass(frozen=True, slots=True)
class Spread:
    """One histogram."""

    name: str
    is_: str
    read: Callable[[Instruments], Distribution]
    kind: str = "histogram"
    labels: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """Its name on the page, without `_bucket`, `_sum`, `_count`."""
        return self.name


def _one(value: Callable[[Sight], float | None]) -> Callable[[Sight], Samples]:
    def read(sight: Sight) -> Samples:
        number = value(sight)
        return () if number is None else (((), number),)

    return read


def _each(values: Callable[[Sight], Mapping[str, float]]) -> Callable[[Sight], Samples]:
    return lambda sight: [((name,), value) for name, value in values(sight).items()]


def _sessions(sight: Sight) -> Samples:
    """Every pair, so that one without sessions is 0 and not gone; nothing when they could not be read."""
    counted = sight.overview.sessions
    if counted is None:
        return ()
    known = {(each.status, each.handling): each.sessions for each in counted}
    return [(pair, known.get(pair, 0)) for pair in product(STATUSES, HANDLINGS)]


METRICS: Final[tuple[Number | Spread, ...]] = (
    Number(
        "sojourn_sessions",
        "gauge",
        "Sessions in the database, expired ones too",
        ("status", "handling"),
        _sessions,
    ),
    Number("sojourn_sessions_live", "gauge", "Sessions in memory", (), _one(lambda s: s.overview.live)),
    Number(
        "sojourn_sessions_expired",
        "counter",
        "Sessions that expired, by what ended them",
        ("reason",),
        _each(lambda s: s.overview.expired),
    ),
    Number("sojourn_messages", "counter", "Messages stored", (), _one(lambda s: s.overview.messages)),
    Number(
        "sojourn_events",
        "counter",
        "Events stored, messages among them",
        ("type",),
        _each(lambda s: s.overview.events),
    ),
    Number("sojourn_commits", "counter", "Commits", (), _one(lambda s: s.instruments.tally.commits)),
    Number(
        "sojourn_commit_failures",
        "counter",
        "Commits that failed: nothing of them was stored, and their senders were told",
        (),
        _one(lambda s: s.instruments.tally.failures),
    ),
    Spread(
        "sojourn_commit_duration_seconds",
        "How long a commit takes, the disk included",
        lambda instruments: instruments.tally.seconds,
    ),
    Spread("sojourn_commit_events", "Events in a commit", lambda instruments: instruments.tally.sizes),
    Number(
        "sojourn_queue_depth",
        "gauge",
        "What waits: messages in mailboxes, sessions on their way into memory, events for the next commit, "
        "batches for the store, reads, turns of the agent",
        ("queue",),
        _each(lambda s: s.overview.waiting),
    ),
    Number(
        "sojourn_turns_running", "gauge", "Turns of the agent that run", (), _one(lambda s: s.overview.turns)
    ),
    Number(
        "sojourn_timers_due",
        "gauge",
        "Deadlines that have passed and are not dealt with yet",
        (),
        _one(lambda s: s.overview.due),
    ),
    Number(
        "sojourn_timers_fired", "counter", "Timers that fired", (), _one(lambda s: s.instruments.alarm.fired)
    ),
    Spread(
        "sojourn_timer_lateness_seconds",
        "How late timers fire",
        lambda instruments: instruments.alarm.lateness,
    ),
    Spread(
        "sojourn_expiry_lateness_seconds",
        "From a session's deadline until its expiry is stored; after a time without a server, that time",
        lambda instruments: instruments.tally.expiry_lateness,
    ),
    Number(
        "sojourn_dead_letters",
        "counter",
        "Messages that could not be delivered",
        ("reason",),
        _each(lambda s: s.overview.dead_letters),
    ),
    Number(
        "sojourn_restarts",
        "counter",
        "Session actors started again after a failure",
        (),
        _one(lambda s: s.overview.restarts),
    ),
    Number("sojourn_connections", "gauge", "Open connections", ("door",), _each(lambda s: s.connections)),
    Spread(
        "sojourn_loop_lag_seconds",
        "How late the event loop comes to what is due: everybody waits so long",
        lambda instruments: instruments.pulse.lag,
    ),
    Number(
        "sojourn_loop_stalls",
        "counter",
        "Times that the event loop was more than 50 ms late",
        (),
        _one(lambda s: s.instruments.pulse.stalls),
    ),
    Number(
        "sojourn_insights_behind_events",
        "gauge",
        "Events that search and statistics do not know yet",
        (),
        _one(lambda s: s.insights_behind),
    ),
    Number("sojourn_ready", "gauge", "1 while the server takes work", (), _one(lambda s: s.ready)),
    Number("sojourn_info", "gauge", "Always 1", ("version",), lambda _: [((__version__,), 1)]),
)
"""Every number of ours on the page, in its order."""


class _Collector:
    """Makes families of one sight. Prometheus' registry calls it in the scrape."""

    def __init__(self) -> None:
        self.sight: Sight | None = None

    def describe(self) -> Iterable[Metric]:
        """Nothing is said before the first scrape."""
        return ()

    def collect(self) -> Generator[Metric]:
        sight = self.sight
        if sight is None:
            return
        for each in METRICS:
            yield _spread(each, sight) if isinstance(each, Spread) else _number(each, sight)


def _number(number: Number, sight: Sight) -> Metric:
    kind = CounterMetricFamily if number.kind == "counter" else GaugeMetricFamily
    family = kind(number.name, number.is_, labels=number.labels)
    for labels, value in number.read(sight):
        family.add_metric(labels, value)
    return family


def _spread(spread: Spread, sight: Sight) -> Metric:
    distribution = spread.read(sight.instruments)
    counts = distribution.cumulative()
    bounds = [*map(str, distribution.bounds), "+Inf"]
    family = HistogramMetricFamily(spread.name, spread.is_)
    family.add_metric((), list(zip(bounds, counts, strict=True)), distribution.total)
    return family


class MetricsPage:
    """The page of one server; also what Python itself says of the process."""

    def __init__(self) -> None:
        self._collector = _Collector()
        # A registry of its own: what an embedding program counts is not ours to show.
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self._collector)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def render(self, sight: Sight) -> bytes:
        """The page, as `CONTENT_TYPE`."""
        self._collector.sight = sight
        return generate_latest(self._registry)
