"""What can be set: frozen, checked when made, every duration in seconds."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Durability = Literal["full", "relaxed", "memory"]

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

    def __post_init__(self) -> None:
        _check_duration("session_timeout", self.session_timeout)
        _check_duration("keep_alive", self.keep_alive, zero=True)
        _check_duration("max_lifetime", self.max_lifetime)
        _check_duration("dialog_timeout", self.dialog_timeout)


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
    restart_intensity: int = 3
    """Restarts of one failing session's actor within `restart_period` before it backs off, 1 or more."""
    restart_period: float = 10.0
    """Seconds over which restarts are counted; also the longest back-off, above 0."""

    def __post_init__(self) -> None:
        for name in (
            "max_live",
            "mailbox_limit",
            "max_context_bytes",
            "max_context_keys",
            "max_attachments",
            "snapshot_every",
            "restart_intensity",
        ):
            _check_count(name, getattr(self, name))
        _check_duration("passivate_after", self.passivate_after, never=False)
        _check_duration("restart_period", self.restart_period, never=False)
        for channel, seconds in self.channel_timeouts.items():
            _check_duration(f"channel_timeouts[{channel!r}]", seconds)
        unknown = self.activity - ACTIVITIES
        if unknown:
            msg = f"activity holds {sorted(unknown)}; it may hold {sorted(ACTIVITIES)}"
            raise ValueError(msg)
