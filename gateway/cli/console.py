"""How the command speaks: results on standard output, everything else on standard error, no traceback."""

import os
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.text import Text

# In a pipe nothing is wrapped: a line is as long as it must be.
out = Console(highlight=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 10_000)
err = Console(stderr=True, highlight=False, soft_wrap=True)

STATUS_STYLE = {"active": "green", "closed": "yellow", "expired": "dim"}
AUTHOR_STYLE = {"user": "cyan", "ai": "magenta", "human": "green", "system": "yellow"}


class Failed(typer.Exit):
    """The command ends with `code` after its one line has been said."""


def fail(message: object, *, usage: bool = False) -> NoReturn:
    """Say one line on standard error and end with exit code 1, or 2 where the command line is at fault."""
    err.print(Text.assemble(("sojourn: ", "bold red"), " ".join(str(message).split())))
    raise Failed(2 if usage else 1)


def instant(seconds: float | None) -> str:
    """Local date and time of a Unix time, to the second; a dash where there is none."""
    if seconds is None:
        return "–"
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


_CONTROLS = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)), "�")


def harmless(text: str) -> str:
    """What others wrote, of the same length, without what a terminal would obey; line ends and tabs stay."""
    return text.translate(_CONTROLS)


def span(seconds: float) -> str:
    """A length of time as people say it, in its two largest units."""
    left = round(seconds)
    if left < 1:
        return f"{seconds:.1f} s"
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a command's coroutine on asyncio's own loop; only `serve` has uvloop."""
    import asyncio  # noqa: PLC0415  # half of the commands need no loop: they start faster without

    asyncio.run(main)
