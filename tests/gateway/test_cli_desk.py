"""`sojourn desk`: keys, picture, work over a real server, and the whole of it in a terminal and in a pipe."""

from __future__ import annotations

import asyncio
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sojourn import Runtime, connect
from sojourn.gateway.cli.desk_keys import CLEAR, DOWN, ENTER, ERASE, LEAVE, UP, Keys, Line
from sojourn.gateway.cli.desk_state import DeskState, Row, Talk
from sojourn.gateway.cli.desk_view import picture, short_span
from sojourn.gateway.cli.desk_work import DeskWork
from sojourn.gateway.client import Client
from sojourn.gateway.server import Server, ServerConfig
from tests.integration.server_process import ServerProcess
from tests.prepared import run_sojourn

# -- keys ----------------------------------------------------------------------------------------------

TYPED = "é😀\x1b[A\x1bOBx\x7f\x15\r\n\x1b[1;5C\x1b[3~\t\x1bq\x03\x04".encode()
PRESSED = ["é", "😀", UP, DOWN, "x", ERASE, CLEAR, ENTER, ENTER, LEAVE, LEAVE]


def test_keys_are_the_same_however_the_bytes_come() -> None:
    assert list(Keys().feed(TYPED)) == PRESSED
    one_by_one = Keys()
    assert [key for byte in TYPED for key in one_by_one.feed(bytes([byte]))] == PRESSED


def test_broken_utf8_is_no_end() -> None:
    assert list(Keys().feed(b"a\xff\xc3(b")) == ["a", "�", "�", "(", "b"]


def test_a_line_is_typed_mended_and_entered() -> None:
    line = Line()
    assert [line.press(key) for key in ("a", "b", ERASE, "c", UP)] == [None] * 5
    assert line.text == "ac"
    assert line.press(ENTER) == "ac"
    assert line.text == ""
    line.press("x")
    line.press(CLEAR)
    assert line.press(ENTER) == ""


# -- picture -------------------------------------------------------------------------------------------


def drawn(state: DeskState, *, now: float = 1000.0, width: int = 100, height: int = 20) -> list[str]:
    console = Console(width=width, height=height, force_terminal=False, legacy_windows=False)
    with console.capture() as capture:
        console.print(picture(state, now, "typed", width), height=height)
    return capture.get().splitlines()


def message(seq: int, author: str, text: str) -> dict[str, Any]:
    return {"type": "message:received", "seq": seq, "at": 0.0, "author": author, "text": text}


def desk_with(text: str, *, name: str = "Ada") -> DeskState:
    state = DeskState("grace", selected="s1")
    state.waiting["s1"] = Row("s1", name, "sales", 990.0)
    state.mine["s2"] = Row("s2", "Bob", None, 400.0, unread=3)
    state.talks["s1"] = Talk({1: message(1, "user", text)})
    return state


def test_the_queue_stands_on_the_left_with_waiting_times_and_the_talk_on_the_right() -> None:
    lines = drawn(desk_with("Where is my order?"))
    assert any(re.search(r"│ +▸1 Ada +sales +0:10 ", line) for line in lines)
    assert any(re.search(r"│ +2 Bob \(3\) +– +10:00 ", line) for line in lines)
    assert any(re.search(r"user +Where is my order\?", line) for line in lines)
    assert any("› typed▏" in line for line in lines)


@pytest.mark.parametrize("size", [(20, 6), (40, 10), (70, 16), (200, 60)], ids=str)
def test_every_screen_is_filled_exactly(size: tuple[int, int]) -> None:
    width, height = size
    lines = drawn(desk_with("Where is my order? " * 100), width=width, height=height)
    assert len(lines) == height
    assert max(len(line) for line in lines) <= width


def test_of_a_long_talk_the_end_is_shown() -> None:
    state = desk_with("first")
    state.talks["s1"].add(message(seq, "ai", f"piece {seq}") for seq in range(2, 200))
    text = "\n".join(drawn(state))
    assert "piece 199" in text
    assert "first" not in text


