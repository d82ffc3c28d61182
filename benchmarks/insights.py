"""How long do search and statistics take on a large file, and how fast are they gathered?

`python -m benchmarks.insights` writes 100,000 sessions of three months, among them the data set of
`sojourn demo` whole, lets one process gather them as beside a server, and asks each question `--rounds` times
as `/v1/search`, `/v1/past` and `/v1/stats` do: both files opened anew, answered, closed. A figure is the
slowest question of its kind, by the median of its rounds.

Bar: 300 ms for each.

Not measured: HTTP around it (a millisecond), a file that is not in the system's cache, and what gathering
costs a server (`python -m benchmarks.gathering`).
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from sojourn.gateway.dataset import DatasetUnavailable
from sojourn.storage.insights import SORTS, Filters, Insights, InsightsReader, insights_path

from .findings import ANSWERS, Answer, Chart, Finding, command_line
from .harness import Spread, progress
from .insights_filling import BEGIN, DAYS, fill
from .machine import machine, scratch

BAR: Final = 300.0
SESSIONS: Final = 100_000
END: Final = BEGIN + DAYS * 86_400

Ask = Callable[[InsightsReader], object]

SEARCHES: Final[Mapping[str, Ask]] = {
    "a word in every fifth message": lambda reader: reader.search("i"),
    "a rare word": lambda reader: reader.search("xylophone"),
    "two words": lambda reader: reader.search("weather today"),
    "a phrase": lambda reader: reader.search('"how are you"'),
    "words that begin so": lambda reader: reader.search("th*"),
    "one word without another": lambda reader: reader.search("the -you"),
    "of one user": lambda reader: reader.search("the", Filters(user_id="user-000042")),
    "of nobody": lambda reader: reader.search("the", Filters(user_id="nobody")),
    "of a rating and a tag": lambda reader: reader.search("the", Filters(rating=1, tag="vip")),
    "by humans, of closed sessions": lambda reader: reader.search(
        "the", Filters(author="human", status="closed")
    ),
    "by systems, who wrote nothing": lambda reader: reader.search("the", Filters(author="system")),
    "of sessions that still run": lambda reader: reader.search("the", Filters(status="active")),
    "of the first day": lambda reader: reader.search("the", Filters(until=BEGIN + 86_400)),
    "of the last week": lambda reader: reader.search("the", Filters(since=END - 7 * 86_400)),
    "a page in the middle": lambda reader: reader.search("the", cursor=_middle(reader)),
}

PAST: Final[Mapping[str, Ask]] = {
    **{f"by {sort}": lambda reader, sort=sort: reader.sessions(sort=sort) for sort in SORTS},  # type: ignore[misc]
    "of a channel, by length": lambda reader: reader.sessions(Filters(channel="web"), "length"),
    "of a tag": lambda reader: reader.sessions(Filters(tag="refund")),
    "of one user": lambda reader: reader.sessions(Filters(user_id="user-000042")),
}

STATISTICS: Final[Mapping[str, Ask]] = {
    "all by hour": lambda reader: reader.stats(bucket="hour"),
    "all by day": lambda reader: reader.stats(bucket="day"),
    "all by month": lambda reader: reader.stats(bucket="month"),
    "a month by day": lambda reader: reader.stats(Filters(since=END - 30 * 86_400, until=END)),
    "a day by hour": lambda reader: reader.stats(Filters(since=END - 86_400, until=END), "hour"),
    "of a channel by day": lambda reader: reader.stats(Filters(channel="web")),
    "of every seventh session, by a tag": lambda reader: reader.stats(Filters(tag="refund")),
}


def _middle(reader: InsightsReader) -> str | None:
    """A cursor some thousand hits from the newest; finding it counts."""
    cursor: str | None = None
    for _ in range(5):
        cursor = reader.search("the", limit=200, cursor=cursor).cursor
    return cursor


def ask(db: Path, question: Ask, rounds: int) -> Spread:
    """Milliseconds of each round, from nothing open to all closed."""
    spent: list[float] = []
    for _ in range(rounds):
        begun = time.perf_counter()
        with InsightsReader.open(str(db)) as reader:
            question(reader)
        spent.append((time.perf_counter() - begun) * 1e3)
    return Spread.of(spent)


def gather(db: Path) -> tuple[int, float]:
    """Have everything gathered: events, and CPU seconds."""
    begun = time.process_time()
    events = 0
    with Insights.open(str(db)) as insights:
        while taken := insights.catch_up().taken:
            events += taken
    return events, time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.insights",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sessions", type=int, default=SESSIONS, help=f"in the file ({SESSIONS:,})")
    parser.add_argument("--rounds", type=int, default=7, help="of each question (7)")
    parser.add_argument("--directory", type=Path, help="for database files")
    parser.add_argument("--into", type=Path, default=ANSWERS, help="folder for the answer")
    parser.add_argument("--quick", action="store_true", help="2,000 sessions, two rounds: does it run at all")
    arguments = parser.parse_args()
    sessions = 2000 if arguments.quick else arguments.sessions
    rounds = 2 if arguments.quick else arguments.rounds
    with scratch(arguments.directory) as place:
        db = place / "sessions.db"
        try:
            messages = fill(db, sessions)
        except DatasetUnavailable as error:
            sys.exit(f"insights: {error}")
        progress(f"{sessions:,} sessions, {messages:,} messages")
        events, cpu = gather(db)
        journal, gathered = db.stat().st_size, Path(insights_path(str(db))).stat().st_size
        progress(f"{events:,} events gathered, {cpu / events * 1e6:.1f} µs of CPU each")
        measured: dict[str, dict[str, Spread]] = {}
        for kind, questions in (("search", SEARCHES), ("past", PAST), ("stats", STATISTICS)):
            measured[kind] = {name: ask(db, question, rounds) for name, question in questions.items()}
            for name, spread in measured[kind].items():
                progress(f"{kind:<8}{name:<36}{spread.format(',.1f')} ms")
    judged = sessions >= SESSIONS
    findings = [
        Finding(
            what=f"/v1/{kind}, the slowest of {len(measured[kind])} questions",
            value=spread.median,
            low=spread.low,
            high=spread.high,
            unit="ms",
            bar=BAR if judged else None,
            at_most=True,
            note=f"{name}; the middle one takes "
            f"{statistics.median(each.median for each in measured[kind].values()):.1f} ms; "
            f"{sessions:,} sessions, {messages:,} messages",
        )
        for kind in measured
        for name, spread in [max(measured[kind].items(), key=lambda item: item[1].median)]
    ]
    findings += [
        Finding(
            what="CPU time to gather an event",
            value=cpu / events * 1e6,
            unit="µs",
            note=f"{events:,} events from nothing, {events / cpu:,.0f} a second of CPU",
        ),
        Finding(
            what="Size of the insights file",
            value=gathered / messages,
            unit="bytes a message",
            note=f"{gathered / 2**20:.0f} MiB beside a database of {journal / 2**20:.0f} MiB",
        ),
    ]
    for finding in findings:
        print(finding.format())
    Answer(
        question="insights",
        command=command_line("insights"),
        machine=machine(arguments.directory),
        findings=findings,
        charts=[
            Chart(
                name=f"insights-{kind}",
                title=f"/v1/{kind} on {sessions:,} sessions",
                kind="bars",
                y="ms",
                series={
                    kind: [(name, each.median, each.low, each.high) for name, each in measured[kind].items()]
                },
            )
            for kind in measured
        ],
        detail={
            kind: {name: each.median for name, each in answers.items()} for kind, answers in measured.items()
        },
    ).save(arguments.into)


if __name__ == "__main__":
    main()
