"""What time does to a session: a moment before, on and after each deadline, alone and in pairs."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import permutations, product

import pytest

from sojourn.actors import state
from sojourn.actors.errors import SessionClosed, SessionExpired
from sojourn.actors.lifecycle import NEVER, On, Status
from tests.actors.lives import START, Life

DEADLINE = START + 60
BEFORE = math.nextafter(DEADLINE, -math.inf)
AFTER = math.nextafter(DEADLINE, math.inf)
Begin = Callable[[], Life]


def closed(**timeouts: float) -> Life:
    life = Life(**timeouts)
    life.happen(On.CLOSE, START)
    return life


def said(at: float = START, **timeouts: float) -> Life:
    life = Life(**timeouts)
    life.happen(On.USER_MESSAGE, at)
    return life


ENDINGS: dict[str, tuple[Begin, str]] = {
    "session_timeout": (lambda: Life(session_timeout=60), "inactivity"),
    "session_timeout, closed": (lambda: closed(session_timeout=60), "inactivity"),
    "keep_alive": (lambda: closed(keep_alive=60), "keep_alive"),
    "max_lifetime": (lambda: said(START + 30, max_lifetime=60), "max_lifetime"),
    "max_lifetime, closed": (lambda: closed(max_lifetime=60), "max_lifetime"),
}
"""Sessions that end at DEADLINE, each by one timer alone."""
endings = pytest.mark.parametrize(("begin", "reason"), ENDINGS.values(), ids=ENDINGS)


@endings
def test_a_moment_before_the_deadline_a_message_still_finds_the_session(begin: Begin, reason: str) -> None:
    life = begin()
    life.happen(On.USER_MESSAGE, BEFORE)
    assert life.session.status is Status.ACTIVE
    assert life.newest.event == "message:received"
    assert life.newest.at == BEFORE


@endings
@pytest.mark.parametrize("now", [DEADLINE, AFTER, DEADLINE + 1e6])
def test_from_the_deadline_on_a_message_finds_the_session_expired(
    begin: Begin, reason: str, now: float
) -> None:
    """At the very instant as well as long after it: the expiry's own instant is the deadline."""
    life = begin()
    with pytest.raises(SessionExpired):
        life.happen(On.USER_MESSAGE, now)
    assert (life.newest.event, life.newest.at) == ("session:expired", DEADLINE)
    assert life.newest.payload["reason"] == reason
    assert (life.session.expired_at, life.session.expiry_reason) == (DEADLINE, reason)


@endings
def test_every_session_says_when_it_ends_and_why(begin: Begin, reason: str) -> None:
    session = begin().session
    assert session.expires_at == session.due_at == DEADLINE
    assert state.EXPIRY_REASON[session.expires_why] == reason


@endings
def test_an_expired_session_waits_for_nothing(begin: Begin, reason: str) -> None:
    life = begin()
    life.pass_time(DEADLINE)
    events = len(life.events)
    assert life.session.due_at == life.session.expires_at == NEVER
    life.pass_time(DEADLINE + 1e6)
    assert len(life.events) == events


@pytest.mark.parametrize(
    ("inactivity", "grace", "cap"),
    [*permutations((30.0, 60.0, 90.0)), *product((30.0, 60.0), repeat=3)],
)
def test_the_earliest_deadline_of_a_closed_session_wins(inactivity: float, grace: float, cap: float) -> None:
    """Where they coincide the one that stands first in the table of timers is named."""
    life = closed(session_timeout=inactivity, keep_alive=grace, max_lifetime=cap)
    first = min(inactivity, grace, cap)
    reason = ["inactivity", "keep_alive", "max_lifetime"][[inactivity, grace, cap].index(first)]
    life.pass_time(START + 1000)
    assert life.names == ["session:closed", "session:expired"]
    assert (life.newest.at, life.newest.payload["reason"]) == (START + first, reason)


