"""Lives of sessions for the tests of what decides: the fold and the table, without actor, clock or journal.

`Life` is the least host there can be: it lets time pass before anything else, as every host must, looks the
step up in the table, and keeps the events beside the session.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from sojourn.actors.errors import SessionError
from sojourn.actors.lifecycle import TIMERS, On, Status, permit
from sojourn.actors.packing import pack
from sojourn.actors.state import ACTIVITY, REOPENED, Session
from sojourn.storage import EVENT_TYPES, EventRow, SessionRow, StoredSession

START = 1_700_000_000.0
BY = {"role": "user", "id": None}
TIMED = frozenset(timer.on for timer in TIMERS)
"""What time does; everything else is asked for."""
ASKED = tuple(on for on in On if on not in TIMED)


class Recorded(NamedTuple):
    """One event, as the fold gets it."""

    event: str
    at: float
    payload: dict[str, Any]
    flags: int


class Life:
    """A session and everything that happened to it. Timers that are not given never run."""

    def __init__(self, **timeouts: float | None) -> None:
        self.session = Session(1, "s-1")
        self.events: list[Recorded] = []
        settings = dict.fromkeys(("session_timeout", "keep_alive", "dialog_timeout", "max_lifetime"))
        self.record("session:created", START, timeouts=settings | timeouts)

    def record(self, event: str, at: float, flags: int = 0, **payload: Any) -> None:
        """Fold one event in and keep it; what `payload` leaves out is as in a plain case."""
        recorded = Recorded(event, at, self._plain(event) | payload, flags)
        self.session.apply(*recorded)
        self.events.append(recorded)

    def pass_time(self, now: float) -> float:
        """Record what time owes at `now`; the instant of what comes next."""
        while (lapse := self.session.lapse(now)) is not None:
            self.record(lapse.event, lapse.at, **lapse.payload)
        return max(now, self.session.last_at)

    def happen(self, on: On, now: float, **payload: Any) -> float:
        """Let it happen at `now`, or raise the `SessionError` that refuses it; the instant of its events."""
        at = self.pass_time(now)
        session = self.session
        step = permit(session.status, on, session.session_id, session.handling, session.assignee)
        last = step.events[-1] if step.events else None
        for event in step.events:
            flags = ACTIVITY if on in {On.USER_MESSAGE, On.REOPEN} else 0
            if event == "message:received" and len(step.events) > 1:
                flags |= REOPENED
            author = {"author": "system"} if on is On.OTHER_MESSAGE else {}
            self.record(event, at, flags, **author | (payload if event == last else {}))
        self.pass_time(at)
        return at

    @property
    def names(self) -> list[str]:
        """The events behind the creation, by name."""
        return [each.event for each in self.events[1:]]

    @property
    def newest(self) -> Recorded:
        return self.events[-1]

    def stored(self, snapshot_seq: int = 0, snapshot: bytes | None = None) -> StoredSession:
        """As the store would give it back: the snapshot, and the rows of the events behind it."""
        session = self.session
        row = SessionRow(
            key=session.key,
            session_id=session.session_id,
            user_id=None,
            channel=session.channel,
            request_key=None,
            resume_hash=None,
            created_at=session.created_at,
            status=session.status.value,
            handling=session.handling.value,
            queue=session.queue,
            assignee=session.assignee,
            due_at=session.due_at,
            seq=snapshot_seq,
            snapshot=snapshot,
        )
        return StoredSession(row, self.rows()[snapshot_seq:])

    def rows(self) -> list[EventRow]:
        """The events as the journal keeps them."""
        return [
            (self.session.key, seq, each.at, EVENT_TYPES[each.event], each.flags, pack(each.payload))
            for seq, each in enumerate(self.events, 1)
        ]

    def _plain(self, event: str) -> dict[str, Any]:
        seq = self.session.seq + 1
        match event:
            case "session:created":
                created = {"user": {"user_id": "ada"}, "context": {}, "metadata": {}, "channel": "tcp"}
                return {**created, "tags": [], "by": BY}
            case "message:received":
                return {"author": "user", "message_id": f"m-{seq}", "text": "Hello?"}
            case "session:context:updated":
                return {"patch": {"step": seq}, "context_version": self.session.context_version + 1, "by": BY}
            case "session:closed":
                return {"reason": "solved", "reopen_until": None, "by": BY}
            case "session:reopened":
                return {"handling": self.session.handling.value, "assignee": self.session.assignee, "by": BY}
            case "session:rated":
                return {"rating": 5, "feedback": None, "by": BY}
            case "session:tagged":
                return {"tags": [f"tag-{seq}"], "by": BY}
            case "session:handed_over":
                return {"handling": "queued", "queue": "complaints", "by": BY}
            case "session:assigned":
                return {"assignee": "grace", "by": BY}
            case "session:released":
                return {"by": BY}
            case "reminder:set":
                return {"name": "call", "due_at": self.session.last_at + 20, "data": {"of": seq}}
            case _:
                return {}


class Wish(NamedTuple):
    """What somebody asks for, and how long after what came before it; below 0 the clock was set back."""

    on: On
    gap: float
    payload: dict[str, Any]


def live(life: Life, wishes: Sequence[Wish], ticks: Sequence[float] = ()) -> float:
    """Let all of it happen that is legal; the last `now`.

    `ticks` are the parts of each gap after which a wake-up comes.
    """
    now = life.session.last_at
    for wish in wishes:
        for part in ticks:
            life.pass_time(now + wish.gap * part)
        now += wish.gap
        try:
            life.happen(wish.on, now, **payload_of(life, wish, now))
        except SessionError:
            assert life.session.status is not Status.ACTIVE or wish.on is On.REOPEN
    return now


def payload_of(life: Life, wish: Wish, now: float) -> dict[str, Any]:
    """A reminder's time is meant from now on."""
    if wish.on is On.REMIND:
        return {**wish.payload, "due_at": max(now, life.session.last_at) + wish.payload["due_at"]}
    return wish.payload


patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For every test with generated lives: how long one takes on a busy machine says nothing."""

DURATIONS = (10.0, 20.0, 30.0, 60.0)
"""Few and round, so that deadlines coincide."""

timeouts = st.fixed_dictionaries(
    {
        "session_timeout": st.sampled_from((None, *DURATIONS)),
        "keep_alive": st.sampled_from((None, 0.0, *DURATIONS)),
        "dialog_timeout": st.sampled_from((None, *DURATIONS)),
        "max_lifetime": st.sampled_from((None, 60.0, 120.0)),
    }
)

_plain = st.sampled_from((None, True, 0, -1.5, "", "text", [None, {"a": None}]))
_values = _plain | st.dictionaries(st.sampled_from("abc"), _plain, max_size=2)
_patches = st.dictionaries(st.sampled_from("abc"), _values, max_size=3)
_limits = st.sampled_from((None, *DURATIONS))
_gaps = st.sampled_from((0.0, 0.0, 5.0, 10.0, 20.0, 30.0, 0.1, 7.3, -5.0))


def _wishes_of(on: On) -> st.SearchStrategy[Wish]:
    payloads: dict[On, st.SearchStrategy[dict[str, Any]]] = {
        On.CONTEXT_UPDATE: st.fixed_dictionaries({"patch": _patches}),
        On.HANDOVER: st.fixed_dictionaries(
            {"queue": st.sampled_from((None, "complaints", "sales")), "return_after": _limits}
        ),
        On.ASSIGN: st.fixed_dictionaries(
            {"assignee": st.sampled_from(("grace", "joan")), "return_after": _limits}
        ),
        On.OTHER_MESSAGE: st.fixed_dictionaries({"author": st.sampled_from(("human", "ai", "system"))}),
        On.REMIND: st.fixed_dictionaries(
            {
                "name": st.sampled_from(("call", "mail")),
                "due_at": st.sampled_from((0.0, *DURATIONS)),
                "data": _values,
            }
        ),
    }
    return st.builds(Wish, st.just(on), _gaps, payloads.get(on, st.just({})))


_often = (On.USER_MESSAGE, On.USER_MESSAGE, On.CLOSE, On.REOPEN)
wishes = st.lists(st.sampled_from((*ASKED, *_often)).flatmap(_wishes_of), max_size=25)
