"""`sojourn why`: what a session waits for, asked of its server."""

import json
import time
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from sojourn.gateway.client import connect
from sojourn.gateway.errors import GatewayError

from .console import STATUS_STYLE, fail, instant, out, run, span
from .options import ServerHost, ServerPort


def why(
    session_id: Annotated[str, typer.Argument(metavar="ID", help="The session's id.")],
    host: ServerHost = "127.0.0.1",
    port: ServerPort = 7411,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Ask a server what a session waits for, until when, who is attached, and what is queued."""
    run(_why(session_id, host, port, as_json=as_json))


async def _why(session_id: str, host: str, port: int, *, as_json: bool) -> None:
    try:
        async with connect(host, port, role="service", reconnect=False) as client:
            reply = await client.request("session:why", session_id=session_id)
    except GatewayError as error:
        fail(error)
    except OSError as error:
        reason = error.strerror or error
        fail(f"no server answers at {host}:{port} ({reason}): start one with `sojourn serve`")
    answer: dict[str, Any] = reply["why"]
    if as_json:
        print(json.dumps(answer, ensure_ascii=False))
    else:
        out.print(_table(answer, time.time()))


def _table(answer: dict[str, Any], now: float) -> Table:
    """The answer as two columns; what the server did not say has no row."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    status: str | None = answer.get("status")
    if status:
        table.add_row("status", f"[{STATUS_STYLE.get(status, '')}]{status}[/]")
    table.add_row("waits for", str(answer.get("waits_for") or "nothing"))
    table.add_row("until", _moment(answer.get("until"), now))
    if answer.get("expires_why"):
        word = "expired" if status == "expired" else "expires"
        table.add_row(word, f"{_moment(answer.get('expires_at'), now)}, by {answer['expires_why']}")
    if answer.get("handling"):
        assignee = answer.get("assignee")
        table.add_row("answered by", f"{answer['handling']}{f' ({assignee})' if assignee else ''}")
    table.add_row("attached", _count(answer.get("attached", 0), "connection"))
    table.add_row("queued", _count(answer.get("queued", 0), "request"))
    table.add_row("in memory", "yes" if answer.get("live") else "no: it is loaded when it is needed")
    for deadline in answer.get("deadlines") or ():
        table.add_row(
            Text(str(deadline.get("name") or deadline.get("timer"))),
            f"{_moment(deadline.get('at'), now)}: {deadline.get('then', '')}",
        )
    return table


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _moment(at: float | None, now: float) -> str:
    if at is None:
        return "never"
    left = at - now
    return f"{instant(at)} ({f'in {span(left)}' if left > 0 else f'{span(-left)} ago'})"
