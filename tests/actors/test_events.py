"""What people see of events and sessions: everything, but the secrets."""

from __future__ import annotations

from typing import Any

from hypothesis import given

from sojourn.actors.context import MASK, SensitiveKeys
from sojourn.actors.events import event_map, session_map, visible
from sojourn.actors.lifecycle import On
from sojourn.actors.packing import pack, unpack
from tests.actors.lives import BY, START, Life, Wish, live, patient, timeouts, wishes

NOTHING = SensitiveKeys()
SECRETS = SensitiveKeys(("password",))
SECRET = {"plan": "basic", "password": "x", "deep": [{"password": 1}, {"more": {"password": {"a": 1}}}]}
SHOWN = {"plan": "basic", "password": MASK, "deep": [{"password": MASK}, {"more": {"password": MASK}}]}


def seen(life: Life, sensitive: SensitiveKeys) -> list[dict[str, Any]]:
    return [unpack(visible(row, life.session.session_id, sensitive)) for row in life.rows()]


@patient
@given(timeouts, wishes)
def test_an_event_is_seen_whole(settings: dict[str, float | None], asked: list[Wish]) -> None:
    life = Life(**settings)
    live(life, asked)
    for sensitive in (NOTHING, SECRETS):
        for seq, (event, each) in enumerate(zip(seen(life, sensitive), life.events, strict=True), 1):
            head = {"type": each.event, "session_id": "s-1", "seq": seq, "at": each.at}
            assert event == head | unpack(pack(each.payload))
        assert seen(life, sensitive) == [event_map(row, "s-1", sensitive) for row in life.rows()]


def test_secrets_are_hidden_in_the_creation_and_in_every_patch() -> None:
    life = Life()
    life.record("session:created", START, context=SECRET, timeouts=life.session.timeouts.as_map())
    life.happen(On.CONTEXT_UPDATE, START, patch={**SECRET, "gone": None})
    life.happen(On.CONTEXT_UPDATE, START, patch={"password": None})
    _, created, updated, deleted = seen(life, SECRETS)
    assert created["context"] == SHOWN
    assert updated["patch"] == {**SHOWN, "gone": None}
    assert (updated["context_version"], updated["by"]) == (2, BY)
    assert deleted["patch"] == {"password": None}


def test_what_is_hidden_is_still_there() -> None:
    life = Life()
    life.happen(On.CONTEXT_UPDATE, START, patch=SECRET)
    assert session_map(life.session, SECRETS)["context"] == SHOWN
    assert session_map(life.session, NOTHING)["context"] == SECRET
    assert life.session.context_map() == SECRET
    assert seen(life, NOTHING)[-1]["patch"] == SECRET


def test_only_context_has_secrets() -> None:
    """The person and the metadata are shown as they were given."""
    life = Life()
    given_as = {"user_id": "ada", "password": "hers"}
    life.record(
        "session:created", START, user=given_as, metadata=given_as, timeouts=life.session.timeouts.as_map()
    )
    view = session_map(life.session, SECRETS)
    assert view["user"] == view["metadata"] == given_as


def test_the_session_map_has_these_keys_and_no_other() -> None:
    """The protocol's section 3."""
    assert set(session_map(Life().session, NOTHING)) == {
        *("session_id", "status", "handling", "assignee", "queue", "user", "context", "context_version"),
        *("metadata", "channel", "tags", "created_at", "last_activity_at", "closed_at", "expired_at"),
        *("close_reason", "expiry_reason", "seq", "timeouts", "expires_at", "expires_why"),
    }


def test_the_session_map_of_a_new_session() -> None:
    view = session_map(Life(session_timeout=60).session, NOTHING)
    assert (view["status"], view["handling"], view["assignee"], view["queue"]) == ("active", "ai", None, None)
    assert (view["context"], view["context_version"], view["seq"]) == ({}, 1, 1)
    assert view["created_at"] == view["last_activity_at"] == START
    assert (view["closed_at"], view["expired_at"], view["close_reason"]) == (None, None, None)
    assert (view["expires_at"], view["expires_why"]) == (START + 60, "inactivity")
    assert pack(view), "it goes out as it is"


def test_the_session_map_of_a_closed_session_says_when_and_why_it_ends() -> None:
    life = Life(session_timeout=60, keep_alive=10)
    life.happen(On.CLOSE, START + 5, reason="solved")
    view = session_map(life.session, NOTHING)
    assert (view["status"], view["closed_at"], view["close_reason"]) == ("closed", START + 5, "solved")
    assert (view["expires_at"], view["expires_why"]) == (START + 15, "keep_alive")
    assert (view["expired_at"], view["expiry_reason"]) == (None, None)


def test_the_session_map_of_an_expired_session_says_when_and_why_it_ended() -> None:
    life = Life(session_timeout=60)
    life.pass_time(START + 1000)
    view = session_map(life.session, NOTHING)
    assert view["status"] == "expired"
    assert view["expiry_reason"] == view["expires_why"] == "inactivity"
    assert view["expired_at"] == view["expires_at"] == START + 60


def test_a_session_that_never_ends_has_no_instant_and_no_rule_for_it() -> None:
    view = session_map(Life().session, NOTHING)
    assert (view["expires_at"], view["expires_why"]) == (None, None)
    assert set(view["timeouts"].values()) == {None}
