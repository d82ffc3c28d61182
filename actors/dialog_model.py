"""What a dialog is: nodes with a trigger, a condition, and actions to do one after the other. Data only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from .conditions import Condition
from .patterns import Pattern
from .templates import Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One line of a node's `do` or `else`."""

    line: int
    condition: Condition | None = None
    """Its own `if`: when that is false the action is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Say(Action):
    text: Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask(Action):
    question: Template
    save: str
    kind: str = "text"
    """`text`, `number`, `integer`, `email`, `yes_no`; what is saved has that type."""
    pattern: Pattern | None = None
    options: tuple[str, ...] = ()
    check: Condition | None = None
    """Sees the converted answer as `answer`."""
    again: Template | None = None
    """Said instead of the question when the answer does not do."""
    tries: int = 3
    otherwise: str | None = None
    """The node that goes on when the tries are used up; without one, the node's `else`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Set(Action):
    values: Mapping[str, Any]
    """Data with templates in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset(Action):
    keys: tuple[str, ...] | None
    """None: all keys of the session's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag(Action):
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Goto(Action):
    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver(Action):
    queue: str | None = None
    note: Template | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolve(Action):
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Remind(Action):
    name: str
    after: float
    """Seconds."""
    data: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelReminder(Action):
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook(Action):
    url: Template
    """Scheme and host are fixed in the file; what is filled in is quoted."""
    send: Any = None
    save: str | None = None
    """The key that takes the answer; None: an answer that is a map is merged into the context."""
    timeout: float = 5.0
    otherwise: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause(Action):
    seconds: float


@dataclass(frozen=True, slots=True)
class Trigger:
    """What makes a node begin by itself."""

    patterns: tuple[Pattern, ...] = ()
    event: str | None = None
    fallback: bool = False
    always: bool = False
    """Also while an answer is awaited."""


@dataclass(frozen=True, slots=True)
class Node:
    """One step of the talk."""

    name: str
    line: int
    trigger: Trigger | None = None
    """None: reached from other nodes only."""
    condition: Condition | None = None
    do: tuple[Action, ...] = ()
    otherwise: tuple[Action, ...] = ()
    """Done instead when the condition is false, or an expression fails."""


@dataclass(frozen=True, slots=True)
class Dialog:
    """A dialog as read from a file, checked."""

    name: str
    nodes: Mapping[str, Node]
    timezone: ZoneInfo
    """In which `clock` is told."""
