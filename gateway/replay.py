"""Conversations fed to a server over TCP, as fast as it takes them.

Each connection keeps a number of conversations going side by side, each with one message outstanding: a
conversation's order holds however the server spreads its work, and the wire is never idle. Messages are
addressed by user, as a backend that bridges a chat network does it; each has its own `message_id`, so a
replay that was cut off can be run again and adds only what is missing, as long as its sessions live.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .codec import decode, encode
from .dataset import Conversation
from .errors import ERROR_CODES, GatewayError
from .framing import FrameDecoder, encode_frame

READ_BYTES = 1 << 18
RETRY_AFTER = 0.1
"""Seconds to wait where the server names none."""


class ReplayFailed(GatewayError):
    """The replay cannot go on; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a replay over TCP did. Times are seconds, latencies milliseconds."""

    conversations: int
    messages: int
    """Accepted, each once; `duplicates` of them had been accepted by an earlier replay."""
    duplicates: int
    sessions_created: int
    refused: dict[str, int]
    """How many messages were refused for good, by error code."""
    retried: int
    elapsed: float
    messages_per_second: float
    latency_p50: float
    latency_p99: float
    latency_max: float
    connections: int
    outstanding: int
    """Messages under way at once on each connection."""

    def as_map(self) -> dict[str, Any]:
        """The fields by name, for `--json`."""
        return asdict(self)


class _Tally:
    """What all connections of one replay count together."""

    def __init__(self, on_progress: Callable[[int], None]) -> None:
        self.on_progress = on_progress
        self.latencies: list[float] = []
        self.duplicates = 0
        self.created = 0
        self.retried = 0
        self.refused: Counter[str] = Counter()


class _Lane:
    """One conversation under way: the line that waits for its answer, and when it was sent."""

    __slots__ = ("conversation", "index", "sent")

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.index = 0
        self.sent = 0.0

    def frame(self, lane_id: int) -> bytes:
        key = self.conversation.key
        line = self.conversation.lines[self.index]
        self.sent = time.perf_counter()
        return encode_frame(
            encode(
                {
                    "type": "message:send",
                    "id": lane_id,
                    "user": {"user_id": key},
                    "message_id": f"{key}:{self.index}",
                    "text": line.text,
                    "author": "user" if line.by_user else "human",
                    "author_id": line.sender,
                    "attach": False,
                }
            )
        )


class _Connection:
    """One connection and its lanes; `waiting` is shared: a free lane takes the next conversation."""

    def __init__(self, waiting: Iterator[Conversation], outstanding: int, tally: _Tally) -> None:
        self._waiting = waiting
        self._outstanding = outstanding
        self._tally = tally
        self._lanes: dict[int, _Lane] = {}
        self._output: list[bytes] = []

    async def run(self, host: str, port: int) -> None:
        try:
            reader, writer = await asyncio.open_connection(host, port, limit=READ_BYTES)
        except OSError as error:
            reason = error.strerror or error
            raise ReplayFailed(
                f"no server answers at {host}:{port} ({reason}): start one with `sojourn serve`"
            ) from error
        try:
            hello = {"type": "hello", "protocol": 1, "role": "service", "client": "sojourn replay"}
            writer.write(encode_frame(encode(hello)))
            for lane_id in range(self._outstanding):
                self._next_conversation(lane_id)
            await self._exchange(reader, writer)
        except (ConnectionError, TimeoutError) as error:
            raise ReplayFailed(f"the connection to {host}:{port} broke: {error}") from error
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        decoder = FrameDecoder(1 << 24)
        while self._lanes:
            # What one read answered goes out in one write.
            writer.write(b"".join(self._output))
            self._output.clear()
            await writer.drain()
            data = await reader.read(READ_BYTES)
            if not data:
                raise ReplayFailed("the server closed the connection")
            answered = 0
            for body in decoder.feed(data):
                answered += self._on_frame(decode(body), writer)
            if decoder.error:
                raise ReplayFailed(f"the server sent something else: {decoder.error}")
            self._tally.on_progress(answered)

    def _on_frame(self, frame: dict[str, Any], writer: asyncio.StreamWriter) -> int:
        """Handle one frame; how many messages are done by it: 0 or 1."""
        kind = frame["type"]
        if kind == "goodbye":
            raise ReplayFailed(f"the server said goodbye: {frame.get('code')}: {frame.get('message')}")
        if kind not in {"message:accepted", "error"}:
            return 0
        if "reply_to" not in frame:
            raise ReplayFailed(f"the server refused: {frame.get('code')}: {frame.get('message')}")
        lane_id: int = frame["reply_to"]
        lane = self._lanes[lane_id]
        if kind == "message:accepted":
            tally = self._tally
            tally.latencies.append(time.perf_counter() - lane.sent)
            tally.created += bool(frame["created"]) and not frame["duplicate"]
            tally.duplicates += bool(frame["duplicate"])
        else:
            code = str(frame["code"])
            if code in ERROR_CODES and ERROR_CODES[code].retry == "yes" and code != "internal_error":
                self._tally.retried += 1
                wait = frame.get("retry_after")
                asyncio.get_running_loop().call_later(
                    RETRY_AFTER if wait is None else wait, self._again, lane_id, writer
                )
                return 0
            self._tally.refused[code] += 1
        lane.index += 1
        if lane.index < len(lane.conversation.lines):
            self._output.append(lane.frame(lane_id))
        else:
            self._next_conversation(lane_id)
        return 1

    def _again(self, lane_id: int, writer: asyncio.StreamWriter) -> None:
        if not writer.is_closing():
            writer.write(self._lanes[lane_id].frame(lane_id))

    def _next_conversation(self, lane_id: int) -> None:
        for conversation in self._waiting:
            if conversation.lines:
                lane = self._lanes[lane_id] = _Lane(conversation)
                self._output.append(lane.frame(lane_id))
                return
        self._lanes.pop(lane_id, None)


async def replay(
    conversations: Sequence[Conversation],
    *,
    host: str = "127.0.0.1",
    port: int = 7411,
    connections: int = 50,
    outstanding: int = 16,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Summary:
    """Send every message of `conversations` and return what came of it.

    `on_progress` is told how many more messages are done. Raises `ReplayFailed` when there is no server, or
    when it goes away.
    """
    tally = _Tally(on_progress)
    waiting = iter(conversations)
    start = time.perf_counter()
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(connections, max(1, len(conversations)))):
                group.create_task(_Connection(waiting, outstanding, tally).run(host, port))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None  # they all fail for one reason
    elapsed = time.perf_counter() - start
    latencies = sorted(tally.latencies) or [0.0]
    return Summary(
        conversations=len(conversations),
        messages=len(tally.latencies),
        duplicates=tally.duplicates,
        sessions_created=tally.created,
        refused=dict(tally.refused),
        retried=tally.retried,
        elapsed=elapsed,
        messages_per_second=len(tally.latencies) / elapsed,
        latency_p50=_quantile(latencies, 0.50) * 1000,
        latency_p99=_quantile(latencies, 0.99) * 1000,
        latency_max=latencies[-1] * 1000,
        connections=connections,
        outstanding=outstanding,
    )


def _quantile(ordered: Sequence[float], fraction: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * fraction))]
