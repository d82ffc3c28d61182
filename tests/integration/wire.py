"""A small blocking client for the wire, written from the protocol text alone.

It shares no line with Sojourn's own framing, codec or client, so a mistake made there can't hide here.
Nothing waits for ever: every receive ends after `TIMEOUT` seconds with `Silence`.
"""

from __future__ import annotations

import importlib
import itertools
import select
import socket
import struct
import time
from collections import deque
from typing import Any, Self, cast

# msgpack ships no type hints: loading it by name gives one `Any` instead of an ignore per checker.
_msgpack: Any = importlib.import_module("msgpack")

TIMEOUT = 5.0
"""Seconds a receive waits at most; a bound against hanging, never something a test waits for."""

MAX_REPLY_BYTES = 1 << 20
"""Bytes of the longest frame a server may send."""

Map = dict[str, Any]


class Closed(Exception):
    """The server ended the connection (end of stream or reset)."""


class Silence(Exception):
    """The server sent nothing within the bound."""


class Refused(Exception):
    """The server answered a request with an error; `error` is that frame."""

    def __init__(self, kind: str, error: Map) -> None:
        super().__init__(f"{kind}: {error}")
        self.error = error


def pack(value: object) -> bytes:
    """`value` as msgpack."""
    return cast(bytes, _msgpack.packb(value, use_bin_type=True))


def extension(code: int, data: bytes) -> object:
    """A value that packs as a msgpack extension of an application's own code (0 to 127)."""
    return cast(object, _msgpack.ExtType(code, data))


def timestamp(seconds: int) -> object:
    """A value that packs as msgpack's own timestamp extension."""
    return cast(object, _msgpack.Timestamp(seconds))


def framed(body: bytes) -> bytes:
    """`body` behind its length."""
    return struct.pack(">I", len(body)) + body


def unpack(body: bytes) -> Map:
    """The map in `body`; raises on anything but one whole map with string keys at every depth."""
    value: Any = _msgpack.unpackb(body, raw=False, strict_map_key=True)
    assert isinstance(value, dict), f"a frame from the server is a map, not {value!r}"
    _check_keys(cast(object, value))
    return cast(Map, value)


def _check_keys(value: object) -> None:
    if isinstance(value, dict):
        for key, inner in cast(dict[object, object], value).items():
            assert isinstance(key, str), f"key {key!r} is no string"
            _check_keys(inner)
    elif isinstance(value, list):
        for inner in cast(list[object], value):
            _check_keys(inner)


