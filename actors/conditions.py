"""Conditions: an expression, or a small structured form for those who don't want to learn one.

    if: context.plan == "gold" && size(tags) > 0
    if: {all: [{equal: {plan: gold}}, {not exists: order}, {less: {clock.hour: 8}}]}

In the structured form a path names what an expression can see (`user.language`, `clock.hour`, `tags`); one
that begins with another word is the context's (`plan` is `context.plan`). What is missing equals nothing, is
neither greater nor less and contains nothing, so the structured form never fails at run time. An expression
does: `ExpressionFailed`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from .expressions import VARIABLES
from .kinds import is_list, is_map

PATH: Final = re.compile(r"[A-Za-z_][\w-]*(?:\.[\w-]+)*")


class Condition(Protocol):
    """Anything that is true or false of a view."""

    def holds(self, view: Mapping[str, Any]) -> bool: ...


class Missing:
    """The value of a path that leads nowhere."""

    def __repr__(self) -> str:
        return "missing"


MISSING: Final = Missing()


@dataclass(frozen=True, slots=True)
class Path:
    """A dotted path into a view."""

    source: str

    def value(self, view: Mapping[str, Any]) -> Any:
        """What stands there, or `MISSING`; numbers go into lists."""
        words = self.source.split(".")
        value: Any = view if words[0] in VARIABLES else view["context"]
        for word in words:
            if is_map(value) and word in value:
                value = value[word]
            elif is_list(value) and word.isdecimal() and int(word) < len(value):
                value = value[int(word)]
            else:
                return MISSING
        return value


@dataclass(frozen=True, slots=True)
class AllOf:
    """All of them hold."""

    parts: tuple[Condition, ...]

    def holds(self, view: Mapping[str, Any]) -> bool:
        return all(part.holds(view) for part in self.parts)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of them holds."""

    parts: tuple[Condition, ...]

    def holds(self, view: Mapping[str, Any]) -> bool:
        return any(part.holds(view) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Not:
    """It does not hold."""

    part: Condition

    def holds(self, view: Mapping[str, Any]) -> bool:
        return not self.part.holds(view)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A path's value compared with one that stands in the file."""

    path: Path
    word: str
    against: Any

    def holds(self, view: Mapping[str, Any]) -> bool:
        value = self.path.value(view)
        return value is not MISSING and COMPARISONS[self.word](value, self.against)


@dataclass(frozen=True, slots=True)
class Exists:
    """A path leads to something that is not nil."""

    path: Path

    def holds(self, view: Mapping[str, Any]) -> bool:
        value = self.path.value(view)
        return value is not MISSING and value is not None


def _equal(value: Any, against: Any) -> bool:
    # True is 1 for Python, and for nobody who writes a dialog.
    return isinstance(value, bool) == isinstance(against, bool) and bool(value == against)


def _ordered(value: Any, against: Any) -> bool:
    if isinstance(value, str) or isinstance(against, str):
        return isinstance(value, str) and isinstance(against, str)
    return all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in (value, against))


def _contains(value: Any, against: Any) -> bool:
    if isinstance(value, str):
        return isinstance(against, str) and against.casefold() in value.casefold()
    if is_list(value):
        return any(_equal(item, against) for item in value)
    return is_map(value) and isinstance(against, str) and against in value


COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "equal": _equal,
    "greater": lambda value, against: _ordered(value, against) and value > against,
    "less": lambda value, against: _ordered(value, against) and value < against,
    "contains": _contains,
}
"""`contains` looks for a piece of a text in any case, an item of a list, a key of a map."""
