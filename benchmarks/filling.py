"""Sessions by the hundred thousand, through the embedded runtime: what memory and restart are measured on.

`python -m benchmarks.filling DB --sessions N` fills a file with `durability=full`, prints `filled` with the
ids of some of them as JSON in one line, and stays until it is killed.
"""

import argparse
import asyncio
import json
import time
from pathlib import Path

from sojourn import Runtime, RuntimeConfig
from sojourn.actors import SessionHandle

from .harness import progress

FILLED = "filled "
BATCH = 1000
"""Sessions asked for at once. Each batch is awaited when the next has been asked for: nothing piles up, and
the loop has work while the store commits."""
MAX_LIVE = 100_000
"""Live actors while a file is being filled; what is measured there is the file."""


async def fill(
    runtime: Runtime,
    sessions: int,
    *,
    prefix: str = "user",
    expire_at: float | None = None,
    keep: int = 1000,
) -> list[str]:
    """Make sessions with a user id, three context keys and their timers; return `keep` ids, evenly spread.

    They expire a day from now, or with `expire_at` all at that instant (Unix time), but for the moment that
    a session waits between the reading of the clock here and in the runtime.
    """
    kept: list[str] = []
    stride = max(1, sessions // keep)
    begun = time.monotonic()
    before: list[SessionHandle] = []
    for first in range(0, sessions, BATCH):
        batch = range(first, min(first + BATCH, sessions))
        made = [
            runtime.create(
                user={"user_id": f"{prefix}-{number:08d}"},
                context={"topic": "orders", "language": "en", "order": number},
                timeouts={"session_timeout": 86_400.0 if expire_at is None else expire_at - time.time()},
            )
            for number in batch
        ]
        for session in before:
            await session
        before = made
        kept += [session.id for number, session in zip(batch, made, strict=True) if number % stride == 0]
        if (batch.stop // BATCH) % 50 == 0 or batch.stop == sessions:
            seconds = time.monotonic() - begun
            progress(f"{batch.stop:>10,} sessions in {seconds:6.1f} s, {batch.stop / seconds:,.0f}/s")
    for session in before:
        await session
    return kept[:keep]


async def fill_file(db: Path, sessions: int, prefix: str, expire_at: float | None) -> None:
    """Fill `db` and stay."""
    config = RuntimeConfig(max_live=MAX_LIVE)
    async with Runtime(str(db), durability="full", config=config) as runtime:
        ids = await fill(runtime, sessions, prefix=prefix, expire_at=expire_at)
        print(FILLED + json.dumps(ids), flush=True)
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.filling", description=__doc__)
    parser.add_argument("db", type=Path)
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--prefix", default="user", help="of the user ids")
    parser.add_argument("--expire-at", type=float, help="Unix time; a day from now when left out")
    arguments = parser.parse_args()
    asyncio.run(fill_file(arguments.db, arguments.sessions, arguments.prefix, arguments.expire_at))


if __name__ == "__main__":
    main()
