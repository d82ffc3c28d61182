"""Reads the actions of a dialog file: each is a map of one word that says what to do, and perhaps an `if`."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from .condition_file import read_condition
from .dialog_fields import choose, data, meant, names, number, template, text_of
from .dialog_model import (
    Action,
    Ask,
    CancelReminder,
    Goto,
    HandOver,
    Pause,
    Remind,
    Reset,
    Resolve,
    Say,
    Set,
    Tag,
    Webhook,
)
from .dialog_yaml import Part, Problems
from .patterns import InvalidPattern, Pattern
from .templates import Template

MAX_ACTIONS: Final = 50
TURN_LIMIT: Final = 17.0
"""Seconds that a turn may take."""
KINDS: Final = ("text", "number", "integer", "email", "yes_no")
_YEAR: Final = 366 * 86_400.0
_NOTHING: Final = Template("")


def read_actions(part: Part, problems: Problems) -> tuple[Action, ...]:
    """The list under `do` or `else`."""
    if not part.is_list or not part.value:
        problems.add(part, f"a list of actions is expected, not {part.kind if part.value else 'nothing'}")
        return ()
    items = part.items
    if len(items) > MAX_ACTIONS:
        problems.add(part, f"{len(items)} actions, a node has at most {MAX_ACTIONS}")
    read = [_action(item, problems) for item in items]
    return tuple(action for action in read if action is not None)


def _action(part: Part, problems: Problems) -> Action | None:
    if not part.is_map:
        problems.add(part, f"an action is a map like `say: Hello`, not {part.kind}")
        return None
    entries = part.entries
    words = [word for word in entries if word != "if"]
    if len(words) != 1:
        problems.add(part, f"an action has one word, not {', '.join(words) or 'none'}")
        return None
    word = words[0]
    reader = _READERS.get(word)
    if reader is None:
        problems.add(entries[word], f"unknown action {word!r}{meant(word, tuple(_READERS))}")
        return None
    common: dict[str, Any] = {"line": part.line}
    if "if" in entries:
        common["condition"] = read_condition(entries["if"], problems)
    return reader(entries[word], problems, common)


def _say(part: Part, problems: Problems, common: dict[str, Any]) -> Action:
    return Say(text=template(part, problems, "say") or _NOTHING, **common)


def _ask(part: Part, problems: Problems, common: dict[str, Any]) -> Action:
    known = ("question", "save", "type", "pattern", "options", "check", "again", "tries", "else")
    fields = choose(part, known, problems, "ask")
    for needed in ("question", "save"):
        if needed not in fields and part.is_map:
            problems.add(part, f"ask needs `{needed}`")
    kind = text_of(fields.get("type"), problems, "type") or "text"
    if kind not in KINDS:
        problems.add(fields["type"], f"unknown type {kind!r}{meant(kind, KINDS)}")
    pattern: Pattern | None = None
    source = text_of(fields.get("pattern"), problems, "pattern")
    if source is not None:
        try:
            pattern = Pattern(source)
        except InvalidPattern as error:
            problems.add(fields["pattern"], str(error))
    return Ask(
        question=template(fields.get("question"), problems, "question") or _NOTHING,
        save=_key(fields.get("save"), problems, "save"),
        kind=kind,
        pattern=pattern,
        options=names(fields.get("options"), problems, "options"),
        check=read_condition(fields["check"], problems) if "check" in fields else None,
        again=template(fields.get("again"), problems, "again"),
        tries=int(number(fields.get("tries"), problems, "tries", default=3, least=1, most=20)),
        otherwise=text_of(fields.get("else"), problems, "else"),
        **common,
    )


def _set(part: Part, problems: Problems, common: dict[str, Any]) -> Action:
    if not part.is_map or not part.value:
        problems.add(part, f"`set` takes a map of keys and values, not {part.kind}")
        return Set(values={}, **common)
    entries = part.entries
    for key, value in entries.items():
        _check_key(key, value, problems)
    return Set(values={key: data(value, problems) for key, value in entries.items()}, **common)


def _reset(part: Part, problems: Problems, common: dict[str, Any]) -> Action:
    if part.value == "all":
        return Reset(keys=None, **common)
    keys = names(part, problems, "reset")
    for key in keys:
        _check_key(key, part, problems)
    return Reset(keys=keys, **common)


def _tag(part: Part, problems: Problems, common: dict[str, Any]) -> Action:
    return Tag(add=names(part, problems, "tag"), **common)


def _untag(part: Part, problems: Problems, common: dict[str, Any]) -> Action:
    return Tag(remove=names(part, problems, "untag"), **common)


def _goto(part: Part, problems: Problems, common: dict[str, Any]) -> Action:
    return Goto(node=text_of(part, problems, "goto") or "", **common)


def _handover(part: Part, problems: Problems, common: dict[str, Any]) -> Action:
    if not part.is_map:
        queue = None if part.value is None else text_of(part, problems, "handover")
        return HandOver(queue=queue, **common)
    fields = choose(part, ("queue", "note"), problems, "handover")
    note = template(fields.get("note"), problems, "note")
    return HandOver(queue=text_of(fields.get("queue"), problems, "queue"), note=note, **common)


def _resolve(part: Part, problems: Problems, common: dict[str, Any]) -> Action:
    return Resolve(reason=None if part.value is None else text_of(part, problems, "resolve"), **common)


def _remind(part: Part, problems: Problems, common: dict[str, Any]) -> Action:
    fields = choose(part, ("name", "after", "data"), problems, "remind")
    for needed in ("name", "after"):
        if needed not in fields and part.is_map:
            problems.add(part, f"remind needs `{needed}`")
    return Remind(
        name=text_of(fields.get("name"), problems, "name") or "",
        after=number(fields.get("after"), problems, "after", default=1, least=1, most=_YEAR),
        data=data(fields["data"], problems) if "data" in fields else None,
        **common,
    )


def _cancel(part: Part, problems: Problems, common: dict[str, Any]) -> Action:
    return CancelReminder(name=text_of(part, problems, "cancel_reminder") or "", **common)


def _webhook(part: Part, problems: Problems, common: dict[str, Any]) -> Action:
    fields = choose(part, ("url", "send", "save", "timeout", "else"), problems, "webhook")
    url = template(fields.get("url"), problems, "url")
    if "url" not in fields and part.is_map:
        problems.add(part, "webhook needs `url`")
    elif url is not None:
        # Who talks must not choose whom we call.
        fixed = url.source.partition("{{")[0]
        try:
            parts = urlsplit(fixed)
            # Asking for a port that is no port raises.
            whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            whole = False
        if not whole or ("{{" in url.source and not fixed.rstrip().count("/") > 2):
            problems.add(
                fields["url"], f"{url.source!r}: a URL begins with http(s)://host/, without places to fill"
            )
    return Webhook(
        url=url or _NOTHING,
        send=data(fields["send"], problems) if "send" in fields else None,
        save=_key(fields["save"], problems, "save") if "save" in fields else None,
        timeout=number(fields.get("timeout"), problems, "timeout", default=5, least=0.1, most=TURN_LIMIT),
        otherwise=text_of(fields.get("else"), problems, "else"),
        **common,
    )


def _pause(part: Part, problems: Problems, common: dict[str, Any]) -> Action:
    return Pause(seconds=number(part, problems, "pause", default=1, least=0.1, most=TURN_LIMIT), **common)


def _key(part: Part | None, problems: Problems, key: str) -> str:
    name = text_of(part, problems, key) or ""
    if part is not None:
        _check_key(name, part, problems)
    return name


def _check_key(key: str, part: Part, problems: Problems) -> None:
    if key.startswith("app."):
        problems.add(part, f"{key!r}: the operator's values are read only")
    elif key.startswith("_"):
        problems.add(part, f"{key!r}: keys that begin with _ are the dialog's own")


_READERS: Final[Mapping[str, Callable[[Part, Problems, dict[str, Any]], Action]]] = {
    "say": _say,
    "ask": _ask,
    "set": _set,
    "reset": _reset,
    "tag": _tag,
    "untag": _untag,
    "goto": _goto,
    "handover": _handover,
    "resolve": _resolve,
    "remind": _remind,
    "cancel_reminder": _cancel,
    "webhook": _webhook,
    "pause": _pause,
}
