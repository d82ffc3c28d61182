"""A loop to live on: in a thread of its own, or the caller's."""

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")


class Hosted:
    """What is entered: `with` runs a loop in a thread of its own, `async with` uses the running one."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    async def start(self) -> None:
        """Begin, on the running loop; calls `_enter_loop` first."""
        raise NotImplementedError

    async def stop(self) -> None:
        """End, on the same loop."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        """Start, with a loop in a thread of its own; raises the `StorageError` of a file that cannot be
        had.
        """
        loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=loop.run_forever, name="sojourn", daemon=True)
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.start(), loop).result()
        except BaseException:
            self._end_thread(loop)
            raise
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Save every session and close the file."""
        loop = self._loop
        assert loop is not None
        asyncio.run_coroutine_threadsafe(self.stop(), loop).result()
        self._end_thread(loop)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a coroutine on the runtime's loop from plain code, and wait for it."""
        loop = self._loop
        assert loop is not None, "enter the runtime first"
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(timeout)

    def _enter_loop(self) -> None:
        self._loop = asyncio.get_running_loop()

    def _left_loop(self) -> None:
        """Called when the loop is about to end."""
        raise NotImplementedError

    def _end_thread(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = None
        self._left_loop()
        loop.call_soon_threadsafe(loop.stop)
        assert self._thread is not None
        self._thread.join()
        loop.close()
