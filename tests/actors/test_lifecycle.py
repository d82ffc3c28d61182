"""The table is the life cycle: what is in it happens, everything else is refused and changes nothing."""

from __future__ import annotations

from itertools import product

import pytest

from sojourn.actors.errors import IllegalState, SessionClosed, SessionError, SessionExpired
from sojourn.actors.lifecycle import NEVER, TABLE, TIMERS, Handling, On, Status, Timeouts, permit, refusal
from sojourn.storage import EVENT_TYPES
from tests.actors.lives import ASKED, START, TIMED, Life

PAIRS = list(product(Status, On))
LEGAL: dict[Status, set[On]] = {
    Status.ACTIVE: {
        *(on for on in ASKED if on is not On.REOPEN),
        On.INACTIVITY,
        On.MAX_LIFETIME,
        On.DIALOG,
        On.REMINDER,
        On.QUEUE,
        On.HUMAN,
    },
    Status.CLOSED: {
        On.USER_MESSAGE,
        On.CLOSE,
        On.REOPEN,
        On.RATE,
        On.TAG,
        On.INACTIVITY,
        On.KEEP_ALIVE,
        On.MAX_LIFETIME,
    },
    Status.EXPIRED: set(),
}
"""Written down a second time, from the protocol's rules and not from the table."""
NEEDS = {
    On.INACTIVITY: "session_timeout",
    On.KEEP_ALIVE: "keep_alive",
    On.MAX_LIFETIME: "max_lifetime",
    On.DIALOG: "dialog_timeout",
}


def named(value: object) -> str:
    return str(value)


@pytest.mark.parametrize(("status", "on"), PAIRS, ids=named)
def test_the_table_holds_the_legal_pairs_and_no_other(status: Status, on: On) -> None:
    assert ((status, on) in TABLE) == (on in LEGAL[status])


@pytest.mark.parametrize(("status", "on"), TABLE, ids=named)
def test_a_legal_pair_is_permitted_whoever_handles_the_session(status: Status, on: On) -> None:
    for handling in Handling:
        assert permit(status, on, "s-1", handling, "grace") is TABLE[status, on]


@pytest.mark.parametrize(("status", "on"), [pair for pair in PAIRS if pair not in TABLE], ids=named)
def test_an_illegal_pair_is_refused_by_the_state_it_met(status: Status, on: On) -> None:
    kind, code = {
        Status.ACTIVE: (IllegalState, "illegal_state"),
        Status.CLOSED: (SessionClosed, "session_closed"),
        Status.EXPIRED: (SessionExpired, "session_expired"),
    }[status]
    with pytest.raises(SessionError) as raised:
        permit(status, on, "s-1", Handling.HUMAN, "grace")
    error = raised.value
    assert type(error) is kind
    assert (error.code, error.session_id) == (code, "s-1")
    assert error.details is not None
    assert error.details["status"] == status
    assert "s-1" in error.message
    assert on.value in error.message


def test_whoever_does_not_fit_an_active_session_is_told_who_has_it() -> None:
    error = refusal(Status.ACTIVE, On.REOPEN, "s-1", Handling.HUMAN, "grace")
    assert error.details == {"status": "active", "handling": "human", "assignee": "grace"}
    assert error.retry_after is None


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.EXPIRED])
def test_every_state_but_the_last_has_a_way_out_by_request_and_by_time(status: Status) -> None:
    ways = {on for (start, on), step in TABLE.items() if start is status and step.to is not status}
    assert ways & TIMED
    assert ways - TIMED


def test_nothing_leads_out_of_expired() -> None:
    assert not [on for status, on in TABLE if status is Status.EXPIRED]


def test_every_state_can_be_reached() -> None:
    reached = {Status.ACTIVE}
    while more := {step.to for (status, _), step in TABLE.items() if status in reached} - reached:
        reached |= more
    assert reached == set(Status)


def test_everything_that_can_happen_is_legal_somewhere() -> None:
    assert {on for _, on in TABLE} == set(On)


def test_every_event_of_the_table_can_be_kept_and_every_state_change_says_so() -> None:
    for (status, _), step in TABLE.items():
        assert set(step.events) <= set(EVENT_TYPES)
        assert step.events or step.to is status


def test_expiry_has_one_name_however_it_came() -> None:
    into_expired = {step.events for step in TABLE.values() if step.to is Status.EXPIRED}
    assert into_expired == {("session:expired",)}


@pytest.mark.parametrize(("status", "on"), TABLE, ids=named)
def test_the_events_of_a_step_lead_where_the_table_says(status: Status, on: On) -> None:
    """Table and fold are written apart; here each legal pair is lived through."""
    life = Life(**{NEEDS[on]: 60.0} if on in NEEDS else {})
    if on is On.DIALOG:
        life.happen(On.USER_MESSAGE, START)
    elif on is On.REMINDER:
        life.happen(On.REMIND, START, due_at=START + 60)
    elif on is On.QUEUE:
        life.happen(On.HANDOVER, START, return_after=60.0)
    elif on is On.HUMAN:
        life.happen(On.ASSIGN, START, return_after=60.0)
    if status is Status.CLOSED:
        life.happen(On.CLOSE, START)
    assert life.session.status is status
    before = len(life.events)
    if on in TIMED:
        life.pass_time(START + 60)
    else:
        life.happen(on, START + 1)
    assert tuple(each.event for each in life.events[before:]) == TABLE[status, on].events
    assert life.session.status is TABLE[status, on].to


def test_a_timer_runs_exactly_where_its_end_is_in_the_table() -> None:
    for timer in TIMERS:
        assert {status for status, on in TABLE if on is timer.on} == set(timer.runs_in)
        ends = {TABLE[status, timer.on].to for status in timer.runs_in}
        assert (ends == {Status.EXPIRED}) == (timer.reason is not None)


def test_timers_that_end_a_session_come_first() -> None:
    reasons = [timer.reason for timer in TIMERS]
    assert reasons == ["inactivity", "keep_alive", "max_lifetime", None, None, None, None]


def test_timeouts_say_never_as_nil_and_come_back_the_same() -> None:
    wire = {"session_timeout": 60.0, "keep_alive": 0.0, "dialog_timeout": None, "max_lifetime": None}
    timeouts = Timeouts.from_map(wire)
    assert (timeouts.session_timeout, timeouts.keep_alive) == (60.0, 0.0)
    assert timeouts.dialog_timeout == timeouts.max_lifetime == NEVER
    assert timeouts.as_map() == wire
    assert list(timeouts.as_map()) == list(wire)


def test_equal_timeouts_are_one_object() -> None:
    assert Timeouts.of(61, 5, None, None) is Timeouts.of(61.0, 5.0, None, None)
    assert type(Timeouts.of(61, 5, None, None).session_timeout) is float
