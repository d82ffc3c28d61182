"""The rows that go into the store and come out of it.

Instants are Unix time in seconds, UTC, finite floats.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

EventRow: TypeAlias = tuple[int, int, float, int, int, bytes]
"""(session, seq, at, type, flags, body): the session's key, the place in its history from 1 on, the instant,
a code of `EVENT_TYPES`, bits that are the writer's own, the payload as bytes. A plain tuple: the hot path
builds one for every message."""

EVENT_TYPES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "session:created": 1,
        "message:received": 2,
        "message:failed": 3,
        "session:context:updated": 4,
        "session:closed": 5,
        "session:reopened": 6,
        "session:expired": 7,
        "session:handed_over": 8,
        "session:assigned": 9,
        "session:released": 10,
        "session:rated": 11,
        "session:tagged": 12,
        "dialog:expired": 13,
        "reminder:set": 14,
        "reminder:fired": 15,
        "reminder:cancelled": 16,
    }
)
"""Durable event name → the code kept in the journal. Append only: a released code keeps its name for ever."""

EVENT_NAMES: Final[Mapping[int, str]] = MappingProxyType({code: name for name, code in EVENT_TYPES.items()})
"""Code → durable event name."""


class SessionRow(NamedTuple):
    """What is kept of a session beside its events.

    The first seven fields are written once, when the session is made; a later row changes the rest.
    """

    key: int
    """The session's number in this file, from 1 on, never used again."""
    session_id: str
    user_id: str | None
    channel: str
    request_key: str | None
    """What makes a repeated creation find this session; unique when given."""
    resume_hash: bytes | None
    created_at: float
    status: str
    """`active`, `closed` or `expired`."""
    handling: str
    """`ai`, `queued` or `human`."""
    queue: str | None
    assignee: str | None
    due_at: float | None
    """Nothing of this session falls due before this instant; `None`: nothing ever will."""
    seq: int
    """Position of the last event that `snapshot` contains; 0 when there is no snapshot."""
    snapshot: bytes | None


class StoredSession(NamedTuple):
    """One session as stored: its state is the fold of `tail` over `row.snapshot`."""

    row: SessionRow
    tail: list[EventRow]
    """The events behind the snapshot, oldest first."""


class ScopeRow(NamedTuple):
    """The context of one user, which outlives the user's sessions."""

    user_id: str
    version: int
    """One more at each change."""
    context: bytes | None
    """None, in a batch: the user's row is to be removed."""


BroadcastRow: TypeAlias = tuple[str, str, int, int]
"""(user_id, broadcast_id, session, outcome): the session's key, a code that is the writer's own."""


TurnRow: TypeAlias = tuple[int, int, str | None]
"""(session, seq, message_id) of an agent's turn that begins: the session's key, the place of the event that
it answers, the message (empty: another event); message_id None: the turn has ended."""


ERASED: Final = "erased"
"""A session went because somebody said so."""
RETENTION: Final = "retention"
"""A session went because it had ended long ago."""


class Gone(NamedTuple):
    """How a session comes to be removed."""

    at: float
    why: str = ERASED
    """`ERASED` or `RETENTION`."""
    erasure_id: str | None = None
    """The receipt that it is counted in, if any."""
    events: int = 0
    """How many events it had."""


class Batch:
    """What one transaction stores; filled by its owner, then given to `Journal.commit` once.

    It is applied in the order of the fields: a deadline wins over the `due_at` of a row, an erasure over all.
    """

    __slots__ = (
        "broadcasts",
        "deadlines",
        "ended",
        "erased",
        "erased_by_key",
        "erased_events",
        "events",
        "scopes",
        "sessions",
        "turns",
    )

    def __init__(self) -> None:
        self.events: list[EventRow] = []
        """New events, in the order they happened; those of one session by ascending `seq`."""
        self.sessions: list[SessionRow] = []
        """New or changed rows; of several with one key the last counts."""
        self.deadlines: list[tuple[int, float | None]] = []
        """(key, due_at) where nothing else changes; of several with one key the last counts."""
        self.ended: list[int] = []
        """Keys of sessions that are over: nothing falls due any more. Their snapshots stay as they are, which
        makes this a tenth of writing their rows.
        """
        self.scopes: list[ScopeRow] = []
        """Contexts of users that changed, or go; of several of one user the last counts."""
        self.broadcasts: list[BroadcastRow] = []
        """Whom a broadcast has reached, with the message of it."""
        self.turns: list[TurnRow] = []
        """Turns that begin or end, each at most once."""
        self.erased: dict[int, Gone] = {}
        """Keys of sessions to remove, with every event of theirs: of a long one the last go behind the
        commit, see `Journal.erase_on`.
        """
        self.erased_events: int = 0
        """Set by the commit: how many events are gone."""
        self.erased_by_key: dict[int, int] = {}
        """Set by the commit: how many events of each erased session; 0 for one that was not there."""

    def is_events_alone(self) -> bool:
        """Nothing but events is in it."""
        return not (
            self.sessions
            or self.deadlines
            or self.ended
            or self.scopes
            or self.broadcasts
            or self.turns
            or self.erased
        )
