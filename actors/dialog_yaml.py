"""YAML whose every part knows its line, so that what is wrong with a file can be said with its place.

Only plain data is read: no tags, no anchors (a few lines of them can unfold to gigabytes), no key twice.
`yes`, `no`, `on` and dates stay text as in YAML 1.2. The parser is PyYAML's, of which only the tree is used.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from .kinds import is_list, is_map

MAX_FILE_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 32


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong with a file, at its line (the first is 1)."""

    line: int
    text: str


class InvalidDialog(ValueError):
    """A dialog file has mistakes: all that were found, in the order of their lines."""

    def __init__(self, name: str, problems: list[Problem]) -> None:
        self.name = name
        self.problems = sorted(set(problems))
        super().__init__("\n".join(f"{name}:{problem.line}: {problem.text}" for problem in self.problems))


@dataclass(slots=True)
class Problems:
    """Collects what is wrong while reading goes on."""

    found: list[Problem] = field(default_factory=list[Problem])

    def add(self, place: "Part | int", text: str) -> None:
        self.found.append(Problem(place if isinstance(place, int) else place.line, text))


@dataclass(frozen=True, slots=True)
class Part:
    """A value of the file and its line; `value` is a scalar, a list of parts, or a map from text to parts."""

    line: int
    value: Any

    @property
    def is_map(self) -> bool:
        return isinstance(self.value, dict)

    @property
    def is_list(self) -> bool:
        return isinstance(self.value, list)

    @property
    def entries(self) -> "dict[str, Part]":
        """Of a map; of anything else none."""
        return self.value if is_map(self.value) else {}

    @property
    def items(self) -> "list[Part]":
        """Of a list; of anything else none."""
        return self.value if is_list(self.value) else []

    @property
    def kind(self) -> str:
        """What it is, in words for people."""
        if isinstance(self.value, dict):
            return "a map"
        if isinstance(self.value, list):
            return "a list"
        if isinstance(self.value, str):
            return "text"
        return "nothing" if self.value is None else repr(self.value)

    def plain(self) -> Any:
        """The value without its lines, as JSON-like data."""
        if is_map(self.value):
            return {key: part.plain() for key, part in self.value.items()}
        if is_list(self.value):
            return [part.plain() for part in self.value]
        return self.value


class _Loader(yaml.SafeLoader):
    """Knows true, false, null, integers and floats; every other scalar is text."""


_BOOL: Final = "tag:yaml.org,2002:bool"
_NULL: Final = "tag:yaml.org,2002:null"
_INT: Final = "tag:yaml.org,2002:int"
_FLOAT: Final = "tag:yaml.org,2002:float"
_STR: Final = "tag:yaml.org,2002:str"
_RESOLVERS: Final = (
    (_BOOL, r"^(?:true|false)$", ["t", "f"]),
    (_NULL, r"^(?:null|~|)$", ["n", "~", ""]),
    (_INT, r"^-?(?:0|[1-9]\d{0,17})$", list("-0123456789")),
    (_FLOAT, r"^-?(?:0|[1-9]\d*)\.\d+(?:e[-+]?\d{1,2})?$", list("-0123456789")),
)
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in _RESOLVERS:
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), _first)  # pyright: ignore[reportUnknownMemberType]


def _scalar(tag: str, text: str) -> Any:
    if tag == _BOOL:
        return text == "true"
    if tag == _INT:
        return int(text)
    if tag == _FLOAT:
        return float(text)
    return None if tag == _NULL else text


def read_yaml(text: str, name: str) -> Part:
    """The file's one document; `InvalidDialog` when it is not plain YAML."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_FILE_BYTES:
        raise InvalidDialog(name, [Problem(1, f"larger than {MAX_FILE_BYTES} bytes")])
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = " ".join(part for part in (error.context, error.problem) if part)
        raise InvalidDialog(name, [Problem(mark.line + 1 if mark else 1, f"no YAML: {said}")]) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, int(error.position)) + 1
        raise InvalidDialog(name, [Problem(line, f"no YAML: {error.reason}")]) from error
    except RecursionError as error:
        raise InvalidDialog(name, [Problem(1, f"nested deeper than {MAX_DEPTH}")]) from error
    finally:
        if loader is not None:
            loader.dispose()
    if node is None:
        raise InvalidDialog(name, [Problem(1, "the file is empty")])
    problems = Problems()
    part = _part(node, problems, set(), 1)
    if problems.found:
        raise InvalidDialog(name, problems.found)
    return part


def _part(node: Node, problems: Problems, seen: set[int], depth: int) -> Part:
    line = node.start_mark.line + 1
    if id(node) in seen:
        problems.add(line, "anchors and aliases (& and *) are not taken")
        return Part(line, None)
    seen.add(id(node))
    if depth > MAX_DEPTH:
        problems.add(line, f"nested deeper than {MAX_DEPTH}")
        return Part(line, None)
    if isinstance(node, SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
        return Part(line, [_part(item, problems, seen, depth + 1) for item in node.value])
    if isinstance(node, MappingNode) and node.tag == "tag:yaml.org,2002:map":
        entries: dict[str, Part] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                problems.add(key.start_mark.line + 1, "a key must be text")
                continue
            if key.value in entries:
                problems.add(key.start_mark.line + 1, f"{key.value!r} stands here twice")
            # A value on a later line than its key is looked for at its key.
            part = _part(value, problems, seen, depth + 1)
            entries[key.value] = Part(key.start_mark.line + 1, part.value)
        return Part(line, entries)
    if isinstance(node, ScalarNode) and node.tag in {_BOOL, _NULL, _INT, _FLOAT, _STR}:
        return Part(line, _scalar(node.tag, node.value))
    problems.add(line, f"the tag {node.tag!r} is not taken")
    return Part(line, None)