@pytest.mark.parametrize(("inactivity", "cap"), [(30.0, 60.0), (60.0, 30.0), (60.0, 60.0)])
def test_the_earliest_deadline_of_an_active_session_wins(inactivity: float, cap: float) -> None:
    life = Life(session_timeout=inactivity, max_lifetime=cap, keep_alive=1)
    life.pass_time(START + 1000)
    assert life.names == ["session:expired"]
    assert life.newest.at == START + min(inactivity, cap)
    assert life.newest.payload["reason"] == ("inactivity" if inactivity <= cap else "max_lifetime")


@pytest.mark.parametrize("limit", ["session_timeout", "max_lifetime"])
def test_the_grace_period_never_outlives_the_other_limits(limit: str) -> None:
    life = Life(**{limit: 60.0}, keep_alive=50)
    life.happen(On.CLOSE, START + 20)
    assert life.session.expires_at == DEADLINE
    with pytest.raises(SessionExpired):
        life.happen(On.REOPEN, DEADLINE)
    assert life.session.expiry_reason != "keep_alive"


def test_without_grace_a_close_is_the_end() -> None:
    life = closed(session_timeout=60, keep_alive=0)
    assert life.names == ["session:closed", "session:expired"]
    assert life.newest.at == START
    assert life.newest.payload["reason"] == "keep_alive"


def test_a_session_without_timers_never_ends() -> None:
    life = said()
    assert life.session.lapse(1e300) is None
    assert life.session.expires_at == NEVER


def test_reopening_forgets_the_close_and_its_grace_period() -> None:
    life = closed(keep_alive=60)
    life.happen(On.REOPEN, START + 59)
    session = life.session
    assert (session.closed_at, session.close_reason, session.expires_at) == (None, None, NEVER)
    life.happen(On.CLOSE, START + 100)
    assert session.expires_at == START + 160


def test_a_second_close_changes_nothing() -> None:
    life = closed(keep_alive=60)
    life.happen(On.CLOSE, START + 59)
    assert life.names == ["session:closed"]
    assert life.session.expires_at == DEADLINE


def test_a_message_that_a_closed_session_takes_into_its_history_moves_no_deadline() -> None:
    """As a broadcast does, which reopens nothing."""
    life = closed(session_timeout=600, keep_alive=60)
    life.record("message:received", START + 30, author="system")
    assert (life.session.expires_at, life.session.expires_why) == (DEADLINE, On.KEEP_ALIVE)


# -- activity ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on", [On.OTHER_MESSAGE, On.CONTEXT_UPDATE, On.TAG, On.RATE, On.ASSIGN, On.CLOSE])
def test_only_the_user_keeps_a_session_alive(on: On) -> None:
    life = Life(session_timeout=60)
    life.happen(on, START + 30)
    assert life.session.last_activity_at == START
    assert life.session.expires_at == DEADLINE


def test_a_message_of_the_user_starts_the_limit_anew() -> None:
    life = Life(session_timeout=60, max_lifetime=100)
    life.happen(On.USER_MESSAGE, START + 30)
    assert life.session.last_activity_at == START + 30
    assert (life.session.expires_at, life.session.expires_why) == (START + 90, On.INACTIVITY)
    life.happen(On.USER_MESSAGE, START + 50)
    assert (life.session.expires_at, life.session.expires_why) == (START + 100, On.MAX_LIFETIME)


def test_a_reopening_counts_only_when_it_is_marked_as_the_users() -> None:
    life = closed(session_timeout=60)
    life.record("session:reopened", START + 30)
    assert life.session.last_activity_at == START
    life.record("session:closed", START + 40)
    life.record("session:reopened", START + 50, state.ACTIVITY)
    assert life.session.last_activity_at == START + 50


def test_what_counts_is_kept_with_the_event_and_not_looked_up_again() -> None:
    life = Life(session_timeout=60)
    life.record("session:tagged", START + 30, state.ACTIVITY)
    life.record("message:received", START + 40, author="user")
    assert life.session.last_activity_at == START + 30


