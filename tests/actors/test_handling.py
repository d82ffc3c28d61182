"""Who handles a session: the table of handover, assignment and release, and who may not.

The rules are written down a second time in `Model`, in ten lines, and driven at random beside a runtime.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sojourn.actors.answers import Assigned, HandedOver, Released
from sojourn.actors.errors import (
    IllegalState,
    InvalidRequest,
    SessionClosed,
    SessionError,
    SessionExpired,
    TooManySessions,
)
from sojourn.actors.handles import SERVICE, USER
from sojourn.actors.handling import RULES
from sojourn.actors.lifecycle import Handling, On
from sojourn.actors.mail import Caller, Request
from sojourn.actors.messages import Assign, HandOver, Release
from tests.actors.house import PATIENCE, House, config, history, say, state, told

GRACE, JOAN, AI = Caller("agent", "grace"), Caller("agent", "joan"), Caller("ai")


def ask(house: House, session_id: str, kind: type[Request], by: Caller, *more: Any) -> Any:
    request = kind(by, house.clock.now(), None, False, *more)
    return house.runtime.ask(session_id, request)


def test_every_place_and_request_has_its_rules() -> None:
    asked = (On.HANDOVER, On.ASSIGN, On.RELEASE)
    assert set(RULES) == {(handling, on) for handling in Handling for on in asked}


# -- one after the other -------------------------------------------------------------------------------


def test_a_handover_puts_the_session_into_a_queue_and_a_human_takes_it_from_there() -> None:
    with House(config=config()) as house:
        session = house.create()
        assert session.hand_over("sales", note="wants a price").result(PATIENCE) == HandedOver(
            session.id, "queued", "sales", 2
        )
        assert session.assign("grace").result(PATIENCE) == Assigned(session.id, "grace", 3)
        found = state(session)
        assert (found["handling"], found["queue"], found["assignee"]) == ("human", "sales", "grace")
        events = history(session)
        assert (events[1]["queue"], events[1]["note"], events[1]["by"]["role"]) == (
            "sales",
            "wants a price",
            "service",
        )
        assert session.release().result(PATIENCE) == Released(session.id, 4)
        found = state(session)
        assert (found["handling"], found["queue"], found["assignee"]) == ("ai", None, None)


def test_what_is_so_already_is_the_same_answer_again_without_an_event() -> None:
    with House(config=config()) as house:
        session = house.create()
        assert session.release().result(PATIENCE) == Released(session.id, 1)
        first = session.hand_over("sales").result(PATIENCE)
        say(session)
        assert session.hand_over("sales").result(PATIENCE) == first
        assert session.hand_over().result(PATIENCE) == first
        taken = session.assign("grace").result(PATIENCE)
        say(session)
        assert session.assign("grace").result(PATIENCE) == taken
        names = [name for name, _ in told(session)]
        assert (names.count("session:handed_over"), names.count("session:assigned")) == (1, 1)
        assert "session:released" not in names


def test_a_handover_to_another_queue_moves_it_and_one_from_a_human_takes_it_from_them() -> None:
    with House(config=config()) as house:
        session = house.create()
        session.hand_over("sales").result(PATIENCE)
        assert session.hand_over("complaints").result(PATIENCE).queue == "complaints"
        session.assign("grace").result(PATIENCE)
        back = session.hand_over().result(PATIENCE)
        assert (back.handling, back.queue) == ("queued", "complaints")
        assert state(session)["assignee"] is None


def test_who_loses_the_race_is_told_who_won_it() -> None:
    with House(config=config()) as house:
        session = house.create()
        session.hand_over("sales").result(PATIENCE)
        both = [ask(house, session.id, Assign, by, None) for by in (GRACE, JOAN)]
        assert both[0].result(PATIENCE).assignee == "grace"
        with pytest.raises(IllegalState) as refused:
            both[1].result(PATIENCE)
        assert refused.value.details == {"status": "active", "handling": "human", "assignee": "grace"}
        assert [name for name, _ in told(session)].count("session:assigned") == 1


def test_only_the_assignee_or_a_service_gives_a_session_on_or_back() -> None:
    with House(config=config()) as house:
        session = house.create()
        session.assign("grace").result(PATIENCE)
        for kind, more in ((Assign, ("joan",)), (Release, ())):
            with pytest.raises(IllegalState) as refused:
                ask(house, session.id, kind, JOAN, *more).result(PATIENCE)
            assert refused.value.details is not None
            assert refused.value.details["assignee"] == "grace"
        assert ask(house, session.id, Assign, GRACE, "joan").result(PATIENCE).assignee == "joan"
        assert ask(house, session.id, Release, JOAN).result(PATIENCE)
        assert state(session)["handling"] == "ai"


def test_an_assignment_to_nobody_is_refused() -> None:
    with House(config=config()) as house:
        session = house.create()
        with pytest.raises(InvalidRequest, match="assignee"):
            ask(house, session.id, Assign, SERVICE, None).result(PATIENCE)
        assert len(history(session)) == 1


def test_the_ai_cannot_take_a_session_away_from_a_human() -> None:
    """A turn that began before the human came may end after that."""
    with House(config=config()) as house:
        session = house.create()
        session.assign("grace").result(PATIENCE)
        with pytest.raises(IllegalState):
            ask(house, session.id, HandOver, AI, "sales", None).result(PATIENCE)
        assert state(session)["assignee"] == "grace"


@pytest.mark.parametrize(
    ("kind", "more"), [(HandOver, ("sales", None)), (Assign, ("grace",)), (Release, ())], ids=str
)
@pytest.mark.parametrize("refusal", [SessionClosed, SessionExpired])
def test_only_an_active_session_changes_hands(
    kind: type[Request], more: tuple[Any, ...], refusal: type[SessionError]
) -> None:
    with House(config=config()) as house:
        session = house.create()
        session.close().result(PATIENCE)
        if refusal is SessionExpired:
            house.advance(120)
        with pytest.raises(refusal):
            ask(house, session.id, kind, SERVICE, *more).result(PATIENCE)


def test_a_humans_message_to_a_queued_session_takes_it_in_the_same_commit() -> None:
    with House(config=config()) as house:
        session = house.create()
        session.hand_over("sales").result(PATIENCE)
        say(session, "here I am", author="human", author_id="grace")
        assert [name for name, _ in told(session)][2:] == ["session:assigned", "message:received"]
        say(session, "and I", author="human", author_id="joan")
        assert state(session)["assignee"] == "grace"


def test_a_resolved_session_is_closed_and_keeps_who_had_it_for_the_record() -> None:
    with House(config=config()) as house:
        session = house.create()
        session.hand_over("sales").result(PATIENCE)
        session.assign("grace").result(PATIENCE)
        closed = session.resolve().result(PATIENCE)
        assert closed.reason == "resolved_by_human"
        assert session.resolve().result(PATIENCE) == closed
        found = state(session)
        assert (found["status"], found["handling"], found["assignee"]) == ("closed", "human", "grace")


def test_a_human_holds_no_more_sessions_than_they_may() -> None:
    with House(config=config(max_held=2)) as house:
        first, second, third = (house.create() for _ in range(3))
        for session in (first, second):
            session.assign("grace").result(PATIENCE)
        third.hand_over("sales").result(PATIENCE)
        seq = state(third)["seq"]
        for sent in (third.assign("grace"), third.send("x", author="human", author_id="grace")):
            with pytest.raises(TooManySessions) as refused:
                sent.result(PATIENCE)
            assert refused.value.details == {"limit": "max_held", "max": 2, "assignee": "grace"}
        assert state(third)["seq"] == seq
        assert first.assign("grace").result(PATIENCE)
        first.resolve().result(PATIENCE)
        assert third.assign("grace").result(PATIENCE)


def test_two_assignments_in_one_instant_do_not_slip_past_the_limit() -> None:
    with House(config=config(max_held=1)) as house:
        sessions = [house.create() for _ in range(2)]
        asked = [ask(house, session.id, Assign, GRACE, None) for session in sessions]
        assert asked[0].result(PATIENCE)
        with pytest.raises(TooManySessions):
            asked[1].result(PATIENCE)


# -- reopening -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("present", [True, False])
def test_a_reopened_session_is_its_humans_again_if_they_are_there(present: bool) -> None:
    with House(config=config()) as house:
        session = house.create()
        house.runtime.arrive("grace")
        session.hand_over("sales").result(PATIENCE)
        taken = session.assign("grace").result(PATIENCE)
        session.resolve().result(PATIENCE)
        if not present:
            house.runtime.leave("grace")
        session.reopen().result(PATIENCE)
        found = state(session)
        expected = ("human", "grace", "sales") if present else ("ai", None, None)
        assert (found["handling"], found["assignee"], found["queue"]) == expected
        if present:
            assert session.assign("grace").result(PATIENCE) == taken
        else:
            assert session.release().result(PATIENCE).seq == history(session)[-1]["seq"]


def test_a_session_that_was_queued_is_queued_again_at_its_reopening() -> None:
    with House(config=config()) as house:
        session = house.create()
        session.hand_over("sales").result(PATIENCE)
        session.close().result(PATIENCE)
        assert house.runtime.desk().result(PATIENCE) == []
        say(session)
        assert (state(session)["handling"], state(session)["queue"]) == ("queued", "sales")
        assert [each.session_id for each in house.runtime.desk("sales").result(PATIENCE)] == [session.id]


# -- any order -----------------------------------------------------------------------------------------


@dataclass
class Model:
    """The table of the protocol, once more."""

    handling: str = "ai"
    queue: str | None = None
    assignee: str | None = None
    events: int = 0

    def ask(self, what: str, by: Caller, value: str | None) -> bool:
        """Is it done? Counts the events."""
        mine = by.role == "service" or by.id == self.assignee
        if what == "assign":
            if self.handling == "human" and self.assignee != value and not mine:
                return False
            self._to("human", self.queue, value)
        elif what == "release":
            if self.handling == "human" and not mine:
                return False
            self._to("ai", None, None)
        elif what == "handover":
            self._to("queued", self.queue if value is None else value, None)
        elif self.handling == "queued":
            self._to("human", self.queue, by.id)
        return True

    def _to(self, handling: str, queue: str | None, assignee: str | None) -> None:
        changed = (handling, queue, assignee) != (self.handling, self.queue, self.assignee)
        self.events += changed
        self.handling, self.queue, self.assignee = handling, queue, assignee


asked = st.one_of(
    st.tuples(st.just("assign"), st.sampled_from((GRACE, JOAN, SERVICE)), st.sampled_from(("grace", "joan"))),
    st.tuples(st.just("release"), st.sampled_from((GRACE, JOAN, SERVICE)), st.none()),
    st.tuples(
        st.just("handover"),
        st.sampled_from((GRACE, JOAN, SERVICE, USER)),
        st.sampled_from((None, "sales", "complaints")),
    ),
    st.tuples(st.just("message"), st.sampled_from((GRACE, JOAN)), st.none()),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(asked, max_size=12), st.booleans())
def test_several_humans_asking_in_any_order_get_what_the_table_says(
    wishes: list[tuple[str, Caller, str | None]], leaves: bool
) -> None:
    model = Model()
    with House(config=config(snapshot_every=3)) as house:
        session = house.create()
        for what, by, value in wishes:
            if what == "message":
                sent = session.send("x", author="human", author_id=by.id)
            elif what == "handover":
                sent = ask(house, session.id, HandOver, by, value, None)
            else:
                more = (value,) if what == "assign" else ()
                sent = ask(house, session.id, Assign if what == "assign" else Release, by, *more)
            if model.ask(what, by, value):
                sent.result(PATIENCE)
            else:
                with pytest.raises(IllegalState) as refused:
                    sent.result(PATIENCE)
                assert refused.value.details is not None
                assert refused.value.details["assignee"] == model.assignee
        if leaves:
            house.passivate(session)
        found = state(session)
        assert (found["handling"], found["queue"], found["assignee"]) == (
            model.handling,
            model.queue,
            model.assignee,
        )
        changes = {"session:handed_over", "session:assigned", "session:released"}
        assert sum(name in changes for name, _ in told(session)) == model.events
        waiting = [each.session_id for each in house.runtime.desk(model.queue).result(PATIENCE)]
        assert waiting == ([session.id] if model.handling == "queued" else [])
        held = house.on_loop(lambda: house.runtime.core.shared.desk.held_by(model.assignee or "nobody"))
        assert held == ([session.id] if model.handling == "human" else [])
