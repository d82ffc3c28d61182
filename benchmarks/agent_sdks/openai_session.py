"""OpenAI Agents SDK: a `SQLiteSession` a conversation, all on one file.

Its runner appends the user's items before the model is called and the answer's behind it, and reads with
`get_items`, so this does too.
"""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from .conversation import RECENT, Durability, Level, Reading, Said, main


class OpenAISession:
    """Each call runs in a thread of asyncio's pool, as the SDK does it."""

    async def open(self, path: Path, durability: Level) -> None:
        # By name: it is installed in an environment of its own, where no type checker looks.
        self._session: Any = import_module("agents").SQLiteSession
        self._path = path
        self._sessions: list[Any] = []

    async def close(self) -> None:
        for session in self._sessions:
            session.close()

    async def durability(self) -> Durability:
        # What the SDK sets on each connection it opens: asked on one of them.
        connection = self._sessions[0]._get_connection()  # noqa: SLF001 - it shows it nowhere else
        return Durability(
            journal_mode=connection.execute("PRAGMA journal_mode").fetchone()[0],
            synchronous=connection.execute("PRAGMA synchronous").fetchone()[0],
        )

    async def start(self, name: str) -> Any:
        session = self._session(name, self._path)
        self._sessions.append(session)
        return session

    async def say(self, conversation: Any, said: Said) -> None:
        await conversation.add_items([_item(said)])

    async def exchange(self, conversation: Any, question: Said, answer: Said) -> None:
        await conversation.add_items([_item(question), _item(answer)])

    async def read(self, conversation: Any, reading: Reading) -> Sequence[Said]:
        items = await conversation.get_items(RECENT if reading == "recent" else None)
        return [Said(item["role"], item["content"]) for item in items]

    async def grow(self, conversation: Any, exchanges: Sequence[tuple[Said, Said]]) -> None:
        await conversation.add_items([_item(said) for exchange in exchanges for said in exchange])


def _item(said: Said) -> dict[str, str]:
    return {"role": said.author, "content": said.text}


if __name__ == "__main__":
    main(OpenAISession())
