"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

DatabaseFile = Annotated[Path | None, typer.Option(help="Database file [default: sojourn.db].")]
SettingsFile = Annotated[Path | None, typer.Option("--settings", metavar="FILE", help="Settings in TOML.")]
ServerHost = Annotated[str, typer.Option(help="The server's host.")]
ServerPort = Annotated[int, typer.Option(help="The server's TCP port.")]
