"""One process's share of a load: its connections, what they send, what they count.

The same frames, loops and counts as `loadgen.c`, which says why they are so; only an answer's place is kept
in a dict by its id, not in a numbered slot.
"""

import os
import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgpack

from .loadgen_counts import Counts

READ_BYTES: Final = 256 << 10
MAX_FRAME_BYTES: Final = 1 << 20
CREATE_WINDOW: Final = 64
_WORDS: Final = b"Where is my order? It was due on Monday. "
_SPREAD: Final = 0x9E3779B97F4A7C15
"""Odd: its multiples modulo 2^64 come once each."""

_pack: Any = msgpack.packb  # pyright: ignore[reportUnknownMemberType]  # msgpack has no types
_unpack: Any = msgpack.unpackb  # pyright: ignore[reportUnknownMemberType]


class LoadFailed(Exception):
    """The load could not be generated; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one process does: the connections `indexes` of `connections` in all."""

    host: str
    port: int
    connections: int
    indexes: Sequence[int]
    sessions: int
    outstanding: int
    rate: float | None
    "Messages a second of all processes together, in the open loop; None: closed loop."
    echo: bool
    create_only: bool
    attach: bool
    ids: Path | None
    session_id_bytes: int
    text_bytes: int
    setup_seconds: float


@dataclass(frozen=True, kw_only=True)
class Window:
    """Instants of the monotonic clock, seconds; it is one clock for all processes of the machine."""

    start: float
    opens: float
    ends: float
    drained: float


class Connection:
    """One connection to the server, not blocking."""

    def __init__(self, index: int, address: tuple[str, int]) -> None:
        self.index = index
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.received = b""
        self.outgoing = bytearray()
        self.waits_to_write = False
        self.pending: dict[int, float] = {}
        """Id of a request → the instant that its latency counts from."""
        self.last_id = 0
        self.session_ids: list[bytes] = []
        """As msgpack."""
        self.next_session = 0
        self.asked = 0
        self.due = self.sent = 0
        self.ended = False


