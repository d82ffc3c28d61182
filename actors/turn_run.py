"""One turn on its way: from the message that it answers until its end is stored, or it is cut.

It shows what is written while it goes (`message:delta`, `message:composing`), which is the part of a turn
that is never stored, and holds back a handler that writes faster than its readers read.
"""

import asyncio
from collections.abc import Awaitable, Coroutine
from concurrent.futures import TimeoutError as NotYet
from enum import Enum, auto
from os import urandom
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeGuard, runtime_checkable

from .errors import InternalError, SessionError
from .kinds import is_map
from .later import Later
from .packing import pack, unpack
from .turn import ASKED, SHOWN, Said, Saying, Stage, Turn, TurnCancelled

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future as ThreadFuture

    from .turn_ends import Found
    from .turns import TurnRunner

BEHIND_BYTES: Final = 262_144
"""Output that waits for one reader, beyond which a handler's `write` waits too."""
PATIENCE: Final = 5.0
"""Seconds that it waits for readers who do not read; then the connection's own bound is theirs."""
LOOK_AGAIN: Final = 0.01
AI_BY: Final = {"role": "ai", "id": None}


@runtime_checkable
class Pressed(Protocol):
    """A reader who can say how much waits for it."""

    def waiting_bytes(self) -> int: ...


class Stands(Enum):
    """How far a turn is."""

    OWED = auto()
    """What it answers is recorded, and not committed yet."""
    AGAIN = auto()
    """What it answers is being read: it ran when the last process ended."""
    READY = auto()
    RUNS = auto()
    OVER = auto()
    """It ended, or was cut; what its handler still does has no effect."""


class AnswerTooLong(Exception):
    """The handler wrote more than `max_answer_bytes`."""


