"""What an agent is given for one turn: what was said, what is known, and what it may do about it.

What a turn decides is kept here until it ends, and then stored in one commit, or not at all; only what it
writes is seen at once, and that stays even when the turn is cut. A plain function holds the turn in a thread
of its own, where `write` and `typing` block; a coroutine awaits them.
"""

from collections.abc import Awaitable, Generator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final, cast

from .errors import InvalidRequest
from .redaction import RedactedStream
from .values import check_json, check_list, check_text

Json = Any
ASKED: Final = "_ask"
"""The context key under which a question waits for its answer."""
MOST_REMINDERS: Final = 100
"""Reminders of one session."""
MOST_FAILURES: Final = 200
"""Failures that one turn may note."""


class TurnCancelled(Exception):
    """The turn was cut: the user spoke again, somebody else handles the session, or its time is over."""


@dataclass(frozen=True, slots=True)
class Said:
    """A message of the talk."""

    message_id: str
    author: str
    text: str | None
    data: Json
    attachments: list[Json] | None = None
    author_id: str | None = None
    seq: int = 0
    at: float = 0.0

    @property
    def id(self) -> str:
        return self.message_id

    @staticmethod
    def of(event: Mapping[str, Json]) -> "Said":
        """From an event `message:received`."""
        return Said(
            event["message_id"],
            event["author"],
            event["text"],
            event["data"],
            event["attachments"],
            event.get("author_id"),
            event["seq"],
            event["at"],
        )


@dataclass(slots=True)
class Saying:
    """A message of the AI that is not stored yet."""

    text: str | None
    """What was said at once; None while it is written piece by piece."""
    data: Json = None
    attachments: list[Json] | None = None
    pieces: list[str] | None = None
    """What was written so far."""
    message_id: str | None = None
    """Set as soon as a piece of it was shown."""
    shown: RedactedStream | None = None
    """What is shown of the pieces, where not everything may be."""

    @property
    def whole(self) -> str | None:
        return self.text if self.pieces is None else "".join(self.pieces)


