"""Texts with places to fill: `Hello {{ user.display_name }}, that is {{ context.price * 2 }} €`."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from .conditions import MISSING, PATH, Path
from .expressions import Expression, InvalidExpression
from .kinds import is_list, is_map

MAX_TEXT: Final = 4_000
MAX_FILLED: Final = 32_768
_PLACE = re.compile(r"\{\{((?:[^{}'\"]|'[^']*'|\"[^\"]*\"|\{[^{}]*\}|\}(?!\}))*)\}\}")


class Template:
    """A text and its places. A place is a path (what is missing there fills nothing) or an expression."""

    __slots__ = ("_parts", "source")

    def __init__(self, source: str) -> None:
        """`InvalidExpression` when a place holds neither."""
        self.source = source
        if len(source) > MAX_TEXT:
            raise InvalidExpression(f"{len(source)} characters, a text has at most {MAX_TEXT}")
        parts: list[str | Path | Expression] = []
        end = 0
        for found in _PLACE.finditer(source):
            parts.append(source[end : found.start()])
            inner = found.group(1).strip()
            parts.append(Path(inner) if PATH.fullmatch(inner) else Expression(inner))
            end = found.end()
        parts.append(source[end:])
        if any(isinstance(part, str) and "{{" in part for part in parts):
            raise InvalidExpression("{{ without its }}")
        self._parts = tuple(part for part in parts if part != "")

    @property
    def is_plain(self) -> bool:
        """Nothing is to be filled in."""
        return all(isinstance(part, str) for part in self._parts)

    def value(self, view: Mapping[str, Any]) -> Any:
        """The filled text, or the value of a text that is one place only. May raise `ExpressionFailed`."""
        if len(self._parts) == 1 and not isinstance(self._parts[0], str):
            value = self._parts[0].value(view)
            return None if value is MISSING else jsonable(value)
        return self.text(view)

    def text(self, view: Mapping[str, Any], escape: Callable[[str], str] = str) -> str:
        """The filled text, cut at 32,768 characters; `escape` is applied to what is filled in."""
        pieces = (part if isinstance(part, str) else escape(shown(part.value(view))) for part in self._parts)
        return "".join(pieces)[:MAX_FILLED]


def fill(value: Any, view: Mapping[str, Any]) -> Any:
    """Data in which each template, at any depth, is filled."""
    if isinstance(value, Template):
        return value.value(view)
    if is_map(value):
        return {key: fill(item, view) for key, item in value.items()}
    if is_list(value):
        return [fill(item, view) for item in value]
    return value


def jsonable(value: Any) -> Any:
    """A result of an expression as JSON-like data: instants and durations become text."""
    if is_map(value):
        return {str(key): jsonable(item) for key, item in value.items()}
    if is_list(value):
        return [jsonable(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def shown(value: Any) -> str:
    """A value as people read it within a text."""
    if value is None or value is MISSING:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, (dict, list)):
        return json.dumps(jsonable(value), ensure_ascii=False)
    return str(value)
