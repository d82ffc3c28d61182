"""What a server and the process that writes its file say to each other: frames on two pipes.

Both ends are one program at one version, so what travels is what Python itself writes: `marshal` for the rows
of a batch, of which there are very many, `pickle` for what is rare. Nobody else has the pipes.
"""

import marshal
import os
import pickle
from enum import IntEnum
from struct import Struct
from typing import Any, Final

from sojourn.storage import Batch, SessionRow

HEADER: Final = Struct("=IIB")
"""Bytes of the body, number of the request, kind."""
_LENGTH: Final = Struct("=I")
_ROWS: Final = ("events", "sessions", "deadlines")
"""What most batches hold, and by the thousand."""
_RARE: Final = tuple(
    name for name in Batch.__slots__ if name not in (*_ROWS, "erased_by_key", "erased_events")
)
"""What a batch may hold beside it."""


class Kind(IntEnum):
    """Requests, of which `REST` alone has no answer, and then the answers."""

    OPEN = 1
    """Open the file: pickle of (path, durability). The answer is `DONE` with (epoch, next_key)."""
    COMMIT = 2
    """Store a batch (`pack_batch`). The answer is `STORED`."""
    WORK = 3
    """Call a pickled function with the journal, between two commits. The answer is `DONE` with its own."""
    CHECKPOINT = 4
    """Copy the log into the file, beside the commits. The answer is `DONE` with None."""
    REST = 5
    """No batch came for a while."""
    CLOSE = 6
    """Close the file and end. The answer is `DONE` with None."""
    STORED = 16
    """marshal of (seconds that the journal took, removed events by session key)."""
    DONE = 17
    """pickle of the answer."""
    FAILED = 18
    """pickle of the exception."""


def frame(request: int, kind: Kind, body: bytes = b"") -> bytes:
    """One frame, whole."""
    return HEADER.pack(len(body), request, kind) + body


def write_whole(pipe: int, data: bytes) -> None:
    """Write all of it to a pipe that blocks."""
    place = memoryview(data)
    while place:
        place = place[os.write(pipe, place) :]


def read_whole(pipe: int, size: int) -> bytes:
    """Read so many bytes from a pipe that blocks. Raises `EOFError` when it ends before."""
    parts: list[bytes] = []
    while size:
        part = os.read(pipe, size)
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def pack_batch(batch: Batch) -> bytes:
    """The batch as a body. Raises `ValueError` or `pickle.PicklingError` for what is no row."""
    # `marshal` takes no subclass of a tuple.
    rows = marshal.dumps((batch.events, [tuple(row) for row in batch.sessions], batch.deadlines))
    rare = [getattr(batch, name) for name in _RARE]
    if not any(rare):
        return b"".join((_LENGTH.pack(len(rows)), rows))
    return b"".join((_LENGTH.pack(len(rows)), rows, pickle.dumps(rare, pickle.HIGHEST_PROTOCOL)))


def unpack_batch(body: bytes) -> Batch:
    """What `pack_batch` packed."""
    (length,) = _LENGTH.unpack_from(body)
    start = _LENGTH.size
    batch = Batch()
    rows = marshal.loads(memoryview(body)[start : start + length])  # noqa: S302  # from our own parent
    batch.events, sessions, batch.deadlines = rows
    batch.sessions = [SessionRow._make(row) for row in sessions]
    if len(body) > start + length:
        rare: list[Any] = pickle.loads(memoryview(body)[start + length :])  # noqa: S301  # as above
        for name, value in zip(_RARE, rare, strict=True):
            setattr(batch, name, value)
    return batch


def pack_stored(seconds: float, batch: Batch) -> bytes:
    """The answer to a batch that was stored in so many seconds."""
    return marshal.dumps((seconds, batch.erased_by_key))


def unpack_stored(body: bytes) -> tuple[float, dict[int, int]]:
    """What `pack_stored` packed."""
    answer: tuple[float, dict[int, int]] = marshal.loads(body)  # noqa: S302  # from our own child
    return answer


def pack_failure(error: Exception, otherwise: Exception) -> bytes:
    """The exception as a body; `otherwise` when it cannot travel."""
    try:
        body = pickle.dumps(error)
        pickle.loads(body)  # noqa: S301  # one that can be packed only would end who unpacks it
    except Exception:  # noqa: BLE001  # whatever a foreign exception does when it is packed
        return pickle.dumps(otherwise)
    return body
