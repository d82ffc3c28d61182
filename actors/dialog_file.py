"""Reads a dialog file: every mistake in it is found at once and said with its line."""

from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from .condition_file import read_condition
from .dialog_actions import read_actions
from .dialog_check import check_graph
from .dialog_fields import choose, names, text_of
from .dialog_model import Action, Dialog, Node, Trigger
from .dialog_yaml import InvalidDialog, Part, Problem, Problems, read_yaml
from .patterns import InvalidPattern, Pattern, phrase

MAX_NODES: Final = 1_000
MAX_PHRASES: Final = 100


def load_dialog(path: str | Path) -> Dialog:
    """The dialog in a file; `InvalidDialog` with every mistake, `OSError` when the file cannot be read."""
    path = Path(path)
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise InvalidDialog(str(path), [Problem(1, f"not UTF-8: byte {error.start}")]) from error
    return read_dialog(text, str(path))


def read_dialog(text: str, name: str = "dialog") -> Dialog:
    """The dialog that a text describes; `name` stands before the lines of its mistakes."""
    root = read_yaml(text, name)
    problems = Problems()
    fields = choose(root, ("dialog", "timezone", "nodes"), problems, "a dialog")
    title = text_of(fields.get("dialog"), problems, "dialog") or name
    timezone = _timezone(fields.get("timezone"), problems)
    nodes: dict[str, Node] = {}
    listed = fields.get("nodes")
    if listed is None or not listed.is_map or not listed.value:
        problems.add(listed or root, "`nodes` must be a map with at least one node")
    else:
        entries = listed.entries
        if len(entries) > MAX_NODES:
            problems.add(listed, f"{len(entries)} nodes, at most {MAX_NODES}")
        nodes = {key: _node(key, part, problems) for key, part in entries.items()}
        check_graph(nodes, problems)
    if problems.found:
        raise InvalidDialog(name, problems.found)
    return Dialog(title, nodes, timezone)


def _timezone(part: Part | None, problems: Problems) -> ZoneInfo:
    name = text_of(part, problems, "timezone") or "UTC"
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # unknown is a KeyError, a path a ValueError, a folder an OSError
        pass
    problems.add(part or 1, f"unknown timezone {name!r}")
    return ZoneInfo("UTC")


def _node(name: str, part: Part, problems: Problems) -> Node:
    fields = choose(part, ("trigger", "if", "do", "else"), problems, f"node {name!r}")
    condition = read_condition(fields["if"], problems) if "if" in fields else None
    do: tuple[Action, ...] = ()
    otherwise: tuple[Action, ...] = ()
    if "do" in fields:
        do = read_actions(fields["do"], problems)
    elif part.is_map:
        problems.add(part, f"node {name!r} has no `do`")
    if "else" in fields:
        otherwise = read_actions(fields["else"], problems)
    trigger = _trigger(fields["trigger"], problems) if "trigger" in fields else None
    return Node(name, part.line, trigger, condition, do, otherwise)


def _trigger(part: Part, problems: Problems) -> Trigger:
    fields = choose(part, ("text", "pattern", "event", "fallback", "always"), problems, "a trigger")
    patterns: list[Pattern] = []
    phrases = names(fields.get("text"), problems, "text")
    if len(phrases) > MAX_PHRASES:
        problems.add(part, f"{len(phrases)} phrases, at most {MAX_PHRASES}")
    for words in phrases:
        split = "".join(letter if letter.isalnum() else " " for letter in words).split()
        if split:
            _compile(phrase, split, fields["text"], problems, patterns)
        else:
            problems.add(fields["text"], f"{words!r} has no word to look for")
    source = text_of(fields.get("pattern"), problems, "pattern")
    if source is not None:
        _compile(Pattern, source, fields["pattern"], problems, patterns)
    event = text_of(fields.get("event"), problems, "event")
    fallback, always = (_flag(fields.get(key), problems, key) for key in ("fallback", "always"))
    if sum((bool(patterns), event is not None, fallback)) != 1 and fields:
        if not (set(fields) & {"text", "pattern"}) or event is not None or fallback:
            problems.add(part, "a trigger has one of text (or pattern), event, fallback")
    elif not fields and part.is_map:
        problems.add(part, "a trigger has one of text (or pattern), event, fallback")
    if always and not patterns:
        problems.add(part, "`always` goes with text or pattern")
    return Trigger(tuple(patterns), event, fallback, always)


def _compile(make: Any, source: Any, part: Part, problems: Problems, into: list[Pattern]) -> None:
    try:
        into.append(make(source))
    except InvalidPattern as error:
        problems.add(part, str(error))


def _flag(part: Part | None, problems: Problems, key: str) -> bool:
    if part is None:
        return False
    if not isinstance(part.value, bool):
        problems.add(part, f"`{key}` is true or false, not {part.kind}")
    return part.value is True
