"""Keeps the process that gathers insights alive, and knows how far it is."""

import asyncio
import contextlib
import logging
import random
import sys
from typing import Final

from .backoff import Backoff

logger = logging.getLogger(__name__)

STOP_TIMEOUT: Final = 1.0
"""Seconds that the process may take to end what it does; then it is killed, which harms nothing."""


class InsightsService:
    """The follower of one database file. Loop thread only."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._task: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._backoff = Backoff(1.0, 60.0, random.random)
        self._behind: int | None = None

    def how_far_behind(self) -> int | None:
        """Events that search and statistics did not know when last heard of; None: never heard."""
        return self._behind

    @property
    def pid(self) -> int | None:
        """The process that follows, while there is one."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Begin to follow; the database exists."""
        self._task = asyncio.get_running_loop().create_task(self._keep_alive())

    async def stop(self) -> None:
        """Let the process end what it does, and be gone."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        if self._process is not None:
            await _end(self._process)
            self._process = None

    async def _keep_alive(self) -> None:
        while True:
            try:
                code = await self._run()
            except OSError as error:
                logger.warning("insights: the process cannot be started: %s", error)
            else:
                logger.warning("insights: the process ended with %s", code)
            await asyncio.sleep(self._backoff.next())

    async def _run(self) -> int:
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "sojourn.gateway.insights_follower",
            self._path,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        async for line in process.stdout:
            self._behind = int(line)
            self._backoff.reset()
        code = await process.wait()
        self._process = None
        return code


async def _end(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(STOP_TIMEOUT):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
