"""The state of one session, as a fold over its events.

`apply` is the only thing that changes a `Session`, and it is told nothing but what the journal keeps:
the event's type, instant, payload and flags. So a session that was restored is the one that never
stopped. Time is handled by `lapse`: it names the next event that the passing of time owes, in the order
of the deadlines, at the deadline itself.

Maps that are seldom read (user, context, metadata) are kept as msgpack bytes: a fifth of the memory.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast

from .changes import CHANGES
from .lifecycle import NEVER, TIMERS, Handling, On, Status, Timeouts
from .packing import EMPTY_MAP, message_hash, unpack

CREATED: Final = 1
"""Flag of a message: it made the session."""
REOPENED: Final = 2
"""Flag of a message: it reopened the session."""
ACTIVITY: Final = 4
"""Flag of any event: it counted as the user's activity when it happened."""
COPIED: Final = 8
"""Flag of any event: it happened in another session, which this one was forked from."""

SERVER_MADE: Final = "~"
"""How a message_id made by the server begins: it names its own seq, so it needs no place in `answers`."""

BY_TIME: Final[dict[str, str | None]] = {"role": "system", "id": None}
"""Who did what nobody asked for."""

_ANSWER_BITS: Final = 2
_ANSWER_FLAGS: Final = CREATED | REOPENED
EXPIRY_REASON: Final = {timer.on: timer.reason for timer in TIMERS if timer.reason is not None}
"""What is reported for each timer that ends a session."""


class Lapse(NamedTuple):
    """What the passing of time owes: an event and its instant."""

    on: On
    event: str
    at: float
    payload: dict[str, Any]


class Answer(NamedTuple):
    """What was answered to a message: enough to answer the same again."""

    seq: int
    created: bool
    reopened: bool


def _answer(packed: int) -> Answer:
    return Answer(packed >> _ANSWER_BITS, bool(packed & CREATED), bool(packed & REOPENED))


