"""`sojourn retention`: what need not be kept any more, shown or removed."""

import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from sojourn.actors import RuntimeConfig
from sojourn.actors.retention import Keeping
from sojourn.gateway.settings_sources import InvalidSettings, load_settings
from sojourn.storage import CannotOpen, EndedPage, Reader, StorageError, StoreLocked, ended_before

from .console import fail, out, span
from .offline import keep_in_file
from .options import DatabaseFile, SettingsFile

PAGE = 512


def retention(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    db: DatabaseFile = None,
    settings_file: SettingsFile = None,
) -> None:
    """Remove the history of sessions that ended longer ago than the setting `retention` says.

    A running server does so by itself; beside it only --dry-run works.
    """
    try:
        settings = load_settings({"db": db}, settings_file)
        if settings.path is None:
            fail("durability is memory: there is no file to read")
        if not settings.db.exists():
            raise CannotOpen(settings.path, "there is no such file")
        config = settings.runtime_config()
        if Keeping(config).shortest is None:
            fail("nothing ever goes: the setting `retention` is never", usage=True)
        if dry_run:
            _show(settings.path, config, as_json=as_json)
            return
        sessions = keep_in_file(settings.path, config)
    except InvalidSettings as error:
        fail(error, usage=error.usage)
    except StoreLocked as error:
        fail(f"{error}: its server does it by itself; look with --dry-run")
    except StorageError as error:
        fail(error)
    if as_json:
        print(json.dumps({"sessions": sessions}))
    else:
        out.print(f"{sessions:,} session{'s' * (sessions != 1)} went")


def _show(path: str, config: RuntimeConfig, *, as_json: bool) -> None:
    sessions, events = _count(path, config)
    if as_json:
        channels = {name: {"sessions": sessions[name], "events": events[name]} for name in sorted(sessions)}
        whole = {"sessions": sessions.total(), "events": events.total(), "channels": channels}
        print(json.dumps(whole, ensure_ascii=False))
        return
    if not sessions:
        out.print("nothing would go", style="dim")
        return
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("channel", overflow="fold")
    for name in ("kept for", "sessions", "events"):
        table.add_column(name, justify="right")
    keeping = Keeping(config)
    for name in sorted(sessions):
        kept = keeping.span(name)
        table.add_row(
            Text(name), "" if kept is None else span(kept), f"{sessions[name]:,}", f"{events[name]:,}"
        )
    out.print(table)


def _page_of(before: float, after: int) -> Callable[[Any], EndedPage]:
    def look(connection: Any) -> EndedPage:
        return ended_before(connection, before, after, PAGE)

    return look


def _count(path: str, config: RuntimeConfig) -> tuple[Counter[str], Counter[str]]:
    """Sessions and events that would go now, by channel."""
    keeping = Keeping(config)
    shortest = keeping.shortest
    assert shortest is not None
    now = time.time()
    sessions, events = Counter[str](), Counter[str]()
    after: int | None = 0
    with Reader.open(path) as reader:
        while after is not None:
            page = reader.look(_page_of(now - shortest, after))
            for ended in page.found:
                if keeping.is_over(ended, now):
                    sessions[ended.channel] += 1
                    events[ended.channel] += ended.events
            after = page.last_key
    return sessions, events