class Worker:
    """Sends a share of a load."""

    def __init__(self, share: Share) -> None:
        self.share = share
        self.counts = Counts()
        self._selector = selectors.DefaultSelector()
        self._connections: list[Connection] = []
        self._setting_up = True
        self._seed = int.from_bytes(os.urandom(8), "big")
        self._window = Window(start=0.0, opens=0.0, ends=0.0, drained=0.0)
        self._due = 0
        """Open loop: messages of this process whose instant has come."""
        text = (_WORDS * (share.text_bytes // len(_WORDS) + 1))[: share.text_bytes]
        self._text = b"\xa4text" + _pack(text.decode())

    def set_up(self) -> None:
        """Connect, and make the sessions."""
        share = self.share
        limit = time.monotonic() + share.setup_seconds
        for index in share.indexes:
            connection = Connection(index, (share.host, share.port))
            self._selector.register(connection.socket, selectors.EVENT_READ, connection)
            self._connections.append(connection)
        if share.ids is not None:
            self._read_ids(share.ids)
        for connection in self._connections:
            if share.echo:
                first = connection.index * share.sessions
                for number in range(first, first + share.sessions):
                    self._know(connection, f"{number:0{share.session_id_bytes}d}")
                self._send_message(connection, time.monotonic())
            elif share.ids is None:
                while connection.asked < min(share.sessions, CREATE_WINDOW, share.outstanding):
                    self._send_create(connection)
            self._flush(connection)
        wanted = len(self._connections) * share.sessions
        while self.counts.created < wanted or self.counts.answered < self.counts.sent:
            self._poll(0.1)
            if time.monotonic() > limit:
                msg = f"{self.counts.created} of {wanted} sessions after {share.setup_seconds:g} s"
                raise LoadFailed(msg)
        for connection in self._connections:
            connection.sent = 0
        self.counts.sent = self.counts.answered = 0
        self._setting_up = False

    def run(self, window: Window) -> None:
        """Send the load, until all is answered or the time for that is over."""
        share, counts = self.share, self.counts
        self._window = window
        time.sleep(max(0.0, window.start - time.monotonic()))
        cpu_before: float | None = None
        if share.rate is None:
            for connection in self._connections:
                while len(connection.pending) < share.outstanding:
                    self._send_message(connection, time.monotonic())
                self._flush(connection)
        drains = False
        while True:
            now = time.monotonic()
            if cpu_before is None and now >= window.opens:
                cpu_before = time.process_time()
            if not drains and now >= window.ends:
                drains = True
                counts.cpu_seconds = time.process_time() - (cpu_before or 0.0)
            next_at = window.opens if now < window.opens else window.drained if drains else window.ends
            if share.rate is not None:
                next_at = min(next_at, self._send_due(now))
            all_sent = all(each.sent >= each.due for each in self._connections) if drains else False
            if drains and ((all_sent and counts.answered == counts.sent) or now >= window.drained):
                break
            if counts.disconnects == len(self._connections):
                if not drains:
                    raise LoadFailed(f"the server closed every connection: {counts.first_error}")
                break
            self._poll(max(0.0, next_at - time.monotonic()))
        counts.unsent = sum(max(0, each.due - each.sent) for each in self._connections)
        if share.rate is not None:
            self._charge_the_unanswered(time.monotonic())

    def close(self) -> None:
        """Leave."""
        for connection in self._connections:
            connection.socket.close()
        self._selector.close()

    # -- sending -----------------------------------------------------------------------------------

    def _read_ids(self, path: Path) -> None:
        ids = path.read_text().splitlines()
        each = self.share.sessions
        if len(ids) < self.share.connections * each:
            raise LoadFailed(f"{path} holds fewer ids than there are sessions")
        for connection in self._connections:
            for session_id in ids[connection.index * each : (connection.index + 1) * each]:
                self._know(connection, session_id)

    def _know(self, connection: Connection, session_id: str) -> None:
        connection.session_ids.append(_pack(session_id))
        self.counts.created += 1

    def _next_id(self, connection: Connection, begun: float) -> bytes:
        connection.last_id += 1
        connection.pending[connection.last_id] = begun
        return connection.last_id.to_bytes(4, "big")

    def _send_create(self, connection: Connection) -> None:
        head = b"\x83" if self.share.attach else b"\x84\xa6attach\xc2"
        number = self._next_id(connection, time.monotonic())
        body = head + b"\xa4type\xaesession:create\xa7channel\xa3tcp\xa2id\xce" + number
        connection.asked += 1
        connection.outgoing += len(body).to_bytes(4, "big") + body

    def _send_message(self, connection: Connection, begun: float) -> None:
        session_id = connection.session_ids[connection.next_session]
        connection.next_session = (connection.next_session + 1) % self.share.sessions
        self._seed = (self._seed + _SPREAD) % 2**64
        body = b"".join(
            (
                b"\x85\xa4type\xacmessage:send\xa2id\xce",
                self._next_id(connection, begun),
                b"\xaasession_id",
                session_id,
                b"\xaamessage_id\xb0",
                b"%016x" % self._seed,
                self._text,
            )
        )
        connection.outgoing += len(body).to_bytes(4, "big") + body
        connection.sent += 1
        self.counts.sent += 1
        self.counts.frame_bytes = len(body) + 4

    def _intended(self, connection: Connection, message: int) -> float:
        """When this connection's message of that number is due; all connections take turns."""
        assert self.share.rate is not None
        return self._window.start + (message * self.share.connections + connection.index) / self.share.rate

    def _send_due(self, now: float) -> float:
        """Open loop: send what is due; when the next is."""
        connections = self._connections
        touched: set[Connection] = set()
        while True:
            connection = connections[self._due % len(connections)]
            at = self._intended(connection, self._due // len(connections))
            if at > now or at >= self._window.ends:
                break
            self._due += 1
            connection.due += 1
            self.counts.late_max = max(self.counts.late_max, now - at)
            self._send_what_fits(connection)
            touched.add(connection)
        for connection in touched:
            self._flush(connection)
        return at if at < self._window.ends else self._window.drained

    def _send_what_fits(self, connection: Connection) -> None:
        while (
            connection.sent < connection.due
            and len(connection.pending) < self.share.outstanding
            and not connection.ended
        ):
            self._send_message(connection, self._intended(connection, connection.sent))

    def _charge_the_unanswered(self, now: float) -> None:
        """What was never answered waited at least until now: leaving it out would flatter."""
        opens = self._window.opens
        for connection in self._connections:
            owed = [*connection.pending.values()]
            owed += [self._intended(connection, each) for each in range(connection.sent, connection.due)]
            for begun in owed:
                if begun >= opens:
                    self.counts.record(now - begun)

    # -- the sockets -------------------------------------------------------------------------------

    def _poll(self, timeout: float) -> None:
        for key, events in self._selector.select(timeout):
            connection: Connection = key.data
            if events & selectors.EVENT_READ:
                self._read(connection)
            self._flush(connection)

    def _flush(self, connection: Connection) -> None:
        if connection.ended:
            return
        try:
            while connection.outgoing:
                del connection.outgoing[: connection.socket.send(connection.outgoing)]
        except BlockingIOError:
            pass
        except OSError:
            self._end(connection)
            return
        if connection.waits_to_write != bool(connection.outgoing):
            connection.waits_to_write = not connection.waits_to_write
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.waits_to_write else 0)
            self._selector.modify(connection.socket, events, connection)

    def _read(self, connection: Connection) -> None:
        try:
            data = connection.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end(connection)
            return
        now = time.monotonic()
        data = connection.received + data
        at = 0
        while len(data) - at >= 4:
            size = int.from_bytes(data[at : at + 4], "big")
            if not 0 < size <= MAX_FRAME_BYTES:
                raise LoadFailed(f"the peer announced a frame of {size} bytes")
            if len(data) - at - 4 < size:
                break
            self._take(connection, _unpack(data[at + 4 : at + 4 + size]), now)
            at += 4 + size
        connection.received = data[at:]

    def _end(self, connection: Connection) -> None:
        if self._setting_up:
            why = self.counts.first_error
            raise LoadFailed(f"the server closed a connection while the sessions were being made: {why}")
        connection.ended = True
        self.counts.disconnects += 1
        self._selector.unregister(connection.socket)
        connection.socket.close()

    # -- answers -----------------------------------------------------------------------------------

    def _take(self, connection: Connection, answer: dict[str, Any], now: float) -> None:
        share, counts = self.share, self.counts
        kind = answer["type"]
        number = answer.get("id" if share.echo else "reply_to")
        if number is None:
            if kind in {"error", "goodbye"}:
                self._count_error(answer)
            else:
                counts.pushes += 1
            return
        begun = connection.pending.pop(number, None)
        if begun is None:
            counts.strays += 1
            return
        if kind == "error":
            self._count_error(answer)
            if self._setting_up:
                raise LoadFailed(f"session:create was refused: {counts.first_error}")
            counts.answered += 1
        elif self._setting_up:
            self._set_up_answered(connection, answer)
            return
        elif kind == ("message:send" if share.echo else "message:accepted"):
            counts.answered += 1
            instant = now if share.rate is None else begun
            if self._window.opens <= instant < self._window.ends:
                counts.measured += 1
                counts.record(now - begun)
        else:
            counts.strays += 1
        if share.rate is not None:
            self._send_what_fits(connection)
        elif now < self._window.ends:
            self._send_message(connection, now)

    def _set_up_answered(self, connection: Connection, answer: dict[str, Any]) -> None:
        if self.share.echo:
            self.counts.answered += 1
            return
        if answer["type"] != "session:created":
            raise LoadFailed(f"session:create was answered with {answer['type']}")
        self._know(connection, answer["session_id"])
        if connection.asked < self.share.sessions:
            self._send_create(connection)

    def _count_error(self, answer: dict[str, Any]) -> None:
        counts = self.counts
        counts.errors += 1
        counts.codes[answer["code"]] += 1
        counts.first_error = counts.first_error or f"{answer['code']}: {answer.get('message', '')}"
