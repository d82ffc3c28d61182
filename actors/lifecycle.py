"""The life cycle of a session: which request is legal in which state, what it leads to, which timers run.

This table is the design; everything else only hosts it. It holds no clock, no I/O and no object:
`permit` says whether something may happen, `Timeouts` and `TIMERS` say what time does. The fold that
turns events into a session's present state is beside it, in `state.py`.

A deadline that has passed always goes first: whoever holds a session lets time pass (`Session.lapse`)
before it looks anything up here, so that a message at the very instant of the deadline finds the
session expired, however late the wake-up was.
"""

from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from .errors import IllegalState, SessionClosed, SessionError, SessionExpired

NEVER: Final = float("inf")


class Status(StrEnum):
    """Where a session is in its life."""

    ACTIVE = "active"
    CLOSED = "closed"
    EXPIRED = "expired"


class Handling(StrEnum):
    """Who answers the user."""

    AI = "ai"
    QUEUED = "queued"
    HUMAN = "human"


class On(StrEnum):
    """What can happen to a session."""

    USER_MESSAGE = "a user's message"
    OTHER_MESSAGE = "a message of an agent, a service or the AI"
    CONTEXT_UPDATE = "context update"
    CLOSE = "close"
    REOPEN = "reopen"
    RATE = "rate"
    TAG = "tag"
    HANDOVER = "handover"
    ASSIGN = "assign"
    RELEASE = "release"
    REMIND = "set a reminder"
    INACTIVITY = "session_timeout ends"
    KEEP_ALIVE = "keep_alive ends"
    MAX_LIFETIME = "max_lifetime ends"
    DIALOG = "dialog_timeout ends"
    REMINDER = "a reminder is due"
    QUEUE = "queue_timeout ends"
    HUMAN = "human_timeout ends"


class Step(NamedTuple):
    """What happens: the state it leads to, and the events that say so, in their order."""

    to: Status
    events: tuple[str, ...]


_EXPIRES: Final = Step(Status.EXPIRED, ("session:expired",))

TABLE: Final[Mapping[tuple[Status, On], Step]] = {
    #  in               on                       to             events
    (Status.ACTIVE, On.USER_MESSAGE): Step(Status.ACTIVE, ("message:received",)),
    (Status.ACTIVE, On.OTHER_MESSAGE): Step(Status.ACTIVE, ("message:received",)),
    (Status.ACTIVE, On.CONTEXT_UPDATE): Step(Status.ACTIVE, ("session:context:updated",)),
    (Status.ACTIVE, On.CLOSE): Step(Status.CLOSED, ("session:closed",)),
    (Status.ACTIVE, On.RATE): Step(Status.ACTIVE, ("session:rated",)),
    (Status.ACTIVE, On.TAG): Step(Status.ACTIVE, ("session:tagged",)),
    (Status.ACTIVE, On.HANDOVER): Step(Status.ACTIVE, ("session:handed_over",)),
    (Status.ACTIVE, On.ASSIGN): Step(Status.ACTIVE, ("session:assigned",)),
    (Status.ACTIVE, On.RELEASE): Step(Status.ACTIVE, ("session:released",)),
    (Status.ACTIVE, On.REMIND): Step(Status.ACTIVE, ("reminder:set",)),
    (Status.ACTIVE, On.INACTIVITY): _EXPIRES,
    (Status.ACTIVE, On.MAX_LIFETIME): _EXPIRES,
    (Status.ACTIVE, On.DIALOG): Step(Status.ACTIVE, ("dialog:expired",)),
    (Status.ACTIVE, On.REMINDER): Step(Status.ACTIVE, ("reminder:fired",)),
    (Status.ACTIVE, On.QUEUE): Step(Status.ACTIVE, ("session:released",)),
    (Status.ACTIVE, On.HUMAN): Step(Status.ACTIVE, ("session:handed_over",)),
    (Status.CLOSED, On.USER_MESSAGE): Step(Status.ACTIVE, ("session:reopened", "message:received")),
    (Status.CLOSED, On.CLOSE): Step(Status.CLOSED, ()),  # the same answer again
    (Status.CLOSED, On.REOPEN): Step(Status.ACTIVE, ("session:reopened",)),
    (Status.CLOSED, On.RATE): Step(Status.CLOSED, ("session:rated",)),
    (Status.CLOSED, On.TAG): Step(Status.CLOSED, ("session:tagged",)),
    (Status.CLOSED, On.INACTIVITY): _EXPIRES,
    (Status.CLOSED, On.KEEP_ALIVE): _EXPIRES,
    (Status.CLOSED, On.MAX_LIFETIME): _EXPIRES,
}


