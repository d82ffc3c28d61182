"""The journal's writer in a process of its own, seen from the server.

Loop and store share no interpreter then: neither waits for the other's statements, and a machine with two
cores uses both. Everything else is as with a thread: one batch after the other, work of the house between
them.
"""

import asyncio
import logging
import os
import pickle
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Self, TypeVar

from sojourn.storage import (
    Batch,
    CannotOpen,
    Durability,
    Journal,
    Reader,
    StorageError,
    WriteFailed,
    WriterLost,
)

from .commits import Done
from .store_child import serve_and_exit
from .store_frames import HEADER, Kind, frame, pack_batch, read_whole, unpack_stored, write_whole
from .tally import Tally

logger = logging.getLogger(__name__)
T = TypeVar("T")

_READ: Final = 1 << 16
_PIPE: Final = 1 << 20
"""Bytes that may be under way, where that can be chosen; some thousands of messages."""


class StoreProcess:
    """A process that waits to be given a file, which it writes from then on.

    Fork it while the program has one thread and no event loop, then give it to a `Runtime`. It ends with the
    program, however that ends. Should it end first, a thread of the runtime goes on in its place.
    """

    path: str
    epoch: int
    next_key: int

    def __init__(self, answers: int, requests: int, pid: int) -> None:
        """For `fork`: takes over our ends of two pipes."""
        self.pid = pid
        self.lost = False
        self._answers = answers
        self._requests = requests
        self._loop: asyncio.AbstractEventLoop
        self._tally: Tally
        self._number = 0
        self._commits: dict[int, tuple[Batch, Done]] = {}
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._incoming = bytearray()
        self._outgoing = bytearray()
        """What the pipe did not take at once."""

    @classmethod
    def fork(cls) -> Self:
        """Raises `OSError` when the system gives no process, `ImportError` where no fork is."""
        import fcntl  # noqa: PLC0415  # not where there is no fork

        requests_out, requests_in = os.pipe()
        answers_out, answers_in = os.pipe()
        if hasattr(fcntl, "F_SETPIPE_SZ"):  # Linux: a batch goes through at once
            with suppress(OSError):
                fcntl.fcntl(requests_in, fcntl.F_SETPIPE_SZ, _PIPE)
        server = os.getpid()
        pid = os.fork()
        if not pid:
            os.close(requests_in)
            os.close(answers_out)
            serve_and_exit(requests_out, answers_in, server)
        os.close(requests_out)
        os.close(answers_in)
        return cls(answers_out, requests_in, pid)

    # -- before the loop knows it ------------------------------------------------------------------

    def open(self, path: str, durability: Durability, tally: Tally) -> None:
        """Have the file opened. Raises the `StorageError` that says why it cannot be had."""
        self.path = path
        self._tally = tally
        try:
            opened: tuple[int, int] = self._wait_for(Kind.OPEN, pickle.dumps((path, durability)))
        except BaseException:
            self._bury()
            raise
        self.epoch, self.next_key = opened

    def ask(self, work: Callable[[Journal], T]) -> T:
        """What `work`, which must be picklable, answers; waited for."""
        answer: T = self._wait_for(Kind.WORK, pickle.dumps(work))
        return answer

    def reader(self) -> Reader:
        """A reader of the file, for another thread; the caller closes it."""
        return Reader.open(self.path)

    def abandon(self) -> None:
        """Have it end, when what should have followed `open` failed."""
        self._wait_for(Kind.CLOSE)
        self._bury()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on it works for this loop, and nothing waits for it."""
        self._loop = loop
        os.set_blocking(self._answers, False)
        os.set_blocking(self._requests, False)
        loop.add_reader(self._answers, self.look)

    def _wait_for(self, kind: Kind, body: bytes = b"") -> Any:
        try:
            write_whole(self._requests, frame(0, kind, body))
            length, _, answered = HEADER.unpack(read_whole(self._answers, HEADER.size))
            answer: Any = pickle.loads(read_whole(self._answers, length))  # noqa: S301  # from our own child
        except (OSError, EOFError) as error:
            raise CannotOpen(self.path, "the process that should write it has ended") from error
        if answered == Kind.FAILED:
            raise answer
        return answer

    # -- on the loop -------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Batches and works that are not answered yet."""
        return len(self._commits) + len(self._asked)

    @property
    def before_reads(self) -> None:
        """Nothing has to be done before a read: what is acknowledged is in the file."""
        return

    def write(self, batch: Batch, done: Done) -> bool:
        """Have the batch committed, then `done` called on the loop; False: it is not stored now."""
        if self.lost:
            self._loop.call_soon(done, WriterLost(self.path))
            return False
        try:
            body = pack_batch(batch)
        except Exception as error:  # whatever it is, nothing was stored and everybody must hear it
            logger.exception("a batch could not be packed")
            self._loop.call_soon(done, WriteFailed(self.path, str(error)))
            return False
        self._commits[self._send(Kind.COMMIT, body)] = (batch, done)
        return False

    def look(self) -> bool:
        """Take the answers that have come, as the loop does when it hears of them; were there any?"""
        if self.lost:  # the number of our pipe may be another's by now
            return False
        try:
            data = os.read(self._answers, _READ)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            data = b""
        if not data:
            self._end()
            return True
        incoming = self._incoming
        incoming += data
        while len(incoming) >= HEADER.size:
            length, number, kind = HEADER.unpack_from(incoming)
            end = HEADER.size + length
            if len(incoming) < end:
                break
            body = bytes(incoming[HEADER.size : end])
            del incoming[:end]
            self._answered(number, kind, body)
        return True

    async def maintain(self, work: Callable[[Journal], T]) -> T:
        """What `work`, which must be picklable, answers when it is done between two commits."""
        answer: T = await self._request(Kind.WORK, pickle.dumps(work))
        return answer

    async def checkpoint(self) -> None:
        """Have the log copied into the file beside the commits, as far as no reader is in the way."""
        await self._request(Kind.CHECKPOINT)

    def rest(self) -> None:
        """Nobody writes: there is time for what could wait."""
        if not self.lost:
            self._send(Kind.REST)

    async def stop(self) -> None:
        """Have the file closed and the process end."""
        try:
            await self._request(Kind.CLOSE)
        except StorageError as error:
            logger.warning("the file was not closed in order: %s", error)
        self._end()

    async def _request(self, kind: Kind, body: bytes = b"") -> Any:
        if self.lost:
            raise WriterLost(self.path)
        future: asyncio.Future[Any] = self._loop.create_future()
        self._asked[self._send(kind, body)] = future
        return await future

    def _send(self, kind: Kind, body: bytes = b"") -> int:
        number = self._number = (self._number + 1) & 0xFFFFFFFF
        data = frame(number, kind, body)
        if not self._outgoing:
            try:
                data = data[os.write(self._requests, data) :]
            except (BlockingIOError, InterruptedError):
                pass
            except OSError:
                # That the process is gone the loop will read, and then everybody hears it.
                return number
            if not data:
                return number
            self._loop.add_writer(self._requests, self._send_on)
        self._outgoing += data
        return number

    def _send_on(self) -> None:
        try:
            del self._outgoing[: os.write(self._requests, self._outgoing)]
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._outgoing.clear()
        if not self._outgoing:
            self._loop.remove_writer(self._requests)

    def _answered(self, number: int, kind: int, body: bytes) -> None:
        if number in self._commits:
            batch, done = self._commits.pop(number)
            if kind == Kind.STORED:
                seconds, removed = unpack_stored(body)
                batch.erased_by_key = removed
                batch.erased_events = sum(removed.values())
                self._tally.stored(batch, seconds)
                done(None)
            else:
                self._tally.failed()
                done(pickle.loads(body))  # noqa: S301  # from our own child
            return
        future = self._asked.pop(number)
        if future.done():  # who asked waits no more
            return
        answer = pickle.loads(body)  # noqa: S301  # as above
        if kind == Kind.DONE:
            future.set_result(answer)
        else:
            future.set_exception(answer)

    def _end(self) -> None:
        """It is gone, or will be when this returns: whoever waits hears it."""
        if self.lost:
            return
        self.lost = True
        self._loop.remove_reader(self._answers)
        self._loop.remove_writer(self._requests)
        self._bury()
        commits, self._commits = self._commits, {}
        asked, self._asked = self._asked, {}
        if commits or asked:
            logger.critical("the process that writes %s has ended", self.path)
        for _, done in commits.values():
            self._tally.failed()
            done(WriterLost(self.path))
        for future in asked.values():
            if not future.done():
                future.set_exception(WriterLost(self.path))

    def _bury(self) -> None:
        """No two may write one file: whoever comes next finds this one dead."""
        if self.pid:
            os.close(self._answers)
            os.close(self._requests)
            try:
                # It has said its last word, or nobody hears it: either way all that was answered is stored.
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
            except (ProcessLookupError, ChildProcessError):
                logger.debug("the store's process %d has gone already", self.pid)
            self.pid = 0
