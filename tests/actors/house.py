"""A runtime on virtual time that a test can stop, kill and start again, and what tests read from it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sojourn.actors import Agent, Runtime, RuntimeConfig, SessionConfig, SessionHandle
from sojourn.actors.answers import Accepted
from sojourn.actors.registry import RegistryActor
from sojourn.actors.session import SessionActor
from sojourn.actors.testing import DEFAULT_START, VirtualClock
from sojourn.storage import EVENT_NAMES

START = DEFAULT_START
PATIENCE = 20.0
"""Seconds after which a test that would otherwise hang fails."""

Map = dict[str, Any]
ADA: Map = {"user_id": "ada"}


class House:
    """One file (or none), one clock, one runtime after another.

    `stop` saves everything, `kill` leaves the file as the death of the process would. Times are seconds
    after `START`.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        config: RuntimeConfig | None = None,
        agent: Agent | None = None,
        now: float = 0.0,
    ) -> None:
        self.path = path
        self.config = RuntimeConfig() if config is None else config
        self.agent = agent
        self.clock = VirtualClock(START + now)
        self._lives = 0
        self._running = False
        self.runtime = self._new_runtime()

    def __enter__(self) -> Self:
        self._enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._running:
            self._running = False
            self.runtime.__exit__(kind, error, traceback)

    def _enter(self) -> None:
        self.runtime.__enter__()
        self._running = True

    def _new_runtime(self) -> Runtime:
        return Runtime(
            None if self.path is None else str(self.path),
            clock=self.clock,
            config=self.config,
            agent=self.agent,
        )

    # -- time and lives ----------------------------------------------------------------------------

    @property
    def now(self) -> float:
        return self.clock.now() - START

    def advance(self, seconds: float) -> None:
        """Let time pass, and everything happen that falls due meanwhile."""
        self.runtime.run(self.clock.advance(seconds), PATIENCE)

    def settle(self) -> None:
        if self._running:
            self.runtime.run(self.clock.settle(), PATIENCE)

    def on_loop(self, step: Callable[[], Any]) -> Any:
        """Take a step on the loop thread, where the inside of a runtime may be touched."""

        async def take() -> Any:
            return step()

        return self.runtime.run(take(), PATIENCE)

    def stop(self) -> None:
        self.__exit__(None, None, None)

    def start(self, after: float = 0.0) -> None:
        """A new runtime on the same file, `after` seconds later."""
        self.clock.set(self.clock.now() + after)
        self.runtime = self._new_runtime()
        self._enter()

    def restart(self, after: float = 0.0) -> None:
        self.stop()
        self.start(after)

    def kill(self, after: float = 0.0) -> None:
        """Go on with the file as it is at this moment: what the runtime saves at its stop goes elsewhere."""
        self.settle()
        assert self.path is not None
        self._lives += 1
        left = self.path.with_name(f"life-{self._lives}.db")
        for suffix in ("", "-wal"):
            source = Path(f"{self.path}{suffix}")
            if source.exists():
                shutil.copyfile(source, f"{left}{suffix}")
        self.stop()
        self.path = left
        self.start(after)

    # -- sessions ----------------------------------------------------------------------------------

    @property
    def registry(self) -> RegistryActor:
        return self.runtime.core.registry

    def create(self, **options: Any) -> SessionHandle:
        """A session that is stored; `user` is Ada unless told otherwise."""
        given: Map = {"user": ADA, **options}
        return self.runtime.create(**given).result(PATIENCE)

    def again(self, session: SessionHandle) -> SessionHandle:
        """The same session, after a restart."""
        return self.runtime.session(session.id)

    def send(self, text: str | None = "hello", *, user: Map = ADA, **options: Any) -> Accepted:
        """A message addressed to a user."""
        return self.runtime.send(text, user=user, **options).result(PATIENCE)

    def live(self, session: SessionHandle) -> SessionActor | None:
        return self.registry.live.get(session.id)

    def passivate(self, session: SessionHandle) -> None:
        """Have the session leave memory now."""

        def step() -> None:
            actor = self.registry.live.get(session.id)
            if actor is not None:
                self.registry.passivate(actor)

        self.on_loop(step)
        self.settle()
        assert self.live(session) is None

    def journal(self) -> list[tuple[str, int, str, float]]:
        """(session_id, seq, type, seconds after START) of every event in the file, in the order of
        commits.
        """
        assert self.path is not None
        with closing(sqlite3.connect(self.path)) as connection:
            rows = connection.execute(
                "SELECT session_id, events.seq, type, at FROM events "
                "JOIN sessions ON sessions.key = events.session ORDER BY events.id"
            ).fetchall()
        return [(session_id, seq, EVENT_NAMES[code], at - START) for session_id, seq, code, at in rows]


def config(*, session: SessionConfig | None = None, **options: Any) -> RuntimeConfig:
    """A configuration whose sessions stay in memory unless told otherwise."""
    given: Map = {"passivate_after": 1e9, **options}
    return RuntimeConfig(session=session or SessionConfig(), **given)


def state(session: SessionHandle) -> Map:
    return session.get().result(PATIENCE)


def say(session: SessionHandle, text: str | None = "hello", **options: Any) -> Accepted:
    return session.send(text, **options).result(PATIENCE)


def history(session: SessionHandle) -> list[Map]:
    """The whole history; its `seq` must be gapless."""
    page = session.history(limit=1000).result(PATIENCE)
    assert not page.more
    assert [event["seq"] for event in page.events] == list(range(1, len(page.events) + 1))
    return page.events


def told(session: SessionHandle) -> list[tuple[str, float]]:
    """(type, seconds after START) of each event."""
    return [(event["type"], event["at"] - START) for event in history(session)]


def texts(session: SessionHandle) -> list[str | None]:
    return [event["text"] for event in history(session) if event["type"] == "message:received"]
