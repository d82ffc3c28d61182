"""Sojourn, embedded: a handle a conversation, the context and the last messages read back."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sojourn import Runtime
from sojourn.actors.handles import SessionHandle

from .conversation import RECENT, USER, Durability, Level, Reading, Said, main

AUTHORS = {True: "user", False: "ai"}
"""Whose message it is for Sojourn, by whether the user said it."""


@dataclass
class Conversation:
    """A session and how far it is known to be."""

    handle: SessionHandle
    seq: int = 1


class SojournRuntime:
    """`Runtime` on the running loop."""

    def __init__(self) -> None:
        self._durability: Level = "full"

    async def open(self, path: Path, durability: Level) -> None:
        self._durability = durability
        self._runtime = Runtime(str(path), durability=durability)
        await self._runtime.start()

    async def close(self) -> None:
        await self._runtime.stop()

    async def durability(self) -> Durability:
        return Durability(journal_mode="wal", synchronous={"full": 2, "relaxed": 1}[self._durability])

    async def start(self, name: str) -> Conversation:
        return Conversation(await self._runtime.create(user={"user_id": name}, context={"topic": "order"}))

    async def say(self, conversation: Conversation, said: Said) -> None:
        accepted = await conversation.handle.send(said.text, author=AUTHORS[said.author == USER])
        conversation.seq = accepted.seq

    async def exchange(self, conversation: Conversation, question: Said, answer: Said) -> None:
        first = conversation.handle.send(question.text)
        second = conversation.handle.send(answer.text, author=AUTHORS[False])
        await first
        conversation.seq = (await second).seq

    async def read(self, conversation: Conversation, reading: Reading) -> Sequence[Said]:
        # The two reads are under way together. The creation is an event, too, and no message.
        handle = conversation.handle
        state = handle.get()
        history = handle.recent(RECENT) if reading == "recent" else handle.history(limit=conversation.seq)
        if (await state)["context"]["topic"] != "order":
            return ()
        return [
            Said("user" if event["author"] == "user" else "assistant", event["text"])
            for event in (await history).events
            if event["type"] == "message:received"
        ]

    async def grow(self, conversation: Conversation, exchanges: Sequence[tuple[Said, Said]]) -> None:
        for question, answer in exchanges:
            await self.exchange(conversation, question, answer)


if __name__ == "__main__":
    main(SojournRuntime())
