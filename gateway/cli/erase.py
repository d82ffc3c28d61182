"""`sojourn erase` and `sojourn erasures`: make a person or a session disappear, and show that it was done."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from sojourn.gateway.client import connect
from sojourn.gateway.errors import GatewayError
from sojourn.gateway.settings_sources import InvalidSettings, load_settings
from sojourn.storage import CannotOpen, Receipt, StorageError, StoreLocked, erasure, files_with

from .console import err, fail, instant, out, run
from .offline import erase_in_file
from .options import DatabaseFile, ServerHost, ServerPort, SettingsFile
from .reading import reading

Map = dict[str, Any]


def erase(
    user: Annotated[str | None, typer.Option(metavar="USER_ID", help="A person, with all sessions.")] = None,
    session: Annotated[str | None, typer.Option(metavar="ID", help="One session.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    verify: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT", help="Search all files of the database's folder for this afterwards; repeatable."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The receipt as one JSON object.")] = False,
    host: ServerHost = "127.0.0.1",
    port: ServerPort = 7411,
    db: Annotated[
        Path | None, typer.Option(help="A database file that no server has open, instead of a server.")
    ] = None,
    settings_file: SettingsFile = None,
) -> None:
    """Erase a person or a session for good: messages, context, search, snapshots, the write-ahead log.

    With --db the erasure is complete when the command ends. A server answers when nobody can ask for it any
    more, and completes the receipt within seconds: `sojourn erasures` shows it.
    """
    if (user is None) == (session is None):
        fail("name a person by --user or a session by --session", usage=True)
    if verify and db is None:
        fail("--verify searches files: name the database with --db", usage=True)
    what = f"everything of user {user}" if session is None else f"session {session}"
    if not yes:
        typer.confirm(f"Erase {what}? This cannot be undone.", abort=True, err=True)
    named = {"user_id": user} if session is None else {"session_id": session}
    if db is None:
        run(_ask_server(named, host, port, as_json=as_json))
        return
    try:
        settings = load_settings({"db": db}, settings_file)
        if not settings.db.exists():
            raise CannotOpen(str(db), "there is no such file")
        receipt = erase_in_file(str(settings.db), settings.runtime_config(), user, session)
    except InvalidSettings as error:
        fail(error, usage=error.usage)
    except StoreLocked as error:
        fail(f"{error}: ask its server, without --db")
    except StorageError as error:
        fail(error)
    if receipt is None:
        fail(f"there is no session {session}")
    _tell(receipt, as_json=as_json)
    if receipt["complete"] is False:
        err.print("not complete yet: somebody reads the file, or its insights wait to be brought up to date")
    if verify:
        _verify(settings.db.resolve().parent, verify)


async def _ask_server(named: Map, host: str, port: int, *, as_json: bool) -> None:
    try:
        async with connect(host, port, role="service", reconnect=False) as client:
            reply = await client.request("session:erase", **named)
    except GatewayError as error:
        fail(error)
    except OSError as error:
        reason = error.strerror or error
        fail(f"no server answers at {host}:{port} ({reason}): start one with `sojourn serve`, or name --db")
    _tell(reply["receipt"], as_json=as_json)


def _verify(folder: Path, texts: Iterable[str]) -> None:
    found = files_with(folder, [text.encode() for text in texts])
    for file, count in found:
        err.print(f"{file}: found {count} of the texts", markup=False)
    if found:
        fail("something is left")
    out.print(f"none of the texts is in any file of {folder}", markup=False)


def _tell(receipt: Map, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(receipt, ensure_ascii=False))
        return
    sessions, events = receipt["sessions"], receipt["events"]
    out.print(
        f"erased {sessions:,} session{'s' * (sessions != 1)} with {events:,} event{'s' * (events != 1)}"
    )
    out.print(f"receipt {receipt['erasure_id']}", markup=False)


def erasures(
    user: Annotated[
        str | None, typer.Option(metavar="USER_ID", help="Only receipts of this person or session id.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list.")] = False,
    db: DatabaseFile = None,
    settings_file: SettingsFile = None,
) -> None:
    """List the receipts of erasures, also beside a running server. They name nobody; --user finds its own."""
    with reading(db, settings_file) as (_, reader):
        found = reader.look(lambda connection: erasure.receipts(connection, -1 if user else limit))
    if user is not None:
        found = [each for each in found if each.digest == erasure.digest_of(each.erasure_id, user)][:limit]
    if as_json:
        print(json.dumps([each._asdict() for each in found], ensure_ascii=False))
    elif not found:
        out.print("no erasures", style="dim")
    else:
        out.print(_table(found))


def _table(found: list[Receipt]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("receipt", no_wrap=True)
    for name in ("asked", "of a"):
        table.add_column(name)
    for name in ("sessions", "events"):
        table.add_column(name, justify="right")
    table.add_column("complete")
    for each in found:
        table.add_row(
            Text(each.erasure_id),
            instant(each.at),
            each.subject,
            f"{each.sessions:,}",
            f"{each.events:,}",
            _state(each),
        )
    return table


def _state(each: Receipt) -> str:
    if each.completed_at is not None:
        return instant(each.completed_at)
    if each.erased_at is None:
        return "[yellow]sessions are being erased[/]"
    if each.scrubbed_at is None:
        return "[yellow]the file is being scrubbed[/]"
    return "[yellow]the insights are behind[/]"
