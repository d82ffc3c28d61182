"""`sojourn export` and `sojourn import`: sessions out of a database file, and back."""

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, TypeVar

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sojourn.actors.archive import to_line
from sojourn.actors.errors import SessionError
from sojourn.actors.exporting import Place, Wanted, export_items
from sojourn.actors.importing import Imported, ImportRefused, check_first_line, import_lines, lines_of
from sojourn.gateway.export_file import (
    CannotResume,
    ask_beside,
    asked_of,
    finish,
    part_of,
    resume_lines,
    resume_table,
)
from sojourn.gateway.export_tables import MissingExtra, header_line, rows_of, write_csv, write_parquet
from sojourn.gateway.settings_sources import InvalidSettings, load_settings
from sojourn.storage import Journal, Reader, StorageError, archive, read_sensitive_keys
from sojourn.storage.archive import Selection

from .console import err, fail, out
from .options import DatabaseFile, SettingsFile
from .reading import reading
from .sessions import StatusOption

MAX_LINE: Final = 64 << 20
"""Bytes of one line of an import: no session's event is nearly as long."""
STDOUT: Final = "-"

Item = dict[str, Any]
Step = Callable[[Item], None]
T = TypeVar("T")


class Format(StrEnum):
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


def export(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Where to; - is standard output.")],
    as_format: Annotated[
        Format | None, typer.Option("--format", help="[default: as the file's name says, else jsonl]")
    ] = None,
    session: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Only this session; may be given again.")
    ] = None,
    user: Annotated[str | None, typer.Option(metavar="USER_ID", help="Only this user's.")] = None,
    channel: Annotated[str | None, typer.Option(help="Only this channel's.")] = None,
    status: Annotated[StatusOption | None, typer.Option(help="Only these.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only sessions that have this tag.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Only those created since.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only those created before.")] = None,
    with_secrets: Annotated[bool, typer.Option(help="Sensitive values in clear, instead of ***.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a cut-off export ended.")] = False,
    db: DatabaseFile = None,
    settings_file: SettingsFile = None,
) -> None:
    """Write sessions with all of their events to a file, also beside a running server.

    What is written is the file as of one instant, in an order that does not change. A TIME is like
    2026-05-01 or 2026-05-01T12:00:00, UTC unless it names another zone.
    """
    chosen = as_format or _format_of(file)
    if resume and (file == STDOUT or chosen is Format.PARQUET):
        fail("--resume goes with a file of JSON Lines or CSV", usage=True)
    selection = Selection(
        session_ids=tuple(session or ()),
        user_id=user,
        channel=channel,
        status=status.value if status else None,
        since=_instant(since, "--since"),
        until=_instant(until, "--until"),
    )
    with reading(db, settings_file) as (settings, reader):
        keys = {*settings.sensitive_keys, *reader.look(read_sensitive_keys)}
        wanted = Wanted(selection, tag, with_secrets, tuple(sorted(keys)))
        try:
            if file == STDOUT:
                _to_stdout(reader, wanted, chosen)
            else:
                _to_file(reader, wanted, chosen, Path(file), resume=resume)
        except MissingExtra as error:
            fail(error)


def _to_stdout(reader: Reader, wanted: Wanted, chosen: Format) -> None:
    if chosen is Format.PARQUET:
        fail("Parquet goes to a file, not to standard output", usage=True)
    stream = sys.stdout.buffer
    reader.look(lambda connection: _write(connection, wanted, chosen, stream, None, []))
    stream.flush()


def _to_file(reader: Reader, wanted: Wanted, chosen: Format, path: Path, *, resume: bool) -> None:
    part = part_of(path)
    if resume and not part.exists():
        fail(f"there is no {part} to go on with: leave out --resume")
    place: Place | None = None
    last_row: list[str] = []
    try:
        with part.open("r+b" if resume else "wb") as stream:
            if resume and chosen is Format.CSV:
                found = resume_table(stream, asked_of(path), wanted)
                if found is not None:
                    place, last_row = found
            elif resume:
                place = resume_lines(stream, wanted)
            if place is None and chosen is Format.CSV:
                ask_beside(path, wanted)
            reader.look(lambda connection: _write(connection, wanted, chosen, stream, place, last_row))
            finish(stream, path)
    except CannotResume as error:
        fail(f"{part} cannot be gone on with: {error}")
    except SessionError as error:
        fail(f"{part} cannot be gone on with: {error.message}")
    except OSError as error:
        fail(f"{path} cannot be written ({error.strerror or error}); what is there is in {part}")
    out.print(f"{path} is written")