class Wire:
    """One connection: sends requests, gives each its reply, keeps what was pushed meanwhile in `pushes`."""

    channel = "tcp"
    """Of sessions that name none."""

    def __init__(self, address: tuple[str, int], *, receive_buffer: int | None = None) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer is not None:  # only takes full effect before the connection exists
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(TIMEOUT)
        self._socket.connect(address)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ids = itertools.count(1)
        self._buffer = bytearray()
        self._replies: dict[object, Map] = {}
        self.pushes: deque[Map] = deque()
        self.heard: list[Map] | None = None
        """Every frame, replies too, in the order they came, once this is a list."""
        self.longest_frame_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def half_close(self) -> None:
        """No more from here; what the server still has to say can be read."""
        self._socket.shutdown(socket.SHUT_WR)

    def readable(self, timeout: float) -> bool:
        """Whether something (a frame, or the end) arrives within `timeout` seconds."""
        return bool(self._buffer) or bool(select.select([self._socket], [], [], timeout)[0])

    # -- out ---------------------------------------------------------------------------------------

    def send_raw(self, data: bytes) -> None:
        """These bytes as they are; raises `Closed` when the server has gone."""
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionError) as error:
            raise Closed from error

    def send_map(self, frame: Map) -> None:
        self.send_raw(self.encoded(frame))

    def encoded(self, frame: Map) -> bytes:
        """`frame` as this transport carries it."""
        return framed(pack(frame))

    def send(self, kind: str, /, **payload: Any) -> int:
        """Sends a request under an id of its own, which is returned."""
        request_id = next(self._ids)
        self.send_map({"type": kind, "id": request_id, **payload})
        return request_id

    def send_many(self, requests: list[tuple[str, Map]]) -> list[int]:
        """Sends all requests in one write; returns their ids."""
        ids = [next(self._ids) for _ in requests]
        self.send_raw(
            b"".join(
                self.encoded({"type": kind, "id": request_id, **payload})
                for request_id, (kind, payload) in zip(ids, requests, strict=True)
            )
        )
        return ids

    # -- in ----------------------------------------------------------------------------------------

    def recv(self, timeout: float = TIMEOUT) -> Map:
        """The next frame, whatever it is; raises `Closed` or `Silence`."""
        deadline = time.monotonic() + timeout
        header = self._take(4, deadline)
        (length,) = struct.unpack(">I", header)
        assert 0 < length <= MAX_REPLY_BYTES, f"the server announced a frame of {length} bytes"
        self.longest_frame_bytes = max(self.longest_frame_bytes, length)
        return self.hear(unpack(bytes(self._take(length, deadline))))

    def hear(self, frame: Map) -> Map:
        """What has come, which has a type."""
        assert isinstance(frame.get("type"), str), f"frame without a type: {frame!r}"
        if self.heard is not None:
            self.heard.append(frame)
        return frame

    def reply(self, request_id: object, timeout: float = TIMEOUT) -> Map:
        """The reply or error to that request; what else arrives before it is kept."""
        while request_id not in self._replies:
            frame = self.recv(timeout)
            if "reply_to" in frame:
                assert frame["reply_to"] not in self._replies, f"a second reply: {frame!r}"
                self._replies[frame["reply_to"]] = frame
            else:
                self.pushes.append(frame)
        return self._replies.pop(request_id)

    def request(self, kind: str, /, **payload: Any) -> Map:
        """The reply to that request, or its error."""
        return self.reply(self.send(kind, **payload))

    def ok(self, kind: str, /, **payload: Any) -> Map:
        """The reply to that request; raises `Refused` when it is an error."""
        reply = self.request(kind, **payload)
        if reply["type"] == "error":
            raise Refused(kind, reply)
        return reply

    def refused(self, kind: str, /, **payload: Any) -> Map:
        """The error to that request; its shape is checked, and that the connection lives on."""
        error = self.request(kind, **payload)
        assert error["type"] == "error", f"{kind} was not refused: {error!r}"
        assert isinstance(error["code"], str)
        assert isinstance(error["message"], str)
        assert error["message"]
        assert self.request("ping")["type"] == "pong"
        return error

    def push(self, kind: str | None = None, timeout: float = TIMEOUT) -> Map:
        """The next push; `kind` says which one it has to be."""
        frame = self.pushes.popleft() if self.pushes else self.recv(timeout)
        assert "reply_to" not in frame, f"a reply where a push was expected: {frame!r}"
        assert kind is None or frame["type"] == kind, f"{kind} expected, pushed was {frame!r}"
        return frame

    def pushed(self, session_id: str) -> list[Map]:
        """All pushes of that session up to now.

        The fence is a read of the session: what one session sends on one connection leaves in order.
        """
        self.request("session:get", session_id=session_id)
        mine = [frame for frame in self.pushes if frame.get("session_id") == session_id]
        self.pushes = deque(frame for frame in self.pushes if frame.get("session_id") != session_id)
        return mine

    def ended(self, timeout: float = TIMEOUT) -> list[Map]:
        """Every frame up to the end of the connection."""
        frames = list(self.pushes)
        self.pushes.clear()
        while True:
            try:
                frames.append(self.recv(timeout))
            except Closed:
                return frames

    # -- what many tests need ----------------------------------------------------------------------

    def create(self, **payload: Any) -> str:
        """The id of a new session."""
        return cast(str, self.ok("session:create", **payload)["session_id"])

    def session(self, session_id: str) -> Map:
        """The session map as it is now."""
        return cast(Map, self.ok("session:get", session_id=session_id)["session"])

    def history(self, session_id: str, after_seq: int = 0) -> list[Map]:
        """All events after `after_seq`, page by page."""
        events: list[Map] = []
        more = True
        while more:
            last = events[-1]["seq"] if events else after_seq
            page = self.ok("session:history", session_id=session_id, after_seq=last, limit=1000)
            assert page["events"] or not page["more"], "a page holds at least one item"
            events += page["events"]
            more = page["more"]
        return events

    def _take(self, count: int, deadline: float) -> bytearray:
        while len(self._buffer) < count:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise Silence
            self._socket.settimeout(remaining)
            try:
                data = self._socket.recv(1 << 18)
            except TimeoutError as error:
                raise Silence from error
            except ConnectionError as error:
                raise Closed from error
            if not data:
                raise Closed
            self._buffer += data
        self._socket.settimeout(TIMEOUT)
        taken = self._buffer[:count]
        del self._buffer[:count]
        return taken
