"""What each event of a session changes in its state, beside `seq` and the instants that all of them move.

Messages are not here: `Session.apply_message` folds them in.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from .context import merge_patch, own_part
from .lifecycle import NEVER, Handling, Status, Timeouts
from .packing import pack, unpack

if TYPE_CHECKING:
    from .state import Session


def _created(session: "Session", at: float, payload: Mapping[str, Any], flags: int) -> None:
    session.created_at = session.last_activity_at = at
    session.user = pack(payload["user"])
    session.context = pack(payload["context"])
    session.metadata = pack(payload["metadata"])
    session.channel = payload["channel"]
    session.timeouts = Timeouts.from_map(payload["timeouts"])
    session.tags = tuple(payload["tags"])
    session.handling_seq = session.seq
    session.handling_at = at


def _context_updated(session: "Session", at: float, payload: Mapping[str, Any], flags: int) -> None:
    session.context = pack(merge_patch(unpack(session.context), own_part(payload["patch"])))
    session.context_version = payload["context_version"]


def _closed(session: "Session", at: float, payload: Mapping[str, Any], flags: int) -> None:
    session.status = Status.CLOSED
    session.closed_at = at
    session.close_reason = payload["reason"]
    session.close_seq = session.seq
    session.reminders = None


def _reopened(session: "Session", at: float, payload: Mapping[str, Any], flags: int) -> None:
    session.status = Status.ACTIVE
    session.closed_at = None
    session.close_reason = None
    handling = Handling(payload["handling"])
    if handling is not session.handling:
        # The human who had it is not there: it is nobody's, in no queue.
        session.handled_by(handling, payload["assignee"], None, at, None)
    elif session.wait_limit is not None:
        session.wait_until = at + session.wait_limit  # nobody waited while it was closed


def _expired(session: "Session", at: float, payload: Mapping[str, Any], flags: int) -> None:
    session.status = Status.EXPIRED
    session.expired_at = at
    session.expiry_reason = payload["reason"]
    session.reminders = None


def _handed_over(session: "Session", at: float, payload: Mapping[str, Any], flags: int) -> None:
    session.handled_by(Handling.QUEUED, None, payload["queue"], at, payload.get("return_after"))


def _assigned(session: "Session", at: float, payload: Mapping[str, Any], flags: int) -> None:
    limit = payload.get("return_after")
    session.handled_by(Handling.HUMAN, payload["assignee"], session.queue, at, limit)


def _released(session: "Session", at: float, payload: Mapping[str, Any], flags: int) -> None:
    session.handled_by(Handling.AI, None, None, at, None)


def _tagged(session: "Session", at: float, payload: Mapping[str, Any], flags: int) -> None:
    session.tags = tuple(payload["tags"])


def _dialog_expired(session: "Session", at: float, payload: Mapping[str, Any], flags: int) -> None:
    session.dialog_from = NEVER
    session.lapsed_seq = session.seq


def _reminder_set(session: "Session", at: float, payload: Mapping[str, Any], flags: int) -> None:
    if session.reminders is None:
        session.reminders = {}
    session.reminders[payload["name"]] = (payload["due_at"], payload["data"])


def _reminder_fired(session: "Session", at: float, payload: Mapping[str, Any], flags: int) -> None:
    if session.reminders is not None:
        session.reminders.pop(payload["name"], None)
        session.reminders = session.reminders or None


CHANGES: Final[Mapping[str, Callable[["Session", float, Mapping[str, Any], int], None]]] = {
    "session:created": _created,
    "session:context:updated": _context_updated,
    "session:closed": _closed,
    "session:reopened": _reopened,
    "session:expired": _expired,
    "session:handed_over": _handed_over,
    "session:assigned": _assigned,
    "session:released": _released,
    "session:tagged": _tagged,
    "dialog:expired": _dialog_expired,
    "reminder:set": _reminder_set,
    "reminder:fired": _reminder_fired,
    "reminder:cancelled": _reminder_fired,
}
"""What each event changes beside `seq`; an event that is not here is history only."""
