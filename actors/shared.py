"""What all sessions of one runtime share. One object, so that a session costs one pointer for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sojourn.storage import Gone

from .audience import Audience
from .clock import Clock
from .config import RuntimeConfig
from .context import SensitiveKeys, merged_within
from .redaction import Redaction
from .scopes import Scopes
from .state import ACTIVITY
from .timers import TimingWheel

if TYPE_CHECKING:
    from .commits import GroupCommit
    from .desk import Desk
    from .erasing import Erasing
    from .reads import Reads
    from .session import Elsewhere, SessionActor
    from .turns import TurnRunner


@dataclass(slots=True, eq=False)
class Shared:
    """The house of the sessions: made by the runtime, used on the loop thread alone."""

    config: RuntimeConfig
    clock: Clock
    commits: "GroupCommit"
    reads: "Reads"
    handlers: dict[type, Callable[["SessionActor", Any], Any]]
    crashed: Callable[["SessionActor", Any, Exception, int], None]
    """An actor failed on an envelope, at a `seq`: restart it."""
    ended: Callable[["SessionActor"], None]
    """A session has expired: let go of it after its commit."""
    left: Callable[["SessionActor"], None]
    """An actor stopped otherwise than by its registry: the session goes on without it."""
    rested: Callable[["SessionActor"], None]
    """A wake-up is done: file the actor again, or passivate it."""
    erase: Callable[["SessionActor", Any, Gone], None]
    """Remove a session for good."""
    address_again: Callable[["SessionActor", Any], "Elsewhere"]
    """A message addressed to a user came to a session that cannot take it (any more): route it anew."""
    explain: Callable[["SessionActor"], dict[str, Any]]
    """What the session waits for, for people."""
    desk: "Desk"
    """The humans, and what waits for them."""
    agent: "TurnRunner | None" = None
    """Answers users while the AI handles the session."""
    erasing: "Erasing | None" = None
    """Erases people, and finishes what was erased; there once the house stands."""
    audience: Audience = field(default_factory=Audience)
    wheel: TimingWheel = field(default_factory=TimingWheel)
    sensitive: SensitiveKeys = field(init=False)
    redaction: Redaction | None = field(init=False)
    """What is not to be kept; None: everything is kept as it comes."""
    scopes: Scopes = field(init=False)
    """Contexts of users and of the operator."""
    activity: frozenset[str] = field(init=False)
    snapshot_every: int = field(init=False)
    message_flags: dict[str, int] = field(init=False)
    """Author of a message → whether it counts as activity, as an event's flags."""

    def __post_init__(self) -> None:
        config = self.config
        self.sensitive = SensitiveKeys(config.sensitive_keys)
        self.redaction = Redaction(config.redact) if config.redact else None
        self.scopes = Scopes(
            config.app,
            self.commits,
            self.reads,
            self.sensitive,
            max_keys=config.max_context_keys,
            max_bytes=config.max_context_bytes,
        )
        self.activity = self.config.activity
        self.snapshot_every = self.config.snapshot_every
        self.message_flags = {
            author: ACTIVITY if f"{author}_message" in self.activity else 0
            for author in ("user", "human", "ai", "system")
        }

    def merged(self, context: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
        """Return `context` with `patch` merged in, or raise the `SessionError` that says why it may not
        be.
        """
        config = self.config
        return merged_within(
            context,
            patch,
            self.sensitive,
            max_keys=config.max_context_keys,
            max_bytes=config.max_context_bytes,
        )

    def flags_of(self, kind: str) -> int:
        """The flags of an event of that kind: does it count as the user's activity?"""
        return ACTIVITY if kind in self.activity else 0

    def is_present(self, identity: str | None) -> bool:
        """Is this human connected?"""
        return self.desk.is_present(identity)
