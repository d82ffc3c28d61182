"""A group of commands that imports a command when it is called, and nothing for the others."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group


class LazyGroup(TyperGroup):
    """Its words by name, each as `module:attribute` beside this file: a function, or an app of its own."""

    words: ClassVar[Mapping[str, str]] = {}

    # What stands for a context and a command is the library's own affair, and was another one in 0.15.

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.words)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.words:
            return None
        if cmd_name not in self.commands:
            self.commands[cmd_name] = _command(cmd_name, *self.words[cmd_name].split(":"))
        return self.commands[cmd_name]


def _command(name: str, module: str, attribute: str) -> Any:
    found: Any = getattr(import_module(f".{module}", __package__), attribute)
    if isinstance(found, typer.Typer):
        command: Any = get_group(found)
    else:
        alone = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
        alone.command(name)(found)
        command = get_command(alone)
    command.name = name
    return command
