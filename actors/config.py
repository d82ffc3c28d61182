"""What can be set: frozen, checked when made, every duration in seconds."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from .errors import InvalidRequest
from .redaction import Redaction
from .values import check_map

Durability = Literal["full", "relaxed", "memory"]
QueueOrder = Literal["longest_wait", "shortest_wait", "silent_longest"]

TurnPolicy = Literal["cancel", "queue", "reject"]
InterruptedTurns = Literal["fail", "rerun"]
MOST_HISTORY = 1000
"""Events that a turn may look back."""

CHANNEL_TIMEOUTS: Mapping[str, float] = {
    "voice": 300.0,
    **dict.fromkeys(("messenger", "instagram", "whatsapp", "viber", "sms", "rcs"), 604_800.0),
    **dict.fromkeys(("intercom", "zendesk", "front", "http"), 86_400.0),
    "email": 1_296_000.0,
}
"""Default `session_timeout` by channel; a channel that is not here has the server's own."""

ACTIVITIES = frozenset(
    {
        "user_message",
        "human_message",
        "ai_message",
        "system_message",
        "context_update",
        "reopen",
        "rating",
        "tag",
    }
)
"""What can be declared to count as the user's activity; all of it is durable: a restart changes nothing."""


def _check_duration(name: str, value: float | None, *, zero: bool = False, never: bool = True) -> None:
    if value is None and never:
        return
    # NaN is in no range, and an integer beyond every float is not `isfinite` but an OverflowError.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        msg = f"{name} must be a finite number of seconds{' or None (never)' * never}, got {value!r}"
        raise ValueError(msg)
    if value < 0 or (value == 0 and not zero):
        msg = f"{name} must be {'0 or more' if zero else 'above 0'} seconds, got {value!r}"
        raise ValueError(msg)


