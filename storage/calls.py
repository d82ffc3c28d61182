"""Work that may be done in another process: a function of a module, with its arguments."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

_Answer = TypeVar("_Answer")


class Call(Generic[_Answer]):
    """`function(first, *rest)`, to be called where `first`, a connection or a journal, is at hand."""

    __slots__ = ("_function", "_rest")

    def __init__(self, function: Callable[..., _Answer], *rest: Any) -> None:
        """`function` must be found by its name in its module: no closure, no lambda."""
        self._function = function
        self._rest = rest

    def __call__(self, first: Any) -> _Answer:
        return self._function(first, *self._rest)