class Session:
    """Everything that is true of one session now. Instants are epoch seconds; None: did not happen."""

    __slots__ = (
        "answers",
        "assignee",
        "channel",
        "close_reason",
        "close_seq",
        "closed_at",
        "context",
        "context_version",
        "created_at",
        "dialog_from",
        "due_at",
        "expired_at",
        "expires_at",
        "expires_why",
        "expiry_reason",
        "frozen_answers",
        "handling",
        "handling_at",
        "handling_seq",
        "key",
        "lapsed_seq",
        "last_activity_at",
        "last_at",
        "metadata",
        "queue",
        "reminders",
        "seq",
        "session_id",
        "status",
        "tags",
        "timeouts",
        "user",
        "wait_limit",
        "wait_until",
    )

    def __init__(self, key: int, session_id: str) -> None:
        """A session of which nothing has happened yet; `session:created` is its first event."""
        self.key = key
        self.session_id = session_id
        self.seq = 0
        self.status = Status.ACTIVE
        self.handling = Handling.AI
        self.assignee: str | None = None
        self.queue: str | None = None
        self.handling_seq = 0
        self.handling_at = 0.0
        """Since when it waits in its queue, or has its human, or is the AI's."""
        self.wait_limit: float | None = None
        """Seconds that somebody may wait for a human: in the queue, or for an answer; None: for ever."""
        self.wait_until = NEVER
        """When that ends; `NEVER` while nobody waits for a human."""
        self.channel = ""
        self.user = EMPTY_MAP
        self.context = EMPTY_MAP
        self.context_version = 1
        self.metadata = EMPTY_MAP
        self.tags: tuple[str, ...] = ()
        self.timeouts = Timeouts.of(None, None, None, None)
        self.created_at = 0.0
        self.last_activity_at = 0.0
        self.last_at = 0.0
        self.closed_at: float | None = None
        self.close_reason: str | None = None
        self.close_seq = 0
        self.expired_at: float | None = None
        self.expiry_reason: str | None = None
        self.dialog_from = NEVER
        """When the dialog timer was last started; `NEVER` when it has lapsed or nobody spoke yet."""
        self.lapsed_seq = 0
        """The last `dialog:expired`: what lies before it the AI does not remember. 0: it never lapsed."""
        self.reminders: dict[str, tuple[float, Any]] | None = None
        self.answers: dict[int, int | tuple[int, ...]] | None = None
        """By the hash of each message_id: seq << 2 | reopened << 1 | created; several when hashes collide."""
        self.frozen_answers = b""
        """The first of `answers` as the last snapshot holds them: they need not be packed anew."""
        self.expires_at = NEVER
        self.expires_why: On = On.INACTIVITY
        self.due_at = NEVER
        """The earliest of all deadlines."""

    def apply(self, event: str, at: float, payload: Mapping[str, Any], flags: int) -> None:
        """Fold one event in. `seq` goes up by one; `at` is its instant; deadlines are reckoned anew."""
        if event == "message:received":
            self.apply_message(at, payload["author"], self.answer_key(payload["message_id"]), flags)
            return
        self.seq += 1
        self.last_at = at
        change = CHANGES.get(event)
        if change is not None:
            change(self, at, payload, flags)
        if flags & ACTIVITY:
            self.last_activity_at = at
        self.rearm()

    def answer_key(self, message_id: str) -> int | None:
        """Under what the answer is kept to a message that is the next event; None: its id names its place."""
        if message_id[0:1] == SERVER_MADE and message_id.startswith(f"{SERVER_MADE}{self.seq + 1}-"):
            return None
        return message_hash(message_id)

    def apply_message(self, at: float, author: str, answer_key: int | None, flags: int) -> None:
        """`apply` for a message, of which nothing else matters: the one event that is hot."""
        self.seq = seq = self.seq + 1
        self.last_at = at
        if author == "user":
            self.dialog_from = at
            self.reminders = None
        if flags & ACTIVITY:
            self.last_activity_at = at
        if answer_key is not None:
            self.keep_answer(answer_key, seq << _ANSWER_BITS | flags & _ANSWER_FLAGS)
        if self.wait_limit is not None:
            self._wait_for_human(at, author)
            self.rearm()
            return
        timeouts = self.timeouts
        if timeouts.inactivity_alone and self.status is Status.ACTIVE and self.reminders is None:
            self.expires_at = self.due_at = self.last_activity_at + timeouts.session_timeout
            self.expires_why = On.INACTIVITY
        else:
            self.rearm()

    def keep_answer(self, key: int, answer: int) -> None:
        """Keep a packed answer, beside those to other messages of the same hash."""
        answers = self.answers
        if answers is None:
            answers = self.answers = {}
        known = answers.get(key)
        if known is None:
            answers[key] = answer
        else:
            answers[key] = (*known, answer) if isinstance(known, tuple) else (known, answer)
            self.frozen_answers = b""

    def _wait_for_human(self, at: float, author: str) -> None:
        """A human's message is what was waited for; the user's next one begins the wait anew."""
        if self.handling is Handling.HUMAN and self.wait_limit is not None:
            if author == "human":
                self.wait_until = NEVER
            elif author == "user" and self.wait_until == NEVER:
                self.wait_until = at + self.wait_limit

    def handled_by(
        self, handling: Handling, assignee: str | None, queue: str | None, at: float, limit: float | None
    ) -> None:
        """The event just folded in says who handles it from `at` on, and how long it may wait for a human."""
        self.handling = handling
        self.assignee = assignee
        self.queue = queue
        self.handling_seq = self.seq
        self.handling_at = at
        self.wait_limit = limit
        self.wait_until = NEVER if limit is None else at + limit

    def rearm(self) -> None:
        """Reckon `expires_at`, `expires_why` and `due_at` from the instants and settings."""
        if self.status is Status.EXPIRED:
            self.expires_at = self.due_at = NEVER
            return
        timeouts = self.timeouts
        expires_at = self.last_activity_at + timeouts.session_timeout
        why = On.INACTIVITY
        if self.closed_at is not None and (deadline := self.closed_at + timeouts.keep_alive) < expires_at:
            expires_at = deadline
            why = On.KEEP_ALIVE
        if (deadline := self.created_at + timeouts.max_lifetime) < expires_at:
            expires_at = deadline
            why = On.MAX_LIFETIME
        self.expires_at = due_at = expires_at
        self.expires_why = why
        if self.status is Status.ACTIVE:
            # Infinite, and so never the earliest, where there is no such timer or it does not run.
            deadline = self.dialog_from + timeouts.dialog_timeout
            if deadline < due_at and self.handling is Handling.AI:
                due_at = deadline
            due_at = min(due_at, self.wait_until)
            if self.reminders:
                due_at = min(due_at, *(when for when, _ in self.reminders.values()))
        self.due_at = due_at

    def lapse(self, now: float, queue_wait: float | None = None) -> Lapse | None:
        """What time owes first at `now`, or None. Apply it, then ask again: each is due at its own instant.

        An instant never lies before the session's last event: a dialog timeout that ended while a human
        handled the session lapses at the return to the AI. Who goes back to the queue may wait there for
        `queue_wait` seconds (None: for ever).
        """
        if self.due_at > now:
            return None
        at = max(self.due_at, self.last_at)
        if self.expires_at <= self.due_at:
            why = self.expires_why
            return Lapse(why, "session:expired", at, {"reason": EXPIRY_REASON[why]})
        if self.dialog_from + self.timeouts.dialog_timeout <= self.due_at and self.handling is Handling.AI:
            return Lapse(On.DIALOG, "dialog:expired", at, {})
        if self.wait_until <= self.due_at:
            if self.handling is Handling.HUMAN:
                payload = {
                    "handling": "queued",
                    "queue": self.queue,
                    "reason": "human_timeout",
                    "return_after": queue_wait,
                    "by": BY_TIME,
                }
                return Lapse(On.HUMAN, "session:handed_over", at, payload)
            return Lapse(On.QUEUE, "session:released", at, {"reason": "queue_timeout", "by": BY_TIME})
        reminders = self.reminders or {}
        name = min(reminders, key=lambda each: reminders[each][0])
        return Lapse(On.REMINDER, "reminder:fired", at, {"name": name, "data": reminders[name][1]})

    def may_know(self, answer_key: int | None) -> bool:
        """May a message with this key have been answered before? If not, it is new; else see `candidates`."""
        answers = self.answers
        return answers is not None and answer_key in answers

    def candidates(self, message_id: str) -> tuple[Answer, ...]:
        """Answers that may belong to `message_id`: compare the message at that `seq` in full."""
        found: tuple[Answer, ...] = ()
        if self.answers is not None:
            known = self.answers.get(message_hash(message_id))
            if known is not None:
                found = tuple(_answer(each) for each in (known if isinstance(known, tuple) else (known,)))
        if message_id.startswith(SERVER_MADE):
            digits = message_id[1:].partition("-")[0]
            if digits.isascii() and digits.isdigit() and len(digits) < 18 and 0 < int(digits) <= self.seq:
                found = (*found, Answer(int(digits), False, False))
        return found

    def user_map(self) -> dict[str, Any]:
        return cast("dict[str, Any]", unpack(self.user))

    def context_map(self) -> dict[str, Any]:
        return cast("dict[str, Any]", unpack(self.context))
