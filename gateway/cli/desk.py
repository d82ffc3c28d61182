"""`sojourn desk`: a human's desk in the terminal, the queue on the left, the talk on the right.

Drawn with rich, which the command has anyway: a toolkit such as textual would be a dependency for one screen.
Where there is no terminal to draw on (a pipe, TERM=dumb, Windows) the same desk is one of lines.
"""

import asyncio
import os
import sys
import time
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from getpass import getuser
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.text import Text

from sojourn.gateway.client import connect
from sojourn.gateway.errors import GatewayError

from .console import fail, harmless, out, run
from .desk_keys import DOWN, LEAVE, UP, Keys, Line
from .desk_state import DeskState
from .desk_view import picture, short_span
from .desk_work import HELP, DeskWork
from .lines import Lines
from .options import ServerHost, ServerPort
from .transcript import event_line


def desk(
    host: ServerHost = "127.0.0.1",
    port: ServerPort = 7411,
    name: Annotated[str | None, typer.Option(help="Who you are [default: your name].")] = None,
    queue: Annotated[
        list[str] | None, typer.Option(help="Show this queue; repeat it for more [default: all].")
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Lines instead of a screen; so it is in a pipe anyway.")
    ] = False,
) -> None:
    """Take over from the AI: see who waits, take somebody, talk, hand back or resolve.

    A line that begins with / is a command (/help), every other is said to the user whose talk is open.
    """
    state = DeskState(name or getuser(), None if not queue else tuple(queue))
    run(_desk(host, port, state, plain=plain or not _can_draw()))


def _can_draw() -> bool:
    """Is there a terminal that one can draw on, and read key by key?"""
    return (
        sys.platform != "win32"
        and sys.stdin.isatty()
        and sys.stdout.isatty()
        and os.environ.get("TERM", "dumb") != "dumb"
    )


async def _desk(host: str, port: int, state: DeskState, *, plain: bool) -> None:
    try:
        async with connect(host, port, role="agent", identity=state.identity) as client:
            screen: _LineScreen | _FullScreen = _LineScreen(state) if plain else _FullScreen(state)
            work = DeskWork(client, state, screen.on_change)
            await first_of(work.run(), screen.run(work))
    except GatewayError as error:
        fail(error)
    except OSError as error:
        reason = error.strerror or error
        fail(f"no server answers at {host}:{port} ({reason}): start one with `sojourn serve`")


async def first_of(*parts: Coroutine[Any, Any, object]) -> None:
    """Run all until one ends or fails, which ends the others."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


class _FullScreen:
    """The desk on a whole terminal."""

    def __init__(self, state: DeskState) -> None:
        self._state = state
        self._line = Line()
        self._dirty = asyncio.Event()

    def on_change(self) -> None:
        self._dirty.set()

    async def run(self, work: DeskWork) -> None:
        """Draw and read keys until the human leaves."""
        keys: asyncio.Queue[str] = asyncio.Queue()
        left = asyncio.Event()
        with _key_by_key(keys, left), Live(console=out, screen=True, auto_refresh=False) as live:
            await first_of(self._draw(live, work), self._work_off(keys, work), left.wait())

    async def _work_off(self, keys: asyncio.Queue[str], work: DeskWork) -> None:
        while await self._press(await keys.get(), work):
            self._dirty.set()

    async def _press(self, key: str, work: DeskWork) -> bool:
        if key in (UP, DOWN):
            await work.move(-1 if key == UP else 1)
            return True
        line = self._line.press(key)
        if line is None:
            return True
        self._state.notice = ""
        return await work.do(line)

    async def _draw(self, live: Live, work: DeskWork) -> None:
        """Once a second for the waiting times, and whenever something has changed."""
        while True:
            work.check_connection()
            self._dirty.clear()
            live.update(picture(self._state, time.time(), self._line.text, out.width), refresh=True)
            try:
                async with asyncio.timeout(1.0):
                    await self._dirty.wait()
            except TimeoutError:
                pass


@contextmanager
def _key_by_key(keys: asyncio.Queue[str], left: asyncio.Event) -> Generator[None]:
    """Have each key come at once and unseen; the terminal is as before in the end.

    `left` is set at once by Ctrl-C, Ctrl-D or the terminal's end, also while a request takes long.
    """
    import termios  # noqa: PLC0415  # not on Windows
    import tty  # noqa: PLC0415

    loop = asyncio.get_running_loop()
    terminal = sys.stdin.fileno()
    decoder = Keys()

    def read() -> None:
        data = os.read(terminal, 4096)
        for key in decoder.feed(data) if data else (LEAVE,):
            if key == LEAVE:
                left.set()
            keys.put_nowait(key)

    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)
    attributes = termios.tcgetattr(terminal)
    attributes[3] &= ~termios.ISIG  # Ctrl-C is a key like others
    termios.tcsetattr(terminal, termios.TCSANOW, attributes)
    loop.add_reader(terminal, read)
    try:
        yield
    finally:
        loop.remove_reader(terminal)
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


class _LineScreen:
    """The desk as lines: each that is new is said once."""

    def __init__(self, state: DeskState) -> None:
        self._state = state
        self._waiting: dict[str, float] = {}
        self._shown: set[tuple[str, int]] = set()
        self._open: str | None = None
        self._notice = ""

    async def run(self, work: DeskWork) -> None:
        """Read lines until one says to leave, or there are no more."""
        out.print(f"desk of [bold]{self._state.identity}[/]; {HELP}", style="dim")
        await work.loaded.wait()  # a script's first line means what waits there
        async for line in Lines():
            work.check_connection()
            self._state.notice = self._notice = ""
            if not await work.do(line):
                return

    def on_change(self) -> None:
        self._say_who_waits()
        self._say_what_is_said()
        if self._state.notice and self._state.notice != self._notice:
            out.print(Text(harmless(self._state.notice), "yellow"), soft_wrap=True)
        self._notice = self._state.notice

    def _say_who_waits(self) -> None:
        now = time.time() + self._state.clock_ahead
        for number, row in enumerate(self._state.waiting.values(), 1):
            if self._waiting.get(row.session_id) != row.since:
                where = f" in {row.queue}" if row.queue else ""
                note = f": {row.note}" if row.note else ""
                line = f"{number}  {row.name} waits{where} for {short_span(now - row.since)}{note}"
                out.print(Text(harmless(line), "cyan"), soft_wrap=True)
        self._waiting = {row.session_id: row.since for row in self._state.waiting.values()}

    def _say_what_is_said(self) -> None:
        """The open talk; nothing of it twice."""
        session_id = self._state.selected
        if session_id is None or session_id not in self._state.talks:
            return
        if session_id != self._open:
            row = self._state.row(session_id)
            if row is not None:
                out.print(Text(f"── {harmless(row.name)} ({session_id})", "bold"), soft_wrap=True)
        self._open = session_id
        for event in self._state.talks[session_id].in_order():
            if (session_id, event["seq"]) not in self._shown:
                self._shown.add((session_id, event["seq"]))
                out.print(event_line(event), soft_wrap=True)