# -- the dialog timer ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("now", "lapsed"), [(BEFORE, False), (DEADLINE, True), (AFTER, True)])
def test_the_dialog_lapses_at_its_deadline_and_the_session_goes_on(now: float, lapsed: bool) -> None:
    life = said(dialog_timeout=60, session_timeout=600)
    expires_at = life.session.expires_at
    life.pass_time(now)
    assert life.names == ["message:received", "dialog:expired"][: 1 + lapsed]
    if lapsed:
        assert life.newest.at == DEADLINE
    assert (life.session.status, life.session.expires_at) == (Status.ACTIVE, expires_at)


def test_the_dialog_lapses_once_for_each_message_of_the_user() -> None:
    life = said(dialog_timeout=60)
    life.pass_time(START + 1000)
    assert life.names.count("dialog:expired") == 1
    life.happen(On.OTHER_MESSAGE, START + 1000)
    life.pass_time(START + 2000)
    assert life.names.count("dialog:expired") == 1
    life.happen(On.USER_MESSAGE, START + 2000)
    life.pass_time(START + 3000)
    assert [each.at for each in life.events if each.event == "dialog:expired"] == [DEADLINE, START + 2060]


def test_no_dialog_lapses_before_the_user_has_spoken() -> None:
    life = Life(dialog_timeout=60)
    life.happen(On.OTHER_MESSAGE, START)
    life.pass_time(START + 1000)
    assert "dialog:expired" not in life.names


@pytest.mark.parametrize("handling", [On.HANDOVER, On.ASSIGN])
def test_a_dialog_that_ran_out_under_a_human_lapses_at_the_return(handling: On) -> None:
    life = said(dialog_timeout=60)
    life.happen(handling, START + 10)
    life.pass_time(START + 1000)
    assert "dialog:expired" not in life.names
    life.happen(On.RELEASE, START + 1000)
    assert life.names[-2:] == ["session:released", "dialog:expired"]
    assert life.newest.at == START + 1000
    life.happen(On.ASSIGN, START + 1010)
    life.happen(On.RELEASE, START + 1020)
    assert life.newest.event == "session:released"


def test_a_dialog_that_did_not_run_out_under_a_human_has_its_own_deadline() -> None:
    life = said(dialog_timeout=60)
    life.happen(On.ASSIGN, START + 10)
    life.happen(On.RELEASE, START + 50)
    life.pass_time(START + 1000)
    assert (life.newest.event, life.newest.at) == ("dialog:expired", DEADLINE)


def test_a_dialog_does_not_lapse_while_the_session_is_closed() -> None:
    life = said(dialog_timeout=60)
    life.happen(On.CLOSE, START + 10)
    life.pass_time(START + 100)
    assert life.names[-1] == "session:closed"
    life.happen(On.REOPEN, START + 100)
    assert [(each.event, each.at) for each in life.events[-2:]] == [
        ("session:reopened", START + 100),
        ("dialog:expired", START + 100),
    ]


def test_what_the_user_tells_a_human_is_not_forgotten_by_the_ai_at_once() -> None:
    life = said(dialog_timeout=60)
    life.happen(On.ASSIGN, START + 10)
    life.happen(On.USER_MESSAGE, START + 990)
    life.happen(On.RELEASE, START + 1000)
    assert life.newest.event == "session:released"
    assert life.session.due_at == START + 1050


# -- reminders -----------------------------------------------------------------------------------------


def remind(life: Life, after: float, name: str = "call") -> None:
    life.happen(On.REMIND, life.session.last_at, name=name, due_at=START + after)


@pytest.mark.parametrize(("now", "fired"), [(BEFORE, False), (DEADLINE, True), (AFTER, True)])
def test_a_reminder_fires_at_its_time_and_once(now: float, fired: bool) -> None:
    life = Life()
    remind(life, 60)
    life.pass_time(now)
    assert life.names == ["reminder:set", "reminder:fired"][: 1 + fired]
    if fired:
        assert life.newest.at == DEADLINE
        assert life.newest.payload == {"name": "call", "data": {"of": 2}}
        assert life.session.due_at == NEVER


