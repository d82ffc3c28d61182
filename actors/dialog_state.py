"""Where a talk stands in a dialog, what happens to it, and what the dialog wants done: plain values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .kinds import is_map

POSITION = "_dialog"
"""The context key that keeps the position between turns."""


@dataclass(frozen=True, slots=True)
class Position:
    """The place in a dialog. `step` counts in the node's `do`, or `else` where `otherwise`."""

    node: str | None = None
    """None: nothing has happened yet."""
    step: int = 0
    otherwise: bool = False
    waiting: str = ""
    """`answer` when the action at `step` has asked, `call` when it has called a webhook."""
    tries: int = 0
    match: Mapping[str, str] | None = None
    nodes: int = 0
    """Nodes done in this turn."""
    began: float = 0.0
    """When this turn began."""

    def stored(self, seq: int) -> dict[str, Any]:
        """What the context keeps; `seq` is that of the newest lapse of the AI's memory."""
        kept: dict[str, Any] = {"node": self.node, "seq": seq}
        if self.waiting == "answer":
            kept |= {"step": self.step, "else": self.otherwise, "tries": self.tries}
            if self.match:
                kept["match"] = dict(self.match)
        return kept


def restored(kept: Any, memory_from_seq: int) -> Position:
    """The position that the context keeps; the beginning when that is nonsense, or older than the lapse of
    the AI's memory.
    """
    if not is_map(kept):
        return Position()
    node, seq, step, tries = (kept.get(key, 0) for key in ("node", "seq", "step", "tries"))
    if not isinstance(node, str) or not isinstance(seq, int) or seq < memory_from_seq:
        return Position()
    if "step" not in kept or not isinstance(step, int) or not isinstance(tries, int):
        return Position(node)
    match = kept.get("match")
    groups = {str(key): str(value) for key, value in match.items()} if is_map(match) else None
    return Position(node, step, kept.get("else") is True, "answer", tries, groups)


# -- what happens ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Heard:
    """The user said something."""

    text: str


@dataclass(frozen=True, slots=True)
class Happened:
    """Something else did: `reminder:NAME`, or the name in `data.event` of a message."""

    name: str


@dataclass(frozen=True, slots=True)
class Returned:
    """The webhook that was called has answered with this."""

    value: Any


@dataclass(frozen=True, slots=True)
class NotReturned:
    """It has not."""

    reason: str


Event = Heard | Happened | Returned | NotReturned


# -- what is to be done ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DoSay:
    text: str


@dataclass(frozen=True, slots=True)
class DoSet:
    key: str
    value: Any
    """None removes the key."""


@dataclass(frozen=True, slots=True)
class DoTag:
    add: tuple[str, ...]
    remove: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DoHandOver:
    queue: str | None
    note: str | None


@dataclass(frozen=True, slots=True)
class DoResolve:
    reason: str | None


@dataclass(frozen=True, slots=True)
class DoRemind:
    name: str
    after: float
    data: Any


@dataclass(frozen=True, slots=True)
class DoCancelReminder:
    name: str


@dataclass(frozen=True, slots=True)
class DoPause:
    seconds: float


@dataclass(frozen=True, slots=True)
class DoCall:
    """The last of its step: go on with `Returned` or `NotReturned`."""

    url: str
    payload: Any
    timeout: float


@dataclass(frozen=True, slots=True)
class DoFail:
    """Say in the history that something went wrong: `message:failed`."""

    code: str
    text: str


Do = DoSay | DoSet | DoTag | DoHandOver | DoResolve | DoRemind | DoCancelReminder | DoPause | DoCall | DoFail


@dataclass(frozen=True, slots=True)
class Step:
    """What one step of the engine came to."""

    position: Position
    actions: tuple[Do, ...]
