"""`sojourn demo`: a server, a database file, and real conversations, in a minute."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table
from rich.text import Text

from sojourn.gateway.dataset import Conversation, DatasetUnavailable, load_conversations
from sojourn.gateway.replay import ReplayFailed
from sojourn.storage import StorageError
from sojourn.storage.lock import WriterLock

from .console import fail, out
from .files import session_file
from .insight_files import insights_of
from .replay import over_tcp, show_summary
from .search import table_of
from .stats import summary_table
from .transcript import show_transcript

DEFAULT_DB = Path("sojourn-demo.db")
_DASHBOARD: Final = "http://127.0.0.1:7412/"
_OF_A_DATABASE: Final = [part + suffix for part in ("", "-insights") for suffix in ("", "-wal", "-shm")]
_WORD: Final = "weather"


def demo(
    limit: Annotated[int, typer.Option(min=1, help="How many conversations.")] = 2000,
    db: Annotated[
        Path, typer.Option(help="Database file to make; an earlier demo's is replaced.")
    ] = DEFAULT_DB,
) -> None:
    """Start a server on a new database file, replay real conversations into it, and look at what it holds."""
    try:
        _make_room(db)
        conversations = load_conversations(limit=limit)
        with _server(db) as (port, dashboard):
            _say(f"A server listens on port {port} and keeps what it acknowledges in {db}.")
            _say(f"Watch it in a browser while it runs: [link={dashboard}]{dashboard}[/]")
            _say(f"Now {len(conversations):,} real conversations come in over TCP, many at a time:")
            summary = over_tcp(conversations, "127.0.0.1", port, connections=50, outstanding=16)
            show_summary(summary)
            if summary.refused:
                fail("the server refused messages: its log is above")
            _say("Every message was on disk before it was acknowledged. One of the conversations:")
            _show_one(db, conversations)
        _say("The server was told to stop: it finished what was in flight and drained.")
        _search_and_count(db)
    except (DatasetUnavailable, ReplayFailed, StorageError) as error:
        fail(error)
    _say_how_to_go_on(db)


def _say_how_to_go_on(db: Path) -> None:
    here = os.path.relpath(sys.argv[0])
    me = here if here.startswith(".venv") else "sojourn"
    table = Table(title="Look further", title_justify="left", show_header=False, box=None)
    for command, does in (
        (f"sessions --db {db}", "what the file holds"),
        (f"transcript ID --db {db}", "one conversation"),
        (f"search weather --db {db}", "what was said, by its words"),
        (f"stats --db {db} --bucket hour", "what happened when"),
        (f"serve --db {db}", "serve it again; then, in another terminal:"),
        ("chat", "talk to it"),
        ("why ID", "what a session waits for"),
        ("replay --virtual-time --limit 500", "months of timeouts in seconds"),
    ):
        table.add_row(Text(f"  {me} {command}", style="cyan"), does)
    out.print()
    out.print(table)
    _say(f"The dashboard, while `serve` runs: {_DASHBOARD}")


def _make_room(db: Path) -> None:
    """Remove the database of an earlier demo; one that a live server writes is left alone (`StoreLocked`)."""
    if not db.exists():
        return
    if db.name != DEFAULT_DB.name:
        fail(f"{db} exists: the demo makes a new file", usage=True)
    lock = WriterLock(str(db.resolve()))
    for suffix in _OF_A_DATABASE:
        Path(f"{db}{suffix}").unlink(missing_ok=True)
    lock.release()


@contextmanager
def _server(db: Path) -> Generator[tuple[int, str]]:
    """A `sojourn serve` in a process on `db`: gives its port and its dashboard, drains it at the end."""
    command = [sys.executable, "-m", "sojourn", "serve", "--db", str(db), "--port", "0"]
    command += ["--http-port", "0", "--log-level", "warning"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603  # our own command
    try:
        assert process.stdout is not None
        ready = process.stdout.readline()
        if not ready.startswith("ready "):
            fail(f"the server did not start (exit code {process.wait()})")
        tcp, http = (ready.split(f"{door}=")[1].split()[0] for door in ("tcp", "http"))
        yield int(tcp.rpartition(":")[2]), f"http://{http}/"
        process.send_signal(signal.SIGTERM)
        if process.wait(30):
            fail(f"the server ended with exit code {process.returncode}")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _show_one(db: Path, conversations: Sequence[Conversation]) -> None:
    def is_telling(conversation: Conversation) -> bool:
        return 8 <= len(conversation.lines) <= 14 and len({line.sender for line in conversation.lines}) == 2

    chosen = next(filter(is_telling, conversations), conversations[0])
    with session_file(db, None) as file:
        for session in file.sessions(1, status=None, user_id=chosen.key):
            out.print()
            show_transcript(session, file.history(session["session_id"]))


def _search_and_count(db: Path) -> None:
    with insights_of(db, None) as insights:
        found = insights.search(_WORD, limit=3)
        counted = insights.stats()
    if found.hits:
        _say(f"What was said can be searched, here for {_WORD!r}:")
        out.print()
        out.print(table_of(found.hits))
    _say("And it is counted:")
    out.print()
    out.print(summary_table(counted.summary))


def _say(line: str) -> None:
    out.print(f"\n[bold]▸[/] {line}")
