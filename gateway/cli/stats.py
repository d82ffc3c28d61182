"""`sojourn stats`: what happened in a time, as tables and small charts."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from rich.table import Table
from rich.text import Text

from sojourn.storage.insights import Filters, Statistics

from .console import out, span
from .insight_files import insights_of, moment
from .options import DatabaseFile, SettingsFile

_BARS: Final = " ▁▂▃▄▅▆▇█"
_CHART_WIDTH: Final = 60
_FORMAT: Final = {"hour": "%Y-%m-%d %H:00", "day": "%Y-%m-%d", "week": "%Y-%m-%d", "month": "%Y-%m"}
_CHARTS: Final = (
    ("opened", "sessions opened"),
    ("closed", "closed"),
    ("resolved", "resolved"),
    ("expired_inactivity", "expired: inactivity"),
    ("expired_keep_alive", "expired: keep_alive"),
    ("expired_max_lifetime", "expired: max_lifetime"),
    ("messages", "messages"),
    ("handovers", "handovers"),
)


def stats(
    since: Annotated[
        str | None, typer.Option(metavar="DATE|AGE", help="From then on: 2026-01-31, 12h, 7d.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="DATE|AGE", help="Before then.")] = None,
    bucket: Annotated[
        str, typer.Option(metavar="hour|day|week|month", help="Counted by this, of UTC.")
    ] = "day",
    channel: Annotated[str | None, typer.Option(help="Only of this channel.")] = None,
    user: Annotated[str | None, typer.Option(metavar="USER_ID", help="Only this user's.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only sessions with this tag.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: buckets and summary.")] = False,
    db: DatabaseFile = None,
    settings_file: SettingsFile = None,
) -> None:
    """Count what happened in a database file, also beside a running server."""
    now = datetime.now(UTC)
    with insights_of(db, settings_file) as insights:
        filters = Filters(
            user_id=user,
            channel=channel,
            tag=tag,
            since=moment("--since", since, now),
            until=moment("--until", until, now),
        )
        found = insights.stats(filters, bucket)
    if as_json:
        print(json.dumps(found._asdict()))
    elif not found.buckets:
        out.print("no sessions", style="dim")
    else:
        out.print(_charts(found, bucket))
        out.print(summary_table(found.summary))


def _charts(found: Statistics, bucket: str) -> Table:
    first, last = (
        datetime.fromtimestamp(found.buckets[place]["at"], UTC).strftime(_FORMAT[bucket]) for place in (0, -1)
    )
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column(f"by {bucket}", no_wrap=True)
    table.add_column(first if first == last else f"{first} … {last}", no_wrap=True)
    table.add_column("all", justify="right")
    table.add_column("most", justify="right")
    for name, title in _CHARTS:
        counts: list[int] = [row[name] for row in found.buckets]
        table.add_row(title, Text(_chart(counts), style="cyan"), f"{sum(counts):,}", f"{max(counts):,}")
    return table


def _chart(counts: list[int]) -> str:
    """One bar a count, or a bar for several side by side where there are many; the highest is full."""
    width = -(-len(counts) // _CHART_WIDTH)
    sums = [sum(counts[start : start + width]) for start in range(0, len(counts), width)]
    most = max(sums)
    # What is not nothing is seen.
    return "".join(_BARS[-(-count * (len(_BARS) - 1) // most)] if most else _BARS[0] for count in sums)


def summary_table(summary: dict[str, Any]) -> Table:
    """What was typical."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column(justify="right")
    table.add_row("sessions", f"{summary['sessions']:,}")
    table.add_row("users", f"{summary['users']:,}")
    table.add_row("messages a session", _number(summary["messages_a_session"]))
    for name, title in (
        ("length", "length"),
        ("first_answer", "time to first answer"),
        ("handover_wait", "wait for a human"),
    ):
        for quantile, words in (("p50", "half within"), ("p90", "nine of ten within")):
            value: float | None = summary[name][quantile]
            table.add_row(f"{title}, {words}", "–" if value is None else span(value))
    share: float | None = summary["share_without_human"]
    table.add_row("resolved without a human", "–" if share is None else f"{share:.0%}")
    for rating, count in summary["ratings"].items():
        if count:
            table.add_row(f"rated {rating}", f"{count:,}")
    return table


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}"
