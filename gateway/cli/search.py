"""`sojourn search`: find what was said."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from sojourn.storage.insights import Filters, Hit

from .console import AUTHOR_STYLE, STATUS_STYLE, harmless, instant, out
from .insight_files import insights_of, moment
from .options import DatabaseFile, SettingsFile


def search(
    query: Annotated[str, typer.Argument(help='Words, all wanted; "a phrase", begin*, -without.')],
    user: Annotated[str | None, typer.Option(metavar="USER_ID", help="Only this user's.")] = None,
    channel: Annotated[str | None, typer.Option(help="Only of this channel.")] = None,
    status: Annotated[
        str | None, typer.Option(metavar="active|closed|expired", help="Only sessions that are now so.")
    ] = None,
    tag: Annotated[str | None, typer.Option(help="Only sessions with this tag.")] = None,
    rating: Annotated[float | None, typer.Option(help="Only sessions rated so.")] = None,
    author: Annotated[
        str | None, typer.Option(metavar="user|ai|human|system", help="Only what they wrote.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DATE|AGE", help="From then on: 2026-01-31, 12h, 7d.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="DATE|AGE", help="Before then.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="At most so many, newest first.")] = 20,
    cursor: Annotated[str | None, typer.Option(help="Where the page before ended.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: hits and cursor.")] = False,
    db: DatabaseFile = None,
    settings_file: SettingsFile = None,
) -> None:
    """Search the messages of a database file, also beside a running server."""
    now = datetime.now(UTC)
    with insights_of(db, settings_file) as insights:
        filters = Filters(
            user_id=user,
            channel=channel,
            status=status,
            tag=tag,
            rating=rating,
            author=author,
            since=moment("--since", since, now),
            until=moment("--until", until, now),
        )
        found = insights.search(query, filters, limit, cursor)
    if as_json:
        hits: list[dict[str, Any]] = [hit._asdict() for hit in found.hits]
        print(json.dumps({"hits": hits, "cursor": found.cursor}, ensure_ascii=False))
    elif not found.hits:
        out.print("nothing found", style="dim")
    else:
        out.print(table_of(found.hits))
        if found.cursor is not None:
            out.print(f"there are more: --cursor {found.cursor}", style="dim")


def table_of(hits: list[Hit]) -> Table:
    """What was found, a line each."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("at", "session", "seq"):
        table.add_column(name, no_wrap=True)
    for name in ("user", "status", "author", "message"):
        table.add_column(name, overflow="fold")
    for hit in hits:
        table.add_row(
            instant(hit.at),
            Text(hit.session_id),
            str(hit.seq),
            Text(harmless(hit.user_id or "–")),
            Text(hit.status, style=STATUS_STYLE[hit.status]),
            Text(hit.author, style=AUTHOR_STYLE[hit.author]),
            _snippet(hit),
        )
    return table


def _snippet(hit: Hit) -> Text:
    line = Text()
    for text, found in hit.snippet:
        line.append(harmless(text).replace("\n", " "), style="bold reverse" if found else "")
    return line
