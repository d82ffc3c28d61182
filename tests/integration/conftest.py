"""One server for the whole folder, and what a test needs to talk to it.

Tests share the server, so each uses users of its own (`user_id`) and channels where it counts sessions.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import pytest

from tests.integration.doors import DOORS, wire_by
from tests.integration.server_process import ServerProcess
from tests.integration.wire import Wire

BY_EVERY_DOOR = {f"test_wire_{name}" for name in ("envelope", "lifecycle", "messages", "once", "pushes")}
"""The files whose tests run over each transport and in each kind of message. What the others ask is the same
behind every door: the codec and `test_websocket.py` answer for how it is spelled, the conversation of
`test_wire_conversation.py` for what each side hears of a desk, a history and a deadline.
"""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let the connections of a test come in by each door."""
    if "door" in metafunc.fixturenames:
        everywhere = metafunc.definition.path.stem in BY_EVERY_DOOR
        metafunc.parametrize("door", DOORS if everywhere else DOORS[:1])


class Connect(Protocol):
    """Opens a connection that ends with the test."""

    def __call__(
        self, role: str | None = None, identity: str | None = None, *, server: ServerProcess | None = None
    ) -> Wire: ...


class Launch(Protocol):
    """Starts a server of its own that ends with the test; `folder` to go on with an earlier one's file."""

    def __call__(
        self,
        *options: str,
        environment: dict[str, str] | None = None,
        memory: bool = False,
        folder: Path | None = None,
    ) -> ServerProcess: ...


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The shared server, with every setting at its default."""
    with ServerProcess(tmp_path_factory.mktemp("server"), "--http-port", "0", insights=True) as process:
        yield process
        assert process.stop() == 0
        assert not process.complaints()


@pytest.fixture
def connect(server: ServerProcess, door: str) -> Iterator[Connect]:
    """Opens connections to the shared server, by `door`, or to the one that is given, by TCP."""
    shared = server
    with ExitStack() as stack:

        def open_connection(
            role: str | None = None, identity: str | None = None, *, server: ServerProcess | None = None
        ) -> Wire:
            if door == "tcp" or server is not None:
                return stack.enter_context((server or shared).connect(role, identity))
            wire = stack.enter_context(wire_by(door, shared.http_address))
            if role is not None or identity is not None:
                wire.ok("hello", protocol=1, role=role or "user", identity=identity)
            return wire

        yield open_connection


@pytest.fixture
def user(connect: Connect) -> Wire:
    """A connection without `hello`: role user."""
    return connect()


@pytest.fixture
def agent(connect: Connect) -> Wire:
    """A human agent's connection, identity `bob`."""
    return connect("agent", "bob")


@pytest.fixture
def service(connect: Connect) -> Wire:
    """A backend's connection, identity `backend`."""
    return connect("service", "backend")


@pytest.fixture
def user_id() -> str:
    """A person nobody else talks as."""
    return f"user-{uuid4().hex}"


@pytest.fixture
def channel() -> str:
    """A channel nobody else uses, for tests that count or list."""
    return f"channel-{uuid4().hex}"


@pytest.fixture
def session_id(user: Wire, user_id: str) -> str:
    """A new session of `user_id`, to which the `user` connection is attached."""
    return user.create(user={"user_id": user_id})


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Starts servers with options of their own."""
    numbers = itertools.count(1)
    with ExitStack() as stack:

        def start(
            *options: str,
            environment: dict[str, str] | None = None,
            memory: bool = False,
            folder: Path | None = None,
        ) -> ServerProcess:
            if folder is None:
                folder = tmp_path / f"server-{next(numbers)}"
                folder.mkdir()
            return stack.enter_context(
                ServerProcess(folder, *options, environment=environment, memory=memory)
            )

        yield start
