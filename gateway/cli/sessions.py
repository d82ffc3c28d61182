"""`sojourn sessions`: what a database file holds."""

import json
import time
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from .console import STATUS_STYLE, instant, out, span
from .files import session_file
from .options import DatabaseFile, SettingsFile


class StatusOption(StrEnum):
    ACTIVE = "active"
    CLOSED = "closed"
    EXPIRED = "expired"


def sessions(
    status: Annotated[StatusOption | None, typer.Option(help="Only these.")] = None,
    user: Annotated[str | None, typer.Option(metavar="USER_ID", help="Only this user's.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list of session maps.")] = False,
    db: DatabaseFile = None,
    settings_file: SettingsFile = None,
) -> None:
    """List the sessions in a database file, newest first, also beside a running server."""
    with session_file(db, settings_file) as file:
        found = list(file.sessions(limit, status=status.value if status else None, user_id=user))
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
    elif not found:
        out.print("no sessions", style="dim")
    else:
        out.print(_table(found, time.time()))


def _table(found: list[dict[str, Any]], now: float) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("session", no_wrap=True)
    for name in ("user", "channel"):
        table.add_column(name, overflow="fold")
    table.add_column("status", no_wrap=True)
    table.add_column("events", justify="right", no_wrap=True)
    table.add_column("last activity")
    table.add_column("expires")
    for session in found:
        status: str = session["status"]
        table.add_row(
            Text(session["session_id"]),
            Text(str(session["user"].get("user_id", "–"))),
            Text(session["channel"]),
            Text(f"{status}, {session['handling']}", style=STATUS_STYLE[status]),
            f"{session['seq']:,}",
            f"{span(max(0.0, now - session['last_activity_at']))} ago",
            Text(expiry(session, now)),
        )
    return table


def expiry(session: dict[str, Any], now: float) -> str:
    """When the session ends or ended and why, in words."""
    why = session["expires_why"]
    if session["status"] == "expired":
        return f"{instant(session['expired_at'])} ({why})"
    if session["expires_at"] is None:
        return "never"
    left = session["expires_at"] - now
    if left <= 0:  # no server has been there to write it down
        return f"fell due {span(-left)} ago ({why})"
    return f"in {span(left)} ({why})"
