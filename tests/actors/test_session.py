"""A session and its timers: it expires at its instant and once, and answers by what it is then."""

from __future__ import annotations

from math import nextafter
from pathlib import Path
from typing import Any

import pytest

from sojourn.actors import SessionConfig
from sojourn.actors.errors import IllegalState, SessionClosed, SessionExpired, SessionNotFound
from tests.actors.house import ADA, PATIENCE, START, House, config, history, say, state, texts, told

SHORT = SessionConfig(session_timeout=100.0, keep_alive=10.0)
TIMED = SessionConfig(session_timeout=1000.0, dialog_timeout=40.0)


# -- at its instant, once ------------------------------------------------------------------------------


def test_silence_expires_a_session_at_its_deadline_and_not_a_moment_before() -> None:
    with House(config=config(session=SHORT)) as house:
        session = house.create()
        house.advance(nextafter(START + 100, 0) - START)
        assert state(session)["status"] == "active"
        house.advance(1.0)
        found = state(session)
        assert (found["status"], found["expiry_reason"], found["expired_at"]) == (
            "expired",
            "inactivity",
            START + 100,
        )
        house.advance(10_000)
        assert told(session) == [("session:created", 0.0), ("session:expired", 100.0)]


def test_it_expires_without_anybody_asking() -> None:
    with House(config=config(session=SHORT)) as house:
        session = house.create()
        seen: list[tuple[str, float]] = []
        session.subscribe(lambda event: seen.append((event["type"], event["at"] - START)))
        house.advance(100)
        assert seen == [("session:expired", 100.0)]
        assert house.live(session) is None


def test_a_message_moves_the_deadline_and_one_at_the_deadline_is_too_late() -> None:
    with House(config=config(session=SHORT)) as house:
        session = house.create()
        house.advance(99)
        say(session)
        assert state(session)["expires_at"] == START + 199
        house.clock.set(START + 199)  # no wake-up has run yet
        with pytest.raises(SessionExpired):
            say(session, "late")
        assert told(session)[-1] == ("session:expired", 199.0)
        assert texts(session) == ["hello"]


@pytest.mark.parametrize(("author", "expires"), [("user", 150.0), ("human", 100.0), ("system", 100.0)])
def test_only_the_users_own_message_is_activity(author: str, expires: float) -> None:
    with House(config=config(session=SHORT)) as house:
        session = house.create()
        house.advance(50)
        say(session, author=author)
        session.update_context({"a": 1}).result(PATIENCE)
        session.tag(["vip"]).result(PATIENCE)
        assert state(session)["expires_at"] == START + expires


def test_what_counts_as_activity_is_a_setting() -> None:
    settings = config(session=SHORT, activity=frozenset({"human_message", "tag"}))
    with House(config=settings) as house:
        session = house.create()
        house.advance(50)
        say(session)
        assert state(session)["expires_at"] == START + 100
        say(session, author="human")
        assert state(session)["expires_at"] == START + 150
        house.advance(10)
        session.tag(["vip"]).result(PATIENCE)
        assert state(session)["expires_at"] == START + 160


def test_a_close_starts_the_grace_period_and_says_until_when() -> None:
    with House(config=config(session=SHORT)) as house:
        session = house.create()
        house.advance(5)
        closed = session.close("done").result(PATIENCE)
        assert (closed.reason, closed.reopen_until) == ("done", START + 15)
        house.advance(3)
        assert session.close("again").result(PATIENCE) == closed
        house.advance(7)
        assert told(session) == [
            ("session:created", 0.0),
            ("session:closed", 5.0),
            ("session:expired", 15.0),
        ]
        assert state(session)["expiry_reason"] == "keep_alive"


def test_the_grace_period_never_outlives_the_users_silence() -> None:
    with House(config=config(session=SHORT)) as house:
        session = house.create()
        house.advance(95)
        assert session.close().result(PATIENCE).reopen_until == START + 100
        house.advance(5)
        assert state(session)["expiry_reason"] == "inactivity"


def test_without_grace_a_close_expires_in_the_same_breath() -> None:
    with House(config=config()) as house:
        session = house.create(timeouts={"keep_alive": 0})
        house.advance(1)
        assert session.close().result(PATIENCE).reopen_until == START + 1
        assert told(session)[1:] == [("session:closed", 1.0), ("session:expired", 1.0)]
        with pytest.raises(SessionExpired):
            session.reopen().result(PATIENCE)


def test_a_users_message_reopens_and_nobody_elses_does() -> None:
    with House(config=config(session=SHORT)) as house:
        session = house.create()
        session.close("done").result(PATIENCE)
        for author in ("human", "system"):
            with pytest.raises(SessionClosed):
                say(session, author=author)
        with pytest.raises(SessionClosed):
            session.update_context({"a": 1}).result(PATIENCE)
        assert say(session).reopened
        found = state(session)
        assert (found["status"], found["closed_at"], found["close_reason"]) == ("active", None, None)
        with pytest.raises(IllegalState):
            session.reopen().result(PATIENCE)
        house.advance(50)
        assert state(session)["status"] == "active"


