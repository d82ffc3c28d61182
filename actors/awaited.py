"""An answer that a coroutine on the loop waits for."""

import asyncio
from typing import Any


class Awaited:
    """Has a coroutine go on with an answer; one that waits no longer is not told."""

    __slots__ = ("_future",)

    def __init__(self, future: "asyncio.Future[Any]") -> None:
        self._future = future

    def set(self, value: Any = None) -> None:
        if not self._future.done():
            self._future.set_result(value)

    def set_exception(self, exc_info: Any = None) -> None:
        if not self._future.done():
            self._future.set_exception(exc_info[1])
