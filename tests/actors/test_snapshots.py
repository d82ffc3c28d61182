"""A session that was stored and loaded is the one that never stopped."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.actors import state
from sojourn.actors.lifecycle import NEVER, Handling, On, Status
from sojourn.actors.packing import pack
from sojourn.actors.snapshots import freeze, restore, restore_times, thaw
from sojourn.actors.state import CREATED, Answer, Session
from sojourn.storage import EVENT_TYPES, DueSession
from tests.actors.lives import START, Life, Wish, live, patient, timeouts, wishes
from tests.compiled import fields_of, replaces_a_name

HELD = {"answers", "frozen_answers"}


def facts(session: Session) -> dict[str, Any]:
    """All that is true of it. How the answers to messages are held is no fact, so they are asked for."""
    known = {
        name: getattr(session, name)
        for name in fields_of(Session)
        if name not in {"answers", "frozen_answers"}
    }
    if session.expires_at == NEVER:
        del known["expires_why"]  # it says by which rule `expires_at` comes
    known["answers"] = sorted(
        (message_id, answer)
        for message_id in (f"m-{seq}" for seq in range(1, session.seq + 1))
        for answer in session.candidates(message_id)
    )
    return known


@patient
@given(timeouts, wishes, st.integers(0, 30))
def test_a_snapshot_at_any_point_and_the_events_behind_it_are_the_session(
    settings: dict[str, float | None], asked: list[Wish], cut: int
) -> None:
    life = Life(**settings)
    live(life, asked)
    cut = min(cut, len(life.events))
    halfway = Session(life.session.key, life.session.session_id)
    for each in life.events[:cut]:
        halfway.apply(*each)
    restored = restore(life.stored(cut, freeze(halfway) if cut else None))
    assert facts(restored) == facts(life.session)


TIMES = (
    *("seq", "status", "handling", "timeouts", "created_at", "last_activity_at", "last_at", "closed_at"),
    *("dialog_from", "reminders", "expires_at", "due_at", "queue", "wait_limit", "wait_until"),
)
"""What time is concerned with: all that `Session.lapse` and the folding of a lapse may look at."""


@patient
@given(timeouts, wishes, st.integers(0, 30))
def test_the_times_alone_are_restored_as_the_whole_session_has_them(
    settings: dict[str, float | None], asked: list[Wish], cut: int
) -> None:
    life = Life(**settings)
    now = live(life, asked)
    cut = min(cut, len(life.events))
    before = Session(life.session.key, life.session.session_id)
    for event in life.events[:cut]:
        before.apply(*event)
    stored = life.stored(cut, freeze(before)) if cut else life.stored()
    whole = restore(stored)
    times = restore_times(DueSession(now, whole.key, whole.session_id, stored.row.snapshot, stored.tail))
    for _ in range(10):
        assert {name: getattr(times, name) for name in TIMES} == {
            name: getattr(whole, name) for name in TIMES
        }
        lapse = whole.lapse(now + 1000)
        assert times.lapse(now + 1000) == lapse
        if lapse is None:
            break
        for session in (whole, times):
            session.apply(lapse.event, lapse.at, lapse.payload, 0)


def test_times_of_an_unknown_version_are_refused() -> None:
    due = DueSession(START, 1, "s-1", pack((99, *range(24))), [])
    with pytest.raises(ValueError, match="version 99"):
        restore_times(due)


@patient
@given(timeouts, wishes, wishes)
def test_a_restored_session_goes_on_as_the_one_that_never_stopped(
    settings: dict[str, float | None], before: list[Wish], after: list[Wish]
) -> None:
    life = Life(**settings)
    now = live(life, before)
    again = Life(**settings)
    again.events = list(life.events)
    again.session = thaw(1, "s-1", freeze(restore(life.stored())))
    for each in (life, again):
        live(each, after)
        each.pass_time(now + 1000)
    assert again.events == life.events
    assert facts(again.session) == facts(life.session)


@patient
@given(timeouts, wishes)
def test_freezing_is_only_a_look(settings: dict[str, float | None], asked: list[Wish]) -> None:
    life = Life(**settings)
    live(life, asked)
    before = facts(life.session)
    first = freeze(life.session)
    assert facts(life.session) == before
    assert freeze(life.session) == first
    assert freeze(thaw(1, "s-1", first)) == first


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 5) | st.integers(0, 2**64 - 1), st.integers(0, 2**40)), max_size=6),
        max_size=6,
    )
)
def test_answers_frozen_bit_by_bit_are_those_frozen_at_once(parts: list[list[tuple[int, int]]]) -> None:
    step_by_step, at_once = Session(1, "s-1"), Session(1, "s-1")
    for part in parts:
        for key, answer in part:
            step_by_step.keep_answer(key, answer)
            at_once.keep_answer(key, answer)
        frozen = freeze(step_by_step)
        step_by_step.keep_answer(7, 0)
        at_once.keep_answer(7, 0)
        assert thaw(1, "s-1", frozen).answers != step_by_step.answers
    frozen = freeze(step_by_step)
    assert frozen == freeze(at_once)
    thawed = thaw(1, "s-1", frozen)
    assert thawed.answers == at_once.answers
    thawed.keep_answer(8, 1)
    at_once.keep_answer(8, 1)
    assert freeze(thawed) == freeze(at_once)


def test_every_field_of_a_session_comes_back() -> None:
    """None of them has the value that a new session has: what is left out of a snapshot would show."""
    life = Life(session_timeout=600, keep_alive=60, dialog_timeout=120, max_lifetime=6000)
    session = life.session
    life.record("session:tagged", START + 1, tags=["vip", "beta"])
    life.record("dialog:expired", START + 1)
    life.happen(On.HANDOVER, START + 2, queue="complaints")
    life.happen(On.ASSIGN, START + 3, assignee="grace", return_after=5000.0)
    life.record("message:received", START + 4, CREATED | state.ACTIVITY, message_id="first")
    life.happen(On.CONTEXT_UPDATE, START + 5, patch={"plan": "basic", "card": {"number": [1, None]}})
    life.happen(On.CLOSE, START + 6)
    life.pass_time(START + 1000)
    session.reminders = {"call": (START + 50, {"of": 1})}
    session.user, session.metadata = b"\x81\xa7user_id\xa3ada", b"\x81\xa1k\xa1v"
    new = Session(1, "s-1")
    same = {name for name in fields_of(Session) if getattr(session, name) == getattr(new, name)}
    assert same <= {"key", "session_id", "expires_at", "due_at", "expires_why", "frozen_answers"}
    thawed = thaw(1, "s-1", freeze(session))
    assert facts(thawed) == facts(session)
    assert (thawed.status, thawed.handling) == (Status.EXPIRED, Handling.HUMAN)
    assert thawed.status is Status.EXPIRED
    assert thawed.handling is Handling.HUMAN


def test_a_session_without_snapshot_is_the_fold_of_all_its_events() -> None:
    life = Life(session_timeout=60)
    life.happen(On.USER_MESSAGE, START + 10)
    stored = life.stored()
    assert stored.row.snapshot is None
    assert facts(restore(stored)) == facts(life.session)


def test_sessions_with_equal_timeouts_share_them_when_they_are_loaded() -> None:
    life = Life(session_timeout=60)
    frozen = freeze(life.session)
    assert thaw(1, "a", frozen).timeouts is thaw(2, "b", frozen).timeouts is life.session.timeouts


@replaces_a_name
def test_colliding_answers_all_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = {"m-2": 7, "m-3": 2**64 - 1, "m-4": 7, "m-5": 7}
    monkeypatch.setattr(state, "message_hash", hashes.__getitem__)
    life = Life()
    for _ in hashes:
        life.happen(On.USER_MESSAGE, START)
    thawed = thaw(1, "s-1", freeze(life.session))
    assert [each.seq for each in thawed.candidates("m-2")] == [2, 4, 5]
    assert thawed.candidates("m-3") == (Answer(3, created=False, reopened=False),)


def test_every_event_that_the_store_knows_can_be_folded() -> None:
    """Also those that are history only, and those of a later version: they take their place in `seq`."""
    life = Life()
    for name in EVENT_TYPES:
        if name in {"session:created", "session:expired"}:
            continue
        life.record(name, START, 0, name="call")
    assert life.session.seq == len(EVENT_TYPES) - 1
    assert facts(restore(life.stored())) == facts(life.session)
