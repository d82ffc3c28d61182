"""Conditions and values in the Common Expression Language, bounded so that none can hang the loop.

An expression is compiled once and evaluated in place, on the loop. Nothing can interrupt it there, so what it
may cost is limited before it runs: its length and nesting, how often it joins values, and its loops (`all`,
`exists`, `exists_one`, `filter`, `map`), which never stand inside each other nor work on what another one
made, and see no list of more than 1,000 items. `map` and `filter` copy what they have gathered at each item:
they see 100, and what `map` gathers is made of the item alone. (Before, 1,000 copies of a long message took
minutes and gigabytes.) Patterns for `matches` stand outside of loops. The worst that was found to pass
took 0.2 s, over a context of 32 KiB and a message of 60,000 letters; an ordinary condition takes 5 to 30 µs.
Cutting an evaluation off after a time was ruled out: the library holds the interpreter.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import cel

from .kinds import is_list, is_map
from .patterns import InvalidPattern, Pattern

MAX_LENGTH: Final = 500
MAX_NESTING: Final = 24
MAX_JOINS: Final = 16
IN_LOOP: Final[Mapping[str, int]] = {"+": 1, "in": 1, "==": 3}
"""How often these may stand in the bodies of an expression's loops: each may touch all that there is."""
MAX_LOOPS: Final = 3
MAX_ITEMS: Final = 1_000
MAX_GATHERED: Final = 100
"""Items that `map` and `filter` see."""

VARIABLES: Final = frozenset((
    "context", "user", "app", "message", "text", "answer", "match", "tags", "metadata", "channel", "handling",
    "now", "clock",
))  # fmt: skip
"""What an expression sees: `text` is the message's, `match` the named groups of the trigger's pattern,
`answer` what is being validated, `now` a timestamp, `clock` {hour, minute, weekday 1–7, date, seconds}."""

