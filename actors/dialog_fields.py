"""Reading the parts of a dialog file as what they must be. What they are not is collected, not raised."""

import difflib
import math
from collections.abc import Sequence

from .dialog_yaml import Part, Problems
from .expressions import InvalidExpression
from .templates import Template


def choose(part: Part, known: Sequence[str], problems: Problems, what: str) -> dict[str, Part]:
    """The entries of a map that may have these keys only."""
    if not part.is_map:
        problems.add(part, f"{what} is a map, not {part.kind}")
        return {}
    entries = part.entries
    for key, value in entries.items():
        if key not in known:
            problems.add(value, f"unknown key {key!r} in {what}{meant(key, known)}")
    return {key: value for key, value in entries.items() if key in known}


def meant(word: str, known: Sequence[str]) -> str:
    """`: did you mean …?` where something known is near."""
    near = difflib.get_close_matches(word, known, n=1)
    return (
        f": did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}" if len(known) <= 20 else ""
    )


def text_of(part: Part | None, problems: Problems, key: str) -> str | None:
    """A text with something in it, None when the key is absent."""
    if part is None:
        return None
    if not isinstance(part.value, str) or not part.value.strip():
        problems.add(part, f"`{key}` is a text, not {part.kind if part.value else 'empty'}")
        return None
    return part.value


def names(part: Part | None, problems: Problems, key: str) -> tuple[str, ...]:
    """One text, or a list of them."""
    if part is None:
        return ()
    items = part.items if part.is_list else [part]
    if not items:
        problems.add(part, f"`{key}` is empty")
    found = (text_of(item, problems, key) for item in items)
    return tuple(item for item in found if item is not None)


def number(
    part: Part | None, problems: Problems, key: str, *, default: float, least: float, most: float
) -> float:
    """A number within these bounds."""
    if part is None:
        return default
    value = part.value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        problems.add(part, f"`{key}` is a number, not {part.kind}")
        return default
    if not least <= value <= most:
        problems.add(part, f"`{key}` is {least:g} to {most:g}, not {value:g}")
        return default
    return float(value)


def template(part: Part | None, problems: Problems, key: str) -> Template | None:
    """A text with places to fill; numbers are taken as their text."""
    if part is None:
        return None
    value = part.value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        problems.add(part, f"`{key}` is a text, not {part.kind if part.value != '' else 'empty'}")
        return None
    try:
        return Template(value)
    except InvalidExpression as error:
        problems.add(part, str(error))
        return None


def data(part: Part, problems: Problems) -> object:
    """Any data, with the texts in it as templates where something is to be filled in."""
    if part.is_map:
        entries = part.entries
        return {key: data(value, problems) for key, value in entries.items()}
    if part.is_list:
        items = part.items
        return [data(item, problems) for item in items]
    if isinstance(part.value, str) and "{{" in part.value:
        return template(part, problems, "text") or part.value
    return part.value