def _check_count(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:  # pyright: ignore[reportUnnecessaryIsInstance]  # callers may be untyped
        msg = f"{name} must be a whole number, 1 or more, got {value!r}"
        raise ValueError(msg)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        msg = f"{name} must be one of {', '.join(choices)}, got {value!r}"
        raise ValueError(msg)


@dataclass(frozen=True, kw_only=True)
class SessionConfig:
    """The timers a session gets when neither its creator nor its channel says otherwise."""

    session_timeout: float | None = 3600.0
    """Seconds of the user's silence until it expires, above 0; None: never."""
    keep_alive: float | None = 120.0
    """Seconds a closed session can be reopened, 0 or more (0: a close expires at once); None: no bound."""
    max_lifetime: float | None = None
    """Seconds from creation to expiry whatever happens, above 0; None: never."""
    dialog_timeout: float | None = None
    """Seconds after the user's last message until the AI's memory of it lapses, above 0; None: never."""
    retention: float | None = None
    """Seconds after its end until a session goes with its history, above 0; None: it is kept for ever."""

    def __post_init__(self) -> None:
        _check_duration("session_timeout", self.session_timeout)
        _check_duration("keep_alive", self.keep_alive, zero=True)
        _check_duration("max_lifetime", self.max_lifetime)
        _check_duration("dialog_timeout", self.dialog_timeout)
        _check_duration("retention", self.retention)


@dataclass(frozen=True, kw_only=True)
class SessionMaxima:
    """The most that a session may ask for; None: no bound. Where one is set, "never" is refused too."""

    session_timeout: float | None = None
    keep_alive: float | None = None
    max_lifetime: float | None = None
    dialog_timeout: float | None = None

    def __post_init__(self) -> None:
        for name in ("session_timeout", "keep_alive", "max_lifetime", "dialog_timeout"):
            _check_duration(f"maximum of {name}", getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class RuntimeConfig:
    """How a runtime keeps its sessions."""

    session: SessionConfig = field(default_factory=SessionConfig)
    """Timers of a session whose channel has none of its own."""
    channels: Mapping[str, SessionConfig] = field(default_factory=dict[str, SessionConfig])
    """Timers by channel; they go before `channel_timeouts`."""
    channel_timeouts: Mapping[str, float] = field(default_factory=lambda: dict(CHANNEL_TIMEOUTS))
    """Default `session_timeout` by channel, seconds."""
    maxima: SessionMaxima = field(default_factory=SessionMaxima)
    """The most a session may ask for at its creation."""
    activity: frozenset[str] = frozenset({"user_message", "reopen"})
    """What counts as the user's activity: any of `ACTIVITIES`; `reopen` means one by the user."""
    passivate_after: float = 300.0
    """Seconds without a request after which a session's actor is saved and leaves memory, above 0."""
    max_live: int = 1_000_000
    """Live actors above which the longest untouched ones are passivated, 1 or more."""
    mailbox_limit: int = 1000
    """Requests that may wait for one session, 1 or more; beyond it they are refused as overloaded."""
    max_context_bytes: int = 32_768
    """Size of a context as msgpack, 1 or more."""
    max_context_keys: int = 100
    """Top-level keys of a context, 1 or more."""
    max_attachments: int = 10_000
    """Sessions that one connection may be attached to, 1 or more."""
    snapshot_every: int = 256
    """Events of one session between two snapshots of it while it is live, 1 or more."""
    sensitive_keys: tuple[str, ...] = ()
    """Patterns (`*` and `?`) of context keys that read as `***` everywhere but in a handler."""
    redact: tuple[str, ...] = ()
    """What is replaced before anything is kept of it: `email`, `phone`, `card`, or `name=pattern` (RE2)."""
    app: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The operator's scope of the context, values that JSON has: everybody reads it, nobody writes it."""
    human_timeout: float | None = 300.0
    """Seconds that a user waits for a human's answer, and that a human may be gone, before their session goes
    back to its queue, above 0; None: for ever. What is assigned keeps the value it was assigned with.
    """
    queue_timeout: float | None = None
    """Seconds in a queue after which the AI has the session again, above 0; None: it waits for ever."""
    queue_order: QueueOrder = "longest_wait"
    """How a queue is worked off; `silent_longest`: who has said nothing for the longest comes first."""
    max_held: int | None = None
    """Sessions that one human may hold at once, 1 or more; None: any number."""
    restart_intensity: int = 3
    """Restarts of one failing session's actor within `restart_period` before it backs off, 1 or more."""
    restart_period: float = 10.0
    """Seconds over which restarts are counted; also the longest back-off, above 0."""

    turn_policy: TurnPolicy = "cancel"
    """What becomes of a running turn when the user speaks again: `cancel` cuts it (what was written stays),
    `queue` has the new message wait for it, `reject` refuses the new message as overloaded."""
    turn_timeout: float | None = 60.0
    """Seconds that a turn of the agent may take, above 0; None: as long as it likes."""
    max_turns: int = 20_000
    """Turns of the agent that run at once, 1 or more; the others wait, a session's in their order."""
    handler_threads: int = 32
    """Turns of a plain function that run at once, each in a thread, 1 or more."""
    turn_history: int = 200
    """Events back from a turn's message that its `history` is made of, 1 to 1000."""
    max_answer_bytes: int = 262_144
    """Text that one turn may write, bytes of UTF-8, 1 or more; beyond it the turn fails."""
    fallback_text: str | None = None
    """What the user is told when the agent fails; None: nothing."""
    fallback_queue: str | None = None
    """The queue of humans to whom a session goes when the agent fails on it; None: it stays the AI's."""
    interrupted_turns: InterruptedTurns = "fail"
    """Turns that ran when the process died: `fail` (`message:failed`, and the fallback) or `rerun`."""
    slow_handler: float = 0.05
    """Seconds that an agent may hold the event loop before it is named in the log, above 0."""

    def __post_init__(self) -> None:
        for name in (
            "max_live",
            "mailbox_limit",
            "max_context_bytes",
            "max_context_keys",
            "max_attachments",
            "snapshot_every",
            "restart_intensity",
            "max_turns",
            "handler_threads",
            "turn_history",
            "max_answer_bytes",
        ):
            _check_count(name, getattr(self, name))
        _check_duration("passivate_after", self.passivate_after, never=False)
        _check_duration("restart_period", self.restart_period, never=False)
        _check_duration("human_timeout", self.human_timeout)
        _check_duration("queue_timeout", self.queue_timeout)
        if self.max_held is not None:
            _check_count("max_held", self.max_held)
        if self.queue_order not in get_args(QueueOrder):
            msg = f"queue_order must be one of {', '.join(get_args(QueueOrder))}, got {self.queue_order!r}"
            raise ValueError(msg)
        _check_duration("turn_timeout", self.turn_timeout)
        _check_duration("slow_handler", self.slow_handler, never=False)
        Redaction(self.redact)  # raises ValueError for what is no rule
        _check_choice("turn_policy", self.turn_policy, get_args(TurnPolicy))
        _check_choice("interrupted_turns", self.interrupted_turns, get_args(InterruptedTurns))
        if self.turn_history > MOST_HISTORY:
            msg = f"turn_history must be {MOST_HISTORY} at most, got {self.turn_history}"
            raise ValueError(msg)
        for channel, seconds in self.channel_timeouts.items():
            _check_duration(f"channel_timeouts[{channel!r}]", seconds)
        try:
            check_map(dict(self.app), "app")
        except InvalidRequest as error:
            raise ValueError(error.message) from error
        unknown = self.activity - ACTIVITIES
        if unknown:
            msg = f"activity holds {sorted(unknown)}; it may hold {sorted(ACTIVITIES)}"
            raise ValueError(msg)
