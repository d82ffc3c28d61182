"""Something to do at a time, or once a session is there: neither is a session's own business."""

from collections.abc import Callable
from typing import Any

from .timers import NEVER


class Later:
    """Something to do at a time: an entry of the wheel that is no session."""

    __slots__ = ("run", "wake_at")

    def __init__(self, run: Callable[[], None]) -> None:
        self.run = run
        self.wake_at = NEVER


class Told:
    """A reply target that runs a step on whatever comes."""

    __slots__ = ("_step",)

    def __init__(self, step: Callable[[Any], None]) -> None:
        self._step = step

    def set(self, value: Any = None) -> None:
        self._step(value)

    def set_exception(self, exc_info: Any = None) -> None:
        self._step(exc_info)
