"""LangGraph: one SQLite saver, a checkpoint after each message; the newest checkpoint is the context.

The saver is used by itself, without a graph around it, which would write more checkpoints and pending writes
a turn; messages are plain maps, which it packs faster than LangChain's message objects. Both flatter it. It
stores and reads the whole state each time: there is no shorter read.

`--plain` is `SqliteSaver`, called on the loop; else `AsyncSqliteSaver` on aiosqlite.
"""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from .conversation import Durability, Level, Reading, Said, main


@dataclass
class Thread:
    """A conversation: where its newest checkpoint is, and the state in it."""

    config: dict[str, Any]
    messages: list[dict[str, str]] = field(default_factory=list[dict[str, str]])


class LangGraphSaver:
    """Of the two savers the one that was chosen."""

    def __init__(self, *, plain: bool) -> None:
        self._plain = plain
        self._stack = AsyncExitStack()

    async def open(self, path: Path, durability: Level) -> None:
        # By name: it is installed in an environment of its own, where no type checker looks.
        base: Any = import_module("langgraph.checkpoint.base")
        self._empty_checkpoint = base.empty_checkpoint
        if self._plain:
            plain: Any = import_module("langgraph.checkpoint.sqlite")
            self._saver: Any = self._stack.enter_context(plain.SqliteSaver.from_conn_string(str(path)))
        else:
            aio: Any = import_module("langgraph.checkpoint.sqlite.aio")
            self._saver = await self._stack.enter_async_context(
                aio.AsyncSqliteSaver.from_conn_string(str(path))
            )

    async def close(self) -> None:
        await self._stack.aclose()

    async def durability(self) -> Durability:
        kept: list[Any] = []
        for name in ("journal_mode", "synchronous"):
            cursor: Any = self._saver.conn.execute(f"PRAGMA {name}")
            row = cursor.fetchone() if self._plain else await (await cursor).fetchone()
            kept.append(row[0])
        return Durability(journal_mode=kept[0], synchronous=kept[1])

    async def start(self, name: str) -> Thread:
        return Thread({"configurable": {"thread_id": name, "checkpoint_ns": ""}})

    async def say(self, conversation: Thread, said: Said) -> None:
        conversation.messages.append({"role": said.author, "content": said.text})
        await self._put(conversation)

    async def exchange(self, conversation: Thread, question: Said, answer: Said) -> None:
        await self.grow(conversation, [(question, answer)])

    async def read(self, conversation: Thread, reading: Reading) -> Sequence[Said]:
        newest = {"configurable": {**conversation.config["configurable"]}}
        newest["configurable"].pop("checkpoint_id", None)
        if self._plain:
            # It never waits, and one conversation would go on alone: growing, the dearest way of all.
            await asyncio.sleep(0)
            found = self._saver.get_tuple(newest)
        else:
            found = await self._saver.aget_tuple(newest)
        conversation.messages = found.checkpoint["channel_values"]["messages"]
        return [Said(message["role"], message["content"]) for message in conversation.messages]

    async def grow(self, conversation: Thread, exchanges: Sequence[tuple[Said, Said]]) -> None:
        conversation.messages += [
            {"role": said.author, "content": said.text} for exchange in exchanges for said in exchange
        ]
        await self._put(conversation)

    async def _put(self, conversation: Thread) -> None:
        checkpoint = self._empty_checkpoint()
        version = len(conversation.messages)
        checkpoint["channel_values"] = {"messages": conversation.messages, "topic": "order"}
        checkpoint["channel_versions"] = {"messages": version}
        arguments = (
            conversation.config,
            checkpoint,
            {"source": "loop", "step": version},
            {"messages": version},
        )
        put = self._saver.put(*arguments) if self._plain else await self._saver.aput(*arguments)
        conversation.config = put


if __name__ == "__main__":
    plain = "--plain" in sys.argv
    if plain:
        sys.argv.remove("--plain")
    main(LangGraphSaver(plain=plain))