@dataclass(slots=True)
class Decisions:
    """What a turn has decided so far, in the order in which it is stored."""

    said: list[Saying] = field(default_factory=list[Saying])
    tags: dict[str, bool] = field(default_factory=dict[str, bool])
    """Tag → whether it is to be there."""
    reminders: dict[str, tuple[float, Json] | None] = field(
        default_factory=dict[str, tuple[float, Json] | None]
    )
    """Name → seconds from the turn's end and data; None: cancelled."""
    handover: tuple[str | None, str | None] | None = None
    resolve: str | None = None
    failures: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Code and text of what failed without ending the turn."""


class Stage:
    """What shows a turn while it runs; the runner's. Both may be called from the handler's thread."""

    def write(self, piece: str) -> Awaitable[None]:
        raise NotImplementedError

    def typing(self, seconds: float) -> Awaitable[None]:
        raise NotImplementedError


@dataclass(slots=True, eq=False)
class Turn:
    """One turn. Everything but `write` and `typing` takes effect when it ends well."""

    session_id: str
    message: Said | None
    """What is to be answered; None when it is an event."""
    event: Mapping[str, Json] | None
    """What is to be answered when nobody spoke, as the agent's `events` asked for: `reminder:fired`."""
    user: dict[str, Json]
    metadata: dict[str, Json]
    channel: str
    tags: tuple[str, ...]
    handling: str
    now: float
    """When the turn began, epoch seconds."""
    context: dict[str, Json]
    """In clear, and to be changed: the changes are one event with the turn's end. `user.x` is the user's
    across sessions, `app.x` the operator's (read-only)."""
    history: Sequence[Said]
    """The messages before this one since the AI's memory lapsed last, oldest first."""
    memory_from_seq: int
    """The `dialog:expired` behind which the AI remembers; 0: it never lapsed."""
    answered: str | None
    """The name under which this message was asked for by `ask`; its text is in the context already."""
    stage: Stage
    decisions: Decisions = field(default_factory=Decisions)
    cut: bool = False
    """Nobody waits for the rest: `write` and the others raise `TurnCancelled`."""

    @property
    def text(self) -> str | None:
        return None if self.message is None else self.message.text

    @property
    def data(self) -> Json:
        return None if self.message is None else self.message.data

    @property
    def message_id(self) -> str | None:
        return None if self.message is None else self.message.message_id

    # -- saying ------------------------------------------------------------------------------------

    def write(self, piece: str) -> Awaitable[None]:
        """Show a piece of the message that is being written; pieces up to the next `reply` are one message.

        Await it in a coroutine: it waits while a reader is behind. In a plain function it blocks instead.
        Raises `TurnCancelled` when the turn was cut.
        """
        self._go_on()
        if not isinstance(piece, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers may be untyped
            msg = f"a piece is a text, got {type(piece).__name__}"
            raise TypeError(msg)
        check_text(piece, "text")
        return self.stage.write(piece)

    def reply(self, text: str | None, data: Json = None, attachments: list[Json] | None = None) -> None:
        """Say a message of its own."""
        self._go_on()
        if text is None and data is None and attachments is None:
            raise InvalidRequest("a message needs a text, data or attachments", details={"key": "text"})
        check_text(text, "text")
        check_json(data, "data")
        check_list(attachments, "attachments")
        self.decisions.said.append(Saying(text, deepcopy(data), deepcopy(attachments)))

    def ask(self, question: str, save_as: str) -> None:
        """Say a question; the text of the user's next message is then in the context as `save_as`.

        It is forgotten when the AI's memory lapses.
        """
        check_text(save_as, "save_as")
        self.reply(question)
        seq = self.memory_from_seq if self.message is None else self.message.seq
        self.context[ASKED] = {"name": save_as, "seq": seq}

    def typing(self, seconds: float) -> Awaitable[None]:
        """Let `seconds` pass, shown as typing, behind what was said so far. Await it, as `write`."""
        self._go_on()
        check_seconds(seconds, "seconds")
        return self.stage.typing(seconds)

    # -- deciding ----------------------------------------------------------------------------------

    def set(self, key: str, value: Json) -> None:
        """Put a value into the context; None removes it."""
        self._go_on()
        check_text(key, "key")
        check_json(value, f"context.{key}")
        if value is None:
            self.context.pop(key, None)
        else:
            self.context[key] = value

    def remove(self, key: str) -> None:
        """Remove a value from the context; removing what is not there is no error."""
        self._go_on()
        self.context.pop(key, None)

    def tag(self, *tags: str) -> None:
        self._tag(tags, there=True)

    def untag(self, *tags: str) -> None:
        self._tag(tags, there=False)

    def _tag(self, tags: tuple[str, ...], *, there: bool) -> None:
        self._go_on()
        for tag in tags:
            check_text(tag, "tag")
            self.decisions.tags[tag] = there

    def remind(self, name: str, after: float, data: Json = None) -> None:
        """Have `reminder:fired` happen `after` seconds from the turn's end, unless the user speaks before."""
        self._go_on()
        check_name(name)
        check_seconds(after, "after")
        check_json(data, "data")
        self.decisions.reminders[name] = (after, deepcopy(data))

    def cancel_reminder(self, name: str) -> None:
        """Cancelling what is not set is no error."""
        self._go_on()
        check_name(name)
        self.decisions.reminders[name] = None

    def handover(self, queue: str | None = None, note: str | None = None) -> None:
        """Leave the session to humans, behind what was said."""
        self._go_on()
        check_text(queue, "queue")
        check_text(note, "note")
        self.decisions.handover = (queue, note)

    def resolve(self, reason: str | None = None) -> None:
        """Close the session, behind what was said."""
        self._go_on()
        check_text(reason, "reason")
        self.decisions.resolve = reason or "resolved_by_ai"

    def fail(self, code: str, text: str) -> None:
        """Have the history say, behind what the turn says, that something of it failed (`message:failed`);
        the turn goes on. To end it, raise.
        """
        self._go_on()
        check_text(code, "code")
        check_text(text, "text")
        if not code or len(code) > 100:
            raise InvalidRequest("a failure's code has 1 to 100 characters", details={"key": "code"})
        if len(self.decisions.failures) >= MOST_FAILURES:
            raise InvalidRequest(
                f"a turn notes at most {MOST_FAILURES} failures",
                details={"limit": "failures", "max": MOST_FAILURES},
            )
        self.decisions.failures.append((code, text))

    def _go_on(self) -> None:
        if self.cut:
            raise TurnCancelled(f"the turn on {self.message_id} of session {self.session_id} was cut")


class Shown:
    """What `write` gives a plain function: it is done already."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


SHOWN: Final = Shown()


def check_seconds(seconds: float, name: str) -> None:
    """A number of seconds from 0 to a hundred years."""
    valid = isinstance(seconds, int | float) and not isinstance(seconds, bool)  # pyright: ignore[reportUnnecessaryIsInstance]
    if not valid or not 0 <= seconds <= 3.2e9:
        raise InvalidRequest(
            f"{name} must be a number of seconds, 0 or more, got {seconds!r}", details={"key": name}
        )


def check_name(name: str) -> None:
    """A reminder's name: a text of 1 to 200 characters."""
    check_text(name, "name")
    if not name or len(name) > 200:
        raise InvalidRequest("a reminder's name has 1 to 200 characters", details={"key": "name"})


def patch_between(before: Mapping[str, Json], after: Mapping[str, Json]) -> dict[str, Json]:
    """The merge patch that makes `after` of `before`; empty when they are the same."""
    patch: dict[str, Json] = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if key in before and old == value and type(old) is type(value):
            continue
        if isinstance(old, dict) and isinstance(value, dict):
            inner = patch_between(cast("dict[str, Json]", old), cast("dict[str, Json]", value))
            if inner:
                patch[key] = inner
        elif value is not None or key in before:
            patch[key] = value
    return patch


def said_before(events: Sequence[Mapping[str, Json]], seq: int) -> list[Said]:
    """The messages of a page that a turn on the event at `seq` looks back on: what users said later, and wait
    to be answered for, is not among them.
    """
    return [
        Said.of(event)
        for event in events
        if event["type"] == "message:received"
        and event["seq"] != seq
        and (event["seq"] < seq or event["author"] != "user")
    ]
