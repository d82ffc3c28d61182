"""How the commands reach the insights of a file: brought up to date first, where nobody else does that."""

import math
import re
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sojourn.gateway.settings_sources import InvalidSettings, load_settings
from sojourn.storage import StorageError, StoreLocked
from sojourn.storage.insights import Insights, InsightsReader, InvalidQuestion

from .console import err, fail

_AGO: Final = re.compile(r"(\d+)(h|d|w)")
_HOURS: Final = {"h": 1, "d": 24, "w": 168}


@contextmanager
def insights_of(db: Path | None, settings_file: Path | None) -> Generator[InsightsReader]:
    """Search and statistics of the file that is named, or of the one in the settings.

    Without a server the insights are gathered first, with a progress bar; a server gathers them itself.
    """
    try:
        settings = load_settings({"db": db}, settings_file)
        path = settings.path
        if path is not None:
            _catch_up(path)
        with InsightsReader.open(path) as reader:
            behind = reader.behind()
            if behind:
                err.print(f"not searched yet: the newest {behind:,} events", style="dim")
            yield reader
    except InvalidSettings as error:
        fail(error, usage=error.usage)
    except InvalidQuestion as error:
        fail(error, usage=True)
    except StorageError as error:
        fail(error)


def _catch_up(path: str) -> None:
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
    try:
        with Insights.open(path) as insights, bar:
            task = bar.add_task("gathering", total=None)
            taken = 0
            while (progress := insights.catch_up()).taken:
                taken += progress.taken
                bar.update(task, completed=taken, total=taken + progress.behind)
    except StoreLocked:
        pass  # somebody follows the journal already


def moment(name: str, text: str | None, now: datetime) -> float | None:
    """A date with or without a time (local unless it names its zone), or an age (`12h`, `7d`, `2w`)."""
    if text is None:
        return None
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            at = now - timedelta(hours=int(ago[1]) * _HOURS[ago[2]])
        else:
            at = datetime.fromisoformat(text)
        seconds = at.astimezone(UTC).timestamp()
    except (ValueError, OverflowError, OSError):
        seconds = math.nan
    if not seconds >= 0:
        fail(f"{name} {text!r} is no date such as 2026-01-31, and no age such as 12h, 7d or 2w", usage=True)
    return seconds
