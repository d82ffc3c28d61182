"""What a human does at the desk, over a client: take, say, hand back, resolve."""

from collections.abc import Awaitable, Callable

from sojourn.gateway.client import Client
from sojourn.gateway.errors import GatewayError, RequestFailed

from .desk_lists import DeskLists
from .desk_state import DeskState, Row, name_of

HELP = "/take [N]  /next  /back  /to QUEUE  /resolve  /show N  /quit — all else is said to the user"

Command = Callable[[str], Awaitable[None]]


class DeskWork(DeskLists):
    """One human's work, as it is typed: a line is a command, or something to say to the user."""

    def __init__(self, client: Client, state: DeskState, on_change: Callable[[], None]) -> None:
        super().__init__(client, state, on_change)
        self._commands: dict[str, Command] = {
            "/take": self._take_row,
            "/next": self._take_next,
            "/show": self._show_row,
            "/back": self._back,
            "/to": self._pass_on,
            "/resolve": self._resolve,
            "/help": self._help,
        }

    async def do(self, line: str) -> bool:
        """One line as typed; False when it means to leave. A refusal is a notice, and the desk goes on."""
        word, _, rest = line.strip().partition(" ")
        try:
            if word == "/quit":
                return False
            if not self._client.is_connected:
                self._say("there is no server at the moment")
            elif not word:
                if self.state.selected in self.state.waiting:
                    await self._take(self.state.selected)
            elif not word.startswith("/"):
                await self._send(line.strip())
            elif word in self._commands:
                await self._commands[word](rest.strip())
            else:
                self._say(f"there is no command {word}; /help lists them")
        except RequestFailed as error:
            self._say(_refusal(error))
        except GatewayError as error:
            self._say(str(error))
        return True

    async def move(self, step: int) -> None:
        """Look at the session `step` rows further down."""
        session_id = self.state.neighbour(step)
        if session_id is not None and session_id != self.state.selected and self._client.is_connected:
            try:
                await self._select(session_id)
            except GatewayError as error:
                self._say(str(error))

    # -- the commands ------------------------------------------------------------------------------

    async def _take_row(self, number: str) -> None:
        session_id = self._numbered(number) if number else self.state.selected
        if session_id is None and not number:
            await self._take_next("")
        elif session_id is not None:
            await self._take(session_id)

    async def _take_next(self, _: str) -> None:
        if not self.state.waiting:
            self._say("nobody waits")
            return
        await self._take(next(iter(self.state.waiting)))

    async def _show_row(self, number: str) -> None:
        session_id = self._numbered(number)
        if session_id is not None:
            await self._select(session_id)

    async def _take(self, session_id: str) -> None:
        row = self.state.row(session_id)
        session = self._client.session(session_id)
        await session.assign()
        self.state.waiting.pop(session_id, None)
        if row is None:  # it was taken from the list meanwhile, by this very event
            row = Row(session_id, name_of(await session.get()), None, self._now())
        row.since = self._now()
        self.state.mine[session_id] = row
        await self._select(session_id)
        await self._catch_up(session_id)
        self._settle(session_id)
        self._say(f"{row.name} is yours")

    async def _send(self, text: str) -> None:
        session_id = self._mine("say something")
        if session_id is None:
            return
        accepted = await self._sessions[session_id].send(text)
        said = {"type": "message:received", "seq": accepted.seq, "at": self._now(), "author": "human"}
        talk = self.state.talks.get(session_id)
        if talk is not None:  # what one does oneself is answered, not pushed
            talk.add([said | {"author_id": self.state.identity, "text": text}])
        self._on_change()

    async def _back(self, _: str) -> None:
        session_id = self._mine("hand it back")
        if session_id is not None:
            await self._sessions[session_id].release()
            self._done(session_id, "is with the AI again")

    async def _pass_on(self, queue: str) -> None:
        if not queue:
            self._say("/to QUEUE: name the queue")
            return
        session_id = self._mine("pass it on")
        if session_id is not None:
            await self._sessions[session_id].hand_over(queue)
            self._done(session_id, f"waits in {queue}")

    async def _resolve(self, _: str) -> None:
        session_id = self._mine("resolve it")
        if session_id is not None:
            await self._sessions[session_id].resolve()
            self._done(session_id, "is resolved")

    async def _help(self, _: str) -> None:
        self._say(HELP)

    def _done(self, session_id: str, what: str) -> None:
        name = self._name(session_id)
        self.state.mine.pop(session_id, None)
        self._forget_the_rest()
        self._settle(session_id)
        self._say(f"{name} {what}")

    # -- words -------------------------------------------------------------------------------------

    def _numbered(self, number: str) -> str | None:
        rows = self.state.rows
        if number.isdecimal() and 1 <= int(number) <= len(rows):
            return rows[int(number) - 1].session_id
        self._say(f"there is no number {number}; {len(rows)} are listed" if number else "which number?")
        return None

    def _mine(self, what: str) -> str | None:
        """The selected session where it is one's own."""
        if self.state.selected in self.state.mine:
            return self.state.selected
        self._say(f"take somebody to {what}: /take, or /next")
        return None


def _refusal(error: RequestFailed) -> str:
    assignee = error.details.get("assignee") if error.code == "illegal_state" and error.details else None
    return f"{assignee} was faster" if assignee else str(error)
