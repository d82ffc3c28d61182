"""A server with its HTTP port, on virtual time and a loop in a thread of its own; and a client to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

import httpx

from sojourn.actors import Runtime, RuntimeConfig
from sojourn.actors.testing import VirtualClock
from sojourn.gateway.server import Server, ServerConfig

Map = dict[str, Any]
T = TypeVar("T")

PATIENCE = 10.0
"""Seconds until a test gives up; nothing waits for them to pass."""


class HttpHouse:
    """One server; `http` is a client at its door, without an `Origin` as programs are."""

    def __init__(
        self,
        path: str | None = None,
        *,
        config: RuntimeConfig | None = None,
        clock: VirtualClock | None = None,
        **server: Any,
    ) -> None:
        self.clock = VirtualClock() if clock is None else clock
        self.runtime = Runtime(
            path, durability="relaxed" if path else "memory", clock=self.clock, config=config
        )
        self._config = ServerConfig(port=0, http_port=0, **server)
        self.server: Server

    def __enter__(self) -> Self:
        self.runtime.__enter__()
        self.server = Server(self.runtime, self._config)
        self.do(self.server.start())
        assert self.server.http_address is not None
        host, port = self.server.http_address
        self.authority = f"{host}:{port}"
        self.url = f"http://{self.authority}"
        self.http = httpx.Client(base_url=self.url, timeout=PATIENCE)
        return self

    def __exit__(self, *exc: Any) -> None:
        self.http.close()
        self.do(self.server.drain())
        self.runtime.__exit__(*exc)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the server's loop."""
        return self.runtime.run(work, PATIENCE)

    def call(self, work: Callable[[], T]) -> T:
        """Call something on the server's loop."""

        async def run() -> T:
            return work()

        return self.do(run())

    # -- what many tests ask -----------------------------------------------------------------------

    def ok(self, method: str, path: str, body: object = None, status: int = 200, **headers: str) -> Map:
        """The answer's body, which has this status."""
        answer = self.ask(method, path, body, **headers)
        assert answer.status_code == status, answer.text
        found: Map = answer.json()
        return found

    def refused(self, method: str, path: str, body: object = None, status: int = 400, **headers: str) -> Map:
        """The error, which has this status and the form of all errors."""
        error = self.ok(method, path, body, status, **headers)
        assert isinstance(error["code"], str)
        assert error["message"]
        assert "type" not in error
        return error

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        """The answer; a header's underscores are dashes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body)
        return self.http.request(method, path, content=content, headers=named)

    def create(self, **payload: Any) -> str:
        """The id of a new session."""
        session_id: str = self.ok("POST", "/v1/sessions", payload, 201)["session_id"]
        return session_id

    def say(self, session_id: str, text: str, **headers: str) -> Map:
        """A user's message, relayed."""
        body = {"text": text, "author": "user"}
        return self.ok("POST", f"/v1/sessions/{session_id}/messages", body, 200, **headers)

    @contextmanager
    def events(self, session_id: str, query: str = "", **headers: str) -> Generator[Events]:
        """The session's events as they come."""
        with self.stream("GET", f"/v1/sessions/{session_id}/events{query}", **headers) as events:
            yield events

    @contextmanager
    def stream(self, method: str, path: str, body: object = None, **headers: str) -> Generator[Events]:
        """Server-sent events of any address."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = None if body is None else json.dumps(body)
        with self.http.stream(method, path, content=content, headers=named) as answer:
            assert answer.status_code == 200, answer.read()
            assert answer.headers["content-type"].startswith("text/event-stream")
            yield Events(answer)


class Event:
    """One dispatched block of a stream."""

    def __init__(self, fields: dict[str, str]) -> None:
        self.id = fields.get("id")
        self.name = fields.get("event")
        self.data: Map = json.loads(fields["data"]) if "data" in fields else {}


class Events:
    """A stream, read block by block as the standard says; comments are left out."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.iter_lines()

    def block(self) -> Event | None:
        """The next block, also one without an event; None at the end."""
        fields: dict[str, str] = {}
        for line in self._lines:
            if line.startswith(":"):
                continue
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields:
                return Event(fields)
        return None

    def next(self, name: str | None = None) -> Event:
        """The next event, of this name."""
        while (event := self.block()) is not None:
            if event.name is not None:
                assert name is None or event.name == name, event.data
                return event
        raise AssertionError("the stream has ended")

    def until(self, name: str) -> list[Event]:
        """All events up to one of this name."""
        events = [self.next()]
        while events[-1].name != name:
            events.append(self.next())
        return events

    def rest(self) -> list[Event]:
        """All that is left, once the stream has ended."""
        events: list[Event] = []
        while (event := self.block()) is not None:
            events.append(event)
        return events


def in_thread(work: Callable[[], object]) -> threading.Thread:
    """Begin some work beside the test."""
    thread = threading.Thread(target=work, name="beside")
    thread.start()
    return thread