GATHERING: Final = frozenset(("filter", "map"))
LOOPS: Final = frozenset(("all", "exists", "exists_one", "filter", "map"))
FUNCTIONS: Final = LOOPS | frozenset((
    "has", "size", "contains", "startsWith", "endsWith", "matches", "int", "uint", "double", "string",
    "bytes", "type", "dyn", "timestamp", "duration", "getFullYear", "getMonth", "getDate",
    "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getHours", "getMinutes", "getSeconds",
    "getMilliseconds",
))  # fmt: skip

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
      | (?P<string>[rRbB]{0,2}(?:\"\"\"(?s:.)*?\"\"\"|'''(?s:.)*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
      | (?P<number>\d[\w.]*)
      | (?P<name>[A-Za-z_]\w*)
      | (?P<sign>(?s:.))""",
    re.VERBOSE,
)


class InvalidExpression(ValueError):
    """The text is no expression, or one that could take too long; the message says which."""


class ExpressionFailed(Exception):
    """The expression could not be evaluated over these values: a missing key, a wrong type."""


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


@dataclass(slots=True)
class _Group:
    """What stands between two brackets, while they are open."""

    loop: bool
    """It is the body of a loop, or within one."""
    item: str = ""
    """The one name that the body of a `map` may use."""
    made_by_loop: bool = False
    """The value at hand comes from a loop."""
    saw_loop: bool = False


class Expression:
    """A compiled expression. `source` is its text."""

    __slots__ = ("_most", "_program", "_variables", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        bound = _check(source)
        try:
            self._program = cel.compile(source)
            references = self._program.references()
        except BaseException as error:
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            raise InvalidExpression(_reason(error)) from error
        names = set(references["variables"]) - bound
        unknown = sorted(names - VARIABLES)
        if unknown:
            raise InvalidExpression(
                f"unknown name {unknown[0]!r}: an expression sees {', '.join(sorted(VARIABLES))}"
            )
        self._variables = tuple(names)
        gathers = any(f".{name}" in "".join(source.split()) for name in GATHERING)
        self._most = (MAX_GATHERED if gathers else MAX_ITEMS) if bound else None

    def value(self, view: Mapping[str, Any]) -> Any:
        """What it comes to over the view, as JSON-like values; `ExpressionFailed` when it does not."""
        seen = {name: view[name] for name in self._variables}
        if self._most is not None:
            _check_items(seen, self._most)
        try:
            return self._program.execute(seen)
        except BaseException as error:  # a panic of the library is no Exception
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            raise ExpressionFailed(f"{self.source}: {_reason(error)}") from error

    def holds(self, view: Mapping[str, Any]) -> bool:
        """Whether it is true; anything but true or false is an `ExpressionFailed`."""
        value = self.value(view)
        if value is True or value is False:
            return value
        raise ExpressionFailed(f"{self.source}: came to {type(value).__name__}, a condition is true or false")


def _check(source: str) -> frozenset[str]:
    """Refuse what could take too long; answer the names that its loops bind."""
    if not source.strip():
        raise InvalidExpression("an expression is empty")
    if len(source) > MAX_LENGTH:
        raise InvalidExpression(f"{len(source)} characters, an expression has at most {MAX_LENGTH}")
    tokens = list(_tokens(source))
    if sum(token.text == "+" for token in tokens) > MAX_JOINS:
        raise InvalidExpression(f"more than {MAX_JOINS} times +")
    groups = [_Group(loop=False)]
    bound: set[str] = set()
    loops = 0
    touching = dict.fromkeys(IN_LOOP, 0)
    for index, token in enumerate(tokens):
        group = groups[-1]
        called = _at(tokens, index + 1) == "(" and token.kind == "name"
        if group.loop:
            _check_body(tokens, index, touching)
        if group.item:
            _check_map(tokens, index, group.item, called=called)
        if called and token.text not in FUNCTIONS:
            raise InvalidExpression(f"unknown function {token.text!r}")
        if called and token.text in LOOPS and _at(tokens, index - 1) == ".":
            loops += 1
            if loops > MAX_LOOPS:
                raise InvalidExpression(f"more than {MAX_LOOPS} loops (all, exists, exists_one, filter, map)")
            if group.loop:
                raise InvalidExpression(f"{token.text} within another loop could take too long")
            if group.made_by_loop:
                raise InvalidExpression(f"{token.text} on what another loop made could take too long")
            bound.add(_at(tokens, index + 2))
        elif called and token.text == "matches":
            _check_pattern(tokens, index, in_loop=group.loop)
        elif token.text in {"(", "[", "{"} and token.kind == "sign":
            is_loop = token.text == "(" and _at(tokens, index - 1) in LOOPS and _at(tokens, index - 2) == "."
            item = _at(tokens, index + 1) if is_loop and _at(tokens, index - 1) == "map" else group.item
            groups.append(_Group(loop=group.loop or is_loop, item=item, saw_loop=is_loop))
            if len(groups) > MAX_NESTING:
                raise InvalidExpression(f"nested deeper than {MAX_NESTING}")
        elif token.text in {")", "]", "}"} and token.kind == "sign" and len(groups) > 1:
            closed = groups.pop()
            if closed.saw_loop:
                groups[-1].made_by_loop = groups[-1].saw_loop = True
        elif token.kind == "sign" and token.text != ".":
            group.made_by_loop = False
    return frozenset(bound)


def _check_body(tokens: list[_Token], index: int, touching: dict[str, int]) -> None:
    """One token of a loop's body."""
    token, before = tokens[index], _at(tokens, index - 1)
    word = "==" if token.text == "=" and before in {"=", "!"} else token.text
    if word in touching:
        touching[word] += 1
        if touching[word] > IN_LOOP[word]:
            raise InvalidExpression(f"more than {IN_LOOP[word]} times {word} within a loop")
    indexing = index > 0 and (before in {")", "]"} or (tokens[index - 1].kind == "name" and before != "in"))
    if token.kind == "sign" and (token.text == "{" or (token.text == "[" and not indexing)):
        for item in tokens[index + 1 :]:
            if item.text == "]":
                return
            if item.text != "," and item.kind not in {"string", "number"}:
                break
        raise InvalidExpression(f"{token.text} within a loop could take too long")


def _check_map(tokens: list[_Token], index: int, item: str, *, called: bool) -> None:
    token = tokens[index]
    other = token.kind == "name" and not called and token.text not in {item, "true", "false", "null"}
    if (other and _at(tokens, index - 1) != ".") or (token.text in {"[", "+"}):
        raise InvalidExpression(f"{token.text} within map could take too long: it may use its item only")


def _check_pattern(tokens: list[_Token], index: int, *, in_loop: bool) -> None:
    pattern = tokens[index + 2] if index + 2 < len(tokens) else _Token("", "")
    if pattern.kind != "string" or _at(tokens, index + 3) != ")":
        raise InvalidExpression("matches takes a pattern written in quotes")
    if in_loop:
        raise InvalidExpression("matches within a loop could take too long")
    try:
        text = cel.evaluate(pattern.text)
        Pattern(text if isinstance(text, str) else "")
    except InvalidPattern as error:
        raise InvalidExpression(str(error)) from error
    except ValueError as error:
        raise InvalidExpression(_reason(error)) from error


def _check_items(seen: Mapping[str, Any], most: int) -> None:
    waiting: list[Any] = [seen]
    while waiting:
        value = waiting.pop()
        if is_map(value) or is_list(value):
            if len(value) > most:
                raise ExpressionFailed(f"a loop would see {len(value)} items, at most {most}")
            waiting.extend(value.values() if is_map(value) else value)


def _tokens(source: str) -> Iterator[_Token]:
    for found in _TOKEN.finditer(source):
        if found.lastgroup != "space":
            yield _Token(found.lastgroup or "", found.group())


def _at(tokens: list[_Token], index: int) -> str:
    return tokens[index].text if 0 <= index < len(tokens) else ""


def _reason(error: BaseException) -> str:
    """The library's message in one line, without the drawing that points at the place."""
    if isinstance(error, KeyError):
        return f"there is no key {error.args[0]!r}"
    line = " ".join(str(error).split("||", maxsplit=1)[0].split())
    return line.split("ERROR: <input>:")[-1].split(" | ")[0][:200]
