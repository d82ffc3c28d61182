"""The inside of the process that writes a server's file: one request after the other, until it ends."""

import gc
import logging
import os
import pickle
import select
import signal
from collections.abc import Callable
from threading import Lock
from time import perf_counter
from typing import Any, Final

from sojourn.storage import Journal, WriteFailed

from .keeper import Keeper
from .store_actors import Checkpoint, CheckpointActor, not_stored
from .store_frames import (
    HEADER,
    Kind,
    frame,
    pack_failure,
    pack_stored,
    read_whole,
    unpack_batch,
    write_whole,
)

logger = logging.getLogger(__name__)

LOOK: Final = 1.0
"""Seconds of silence after which we look whether the server is still there: somebody else whom it has forked
may hold its end of the pipe open."""


class ServerGone(Exception):
    """The pipe has ended."""


class StoreChild:
    """Answers one server."""

    def __init__(self, requests: int, answers: int, server: int) -> None:
        """Two pipes, and the server's process id."""
        self._requests = requests
        self._answers = answers
        self._server = server
        self._poll = select.poll()
        self._poll.register(requests, select.POLLIN)
        # Held while a frame is sent: the thread that copies the log answers, too.
        self._sending = Lock()
        self._path: str | None = None
        self._journal: Journal
        self._keeper: Keeper

    def run(self) -> None:
        """Serve until the server says `CLOSE`. Raises `ServerGone` when it ends without."""
        request, kind, body = self._receive()
        assert kind is Kind.OPEN
        self._path, durability = pickle.loads(body)  # noqa: S301  # from our own parent
        try:
            journal = self._journal = Journal.open(self._path, durability, self._server)
        except Exception as error:  # noqa: BLE001  # whoever asked must hear it, whatever it is
            self._fail(request, error)
            return
        checkpointer = CheckpointActor.start(journal)
        self._keeper = Keeper(journal, lambda: checkpointer.tell(Checkpoint()), self._is_awaited)
        self._answer(request, Kind.DONE, pickle.dumps((journal.epoch, journal.next_key)))
        # A writer that was killed has left runs.
        self._keeper.rest()
        while kind is not Kind.CLOSE:
            request, kind, body = self._receive()
            if kind is Kind.COMMIT:
                self._commit(request, body)
            elif kind is Kind.WORK:
                self._work(request, body)
            elif kind is Kind.REST:
                self._keeper.rest()
            elif kind is Kind.CHECKPOINT:
                checkpointer.tell(Checkpoint(self._done(request)))
        checkpointer.stop()
        self._keeper.finish()
        journal.close()
        self._answer(request, Kind.DONE, pickle.dumps(None))

    def _commit(self, request: int, body: bytes) -> None:
        count = 0
        try:
            batch = unpack_batch(body)
            begun = perf_counter()
            self._journal.commit(batch)
            took = perf_counter() - begun
        except Exception as failure:  # noqa: BLE001  # everybody must hear it
            self._fail(request, not_stored(self._path, failure))
        else:
            count = len(batch.events)
            self._answer(request, Kind.STORED, pack_stored(took, batch))
        self._keeper.keep_up(count)

    def _work(self, request: int, body: bytes) -> None:
        try:
            work: Callable[[Journal], Any] = pickle.loads(body)  # noqa: S301  # from our own parent
            answer = pickle.dumps(work(self._journal), pickle.HIGHEST_PROTOCOL)
        except Exception as error:  # noqa: BLE001  # whoever asked must hear it, whatever it is
            self._fail(request, error)
        else:
            self._answer(request, Kind.DONE, answer)

    def _done(self, request: int) -> Callable[[], None]:
        return lambda: self._answer(request, Kind.DONE, pickle.dumps(None))

    def _fail(self, request: int, error: Exception) -> None:
        otherwise = WriteFailed(self._path, f"{type(error).__name__}: {error}")
        self._answer(request, Kind.FAILED, pack_failure(error, otherwise))

    # -- the pipes ---------------------------------------------------------------------------------

    def _answer(self, request: int, kind: Kind, body: bytes) -> None:
        with self._sending:
            try:
                write_whole(self._answers, frame(request, kind, body))
            except OSError as error:
                raise ServerGone from error

    def _is_awaited(self) -> bool:
        return bool(self._poll.poll(0))

    def _receive(self) -> tuple[int, Kind, bytes]:
        while not self._poll.poll(1000 * LOOK):
            if os.getppid() != self._server:
                raise ServerGone
        try:
            length, request, kind = HEADER.unpack(read_whole(self._requests, HEADER.size))
            return request, Kind(kind), read_whole(self._requests, length)
        except (EOFError, OSError) as error:
            raise ServerGone from error


def serve_and_exit(requests: int, answers: int, server: int) -> None:
    """What the forked process does, from its first instruction to its last; it does not return.

    It leaves when the server does, and only then: a signal to the whole group (Ctrl-C) is for the server,
    which still has to write what is in flight. When the server is killed, nothing is closed in order here
    either: the file is as after any `kill -9`, and free at once.
    """
    status = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        nothing = os.open(os.devnull, os.O_RDWR)
        # Who reads the server's output waits for its end, not for ours.
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)
        gc.freeze()  # what the server has made so far is never garbage here
        StoreChild(requests, answers, server).run()
        status = 0
    except ServerGone:
        status = 0
    except BaseException:
        logger.critical("the process that writes the file has failed", exc_info=True)
    finally:
        os._exit(status)
