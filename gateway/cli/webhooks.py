"""`sojourn webhooks`: what receivers did not take, and sending it again."""

import json
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from sojourn.gateway.client import connect
from sojourn.gateway.errors import GatewayError
from sojourn.storage import EVENT_NAMES, outbox
from sojourn.storage.outbox import DeadLetter

from .console import fail, instant, out, run
from .options import DatabaseFile, ServerHost, ServerPort, SettingsFile
from .reading import reading

app = typer.Typer(help="What receivers did not take, and sending it again.", no_args_is_help=True)


@app.command()
def dead(
    limit: Annotated[int, typer.Option(min=1, help="At most so many, oldest first.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list.")] = False,
    db: DatabaseFile = None,
    settings_file: SettingsFile = None,
) -> None:
    """List the events that were given up, also beside a running server."""
    with reading(db, settings_file) as (_, reader):
        letters = reader.look(lambda connection: outbox.dead_letters(connection, limit))
    if as_json:
        print(json.dumps([_map(each) for each in letters], ensure_ascii=False))
    elif not letters:
        out.print("no dead letters", style="dim")
    else:
        out.print(_table(letters))


@app.command()
def resend(
    dead_id: Annotated[int | None, typer.Argument(metavar="ID", help="A number from `dead`.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    host: ServerHost = "127.0.0.1",
    port: ServerPort = 7411,
) -> None:
    """Have a running server send one dead letter again, or all."""
    if (dead_id is None) != everything:
        fail("name one dead letter by its number, or say --all", usage=True)
    run(_resend(dead_id, host, port))


async def _resend(dead_id: int | None, host: str, port: int) -> None:
    named = {} if dead_id is None else {"dead_id": dead_id}
    try:
        async with connect(host, port, role="service", reconnect=False) as client:
            reply = await client.request("webhook:resend", **named)
    except GatewayError as error:
        fail(error)
    except OSError as error:
        reason = error.strerror or error
        fail(f"no server answers at {host}:{port} ({reason}): start one with `sojourn serve`")
    count: int = reply["events"]
    if dead_id is not None and not count:
        fail(f"there is no dead letter {dead_id}")
    out.print(f"{count} event{'' if count == 1 else 's'} on the way again")


def _map(letter: DeadLetter) -> dict[str, object]:
    return {**letter._asdict(), "type": EVENT_NAMES[letter.type]}


def _table(letters: list[DeadLetter]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("id", justify="right", no_wrap=True)
    table.add_column("webhook", overflow="fold")
    for name in ("event", "type", "given up"):
        table.add_column(name, overflow="fold")
    table.add_column("attempts", justify="right")
    table.add_column("because", overflow="fold")
    for letter in letters:
        table.add_row(
            str(letter.id),
            Text(letter.hook),
            Text(f"{letter.session_id}:{letter.seq}"),
            EVENT_NAMES[letter.type],
            instant(letter.died_at),
            str(letter.attempts),
            Text(letter.reason),
        )
    return table
