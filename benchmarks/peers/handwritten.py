"""What a good engineer writes by hand: asyncio streams on uvloop, a dict, `call_later` and aiosqlite.

A session's timer is cancelled and armed again by each message; message ids are remembered in two generations
of 500 a session. SQLite is in write-ahead mode with `synchronous=FULL`. Two ways to keep a message before its
answer:

* `CommitEach`: `await execute(…)`, `await commit()` and the answer, for each message. All clients share one
  database connection, so that a commit also covers what others inserted meanwhile, and theirs finds nothing
  left to do. Ruled out: a transaction of its own for each message, with a sync each several times slower.
* `CommitGroups`: a task gathers for 5 ms, inserts with `executemany`, commits once, and then writes the
  answers; connections read on meanwhile.
"""

import asyncio
import gc
import signal
import time
from pathlib import Path
from typing import Any, Protocol, Self

import aiosqlite

from .wire import (
    BACKLOG,
    LENGTH,
    SESSION_TIMEOUT,
    accepted,
    created,
    framed,
    new_session_id,
    refused,
    unpack,
    welcome,
)

GROUP_SECONDS = 0.005
REMEMBERED = 500

Row = tuple[str, int, float, str, str | None]
"""Session id, seq, instant, message id, text."""

_SCHEMA = """
CREATE TABLE messages (
    id INTEGER PRIMARY KEY, session_id TEXT, seq INTEGER, at REAL, message_id TEXT, text TEXT
)"""
_INSERT = "INSERT INTO messages (session_id, seq, at, message_id, text) VALUES (?, ?, ?, ?, ?)"


class Journal(Protocol):
    """Keeps rows, and lets an answer leave when what was kept before it is on disk."""

    async def keep(self, row: Row | None, writer: asyncio.StreamWriter, answer: bytes) -> None:
        """The row None is an answer that only has to stay behind earlier ones."""
        ...


class CommitEach:
    """A commit a row."""

    def __init__(self, database: aiosqlite.Connection) -> None:
        self._database = database

    async def keep(self, row: Row | None, writer: asyncio.StreamWriter, answer: bytes) -> None:
        if row is not None:
            await self._database.execute(_INSERT, row)
            await self._database.commit()
        writer.write(answer)
        await writer.drain()


class CommitGroups:
    """A transaction every 5 ms, if there is anything to keep."""

    def __init__(self, database: aiosqlite.Connection) -> None:
        self._database = database
        self._rows: list[Row] = []
        self._answers: list[tuple[asyncio.StreamWriter, bytes]] = []
        self._committing = asyncio.create_task(self._commit_for_ever())

    async def keep(self, row: Row | None, writer: asyncio.StreamWriter, answer: bytes) -> None:
        if row is not None:
            self._rows.append(row)
        self._answers.append((writer, answer))

    async def _commit_for_ever(self) -> None:
        while True:
            await asyncio.sleep(GROUP_SECONDS)
            rows, self._rows = self._rows, []
            answers, self._answers = self._answers, []
            if rows:
                await self._database.executemany(_INSERT, rows)
                await self._database.commit()
            joined: dict[asyncio.StreamWriter, list[bytes]] = {}
            for writer, answer in answers:
                joined.setdefault(writer, []).append(answer)
            for writer, parts in joined.items():
                writer.write(b"".join(parts))


JOURNALS: dict[str, type[CommitEach | CommitGroups]] = {"commit": CommitEach, "group": CommitGroups}


class Session:
    """One session: its timer and what it has heard."""

    def __init__(self, session_id: str, server: "Server") -> None:
        self._session_id = session_id
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(SESSION_TIMEOUT, self._expire)
        self._seq = 1
        self._young: dict[str, int] = {}
        self._old: dict[str, int] = {}

    def hear(self, frame: dict[str, Any]) -> tuple[Row | None, bytes]:
        """What to keep, and the answer for when it is kept."""
        message_id = frame["message_id"]
        known = self._young.get(message_id) or self._old.get(message_id)
        if known is not None:
            return None, framed(accepted(frame, known, duplicate=True))
        self._timer.cancel()
        self._timer = self._loop.call_later(SESSION_TIMEOUT, self._expire)
        self._seq = seq = self._seq + 1
        if len(self._young) >= REMEMBERED:
            self._old, self._young = self._young, {}
        self._young[message_id] = seq
        row = (self._session_id, seq, time.time(), message_id, frame.get("text"))
        return row, framed(accepted(frame, seq, duplicate=False))

    def _expire(self) -> None:
        self._server.sessions.pop(self._session_id, None)


class Server:
    """Reads frames, finds sessions, hands rows and answers to the journal."""

    def __init__(self, database: aiosqlite.Connection, journal: Journal) -> None:
        self.sessions: dict[str, Session] = {}
        self._database = database
        self._journal = journal

    @classmethod
    async def open(cls, mode: str, path: Path) -> Self:
        database = await aiosqlite.connect(path)
        await database.execute("PRAGMA journal_mode = WAL")
        await database.execute("PRAGMA synchronous = FULL")
        await database.execute(_SCHEMA)
        await database.commit()
        return cls(database, JOURNALS[mode](database))

    async def close(self) -> None:
        """End aiosqlite's thread, which the process would wait for."""
        await self._database.close()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection until it ends."""
        sessions, keep = self.sessions, self._journal.keep
        try:
            while True:
                (length,) = LENGTH.unpack(await reader.readexactly(4))
                frame = unpack(await reader.readexactly(length))
                kind = frame["type"]
                if kind == "message:send" and (session := sessions.get(frame["session_id"])):
                    row, answer = session.hear(frame)
                    await keep(row, writer, answer)
                elif kind == "session:create":
                    session_id = new_session_id()
                    sessions[session_id] = Session(session_id, self)
                    row = (session_id, 1, time.time(), "", None)
                    await keep(row, writer, framed(created(frame, session_id)))
                elif kind == "hello":
                    await keep(None, writer, framed(welcome(frame)))
                else:
                    code = "session_not_found" if kind == "message:send" else "unknown_type"
                    await keep(None, writer, framed(refused(frame, code)))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


async def serve(mode: str, host: str, port: int, path: Path) -> None:
    """Answers until SIGTERM or SIGINT. `mode`: a key of JOURNALS."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    made = await Server.open(mode, path)
    server = await asyncio.start_server(made.converse, host, port, backlog=BACKLOG)
    gc.collect()
    gc.freeze()
    bound_host, bound_port = server.sockets[0].getsockname()[:2]
    print(f"ready tcp={bound_host}:{bound_port}", flush=True)
    await stopped.wait()
    server.close()
    await made.close()
