"""Reads of the journal for actors on the loop: asked there, done in a thread of their own, answered there.

Loads that are wanted while one is under way are done together: a storm of returning clients costs a few
statements, not one each. So are pages of history: one job in the reader's thread, and one call back, for all.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeVar

import pykka

from sojourn.storage import EventRow, Reader, StorageError, StoredSession

logger = logging.getLogger(__name__)
T = TypeVar("T")

LOAD_PAGE: Final = 256
"""Sessions in one load."""
PAGES: Final = 32
"""Pages of history in one job: who asks for a load waits behind them."""


class Job(NamedTuple):
    """One read: what to ask, and whom to tell on the loop thread."""

    ask: Callable[[Reader], Any]
    done: Callable[[Any], None]
    failed: Callable[[Exception], None]


class ReaderActor(pykka.ThreadingActor):
    """Answers jobs in the order they come."""

    use_daemon_thread = True

    def __init__(
        self, reader: Reader, loop: asyncio.AbstractEventLoop, before: Callable[[], None] | None = None
    ) -> None:
        """The reader is used by this thread alone from now on; `before` is called ahead of each read."""
        super().__init__()
        self._reader = reader
        self._loop = loop
        self._before = before

    def on_receive(self, message: Any) -> Any:
        if not isinstance(message, Job):
            return super().on_receive(message)
        try:
            if self._before is not None:
                self._before()
            answer = message.ask(self._reader)
        except Exception as error:  # whoever asked must hear it, whatever it is
            if not isinstance(error, StorageError):
                logger.exception("read failed")
            call, argument = message.failed, error
        else:
            call, argument = message.done, answer
        try:
            self._loop.call_soon_threadsafe(call, argument)
        except RuntimeError:
            logger.debug("the loop ended before it heard of a read")
        return None

    def on_stop(self) -> None:
        self._reader.close()


class Reads:
    """The loop's side of the reader. Loop thread only; callbacks come on the loop thread."""

    def __init__(self, reader: pykka.ActorRef[ReaderActor]) -> None:
        self._reader = reader
        self._under_way = 0
        self._wanted: dict[str, _Loaded] = {}
        self._loading = False
        self._pages: deque[_Page] = deque()
        self._paging = False

    @property
    def idle(self) -> bool:
        """No read is under way."""
        return self._under_way == 0

    @property
    def under_way(self) -> int:
        """Reads that are asked for and not answered."""
        return self._under_way

    def ask(
        self, ask: Callable[[Reader], T], done: Callable[[T], None], failed: Callable[[Exception], None]
    ) -> None:
        """Have `ask` run with the reader in its thread, then `done` or `failed` here."""
        self._under_way += 1

        def finished(answer: T) -> None:
            self._under_way -= 1
            done(answer)

        def broken(error: Exception) -> None:
            self._under_way -= 1
            failed(error)

        try:
            self._reader.tell(Job(ask, finished, broken))
        except pykka.ActorDeadError as error:
            broken(error)

    async def get(self, ask: Callable[[Reader], T]) -> T:
        """Await a read."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.ask(
            ask,
            lambda answer: None if future.done() else future.set_result(answer),
            lambda error: None if future.done() else future.set_exception(error),
        )
        return await future

    async def finished(self) -> None:
        """Wait for the reads that are under way."""
        if self._under_way:
            with suppress(pykka.ActorDeadError):
                await self.get(_nothing)

    def load(
        self,
        session_id: str,
        done: Callable[[StoredSession | None], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Load one session, together with others that are wanted now; None when there is none of this id."""
        self._wanted[session_id] = _Loaded(done, failed)
        if not self._loading:
            self._load_next()

    def history(
        self,
        key: int,
        after_seq: int,
        until_seq: int,
        limit: int,
        max_bytes: int,
        done: Callable[[list[EventRow], bool], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """A page of a session's events, read together with others that are wanted now."""
        self._pages.append(_Page((key, after_seq, until_seq, limit, max_bytes), done, failed))
        if not self._paging:
            self._read_next()

    def events(
        self,
        key: int,
        seqs: Sequence[int],
        done: Callable[[list[EventRow | None]], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Single events of a session."""
        self.ask(lambda reader: [reader.event(key, seq) for seq in seqs], done, failed)

    def _read_next(self) -> None:
        if not self._pages:
            return
        self._paging = True
        pages = [self._pages.popleft() for _ in range(min(len(self._pages), PAGES))]

        def done(found: list[tuple[list[EventRow], bool] | Exception]) -> None:
            self._paging = False
            self._read_next()
            for page, answer in zip(pages, found, strict=True):
                page.answer(answer)

        def failed(error: Exception) -> None:
            self._paging = False
            self._read_next()
            for page in pages:
                page.answer(error)

        self.ask(lambda reader: [page.read(reader) for page in pages], done, failed)

    def _load_next(self) -> None:
        if not self._wanted:
            return
        self._loading = True
        ids = list(self._wanted)[:LOAD_PAGE]
        page = {each: self._wanted.pop(each) for each in ids}

        def done(found: dict[str, StoredSession]) -> None:
            self._loading = False
            self._load_next()
            for session_id, loaded in page.items():
                try:
                    loaded(found.get(session_id))
                except Exception:
                    logger.exception("session %s was loaded in vain", session_id)

        def failed(error: Exception) -> None:
            self._loading = False
            self._load_next()
            for session_id, loaded in page.items():
                try:
                    loaded.failed(error)
                except Exception:
                    logger.exception("session %s was not loaded, and nobody could be told", session_id)

        self.ask(lambda reader: reader.load(ids), done, failed)


def _nothing(_reader: Reader) -> None:
    """What is asked behind all others."""


class _Page:
    """One page that is wanted, and whom to tell of it."""

    __slots__ = ("_done", "_failed", "_wanted")

    def __init__(
        self,
        wanted: tuple[int, int, int, int, int],
        done: Callable[[list[EventRow], bool], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """`wanted`: what `Reader.history` is asked."""
        self._wanted = wanted
        self._done = done
        self._failed = failed

    def read(self, reader: Reader) -> tuple[list[EventRow], bool] | Exception:
        """In the reader's thread; one page that cannot be read is no other's trouble."""
        try:
            return reader.history(*self._wanted)
        except StorageError as error:
            return error

    def answer(self, found: tuple[list[EventRow], bool] | Exception) -> None:
        """On the loop thread."""
        try:
            if isinstance(found, Exception):
                self._failed(found)
            else:
                self._done(*found)
        except Exception:
            logger.exception("a page was read, and nobody could be told")


class _Loaded:
    """Whom to tell of one load."""

    __slots__ = ("_done", "failed")

    def __init__(
        self, done: Callable[[StoredSession | None], None], failed: Callable[[Exception], None]
    ) -> None:
        self._done = done
        self.failed = failed

    def __call__(self, stored: StoredSession | None) -> None:
        self._done(stored)