class Timer(NamedTuple):
    """One of the timers: what it counts from, where it runs, what its end means."""

    setting: str
    counts_from: str
    runs_in: tuple[Status, ...]
    on: On
    ends_in: str
    reason: str | None


TIMERS: Final[tuple[Timer, ...]] = (
    Timer(
        "session_timeout",
        "the user's last activity, or creation",
        (Status.ACTIVE, Status.CLOSED),
        On.INACTIVITY,
        "expired",
        "inactivity",
    ),
    Timer("keep_alive", "the close", (Status.CLOSED,), On.KEEP_ALIVE, "expired", "keep_alive"),
    Timer(
        "max_lifetime", "creation", (Status.ACTIVE, Status.CLOSED), On.MAX_LIFETIME, "expired", "max_lifetime"
    ),
    Timer(
        "dialog_timeout",
        "the user's last message, while the AI handles it",
        (Status.ACTIVE,),
        On.DIALOG,
        "dialog state reset, the session goes on",
        None,
    ),
    Timer(
        "queue_timeout",
        "the handover, while it waits in a queue",
        (Status.ACTIVE,),
        On.QUEUE,
        "back to the AI",
        None,
    ),
    Timer(
        "human_timeout",
        "what a human has not answered: the assignment, or the user's first message since",
        (Status.ACTIVE,),
        On.HUMAN,
        "back to its queue",
        None,
    ),
    Timer("reminders", "when set", (Status.ACTIVE,), On.REMINDER, "`reminder:fired`", None),
)
"""In this order when deadlines coincide: an expiry goes before what it would make pointless."""


class Timeouts(NamedTuple):
    """The four settings of one session, seconds; `NEVER` (infinity) when a timer does not run.

    Equal settings are one object (`Timeouts.of`): a million sessions share a handful.
    """

    session_timeout: float
    keep_alive: float
    max_lifetime: float
    dialog_timeout: float
    inactivity_alone: bool
    """While the session is active, only inactivity can end it, and nothing else falls due."""

    @staticmethod
    @lru_cache(maxsize=4096)
    def of(
        session_timeout: float | None,
        keep_alive: float | None,
        max_lifetime: float | None,
        dialog_timeout: float | None,
    ) -> "Timeouts":
        """The shared object with these settings; None means never."""
        return Timeouts(
            NEVER if session_timeout is None else float(session_timeout),
            NEVER if keep_alive is None else float(keep_alive),
            NEVER if max_lifetime is None else float(max_lifetime),
            NEVER if dialog_timeout is None else float(dialog_timeout),
            max_lifetime is None and dialog_timeout is None,
        )

    @staticmethod
    def from_map(timeouts: Mapping[str, float | None]) -> "Timeouts":
        """From the map of the wire and of `session:created`, nil = never."""
        return Timeouts.of(
            timeouts["session_timeout"],
            timeouts["keep_alive"],
            timeouts["max_lifetime"],
            timeouts["dialog_timeout"],
        )

    def as_map(self) -> dict[str, float | None]:
        """As on the wire: nil = never."""
        return {
            "session_timeout": None if self.session_timeout == NEVER else self.session_timeout,
            "keep_alive": None if self.keep_alive == NEVER else self.keep_alive,
            "dialog_timeout": None if self.dialog_timeout == NEVER else self.dialog_timeout,
            "max_lifetime": None if self.max_lifetime == NEVER else self.max_lifetime,
        }


def permit(
    status: Status, on: On, session_id: str, handling: Handling = Handling.AI, assignee: str | None = None
) -> Step:
    """Return the step for `on` in `status`, or raise the `SessionError` that says why there is none."""
    step = TABLE.get((status, on))
    if step is None:
        raise refusal(status, on, session_id, handling, assignee)
    return step


def refusal(
    status: Status, on: On, session_id: str, handling: Handling = Handling.AI, assignee: str | None = None
) -> SessionError:
    """The error for a pair that is not in the table."""
    details = {"status": status.value}
    if status is Status.EXPIRED:
        return SessionExpired(
            f"session {session_id} has expired: {on.value} needs a new session",
            session_id=session_id,
            details=details,
        )
    if status is Status.CLOSED:
        return SessionClosed(
            f"session {session_id} is closed: reopen it first ({on.value} does not)",
            session_id=session_id,
            details=details,
        )
    return IllegalState(
        f"{on.value} does not fit session {session_id}: it is {status.value}, handled by {handling.value}",
        session_id=session_id,
        details={**details, "handling": handling.value, "assignee": assignee},
    )
