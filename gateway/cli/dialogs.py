"""`sojourn dialogs`: look a dialog file through, and talk it through."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from sojourn.actors import Runtime, RuntimeConfig, SessionConfig
from sojourn.actors.errors import SessionError
from sojourn.actors.testing import VirtualClock

from .console import fail, out, run

if TYPE_CHECKING:
    from sojourn.actors.dialog import DialogAgent
    from sojourn.actors.dialog_model import Dialog
    from sojourn.gateway.calls import Calls

app = typer.Typer(name="dialogs", help="Dialogs: conversations that stand in a file.", no_args_is_help=True)

TURN_LIMIT = 17.0
"""Seconds that a dialog may take to answer."""

HELP = """\
/wait SECONDS     let time pass: reminders, dialog timeout and expiry happen   /state   session and context
/event NAME       send an event as a button would                              /quit    leave"""


@app.command("check")
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Dialog files.")],
) -> None:
    """Find the mistakes of dialog files: each is one line `FILE:LINE: what`, and the exit code is 1."""
    found = 0
    for path in files:
        dialog = _load(path)
        if isinstance(dialog, str):
            print(dialog)
            found += len(dialog.splitlines())
        else:
            print(f"{path}: ok, {len(dialog.nodes)} node{'' if len(dialog.nodes) == 1 else 's'}")
    if found:
        raise typer.Exit(1)


@app.command("run")
def run_dialog(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A dialog file.")],
    dialog_timeout: Annotated[
        float | None, typer.Option(min=1, help="Silence until the dialog begins anew [default: never].")
    ] = None,
) -> None:
    """Talk a dialog through, in memory, on a clock that stands still until `/wait SECONDS` moves it.

    Each line is a user's message, lines that begin with / are commands (/help). Webhooks are really called.
    """
    dialog = _load(file)
    if isinstance(dialog, str):
        print(dialog)
        raise typer.Exit(1)
    run(_talk(dialog, dialog_timeout))


def _load(path: Path) -> "Dialog | str":
    """The dialog, or its mistakes, a line each."""
    # Half a second of imports that no other command needs.
    from sojourn.actors.dialog import InvalidDialog, load_dialog  # noqa: PLC0415

    try:
        return load_dialog(path)
    except InvalidDialog as error:
        return str(error)
    except OSError as error:
        fail(f"{path}: {error.strerror or error}")


def dialog_agent(path: str) -> "tuple[DialogAgent, Calls]":
    """The agent that a server answers with, and what it calls web services with; mistakes end the command."""
    from sojourn.actors.dialog import DialogAgent  # noqa: PLC0415
    from sojourn.gateway.calls import Calls  # noqa: PLC0415

    dialog = _load(Path(path))
    if isinstance(dialog, str):
        print(dialog, file=sys.stderr)
        fail(f"{path} has mistakes")
    calls = Calls()
    return DialogAgent(dialog, call=calls), calls


async def _talk(dialog: "Dialog", dialog_timeout: float | None) -> None:
    from sojourn.actors.dialog import DialogAgent  # noqa: PLC0415
    from sojourn.gateway.calls import Calls  # noqa: PLC0415

    clock = VirtualClock()
    config = RuntimeConfig(session=SessionConfig(dialog_timeout=dialog_timeout))
    async with (
        Calls() as calls,
        Runtime(agent=DialogAgent(dialog, call=calls), clock=clock, config=config) as runtime,
    ):
        session = await runtime.create(user={"user_id": "you"}, channel="terminal")
        session.subscribe(_show)
        async for line in _lines():
            word, _, rest = line.partition(" ")
            if word == "/quit":
                return
            if word == "/help":
                print(HELP)
            elif word == "/wait":
                await _wait(clock, rest)
            elif word == "/state":
                state = await session.get()
                print(
                    f"{state['status']} {state['handling']} tags={state['tags']} context={state['context']}"
                )
            elif word.startswith("/") and (word != "/event" or not rest.strip()):
                print(f"unknown command {word}: /help names them")
            else:
                try:
                    await (
                        session.send(data={"event": rest.strip()}) if word == "/event" else session.send(line)
                    )
                except SessionError as error:
                    print(f"– {error.code}: {error.message}")
                await _let_answer(runtime, clock)


async def _let_answer(runtime: Runtime, clock: VirtualClock) -> None:
    """Let the pauses of the answer pass."""
    await clock.settle()
    last = clock.now() + TURN_LIMIT
    while runtime.core.agent is not None and runtime.core.agent.running:
        due_at = clock.next_deadline()
        if due_at is None or due_at > last:
            return
        await clock.advance_to(due_at)


async def _wait(clock: VirtualClock, seconds: str) -> None:
    try:
        span = float(seconds)
    except ValueError:
        span = -1.0
    if not 0 <= span <= 1e9:
        print("/wait takes seconds, 0 to 1,000,000,000")
        return
    await clock.advance(span)


async def _lines() -> AsyncIterator[str]:
    """What is typed, without empty lines. Reading blocks the loop: nothing moves by itself here."""
    while True:
        if sys.stdin.isatty():
            out.print("[cyan]you[/] ", end="")
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            yield line.strip()


def _show(event: dict[str, Any]) -> None:
    kind = event["type"]
    if kind == "message:received" and event["author"] == "ai":
        out.print(Text.assemble(("dialog ", "magenta"), event["text"] or ""))
    elif kind == "session:handed_over":
        out.print(Text(f"– handed over to {event.get('queue') or 'the queue'}", "yellow"))
    elif kind == "message:failed":
        out.print(Text(f"– {event['code']}: {event['message']}", "red"))
    elif kind in {
        "session:closed",
        "session:expired",
        "dialog:expired",
        "session:reopened",
        "reminder:fired",
    }:
        detail = event.get("reason") or event.get("name")
        out.print(Text(f"– {kind}{f' ({detail})' if detail else ''}", "yellow"))