class Run(Stage):
    """One turn. Loop thread only, but for `write` and `typing`."""

    def __init__(
        self,
        runner: "TurnRunner",
        session_id: str,
        key: int,
        seq: int,
        message: Said | None,
        event: "Mapping[str, Any] | None" = None,
    ) -> None:
        """`key` and `seq`: the place of what it answers."""
        self.runner = runner
        self.session_id = session_id
        self.key = key
        self.seq = seq
        self.message = message
        self.event = event
        self.message_id = "" if message is None else message.message_id
        self.stands = Stands.OWED
        self.turn: Turn | None = None
        self.error: SessionError | None = None
        self.code = "internal_error"
        """Of `error`, in the history."""
        self.task: asyncio.Task[None] | None = None
        self.thread: ThreadFuture[Any] | None = None
        """The call of a plain function."""
        self.limit: Later | None = None
        self.awake = False
        """It runs, and does not just let time pass: others wait for it to settle."""
        # What `turn_ends` finds and leaves here.
        self.found: Found | None = None
        self.metadata = b""
        self.channel = ""
        self.tags: tuple[str, ...] = ()
        self.before: dict[str, Any] = {}
        self.patch: dict[str, Any] = {}
        self._written_bytes = 0

    def open(self, history: list[Said], now: float) -> Turn:
        """The turn, once it is known what there is."""
        found = self.found
        assert found is not None
        self.before = found.context
        context: dict[str, Any] = unpack(pack(found.context))
        answered: str | None = None
        asked = context.pop(ASKED, None) if self.message is not None else None
        if _is_question(asked) and asked["seq"] >= found.memory_from_seq:
            answered = asked["name"]
            context[asked["name"]] = None if self.message is None else self.message.text
        self.turn = Turn(
            session_id=self.session_id,
            message=self.message,
            event=self.event,
            user=found.user,
            metadata=unpack(self.metadata),
            channel=self.channel,
            tags=self.tags,
            handling="ai",
            now=now,
            context=context,
            history=history,
            memory_from_seq=found.memory_from_seq,
            answered=answered,
            stage=self,
        )
        return self.turn

    # -- from the handler, in its thread -------------------------------------------------------------

    def write(self, piece: str) -> Awaitable[None]:
        return self._here(self._write(piece))

    def typing(self, seconds: float) -> Awaitable[None]:
        return self._here(self._typing(seconds))

    def _here(self, coroutine: Coroutine[Any, Any, None]) -> Awaitable[None]:
        """On the loop's thread the handler awaits it; in any other it is done when this returns."""
        runner = self.runner
        if get_ident() == runner.thread_id:
            return coroutine
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, runner.loop)
        except RuntimeError:
            coroutine.close()
            raise TurnCancelled("the runtime has stopped") from None
        while True:
            try:
                future.result(0.5)
            except NotYet:
                if runner.stopped:
                    raise TurnCancelled("the runtime has stopped") from None
            else:
                return SHOWN

    # -- showing -------------------------------------------------------------------------------------

    async def _write(self, piece: str) -> None:
        turn = self._showing()
        self._written_bytes += len(piece.encode())
        most = self.runner.config.max_answer_bytes
        if self._written_bytes > most:
            raise AnswerTooLong(f"the agent wrote more than {most} bytes")
        said = turn.decisions.said
        if not said or said[-1].pieces is None:
            said.append(Saying(None, pieces=[]))
        self._show(said[-1], piece)
        await self._let_read()

    async def _typing(self, seconds: float) -> None:
        turn = self._showing()
        for saying in turn.decisions.said:
            if saying.message_id is None and saying.text is not None:
                self._show(saying, saying.text)
        if seconds:
            self._push("message:composing", {"action": "start", "by": AI_BY})
            await self.runner.time.let_pass(self, seconds)
            self._showing()
            self._push("message:composing", {"action": "stop", "by": AI_BY})

    def _showing(self) -> Turn:
        turn = self.turn
        if turn is None or turn.cut or self.stands is not Stands.RUNS:
            raise TurnCancelled(f"the turn on {self.message_id} of session {self.session_id} was cut")
        return turn

    def _show(self, saying: Saying, piece: str) -> None:
        if saying.message_id is None:
            saying.message_id = f"ai-{urandom(12).hex()}"
        index = 0
        if saying.pieces is not None:
            index = len(saying.pieces)
            saying.pieces.append(piece)
        redaction = self.runner.registry.shared.redaction
        if redaction is not None:
            if saying.pieces is None:
                piece = redaction.text(piece)
            else:
                shown = saying.shown
                if shown is None:
                    shown = saying.shown = redaction.stream()
                index = shown.shown
                piece = shown.feed(piece)
                if not piece:
                    return  # it may be the beginning of what is not to be seen
        self._push("message:delta", {"message_id": saying.message_id, "index": index, "text": piece})

    def _push(self, event: str, payload: dict[str, Any]) -> None:
        shared = self.runner.registry.shared
        readers = shared.audience.others(self.session_id, None)
        if readers:
            head: dict[str, Any] = {"type": event, "session_id": self.session_id}
            if event == "message:composing":
                head["at"] = shared.clock.now()
            frame = pack({**head, **payload})
            for reader in readers:
                reader.set(frame)

    async def _let_read(self) -> None:
        """Let everybody else have a turn of the loop, and readers who are behind some time."""
        await asyncio.sleep(0)
        loop = self.runner.loop
        give_up = loop.time() + PATIENCE
        while self._is_a_reader_behind() and loop.time() < give_up:  # noqa: ASYNC110  # no reader tells
            await asyncio.sleep(LOOK_AGAIN)

    def _is_a_reader_behind(self) -> bool:
        audience = self.runner.registry.shared.audience
        return any(
            isinstance(reader, Pressed) and reader.waiting_bytes() > BEHIND_BYTES
            for reader in audience.of(self.session_id)
        )

    # -- ending --------------------------------------------------------------------------------------

    def fail(self, code: str, message: str) -> None:
        """Note why it failed, for the history."""
        self.code = code
        self.error = InternalError(message, session_id=self.session_id)


def _is_question(asked: object) -> TypeGuard[dict[str, Any]]:
    """Is it one of `Turn.ask`? Services may write to the context what they like."""
    return is_map(asked) and isinstance(asked.get("name"), str) and isinstance(asked.get("seq"), int)