def test_reminders_of_different_names_stand_beside_each_other() -> None:
    life = Life()
    remind(life, 60, "call")
    remind(life, 30, "mail")
    remind(life, 90, "visit")
    life.pass_time(START + 1000)
    fired = [(each.payload["name"], each.at) for each in life.events if each.event == "reminder:fired"]
    assert fired == [("mail", START + 30), ("call", START + 60), ("visit", START + 90)]


def test_a_reminder_of_the_same_name_replaces_the_first() -> None:
    life = Life()
    remind(life, 30)
    remind(life, 60)
    life.pass_time(START + 1000)
    assert [each.at for each in life.events if each.event == "reminder:fired"] == [DEADLINE]


@pytest.mark.parametrize("on", [On.USER_MESSAGE, On.CLOSE])
def test_a_message_of_the_user_and_a_close_cancel_every_reminder(on: On) -> None:
    life = Life()
    remind(life, 60, "call")
    remind(life, 90, "mail")
    life.happen(on, BEFORE)
    assert life.session.due_at == NEVER
    life.pass_time(START + 1000)
    assert "reminder:fired" not in life.names


def test_a_message_at_the_very_instant_comes_behind_the_reminder() -> None:
    life = Life()
    remind(life, 60)
    life.happen(On.USER_MESSAGE, DEADLINE)
    assert life.names == ["reminder:set", "reminder:fired", "message:received"]


def test_a_message_of_somebody_else_cancels_nothing() -> None:
    life = Life()
    remind(life, 60)
    life.happen(On.OTHER_MESSAGE, BEFORE)
    assert life.session.due_at == DEADLINE


def test_a_closed_session_takes_no_reminder() -> None:
    with pytest.raises(SessionClosed):
        remind(closed(), 60)


def test_a_reminder_for_a_time_that_is_past_fires_now() -> None:
    """Never before what was there when it was set."""
    life = Life()
    life.happen(On.TAG, START + 100)
    remind(life, 60)
    assert (life.newest.event, life.newest.at) == ("reminder:fired", START + 100)


# -- pairs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dialog", "reminder"), [(30.0, 60.0), (60.0, 30.0), (60.0, 60.0)])
def test_dialog_and_reminder_come_in_the_order_of_their_deadlines(dialog: float, reminder: float) -> None:
    life = said(dialog_timeout=dialog)
    remind(life, reminder)
    life.pass_time(START + 1000)
    order = ["dialog:expired", "reminder:fired"][:: 1 if dialog <= reminder else -1]
    assert life.names[2:] == order
    assert [each.at - START for each in life.events[3:]] == sorted((dialog, reminder))


def test_a_reminder_fires_under_a_human_with_whom_the_dialog_ran_out() -> None:
    """The dialog, due earlier, goes on waiting for the return to the AI."""
    life = said(dialog_timeout=30)
    life.happen(On.ASSIGN, START)
    remind(life, 60)
    life.pass_time(START + 1000)
    assert (life.newest.event, life.newest.at) == ("reminder:fired", DEADLINE)
    life.happen(On.RELEASE, START + 1000)
    assert life.newest.event == "dialog:expired"


@pytest.mark.parametrize("limit", ["session_timeout", "max_lifetime"])
@pytest.mark.parametrize(("inner", "happens"), [(30.0, True), (60.0, False), (90.0, False)])
def test_expiry_goes_before_what_falls_due_with_it(limit: str, inner: float, happens: bool) -> None:
    life = said(dialog_timeout=inner, **{limit: 60.0})
    remind(life, inner)
    life.pass_time(START + 1000)
    assert life.names[2:] == [*(["dialog:expired", "reminder:fired"] if happens else []), "session:expired"]
    assert life.newest.at == DEADLINE
