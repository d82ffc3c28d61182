"""One request and its answer at a time over a plain socket, without a client in the way of the clock."""

import socket
from struct import Struct
from types import TracebackType
from typing import Any, Self

from sojourn.actors.packing import pack, unpack

_LENGTH = Struct(">I")


class Asking:
    """A blocking connection; a context manager."""

    def __init__(self, address: tuple[str, int], *, timeout: float = 60.0) -> None:
        self._socket = socket.create_connection(address, timeout=timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, frame: dict[str, Any]) -> dict[str, Any]:
        """Send a request, wait for its answer; ConnectionError when the server went away."""
        body = pack(frame)
        self._socket.sendall(_LENGTH.pack(len(body)) + body)
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        answer: dict[str, Any] = unpack(self._exactly(length))
        return answer

    def _exactly(self, count: int) -> bytes:
        received = bytearray()
        while len(received) < count:
            piece = self._socket.recv(count - len(received))
            if not piece:
                raise ConnectionError("the server closed the connection")
            received += piece
        return bytes(received)

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()