def test_nothing_that_a_user_wrote_reaches_the_terminal_as_a_command() -> None:
    evil = "\x1b]0;title\x07\x1b[2J\x9b31mred\r\nover"
    state = desk_with(evil, name=evil)
    state.waiting["s1"].queue = state.notice = state.talks["s1"].writing = evil
    text = "\n".join(drawn(state))
    assert "red" in text
    assert not re.search(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]|\x1b(?!\[[0-9;]*m)", text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.9, "0:59"), (750, "12:30"), (3600, "1 h"), (172_799, "47 h"), (172_800, "2 d")],
)
def test_waiting_times_are_short(seconds: float, text: str) -> None:
    assert short_span(seconds) == text


# -- work ----------------------------------------------------------------------------------------------


class Human:
    """Somebody at a desk, and the moment at which something has changed there."""

    def __init__(self, client: Client, name: str, queues: tuple[str, ...] | None = None) -> None:
        self.state = DeskState(name, queues)
        self.changed = asyncio.Event()
        self.work = DeskWork(client, self.state, self.changed.set)

    async def until(self, condition: Callable[[DeskState], object]) -> None:
        """Wait for it; the test's own time limit is the bound."""
        while not condition(self.state):
            self.changed.clear()
            await self.changed.wait()

    def texts(self) -> list[str | None]:
        """The messages of the open talk."""
        assert self.state.selected is not None
        talk = self.state.talks[self.state.selected]
        return [event.get("text") for event in talk.in_order() if event["type"] == "message:received"]


@asynccontextmanager
async def at_work(human: Human) -> AsyncGenerator[Human]:
    task = asyncio.create_task(human.work.run())
    await human.work.loaded.wait()
    try:
        yield human
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def people(*names: str) -> AsyncGenerator[tuple[Client, list[Client]]]:
    """A user's connection and those of human agents, at a server of their own."""
    async with Runtime() as runtime:
        server = Server(runtime, ServerConfig(port=0, http_port=None))
        await server.start()
        host, port = server.tcp_address
        user = await connect(host, port)
        agents = [await connect(host, port, role="agent", identity=name) for name in names]
        try:
            yield user, agents
        finally:
            for client in (user, *agents):
                await client.close()
            await server.drain()


async def caller(user: Client, name: str, queue: str = "sales", note: str | None = None) -> str:
    """A session of this person's that waits for a human."""
    session = await user.create(user={"user_id": name.lower(), "display_name": name})
    await session.send(f"I am {name}")
    await session.hand_over(queue, note=note)
    return session.id


def names(rows: dict[str, Row]) -> list[str]:
    return [row.name for row in rows.values()]


def test_a_human_takes_talks_and_resolves() -> None:
    async def play() -> None:
        async with people("grace") as (user, (client,)):
            ada = await caller(user, "Ada", note="a price")
            async with at_work(Human(client, "grace")) as grace:
                assert (names(grace.state.waiting), grace.state.selected) == (["Ada"], ada)
                assert grace.state.waiting[ada].note == "a price"
                await caller(user, "Bob")
                await grace.until(lambda state: names(state.waiting) == ["Ada", "Bob"])
                assert grace.texts() == ["I am Ada"]

                assert await grace.work.do("may I?")
                assert grace.state.notice == "take somebody to say something: /take, or /next"
                assert await grace.work.do("")
                assert (names(grace.state.waiting), names(grace.state.mine)) == (["Bob"], ["Ada"])
                await grace.work.do("Good morning")
                await user.session(ada).send("Good morning, too")
                await grace.until(lambda _: grace.texts()[-1] == "Good morning, too")
                assert grace.texts() == ["I am Ada", "Good morning", "Good morning, too"]

                await grace.work.do("/resolve")
                assert grace.state.notice == "Ada is resolved"
                state = await user.session(ada).get()
                assert (state["status"], state["close_reason"]) == ("closed", "resolved_by_human")
                await grace.until(lambda state: not state.mine and names(state.waiting) == ["Bob"])
                assert not await grace.work.do("/quit")

    asyncio.run(play())


