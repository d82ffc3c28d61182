"""`sojourn broadcast`: one message to all people in a file."""

import json
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sojourn.gateway.client import Client, connect
from sojourn.gateway.codec import encode
from sojourn.gateway.errors import GatewayError

from .console import err, fail, out, run
from .options import ServerHost, ServerPort

Map = dict[str, Any]
AT_ONCE = 500
"""People in one request: how often the progress moves."""
SHOWN = 20
"""Failures that are listed by name."""


def broadcast(
    file: Annotated[
        Path, typer.Option("--file", metavar="USERS.jsonl", help="A user map in each line, with `user_id`.")
    ],
    text: Annotated[str, typer.Option(help="What to say.")],
    broadcast_id: Annotated[
        str | None, typer.Option(help="The same again reaches who is missing and nobody twice.")
    ] = None,
    channel: Annotated[str | None, typer.Option(help="The sessions' channel [default: tcp].")] = None,
    reopen: Annotated[bool, typer.Option("--reopen", help="Reopen closed sessions.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The outcome as one JSON object.")] = False,
    host: ServerHost = "127.0.0.1",
    port: ServerPort = 7411,
) -> None:
    """Send one message to many people; who has no session gets one.

    Interrupted, it is gone on with by the same --broadcast-id: nobody hears it twice.
    """
    total = sum(1 for _ in _users(file))  # all lines are looked at before anybody hears anything
    name = broadcast_id or uuid4().hex
    said: Map = {"text": text, "broadcast_id": name, "reopen": reopen}
    if channel is not None:
        said["channel"] = channel
    run(_broadcast(file, total, said, host, port, as_json=as_json))


async def _broadcast(file: Path, total: int, said: Map, host: str, port: int, *, as_json: bool) -> None:
    counts: Counter[str] = Counter(created=0, delivered=0, reopened=0)
    failed: list[Map] = []
    again = f"go on with --broadcast-id {said['broadcast_id']}"
    try:
        async with connect(host, port, role="service", reconnect=False) as client:
            with _progress() as progress:
                task = progress.add_task("broadcast", total=total)
                for users in _pages(_users(file), said, client):
                    reply = await client.request("broadcast:send", users=users, **said)
                    for outcome in counts:
                        counts[outcome] += reply[outcome]
                    failed += reply["failed"]
                    progress.advance(task, len(users))
    except GatewayError as error:
        fail(f"{error}; {again}")
    except OSError as error:
        reason = error.strerror or error
        fail(f"no server answers at {host}:{port} ({reason}): start one with `sojourn serve`")
    except BaseException:
        err.print(f"interrupted: {again}", markup=False)
        raise
    if as_json:
        whole: Map = {"broadcast_id": said["broadcast_id"], **counts, "failed": failed}
        print(json.dumps(whole, ensure_ascii=False))
    else:
        _tell(said["broadcast_id"], counts, failed)
    if failed:
        raise typer.Exit(1)


def _tell(broadcast_id: str, counts: Counter[str], failed: list[Map]) -> None:
    out.print(
        f"{counts['created']:,} created, {counts['delivered']:,} delivered, {counts['reopened']:,} reopened, "
        f"{len(failed):,} failed"
    )
    for each in failed[:SHOWN]:
        out.print(f"  {each['user_id']}: {each['code']}", markup=False)
    if len(failed) > SHOWN:
        out.print(f"  and {len(failed) - SHOWN:,} more")
    if failed:
        out.print(f"to try those again: --broadcast-id {broadcast_id}", markup=False)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
    )


def _users(file: Path) -> Iterator[Map]:
    """The maps in the file, line by line; a line that is none ends the command."""
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    user: Any = json.loads(line)
                except ValueError as error:
                    fail(f"{file}:{number}: not JSON: {error}")
                if not isinstance(user, dict) or not _can_be_sent(user):
                    fail(f'{file}:{number}: a user is a map, such as {{"user_id": "ada"}}')
                yield user
    except OSError as error:
        fail(f"{file}: cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        fail(f"{file}: not UTF-8")


def _can_be_sent(user: Any) -> bool:
    """Text without half characters, integers of 64 bits."""
    try:
        encode(user)
    except (ValueError, OverflowError):
        return False
    return True


def _pages(users: Iterator[Map], said: Map, client: Client) -> Generator[list[Map]]:
    """People in lists that fit a frame."""
    room = client.limits["max_frame_bytes"] - len(encode({"type": "broadcast:send", **said})) - 64
    page: list[Map] = []
    size = 0
    for user in users:
        length = len(encode(user))
        if page and (size + length > room or len(page) == AT_ONCE):
            yield page
            page, size = [], 0
        page.append(user)
        size += length
    if page:
        yield page
