"""Reads a condition of a dialog file: an expression in a text, or the structured form of `conditions`."""

from .conditions import COMPARISONS, PATH, AllOf, AnyOf, Comparison, Condition, Exists, Not, Path
from .dialog_fields import choose
from .dialog_yaml import Part, Problems
from .expressions import Expression, InvalidExpression

_WORDS = ("all", "any", "not", "exists", "not exists", *COMPARISONS, *(f"not {word}" for word in COMPARISONS))


def read_condition(part: Part, problems: Problems) -> Condition | None:
    """The condition, None when it is wrong; a map with several words, or a list, means all of them."""
    if isinstance(part.value, str):
        try:
            return Expression(part.value)
        except InvalidExpression as error:
            problems.add(part, str(error))
            return None
    if part.is_list:
        return AllOf(_several(part, problems))
    entries = choose(part, _WORDS, problems, "a condition")
    if not entries:
        if part.is_map:
            problems.add(part, "a condition is empty")
        return None
    found: list[Condition] = []
    for word, value in entries.items():
        found.extend(_of_word(word, value, problems))
    return found[0] if len(found) == 1 else AllOf(tuple(found))


def _of_word(word: str, part: Part, problems: Problems) -> list[Condition]:
    if word in {"all", "any"}:
        return [AllOf(_several(part, problems)) if word == "all" else AnyOf(_several(part, problems))]
    if word == "not":
        inner = read_condition(part, problems)
        return [Not(inner)] if inner is not None else []
    negative = word.startswith("not ")
    word = word.removeprefix("not ")
    found: list[Condition] = []
    if word == "exists":
        items = part.items if part.is_list else [part]
        for item in items:
            path = _path(item.value, item, problems)
            if path is not None:
                found.append(Exists(path))
    elif part.is_map and part.value:
        entries = part.entries
        for key, value in entries.items():
            path = _path(key, value, problems)
            if path is not None:
                found.append(Comparison(path, word, value.plain()))
    else:
        problems.add(part, f"`{word}` takes a map of paths and values, not {part.kind}")
    return [Not(one) for one in found] if negative else found


def _several(part: Part, problems: Problems) -> tuple[Condition, ...]:
    if not part.is_list or not part.value:
        problems.add(part, "`all` and `any` take a list of conditions")
        return ()
    items = part.items
    read = (read_condition(item, problems) for item in items)
    return tuple(one for one in read if one is not None)


def _path(value: object, part: Part, problems: Problems) -> Path | None:
    if isinstance(value, str) and PATH.fullmatch(value):
        return Path(value)
    problems.add(part, f"{value!r} is no path like order.id")
    return None
