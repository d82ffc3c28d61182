"""Lines of standard input, for commands that must go on while a person thinks."""

import asyncio
import sys
import threading
from typing import Self


class Lines:
    """Lines of standard input, stripped, read in a thread of their own; the iteration ends with the input."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()
        # A daemon: nobody can wake a thread that waits for a key.
        threading.Thread(target=self._read, name="stdin", daemon=True).start()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        line = await self._queue.get()
        if line is None:
            raise StopAsyncIteration
        return line

    def _read(self) -> None:
        for line in sys.stdin:
            self._put(line.strip())
        self._put(None)

    def _put(self, line: str | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, line)
        except RuntimeError:  # the loop has ended: nobody listens any more
            return
