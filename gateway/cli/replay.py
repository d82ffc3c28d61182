"""`sojourn replay`: real conversations against a server, or on a virtual clock."""

import asyncio
import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from sojourn.gateway.dataset import Conversation, DatasetUnavailable, load_conversations
from sojourn.gateway.replay import ReplayFailed, Summary
from sojourn.gateway.replay import replay as replay_over_tcp
from sojourn.gateway.settings_sources import InvalidSettings, load_settings
from sojourn.storage import StorageError

from .console import err, fail, out, span
from .options import ServerHost, ServerPort


class _Advance(Protocol):
    def __call__(self, messages: int, /) -> None: ...


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f} messages/s", style="cyan")


def replay(
    host: ServerHost = "127.0.0.1",
    port: ServerPort = 7411,
    connections: Annotated[int, typer.Option(min=1, help="Connections side by side.")] = 50,
    outstanding: Annotated[int, typer.Option(min=1, help="Messages under way on each connection.")] = 16,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N conversations.")] = None,
    file: Annotated[Path | None, typer.Option(help="Conversations in chitchat-dataset's form.")] = None,
    virtual_time: Annotated[
        bool, typer.Option("--virtual-time", help="In process, on a virtual clock, in their own time.")
    ] = False,
    session_timeout: Annotated[
        str | None, typer.Option(metavar="SECONDS|never", help="With --virtual-time [default: 3600].")
    ] = None,
    keep_alive: Annotated[
        str | None, typer.Option(metavar="SECONDS|never", help="With --virtual-time [default: 120].")
    ] = None,
    db: Annotated[
        Path | None, typer.Option(help="With --virtual-time: keep it all in this new file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of the summary.")] = False,
) -> None:
    """Replay real conversations: 258,145 messages that people wrote, with their times.

    Against a server as fast as it goes; with --virtual-time in process, each message at its own instant.
    """
    if not virtual_time:
        flags = {"--session-timeout": session_timeout, "--keep-alive": keep_alive, "--db": db}
        for name, given in flags.items():
            if given is not None:
                fail(f"{name} goes with --virtual-time; otherwise it is the server's to set", usage=True)
    try:
        conversations = load_conversations(file, limit)
        if virtual_time:
            result = _virtually(conversations, session_timeout, keep_alive, db)
            _show_virtual(result, as_json=as_json)
        else:
            summary = over_tcp(conversations, host, port, connections, outstanding)
            show_summary(summary, as_json=as_json)
            if summary.refused:
                fail(f"{sum(summary.refused.values()):,} messages were refused")
    except (DatasetUnavailable, ReplayFailed, StorageError) as error:
        fail(error)


def over_tcp(
    conversations: list[Conversation], host: str, port: int, connections: int, outstanding: int
) -> Summary:
    """Replay to a server with a progress bar; raises `ReplayFailed`."""
    with progress(conversations, "replaying") as advance:
        return asyncio.run(
            replay_over_tcp(
                conversations,
                host=host,
                port=port,
                connections=connections,
                outstanding=outstanding,
                on_progress=advance,
            )
        )


def _virtually(
    conversations: list[Conversation], session_timeout: str | None, keep_alive: str | None, db: Path | None
) -> dict[str, Any]:
    from sojourn.gateway.replay_virtual import replay_virtually  # noqa: PLC0415  # the whole runtime: not for TCP

    try:
        settings = load_settings({"session_timeout": session_timeout, "keep_alive": keep_alive})
    except InvalidSettings as error:
        fail(error, usage=error.usage)
    if db is not None and db.exists():
        fail(f"{db} exists: the replay needs a new file for its numbers to mean something", usage=True)
    with progress(conversations, "living through") as advance:
        summary = asyncio.run(
            replay_virtually(
                conversations,
                path=str(db) if db else None,
                durability="relaxed" if db else "memory",
                config=settings.runtime_config(),
                on_progress=advance,
            )
        )
    return summary.as_map()


@contextmanager
def progress(conversations: list[Conversation], doing: str) -> Generator[_Advance, None, None]:
    """A progress bar over the messages, on standard error."""
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=err,
        disable=not err.is_terminal,
    )
    with bar:
        task = bar.add_task(doing, total=sum(len(each.lines) for each in conversations))
        yield lambda messages: bar.update(task, advance=messages)


def show_summary(summary: Summary, *, as_json: bool = False) -> None:
    """The numbers of a replay over TCP."""
    if as_json:
        print(json.dumps(summary.as_map()))
        return
    table = _table()
    table.add_row("messages accepted", f"{summary.messages:,}")
    table.add_row("conversations", f"{summary.conversations:,}")
    table.add_row("sessions created", f"{summary.sessions_created:,}")
    if summary.duplicates:
        table.add_row("known already", f"{summary.duplicates:,}")
    for code, count in summary.refused.items():
        table.add_row(f"[red]refused: {code}[/]", f"{count:,}")
    table.add_row("elapsed", f"{summary.elapsed:.2f} s")
    table.add_row("messages a second", f"[bold]{summary.messages_per_second:,.0f}[/]")
    table.add_row("latency p50", f"{summary.latency_p50:.1f} ms")
    table.add_row("latency p99", f"{summary.latency_p99:.1f} ms")
    out.print(table)


def _show_virtual(result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result))
        return
    table = _table()
    for name in ("conversations", "messages", "sessions_created", "sessions_expired", "events"):
        table.add_row(name.replace("_", " "), f"{result[name]:,}")
    table.add_row("virtual time", span(result["virtual_elapsed"]))
    table.add_row("elapsed", f"{result['elapsed']:.2f} s")
    table.add_row("messages a second", f"[bold]{result['messages_per_second']:,.0f}[/]")
    out.print(table)


def _table() -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column(justify="right")
    return table
