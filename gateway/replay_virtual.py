"""Conversations lived through in process, on a virtual clock: months of timeouts in seconds.

All messages of all conversations come in the order of their own times (equal times in the order of the
file), each at its own instant, so each session expires or lives on exactly as it would have. Nobody closes
anything.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sojourn.actors import Runtime, RuntimeConfig, SentMessage
from sojourn.actors.config import Durability
from sojourn.actors.testing import VirtualClock

from .dataset import Conversation, Line

WINDOW = 500
"""Messages under way at once: fewer than may wait for one session, many enough to share their commits."""


@dataclass(frozen=True, kw_only=True)
class VirtualSummary:
    """What a replay on a virtual clock did; `elapsed` is real seconds, `virtual_elapsed` virtual ones."""

    conversations: int
    messages: int
    sessions_created: int
    sessions_expired: int
    events: int
    """Durable events: created + messages + expired, for nothing else happens."""
    elapsed: float
    virtual_elapsed: float
    messages_per_second: float

    def as_map(self) -> dict[str, Any]:
        """The fields by name, for `--json`."""
        return asdict(self)


async def replay_virtually(
    conversations: Sequence[Conversation],
    *,
    path: str | None = None,
    durability: Durability = "memory",
    config: RuntimeConfig | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> VirtualSummary:
    """Live through `conversations` and past the last deadline; what is counted are the events of the journal.

    `path` and `durability` are those of a `Runtime`: None keeps everything in memory.
    """
    config = config or RuntimeConfig()
    rows = [(line, conversation.key) for conversation in conversations for line in conversation.lines]
    rows.sort(key=_instant)  # stable
    counts: Counter[str] = Counter()

    def on_event(event: Mapping[str, Any]) -> None:
        counts[event["type"]] += 1

    first, last = (rows[0][0].at, rows[-1][0].at) if rows else (0.0, 0.0)
    clock = VirtualClock(first)
    shortest = _shortest_wait(config)
    under_way_since = first
    start = time.perf_counter()
    async with Runtime(path, durability=durability, clock=clock, config=config) as runtime:
        runtime.subscribe(on_event)
        for begin in range(0, len(rows), WINDOW):
            sent: list[SentMessage] = []
            for line, key in rows[begin : begin + WINDOW]:
                # Each message carries its own instant, so those under way need not be waited for, unless a
                # deadline of theirs may lie before this one.
                if line.at - under_way_since >= shortest:
                    await clock.settle()
                    under_way_since = line.at
                await clock.move_to(line.at)
                sent.append(
                    runtime.send(
                        user={"user_id": key},
                        text=line.text,
                        author="user" if line.by_user else "human",
                        author_id=line.sender,
                    )
                )
            for message in sent:
                await message
            on_progress(len(sent))
        await clock.advance_to(last + _longest_wait(config))
        end = clock.now()
    elapsed = time.perf_counter() - start
    return VirtualSummary(
        conversations=len(conversations),
        messages=counts["message:received"],
        sessions_created=counts["session:created"],
        sessions_expired=counts["session:expired"],
        events=counts.total(),
        elapsed=elapsed,
        virtual_elapsed=end - first,
        messages_per_second=counts["message:received"] / elapsed,
    )


def _instant(row: tuple[Line, str]) -> float:
    return row[0].at


def _shortest_wait(config: RuntimeConfig) -> float:
    """Seconds within which no session that a message made or moved can fall due."""
    session = config.session
    waits = (session.session_timeout, session.max_lifetime, session.dialog_timeout)
    return min((seconds for seconds in waits if seconds is not None), default=float("inf"))


def _longest_wait(config: RuntimeConfig) -> float:
    """Seconds behind the last message after which no session is left, where sessions end at all."""
    ends = (config.session.session_timeout, config.session.max_lifetime)
    return min((seconds for seconds in ends if seconds is not None), default=0.0)
