"""`sojourn chat`: talk to a server from the terminal; what others cause is shown as it comes."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from getpass import getuser
from typing import Annotated, Any

import typer
from rich.text import Text

from sojourn.gateway.client import Client, RemoteSession, connect
from sojourn.gateway.errors import GatewayError

from .console import fail, instant, out, run
from .lines import Lines
from .options import ServerHost, ServerPort
from .transcript import event_line

HELP = """\
/context             show the context         /context KEY=VALUE …   change it (no value: delete)
/close [REASON]      close the session        /reopen                take it up again
/rate 1-5 [WORDS]    rate it                  /state                 what the server knows of it
/history             all that was said        /quit                  leave; the session goes on"""

Command = Callable[[str], Awaitable[None]]


def chat(
    host: ServerHost = "127.0.0.1",
    port: ServerPort = 7411,
    user: Annotated[
        str | None, typer.Option(metavar="USER_ID", help="Who you are [default: your name].")
    ] = None,
    session: Annotated[str | None, typer.Option(metavar="ID", help="Join this session instead.")] = None,
    agent: Annotated[bool, typer.Option("--agent", help="Join as a human agent (with --session).")] = False,
) -> None:
    """Talk in a session: each line is a message, lines that begin with / are commands (/help).

    Also reads from a pipe: one message a line, and it ends when the last one is acknowledged.
    """
    if agent and session is None:
        fail("--agent joins a session: name it with --session", usage=True)
    run(_chat(host, port, user or getuser(), session, agent=agent))


async def _chat(host: str, port: int, user: str, session_id: str | None, *, agent: bool) -> None:
    try:
        async with connect(host, port, role="agent" if agent else "user", identity=user) as client:
            talk = _Talk(client, await _join(client, user, session_id))
            await talk.run()
    except GatewayError as error:
        fail(error)
    except OSError as error:
        reason = error.strerror or error
        fail(f"no server answers at {host}:{port} ({reason}): start one with `sojourn serve`")


async def _join(client: Client, user: str, session_id: str | None) -> RemoteSession:
    if session_id is None:
        return await client.create(user={"user_id": user})
    session = client.session(session_id)
    await session.resume()
    return session


class _Talk:
    """One conversation at the terminal."""

    def __init__(self, client: Client, session: RemoteSession) -> None:
        self._client = client
        self._session = session
        self._commands: dict[str, Command] = {
            "/close": self._close,
            "/reopen": self._reopen,
            "/context": self._context,
            "/rate": self._rate,
            "/state": self._state,
            "/history": self._history,
            "/help": self._help,
        }

    async def run(self) -> None:
        out.print(f"session [bold]{self._session.id}[/]; /help lists the commands", style="dim")
        async with asyncio.TaskGroup() as group:
            pushes = group.create_task(self._show_pushes())
            async for line in Lines():
                if line == "/quit":
                    break
                if line:
                    await self._do(line)
            pushes.cancel()

    async def _do(self, line: str) -> None:
        """One line of the user's; a refusal is shown, and the talk goes on."""
        word, _, rest = line.partition(" ")
        try:
            if not line.startswith("/"):
                await self._session.send(line)
            elif word in self._commands:
                await self._commands[word](rest.strip())
            else:
                out.print(f"there is no command {word}; /help lists them", style="red", markup=False)
        except GatewayError as error:
            out.print(str(error), style="red", markup=False)

    async def _show_pushes(self) -> None:
        async for event in self._session.events():
            out.print(event_line(event.as_map()), soft_wrap=True)

    async def _close(self, reason: str) -> None:
        reply = await self._request("session:close", reason=reason or None)
        out.print(f"closed; /reopen works until {instant(reply['reopen_until'])}", style="dim")

    async def _reopen(self, _: str) -> None:
        await self._request("session:reopen")
        out.print("reopened", style="dim")

    async def _context(self, words: str) -> None:
        if words:
            reply = await self._request("session:context:update", context=_patch(words))
            context, version = reply["context"], reply["context_version"]
        else:
            session = (await self._request("session:get"))["session"]
            context, version = session["context"], session["context_version"]
        out.print(f"{json.dumps(context, ensure_ascii=False)} (version {version})", markup=False)

    async def _rate(self, words: str) -> None:
        number, _, feedback = words.partition(" ")
        rating = int(number) if number.isdecimal() else number
        await self._request("session:rate", rating=rating, feedback=feedback or None)
        out.print("thank you", style="dim")

    async def _state(self, _: str) -> None:
        session = (await self._request("session:get"))["session"]
        for name, value in session.items():
            out.print(Text.assemble((f"{name:>18}  ", "dim"), json.dumps(value, ensure_ascii=False)))

    async def _history(self, _: str) -> None:
        after, more = 0, True
        while more:
            page = await self._request("session:history", after_seq=after)
            more = page["more"]
            for event in page["events"]:
                after = event["seq"]
                out.print(event_line(event), soft_wrap=True)

    async def _help(self, _: str) -> None:
        out.print(HELP, style="dim", markup=False)

    async def _request(self, kind: str, **payload: Any) -> dict[str, Any]:
        return await self._client.request(kind, session_id=self._session.id, **payload)


def _patch(words: str) -> dict[str, Any]:
    """A merge patch from `key=value` words: a value is JSON where it can be, else text; none deletes."""
    patch: dict[str, Any] = {}
    for word in words.split():
        key, _, value = word.partition("=")
        try:
            patch[key] = json.loads(value) if value else None
        except ValueError:
            patch[key] = value
    return patch