def test_a_longest_life_ends_whatever_the_user_does() -> None:
    with House(config=config(session=SessionConfig(session_timeout=100, max_lifetime=250))) as house:
        session = house.create()
        for _ in range(4):
            house.advance(60)
            say(session)
        house.advance(60)
        assert told(session)[-1] == ("session:expired", 250.0)
        assert state(session)["expiry_reason"] == "max_lifetime"


def test_channels_and_sessions_have_timeouts_of_their_own() -> None:
    settings = config(channels={"kiosk": SessionConfig(session_timeout=7)})
    with House(config=settings) as house:
        kiosk = house.create(channel="kiosk")
        voice = house.create(channel="voice")
        own = house.create(timeouts={"session_timeout": 3})
        for_ever = house.create(timeouts={"session_timeout": None})
        house.advance(100_000)
        ends = [state(each)["expired_at"] for each in (kiosk, voice, own, for_ever)]
        assert ends == [START + 7, START + 300, START + 3, None]


# -- the clock jumps -----------------------------------------------------------------------------------


def test_a_clock_set_back_holds_the_instants_of_a_session() -> None:
    with House(config=config(session=SHORT)) as house:
        session = house.create()
        house.advance(50)
        say(session)
        house.clock.set(START - 1000)
        say(session)
        session.close().result(PATIENCE)
        house.clock.set(START + 55)
        say(session)
        assert [at for _, at in told(session)] == [0.0, 50.0, 50.0, 50.0, 55.0, 55.0]


def test_a_clock_that_jumps_forward_expires_what_it_passes_at_its_own_instants() -> None:
    with House(config=config()) as house:
        sessions = [house.create(timeouts={"session_timeout": 10.0 * n}) for n in range(1, 6)]
        house.clock.set(START + 35)
        house.advance(0)
        found = [state(session) for session in sessions]
        assert [each["expired_at"] for each in found] == [START + 10, START + 20, START + 30, None, None]


def test_a_dialog_timer_runs_again_after_the_next_message() -> None:
    with House(config=config(session=TIMED)) as house:
        session = house.create()
        say(session)
        house.advance(100)
        say(session)
        house.advance(100)
        assert [at for kind, at in told(session) if kind == "dialog:expired"] == [40.0, 140.0]


# -- what it answers -----------------------------------------------------------------------------------


def test_an_id_that_never_was_is_not_found() -> None:
    with House() as house:
        nobody = house.runtime.session("nobody")
        asked: list[Any] = [nobody.get(), nobody.history(), nobody.close(), nobody.send("x")]
        for answer in asked:
            with pytest.raises(SessionNotFound):
                answer.result(PATIENCE)


def test_an_expired_session_is_read_and_never_written() -> None:
    with House(config=config(session=SHORT)) as house:
        session = house.create()
        house.advance(100)
        before = state(session), history(session)
        asked: list[Any] = [
            session.send("x"),
            session.send("x", author="human"),
            session.update_context({"a": 1}),
            session.close(),
            session.reopen(),
            session.rate(5),
            session.tag(["a"]),
        ]
        for answer in asked:
            with pytest.raises(SessionExpired):
                answer.result(PATIENCE)
        assert (state(session), history(session)) == before


def test_history_comes_in_pages(path: Path) -> None:
    with House(path) as house:
        session = house.create()
        for n in range(10):
            say(session, f"m{n}")
        first = session.history(limit=4).result(PATIENCE)
        second = session.history(after_seq=4, limit=7).result(PATIENCE)
        assert [event["seq"] for event in first.events] == [1, 2, 3, 4]
        assert first.more
        assert [event["seq"] for event in second.events] == [5, 6, 7, 8, 9, 10, 11]
        assert not second.more
        assert session.history(after_seq=11).result(PATIENCE).events == []
        assert session.history(after_seq=99).result(PATIENCE).events == []


def test_ratings_tags_and_contents_are_kept_as_sent() -> None:
    with House() as house:
        session = house.create()
        say(session, None, data={"deep": [1, {"x": None}]})
        say(session, None, attachments=[{"url": "a"}])
        say(session, "")
        assert session.rate(4, "good").result(PATIENCE).seq == 5
        assert session.tag(["a", "b", "a"]).result(PATIENCE).tags == ["a", "b"]
        assert session.tag(["c"], ["a"]).result(PATIENCE).tags == ["b", "c"]
        first, second, third, rated = history(session)[1:5]
        assert (first["text"], first["data"]) == (None, {"deep": [1, {"x": None}]})
        assert second["attachments"] == [{"url": "a"}]
        assert third["text"] == ""
        assert (rated["rating"], rated["feedback"], rated["by"]["role"]) == (4, "good", "user")
        assert state(session)["tags"] == ["b", "c"]
        assert state(session)["user"] == ADA
