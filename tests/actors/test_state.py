"""What the fold makes of a session's events, and what is true of every life there can be."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.actors import state
from sojourn.actors.lifecycle import NEVER, Handling, On, Status
from sojourn.actors.packing import message_hash
from sojourn.actors.snapshots import freeze, thaw
from sojourn.actors.state import CREATED, REOPENED, Answer, Session
from tests.actors.lives import START, Life, Wish, live, patient, timeouts, wishes
from tests.compiled import fields_of, replaces_a_name

# -- any life ------------------------------------------------------------------------------------------


@patient
@given(timeouts, wishes)
def test_instants_never_go_back(settings: dict[str, float | None], asked: list[Wish]) -> None:
    life = Life(**settings)
    live(life, asked)
    instants = [each.at for each in life.events]
    assert instants == sorted(instants)
    assert life.session.seq == len(life.events)
    assert life.session.last_at == instants[-1]


@patient
@given(timeouts, wishes, st.lists(st.floats(0, 1), max_size=3).map(sorted))
def test_wake_ups_that_come_early_or_late_or_not_at_all_change_nothing(
    settings: dict[str, float | None], asked: list[Wish], ticks: list[float]
) -> None:
    watched, alone = Life(**settings), Life(**settings)
    for life, wake_ups in ((watched, ticks), (alone, [])):
        now = live(life, asked, wake_ups)
        life.pass_time(now + 1000)
    assert watched.events == alone.events


@patient
@given(timeouts, wishes)
def test_a_session_expires_once_at_the_earliest_deadline_and_nothing_follows(
    settings: dict[str, float | None], asked: list[Wish]
) -> None:
    """The deadline is reckoned a second time here, from the history and the settings alone."""
    life = Life(**settings)
    now = live(life, asked)
    life.pass_time(now + 1000)
    names = [each.event for each in life.events]
    assert names.count("session:expired") == (life.session.status is Status.EXPIRED)
    alive = life.events[: names.index("session:expired")] if "session:expired" in names else life.events
    deadlines = {"max_lifetime": START + (settings["max_lifetime"] or NEVER)}
    quiet_from = max(each.at for each in alive if each.flags & state.ACTIVITY or each is alive[0])
    deadlines["inactivity"] = quiet_from + (settings["session_timeout"] or NEVER)
    ends = [each for each in alive if each.event in {"session:closed", "session:reopened"}]
    if ends and ends[-1].event == "session:closed":
        grace = settings["keep_alive"]
        deadlines["keep_alive"] = ends[-1].at + (NEVER if grace is None else grace)
    earliest = min(deadlines.values())
    if "session:expired" in names:
        assert names[-1] == "session:expired"
        assert life.newest.at == earliest
        assert deadlines[life.newest.payload["reason"]] == earliest
    else:
        assert earliest > now + 1000


@patient
@given(timeouts, wishes)
def test_nothing_lapses_before_its_time(settings: dict[str, float | None], asked: list[Wish]) -> None:
    life = Life(**settings)
    live(life, asked)
    session = life.session
    assert session.lapse(math.nextafter(session.due_at, -math.inf)) is None
    assert (session.due_at == NEVER) == (session.lapse(1e300) is None)


# -- what else the fold keeps --------------------------------------------------------------------------


def test_who_handles_a_session_follows_the_events_and_stays_for_the_record() -> None:
    life = Life(session_timeout=60)
    session = life.session
    life.happen(On.HANDOVER, START, queue="complaints")
    assert (session.handling, session.queue, session.assignee) == (Handling.QUEUED, "complaints", None)
    life.happen(On.ASSIGN, START, assignee="grace")
    assert (session.handling, session.queue, session.assignee) == (Handling.HUMAN, "complaints", "grace")
    assert session.handling_seq == session.seq
    life.happen(On.CLOSE, START)
    life.pass_time(START + 60)
    assert (session.status, session.handling, session.assignee) == (Status.EXPIRED, Handling.HUMAN, "grace")


def test_a_release_leaves_no_queue_and_no_assignee() -> None:
    life = Life()
    life.happen(On.HANDOVER, START)
    life.happen(On.ASSIGN, START)
    life.happen(On.RELEASE, START)
    session = life.session
    assert (session.handling, session.queue, session.assignee) == (Handling.AI, None, None)


def test_context_is_the_merge_of_every_patch() -> None:
    life = Life()
    life.happen(On.CONTEXT_UPDATE, START, patch={"a": {"b": 1, "c": 2}, "d": 3})
    life.happen(On.CONTEXT_UPDATE, START, patch={"a": {"b": None}, "d": [None]})
    assert life.session.context_map() == {"a": {"c": 2}, "d": [None]}
    assert life.session.context_version == 3


def test_a_rating_is_history_only() -> None:
    life = Life()
    before = {name: getattr(life.session, name) for name in fields_of(Session)}
    life.happen(On.RATE, START + 1)
    after = {name: getattr(life.session, name) for name in fields_of(Session)}
    assert {name for name in before if before[name] != after[name]} == {"seq", "last_at"}


# -- what was answered to a message --------------------------------------------------------------------


def test_the_answer_to_a_message_is_known_by_the_hash_of_its_id() -> None:
    life = Life()
    life.record("message:received", START, CREATED, message_id="first")
    life.happen(On.CLOSE, START)
    life.record("session:reopened", START)
    life.record("message:received", START, REOPENED | state.ACTIVITY, message_id="second")
    session = life.session
    assert session.candidates("first") == (Answer(2, created=True, reopened=False),)
    assert session.candidates("second") == (Answer(5, created=False, reopened=True),)
    assert session.candidates("third") == ()
    known = [session.may_know(message_hash(each)) for each in ("first", "second", "third")]
    assert known == [True, True, False]


@replaces_a_name
def test_messages_whose_hashes_collide_are_all_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    def always_seven(message_id: str) -> int:
        return 7

    monkeypatch.setattr(state, "message_hash", always_seven)
    life = Life()
    for number in range(4):
        life.record("message:received", START, message_id=f"m-{number}")
    assert [each.seq for each in life.session.candidates("any")] == [2, 3, 4, 5]
    thawed = thaw(1, "s", freeze(life.session))
    assert [each.seq for each in thawed.candidates("any")] == [2, 3, 4, 5]


def test_an_id_that_the_server_made_names_its_place_and_takes_none() -> None:
    life = Life()
    life.record("message:received", START, message_id="~2-c0ffee")
    session = life.session
    assert session.answers is None
    assert session.candidates("~2-c0ffee") == (Answer(2, created=False, reopened=False),)


@pytest.mark.parametrize("message_id", ["~3-x", "~0-x", "~-x", "~", "~²-x", "~" + "9" * 5000 + "-x", "~-2-x"])
def test_an_id_that_only_looks_like_one_of_the_servers_is_looked_up_nowhere(message_id: str) -> None:
    life = Life()
    life.record("message:received", START, message_id="~2-c0ffee")
    assert life.session.candidates(message_id) == ()


def test_a_clients_id_that_looks_like_one_of_the_servers_is_kept_all_the_same() -> None:
    life = Life()
    life.record("message:received", START, message_id="~7-mine")
    assert life.session.candidates("~7-mine") == (Answer(2, created=False, reopened=False),)
