"""What a connection and the server know of each other, whatever the transport."""

from typing import Any, Final, Protocol

from .peer import Peer, Transport

SLOW_CONSUMER_GRACE: Final = 5.0
"""Seconds that a reader who does not read has for its goodbye."""


class Connection(Transport, Protocol):
    """One connection, as the server sees it: a peer's transport."""

    peer: Peer

    def flush(self) -> None:
        """Write what waits, in one go."""
        ...

    def abort(self) -> None:
        """Reset the connection, whatever waits."""
        ...

    @property
    def peername(self) -> Any:
        """Where it comes from, for the log."""
        ...


class Host(Protocol):
    """The server, as a connection sees it."""

    max_frame_bytes: int
    max_output_bytes: int

    def accept(self, transport: Connection) -> Peer:
        """A peer for a new connection."""
        ...

    def admit(self, peer: Peer) -> None:
        """Say goodbye to it at once, if there is no room."""
        ...

    def receive(self, peer: Peer, body: bytes, now: float) -> None: ...

    def now(self) -> float: ...

    def after_read(self) -> None:
        """One of the reads of this turn is done."""
        ...

    def flush_soon(self, connection: Connection) -> None:
        """Have `connection.flush` called at the end of this turn, or before."""
        ...

    def lost(self, connection: Connection) -> None: ...
