"""Google ADK: one `DatabaseSessionService` on SQLite through aiosqlite, an event a message.

Its runner appends the user's event, appends the answer's, and reads with `get_session`, which alone can be
asked for the last events. `append_event` takes the session that was read last, as its check for stale
writers asks.
"""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from .conversation import RECENT, USER, Durability, Level, Reading, Said, main

APP = "benchmark"


class AdkService:
    """A conversation is a list of one: the `Session` as it was last read."""

    async def open(self, path: Path, durability: Level) -> None:
        # By name: it is installed in an environment of its own, where no type checker looks.
        sessions: Any = import_module("google.adk.sessions")
        base: Any = import_module("google.adk.sessions.base_session_service")
        self._types: Any = import_module("google.genai.types")
        self._event: Any = import_module("google.adk.events").Event
        self._recent = base.GetSessionConfig(num_recent_events=RECENT)
        self._service = sessions.DatabaseSessionService(f"sqlite+aiosqlite:///{path}")

    async def close(self) -> None:
        await self._service.close()

    async def durability(self) -> Durability:
        async with self._service.db_engine.connect() as connection:
            journal_mode = (await connection.exec_driver_sql("PRAGMA journal_mode")).scalar()
            synchronous = (await connection.exec_driver_sql("PRAGMA synchronous")).scalar()
        return Durability(journal_mode=journal_mode, synchronous=synchronous)

    async def start(self, name: str) -> list[Any]:
        return [
            await self._service.create_session(
                app_name=APP, user_id=name, session_id=name, state={"topic": "order"}
            )
        ]

    async def say(self, conversation: list[Any], said: Said) -> None:
        await self._service.append_event(conversation[0], self._event_of(said))

    async def exchange(self, conversation: list[Any], question: Said, answer: Said) -> None:
        await self.say(conversation, question)
        await self.say(conversation, answer)

    async def read(self, conversation: list[Any], reading: Reading) -> Sequence[Said]:
        known = conversation[0]
        conversation[0] = read = await self._service.get_session(
            app_name=APP,
            user_id=known.user_id,
            session_id=known.id,
            config=self._recent if reading == "recent" else None,
        )
        if read.state["topic"] != "order":
            return ()
        return [
            Said("user" if event.author == USER else "assistant", event.content.parts[0].text)
            for event in read.events
        ]

    async def grow(self, conversation: list[Any], exchanges: Sequence[tuple[Said, Said]]) -> None:
        for question, answer in exchanges:
            await self.exchange(conversation, question, answer)

    def _event_of(self, said: Said) -> Any:
        by_user = said.author == USER
        content = self._types.Content(
            role="user" if by_user else "model", parts=[self._types.Part(text=said.text)]
        )
        return self._event(author="user" if by_user else APP, content=content)


if __name__ == "__main__":
    main(AdkService())