def test_hand_back_pass_on_and_next() -> None:
    async def play() -> None:
        async with people("grace") as (user, (client,)):
            ada, bob = await caller(user, "Ada"), await caller(user, "Bob")
            async with at_work(Human(client, "grace")) as grace:
                await grace.work.do("/next")
                await grace.work.do("/next")
                assert names(grace.state.mine) == ["Ada", "Bob"]
                await grace.work.do("/back")
                assert (await user.session(bob).get())["handling"] == "ai"
                await grace.work.do("/show 1")
                assert grace.state.selected == ada
                await grace.work.do("/to billing")
                state = await user.session(ada).get()
                assert (state["handling"], state["queue"]) == ("queued", "billing")
                await grace.until(lambda state: names(state.waiting) == ["Ada"])
                assert grace.state.waiting[ada].queue == "billing"

    asyncio.run(play())


def test_who_is_slower_is_told_who_has_it() -> None:
    async def play() -> None:
        async with people("grace", "joan") as (user, (client, other)):
            ada = await caller(user, "Ada")
            async with at_work(Human(client, "grace")) as grace:
                row = grace.state.waiting[ada]
                await other.session(ada).assign()
                await grace.until(lambda state: not state.waiting)
                grace.state.waiting[ada] = row  # as it is while the news is on its way
                await grace.work.do("/take 1")
                assert grace.state.notice == "joan was faster"
                assert not grace.state.mine

    asyncio.run(play())


def test_only_the_wanted_queues_are_shown() -> None:
    async def play() -> None:
        async with people("grace") as (user, (client,)):
            await caller(user, "Ada", queue="sales")
            await caller(user, "Bob", queue="billing")
            async with at_work(Human(client, "grace", ("billing",))) as grace:
                assert names(grace.state.waiting) == ["Bob"]

    asyncio.run(play())


def test_whoever_comes_back_to_the_desk_has_what_they_had() -> None:
    async def play() -> None:
        async with people("grace") as (user, (client,)):
            await caller(user, "Ada")
            async with at_work(Human(client, "grace")) as grace:
                await grace.work.do("/take")
            async with at_work(Human(client, "grace")) as again:
                assert (names(again.state.mine), again.state.selected) == (["Ada"], None)
                await again.work.move(1)
                await again.work.do("Here I am")
                assert again.texts() == ["I am Ada", "Here I am"]

    asyncio.run(play())


def test_a_user_who_leaves_is_told_and_the_next_line_reaches_nobody_else() -> None:
    async def play() -> None:
        async with people("grace") as (user, (client,)):
            ada, bob = await caller(user, "Ada"), await caller(user, "Bob")
            async with at_work(Human(client, "grace")) as grace:
                await grace.work.do("/take 2")
                await grace.work.do("/take 1")
                await user.session(ada).close(reason="found it")
                await grace.until(lambda state: ada not in state.mine)
                assert grace.state.notice == "Ada is closed: found it"
                await grace.work.do("meant for Ada")
                assert grace.state.notice.startswith("take somebody")
                page = await user.session(bob).history()
                assert [event.text for event in page.events if event.text] == ["I am Bob"]

    asyncio.run(play())


def test_messages_of_a_talk_that_is_not_open_are_counted() -> None:
    async def play() -> None:
        async with people("grace") as (user, (client,)):
            ada, bob = await caller(user, "Ada"), await caller(user, "Bob")
            async with at_work(Human(client, "grace")) as grace:
                await grace.work.do("/next")
                await grace.work.do("/next")
                await user.session(ada).send("hello?")
                await grace.until(lambda state: state.mine[ada].unread)
                assert (grace.state.selected, grace.state.mine[ada].unread) == (bob, 1)
                await grace.work.move(-1)
                assert (grace.state.selected, grace.state.mine[ada].unread) == (ada, 0)

    asyncio.run(play())


@pytest.mark.parametrize(
    ("line", "notice"),
    [
        ("/foo", "there is no command /foo; /help lists them"),
        ("/take 7", "there is no number 7; 0 are listed"),
        ("/show", "which number?"),
        ("/show x", "there is no number x; 0 are listed"),
        ("/next", "nobody waits"),
        ("/take", "nobody waits"),
        ("/to", "/to QUEUE: name the queue"),
        ("/to sales", "take somebody to pass it on: /take, or /next"),
        ("/back", "take somebody to hand it back: /take, or /next"),
        ("/resolve", "take somebody to resolve it: /take, or /next"),
    ],
)
def test_what_makes_no_sense_is_a_notice(line: str, notice: str) -> None:
    async def play() -> None:
        async with people("grace") as (_, (client,)), at_work(Human(client, "grace")) as grace:
            assert await grace.work.do(line)
            assert grace.state.notice == notice

    asyncio.run(play())


