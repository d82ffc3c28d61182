"""The words of the command, put together."""

import os
import sys
from collections.abc import Mapping
from typing import Annotated, ClassVar

import typer

from sojourn._version import __version__

from .console import err
from .words import LazyGroup


class _Words(LazyGroup):
    words: ClassVar[Mapping[str, str]] = {
        "serve": "serve:serve",
        "chat": "chat:chat",
        "desk": "desk:desk",
        "sessions": "sessions:sessions",
        "transcript": "transcript:transcript",
        "why": "why:why",
        "search": "search:search",
        "stats": "stats:stats",
        "export": "archive:export",
        "import": "archive:import_",
        "fork": "fork:fork",
        "erase": "erase:erase",
        "erasures": "erase:erasures",
        "retention": "retention:retention",
        "broadcast": "broadcast:broadcast",
        "webhooks": "webhooks:app",
        "dialogs": "dialogs:app",
        "replay": "replay:replay",
        "demo": "demo:demo",
    }


app = typer.Typer(
    name="sojourn",
    help="The session runtime for conversational software.",
    cls=_Words,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


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