def _write(
    connection: Any,
    wanted: Wanted,
    chosen: Format,
    stream: BinaryIO,
    place: Place | None,
    last_row: list[str],
) -> None:
    after = None if place is None or place.session_id is None else place.session_id
    after_key = 0 if after is None else archive.find_key(connection, after) or 0
    total = archive.count_sessions(connection, wanted.selection, after_key)
    items: Iterator[Item] = export_items(connection, wanted, place)
    with _progress("exported", total) as step:
        seen = _seen(items, step)
        if chosen is Format.JSONL:
            stream.writelines(to_line(item) for item in seen)
            return
        if chosen is Format.CSV:
            if place is None:
                stream.write(header_line())
            write_csv(rows_of(seen, last_row), stream)
        else:
            write_parquet(rows_of(seen), stream)


def _seen(items: Iterator[Item], step: Callable[[int], None]) -> Iterator[Item]:
    for item in items:
        if item["kind"] == "session":
            step(1)
        yield item


def import_(
    file: Annotated[str, typer.Argument(metavar="FILE", help="An export in JSON Lines; - is stdin.")],
    into: DatabaseFile = None,
    restore_erased: Annotated[
        bool, typer.Option("--restore-erased", help="Also what was erased from the database.")
    ] = False,
    settings_file: SettingsFile = None,
) -> None:
    """Take an export into a database file that no server has open; the file is made where there is none.

    A session that is there already, and the same, is passed over: an import that was cut off is run again.
    """
    try:
        settings = load_settings({"db": into}, settings_file)
        if settings.path is None:
            fail("durability is memory: there is no file to write")
        with _source(file) as stream:
            first = stream.readline(MAX_LINE)
            check_first_line(first)
            imported = _import(first, stream, settings.path, restore_erased=restore_erased)
    except InvalidSettings as error:
        fail(error, usage=error.usage)
    except ImportRefused as error:
        fail(f"{file}, {error}")
    except StorageError as error:
        fail(error)
    except OSError as error:
        fail(f"{file} cannot be read ({error.strerror or error})")
    told = f"{_many(imported.sessions, 'session')} with {_many(imported.events, 'event')}"
    known = f", {imported.known:,} were there already" if imported.known else ""
    out.print(f"{told} imported{known}")
    if imported.erased:
        were = "was" if imported.erased == 1 else "were"
        out.print(f"{imported.erased:,} that {were} erased here stay out: --restore-erased takes them too")


def _import(first: bytes, stream: BinaryIO, path: str, *, restore_erased: bool) -> Imported:
    def lines() -> Iterator[bytes]:
        yield first
        yield from lines_of(lambda: stream.readline(MAX_LINE))

    with Journal.open(path, "full") as journal, _progress("imported", None) as step:
        done = 0

        def report(imported: Imported) -> None:
            nonlocal done
            step(imported.sessions + imported.known - done)
            done = imported.sessions + imported.known

        return import_lines(lines(), journal, report, restore_erased=restore_erased)


@contextmanager
def _source(file: str) -> Generator[BinaryIO]:
    if file == STDOUT:
        yield sys.stdin.buffer
        return
    with Path(file).open("rb") as stream:
        yield stream


@contextmanager
def _progress(verb: str, total: int | None) -> Generator[Callable[[int], None]]:
    """How many sessions are done, on standard error where somebody looks at it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(f"sessions {verb}", total=total)
        yield lambda count: progress.advance(task, count)


def _format_of(file: str) -> Format:
    ending = Path(file).suffix.lower().removeprefix(".")
    return next((each for each in Format if each.value == ending), Format.JSONL)


def _instant(text: str | None, option: str) -> float | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{option} is like 2026-05-01 or 2026-05-01T12:00:00, not {text!r}", usage=True)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