# -- the command ---------------------------------------------------------------------------------------


def words(port: int, *options: str) -> list[str]:
    return ["desk", "--port", str(port), "--name", "grace", *options]


@pytest.fixture
def server(tmp_path: Path) -> Any:
    with ServerProcess(tmp_path, memory=True) as process:
        yield process
        assert not process.complaints()


def test_in_a_pipe_the_desk_is_lines(server: ServerProcess) -> None:
    with server.connect() as wire:
        session_id = wire.create(user={"user_id": "ada", "display_name": "Ada"})
        wire.ok("message:send", session_id=session_id, text="Where is \x1b[31mit?")
        wire.ok("session:handover", session_id=session_id, queue="sales", note="a price")
        typed = "/next\nOn its way\n/resolve\n"
        result = run_sojourn(*words(server.address[1]), environment=os.environ, stdin=typed)
        assert (result.returncode, result.stderr) == (0, "")
        lines = result.stdout.splitlines()
        assert any(re.fullmatch(r"1  Ada waits in sales for \d:\d\d: a price", line) for line in lines)
        assert lines[lines.index("  user  Where is �[31mit?") :] == [
            "  user  Where is �[31mit?",
            "· handed over by user to sales: a price",
            "· taken by grace",
            "Ada is yours",
            " human  On its way",
            "Ada is resolved",
        ]
        assert wire.session(session_id)["close_reason"] == "resolved_by_human"


def test_without_a_server_the_desk_says_one_line() -> None:
    result = run_sojourn(*words(1), environment=os.environ)
    assert result.returncode == 1
    assert result.stderr.startswith("sojourn: no server answers at 127.0.0.1:1")
    assert result.stderr.count("\n") == 1


class Terminal:
    """A pseudo-terminal with the desk in it."""

    def __init__(self, arguments: list[str]) -> None:
        pty = pytest.importorskip("pty", reason="no pseudo-terminals on this system")
        self.fd, inner = pty.openpty()
        self._seen = ""
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "24"}
        self._process = subprocess.Popen(
            arguments, stdin=inner, stdout=inner, stderr=inner, env=environment, start_new_session=True
        )
        os.close(inner)

    def type(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def see(self, words: str) -> None:
        """Read until the screen has shown these words since the last ones."""
        deadline = time.monotonic() + 20.0
        while words not in self._seen:
            ready, _, _ = select.select([self.fd], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{words!r} was never shown: {self._seen[-2000:]!r}"
            self._seen += os.read(self.fd, 65536).decode(errors="replace")
        self._seen = self._seen.partition(words)[2]

    def end(self) -> int:
        """The exit code; reads on, as nothing may stay in the terminal's buffer."""
        try:
            while os.read(self.fd, 65536):
                pass
        except OSError:  # the other side is closed
            pass
        os.close(self.fd)
        return self._process.wait(20)


@pytest.mark.parametrize("leave", ["/quit\r", "\x04", "\x03"], ids=["quit", "ctrl-d", "ctrl-c"])
def test_in_a_terminal_keys_take_and_talk(server: ServerProcess, leave: str) -> None:
    with server.connect() as wire:
        session_id = wire.create(user={"user_id": "ada", "display_name": "Ada"})
        wire.ok("session:handover", session_id=session_id, queue="sales")
        desk = Terminal([sys.executable, "-m", "sojourn", *words(server.address[1])])
        desk.see("only looking")
        desk.type("\r")
        desk.see("Ada is yours")
        desk.type("Good morninx\x7fg\r")
        assert wire.push("session:assigned")["assignee"] == "grace"
        assert wire.push("message:received", timeout=10)["text"] == "Good morning"
        desk.type(leave)
        assert desk.end() == 0
