"""The words of the command, put together."""

import os
import sys
from typing import Annotated

import typer

from sojourn._version import __version__

from . import broadcast, chat, demo, desk, dialogs, replay, serve, sessions, transcript, webhooks, why
from .console import err

app = typer.Typer(
    name="sojourn",
    help="The session runtime for conversational software.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

app.command("serve")(serve.serve)
app.command("chat")(chat.chat)
app.command("desk")(desk.desk)
app.command("sessions")(sessions.sessions)
app.command("transcript")(transcript.transcript)
app.command("why")(why.why)
app.command("broadcast")(broadcast.broadcast)
app.add_typer(webhooks.app, name="webhooks", help="What receivers did not take, and sending it again.")
app.add_typer(dialogs.app, name="dialogs")
app.command("replay")(replay.replay)
app.command("demo")(demo.demo)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sojourn {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", help="Say the version and end.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command; what goes wrong is one line on standard error, `SOJOURN_DEBUG=1` shows the rest."""
    try:
        app()
    except BrokenPipeError:  # `sojourn sessions | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get("SOJOURN_DEBUG"):
            raise
        line = f"sojourn: unexpected {type(error).__name__}: {error} (SOJOURN_DEBUG=1 shows where)"
        err.print(line, markup=False)
        sys.exit(1)
