"""The obvious implementation: what Pykka, the standard library and sqlite-utils invite one to write.

A `pykka.ThreadingActor` and a `threading.Timer` a session, a thread a connection, one database behind a lock;
each message is an upsert, whose key (session, message id) takes care of what is sent twice. The author knew
of write-ahead logging, of daemon threads and of the listen backlog, and found sessions in a dict rather than
in Pykka's registry, which is a list. Each change is on disk before its answer.
"""

import signal
import socketserver
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any, cast

import pykka
from sqlite_utils import Database
from sqlite_utils.db import Table

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


class Store:
    """The one database of all sessions."""

    def __init__(self, path: Path) -> None:
        # Its lock guards the connection: one statement, and the transaction it is in, at a time.
        self._lock = threading.Lock()
        connection = sqlite3.connect(path, check_same_thread=False)
        connection.execute("PRAGMA synchronous = FULL")
        self._database = Database(connection)
        self._database.enable_wal()
        self._sessions = cast("Table", self._database["sessions"])
        self._messages = cast("Table", self._database["messages"])
        self._sessions.create({"id": str, "channel": str, "created_at": float}, pk="id")
        self._messages.create(
            {"session_id": str, "message_id": str, "seq": int, "at": float, "text": str},
            pk=("session_id", "message_id"),
        )

    def add_session(self, session_id: str, channel: str) -> None:
        with self._lock:
            self._sessions.insert({"id": session_id, "channel": channel, "created_at": time.time()})

    def keep_message(self, message: dict[str, Any]) -> None:
        with self._lock:
            self._messages.upsert(message, pk=("session_id", "message_id"))


class Session(pykka.ThreadingActor):
    """One session: its thread, its timer, what it has heard."""

    use_daemon_thread = True

    def __init__(self, session_id: str, store: Store, sessions: dict[str, "pykka.ActorRef[Session]"]) -> None:
        super().__init__()
        self._session_id = session_id
        self._store = store
        self._sessions = sessions
        self._seqs: dict[str, int] = {}
        self._timer: threading.Timer | None = None

    def on_start(self) -> None:
        self._arm()

    def on_stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def on_receive(self, message: Any) -> Any:
        if message == "timeout":
            self._sessions.pop(self._session_id, None)
            self.stop()
            return None
        return self._heard(message)

    def _heard(self, frame: dict[str, Any]) -> dict[str, Any]:
        message_id = frame["message_id"]
        known = self._seqs.get(message_id)
        if known is not None:
            return accepted(frame, known, duplicate=True)
        self._arm()
        seq = len(self._seqs) + 2  # the session's creation was 1
        self._store.keep_message(
            {
                "session_id": self._session_id,
                "message_id": message_id,
                "seq": seq,
                "at": time.time(),
                "text": frame["text"],
            }
        )
        self._seqs[message_id] = seq
        return accepted(frame, seq, duplicate=False)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(SESSION_TIMEOUT, self.actor_ref.tell, ["timeout"])
        self._timer.daemon = True
        self._timer.start()


class Connection(socketserver.StreamRequestHandler):
    """One client, in a thread of its own."""

    disable_nagle_algorithm = True
    wbufsize = -1  # an answer leaves in one write

    def handle(self) -> None:
        while len(head := self.rfile.read(4)) == 4:
            frame = unpack(self.rfile.read(LENGTH.unpack(head)[0]))
            self.wfile.write(framed(self._answer(frame)))
            self.wfile.flush()

    def _answer(self, frame: dict[str, Any]) -> dict[str, Any]:
        # Its declared type is the base class.
        server = cast("Server", self.server)
        sessions = server.sessions
        if frame["type"] == "message:send":
            session = sessions.get(frame["session_id"])
            if session is None:
                return refused(frame, "session_not_found")
            return cast("dict[str, Any]", session.ask(frame))
        if frame["type"] == "session:create":
            session_id = new_session_id()
            server.store.add_session(session_id, frame.get("channel", "tcp"))
            sessions[session_id] = Session.start(session_id, server.store, sessions)
            return created(frame, session_id)
        return welcome(frame) if frame["type"] == "hello" else refused(frame, "unknown_type")


class Server(socketserver.ThreadingTCPServer):
    """Accepts; holds what the connections share."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = BACKLOG

    def __init__(self, address: tuple[str, int], store: Store) -> None:
        super().__init__(address, Connection)
        self.store = store
        self.sessions: dict[str, pykka.ActorRef[Session]] = {}


def serve(host: str, port: int, path: Path) -> None:
    """Answers until SIGTERM or SIGINT."""
    with Server((host, port), Store(path)) as server:
        accepting = threading.Thread(target=server.serve_forever, daemon=True)
        accepting.start()
        bound_host, bound_port = server.server_address[:2]
        signals = {signal.SIGTERM, signal.SIGINT}
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        print(f"ready tcp={bound_host!s}:{bound_port}", flush=True)
        signal.sigwait(signals)
