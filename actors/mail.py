"""What every message to a session actor carries: who asks, when, and where the answer goes.

A message is an envelope of its own, so that a mailbox takes it as it is; through an `ActorRef` it travels in
Pykka's envelope like any message.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

from pykka._envelope import Envelope


class Subscriber(Protocol):
    """A connection, or an embedding program's subscription: somebody whom events are pushed to."""

    attached: set[str]
    """The sessions it is attached to; kept by `Audience`."""
    max_attachments: int

    def set(self, frame: Any, /) -> None:
        """Take one event, a msgpack map, after its commit. Called on the loop thread; must not block or
        raise.
        """
        ...

    def set_exception(self, exc_info: Any, /) -> None:
        """The commit failed: the event never happened."""
        ...


class ReplyTarget(Protocol):
    """Where an answer goes: a Pykka future, or a connection's request."""

    def set(self, value: Any = None, /) -> None: ...

    def set_exception(self, exc_info: Any = None, /) -> None: ...


class Mail(Envelope[Any]):
    """A message that is its own envelope: one object less for each."""

    __slots__ = ()

    # Any target will do where Pykka's type names its future: its code only sets it.
    reply_to: Any

    def __init__(self, reply_to: ReplyTarget | None = None) -> None:
        self.reply_to = reply_to

    @property
    def message(self) -> Any:
        """Itself."""
        return self


@dataclass(slots=True, eq=False)
class Caller:
    """Who asks: `by` in events. One object a connection."""

    role: str
    """`user`, `agent`, `service`, `ai` or `system`."""
    id: str | None = None

    def as_map(self) -> dict[str, str | None]:
        return {"role": self.role, "id": self.id}


@dataclass(slots=True, eq=False)
class Request(Mail):
    """What every request carries."""

    by: Caller
    now: float
    origin: Subscriber | None
    attach: bool
    reply_to: Any = field(default=None, kw_only=True)
