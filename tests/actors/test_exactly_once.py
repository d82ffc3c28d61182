"""One answer for one message_id: whatever is sent again, from wherever, after whatever happened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sojourn.actors import SessionConfig, SessionHandle
from sojourn.actors import state as state_module
from sojourn.actors.answers import Accepted
from sojourn.actors.errors import SessionExpired
from tests.actors.house import ADA, PATIENCE, START, House, config, history, say, state, texts, told

SHORT = SessionConfig(session_timeout=100.0, keep_alive=10.0)


def again(first: Accepted) -> Accepted:
    """What the same message answers when it comes again."""
    return first._replace(duplicate=True)


def collide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every message_id the same 64-bit hash."""

    def one_hash(_message_id: str) -> int:
        return 7

    monkeypatch.setattr(state_module, "message_hash", one_hash)


def talk_on(_house: House, session: SessionHandle) -> None:
    for _ in range(3):
        say(session, "x")


def close(_house: House, session: SessionHandle) -> None:
    session.close().result(PATIENCE)


def expire_and_restart(house: House, _session: SessionHandle) -> None:
    house.advance(100)
    house.restart()


STEPS: dict[str, Callable[[House, SessionHandle], object]] = {
    "at once": lambda _house, _session: None,
    "after other messages": talk_on,
    "after a snapshot": lambda house, session: house.passivate(session),
    "after a restart": lambda house, _session: house.restart(),
    "after a kill": lambda house, _session: house.kill(),
    "after a close": close,
    "after its expiry": lambda house, _session: house.advance(100),
    "after its expiry and a restart": expire_and_restart,
    "while down when it expired": lambda house, _session: house.kill(after=100),
}


@pytest.mark.parametrize("when", STEPS)
@pytest.mark.parametrize("message_id", ["mine", None])
def test_the_same_message_answers_the_same_and_changes_nothing(
    path: Path, when: str, message_id: str | None
) -> None:
    with House(path, config=config(session=SHORT)) as house:
        session = house.create()
        house.advance(10)
        first = say(session, "one", message_id=message_id, context={"n": 1})
        assert first == (session.id, first.message_id, 3, False, False, False)
        STEPS[when](house, session)
        session = house.again(session)
        before = state(session)
        house.clock.set(house.clock.now() + 1)
        for text in ("one", "other words"):
            resent = say(session, text, message_id=first.message_id, context={"n": 2})
            assert resent == again(first)
        assert state(session) == before
        assert texts(session).count("one") == 1
        assert [event["type"] for event in history(session)].count("session:context:updated") == 1


def test_a_message_that_reopened_answers_that_it_did_and_reopens_only_once() -> None:
    with House(config=config(session=SHORT)) as house:
        session = house.create()
        session.close().result(PATIENCE)
        first = say(session, message_id="a")
        assert first.reopened
        session.close().result(PATIENCE)
        assert say(session, message_id="a") == again(first)
        assert state(session)["status"] == "closed"


@pytest.mark.parametrize("end", ["stay", "restart", "kill", "expire", "expire, then a new session"])
def test_a_message_addressed_to_a_user_is_found_where_it_is(path: Path, end: str) -> None:
    with House(path, config=config(session=SHORT)) as house:
        first = house.send("one", message_id="a")
        assert first.created
        if end in ("restart", "kill"):
            getattr(house, end)()
        elif end.startswith("expire"):
            house.advance(100)
        if end.endswith("new session"):
            second = house.send("two", message_id="b")
            assert second.created
            assert second.session_id != first.session_id
        assert house.send("one", message_id="a") == again(first)
        by_session = house.runtime.session(first.session_id).send("one", message_id="a").result(PATIENCE)
        assert by_session == again(first)
        assert texts(house.runtime.session(first.session_id)) == ["one"]


def test_a_message_that_went_to_a_session_is_known_when_it_comes_by_user() -> None:
    with House(config=config(session=SHORT)) as house:
        older = house.create()
        first = say(older, "one", message_id="a")
        newer = house.create()
        say(newer, "x")
        assert house.send("one", message_id="a") == again(first)
        assert texts(newer) == ["x"]


def test_a_server_made_id_sent_back_is_known() -> None:
    with House(config=config(session=SHORT)) as house:
        first = house.send("one")
        second = house.send("two")
        assert house.send("one", message_id=first.message_id) == again(first)
        session = house.runtime.session(first.session_id)
        assert say(session, "two", message_id=second.message_id) == again(second)
        assert texts(session) == ["one", "two"]


@pytest.mark.parametrize(
    "message_id", ["~", "~2", "~2-", "~2-other", "~0-x", "~99-x", "~²-x", "~-1-x", "~1-x", "~007-x", "", "é"]
)
def test_an_id_of_the_clients_own_may_look_like_anything(path: Path, message_id: str) -> None:
    with House(path, config=config(session=SHORT)) as house:
        session = house.create()
        say(session, "before")
        first = say(session, "one", message_id=message_id)
        assert not first.duplicate
        assert say(session, "one", message_id=message_id) == again(first)
        house.restart()
        session = house.again(session)
        assert say(session, "one", message_id=message_id) == again(first)
        assert texts(session) == ["before", "one"]


@pytest.mark.parametrize("message_id", ["~1-x", "~2-abc"])
def test_an_id_that_only_looks_known_to_an_expired_session_makes_a_new_one(
    path: Path, message_id: str
) -> None:
    """It names a place in the expired session's history, where another message stands."""
    with House(path, config=config(session=SHORT)) as house:
        first = house.send("one")
        house.advance(100)
        second = house.send("two", message_id=message_id)
        assert second.created
        assert second.session_id != first.session_id
        assert house.send("two", message_id=message_id) == again(second)


@pytest.mark.parametrize("between", ["nothing", "passivate", "restart", "kill"])
def test_ids_of_one_hash_are_told_apart(path: Path, monkeypatch: pytest.MonkeyPatch, between: str) -> None:
    collide(monkeypatch)
    with House(path, config=config(session=SHORT)) as house:
        session = house.create()
        firsts: list[Accepted] = []
        for message_id in ("a", "b", "c"):
            firsts.append(say(session, message_id, message_id=message_id))
            if between == "passivate":
                house.passivate(session)
            elif between != "nothing":
                getattr(house, between)()
            session = house.again(session)
        assert [each.duplicate for each in firsts] == [False] * 3
        for first in firsts:
            assert say(session, "again", message_id=first.message_id) == again(first)
        assert texts(session) == ["a", "b", "c"]


def test_ids_of_one_hash_are_told_apart_after_expiry(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collide(monkeypatch)
    with House(path, config=config(session=SHORT)) as house:
        first = house.send("one", message_id="a")
        house.advance(100)
        with pytest.raises(SessionExpired):
            house.runtime.session(first.session_id).send("x", message_id="b").result(PATIENCE)
        second = house.send("two", message_id="b")
        assert second.created
        assert house.send("one", message_id="a") == again(first)
        assert house.send("two", message_id="b") == again(second)


def test_the_same_message_many_times_at_once_is_stored_once() -> None:
    with House(config=config(session=SHORT)) as house:
        session = house.create()

        async def send_all() -> list[Accepted]:
            sent = [session.send("one", message_id="a") for _ in range(20)]
            sent += [house.runtime.send("one", user=ADA, message_id="a") for _ in range(20)]
            return [await each for each in sent]

        first, *others = house.runtime.run(send_all(), PATIENCE)
        assert not first.duplicate
        assert others == [again(first)] * 39
        assert texts(session) == ["one"]


def test_a_message_and_its_twin_stay_one_over_a_restart_and_an_expiry(path: Path) -> None:
    with House(path, config=config(session=SHORT, snapshot_every=2)) as house:
        sent: list[Accepted] = []
        for n in range(12):
            sent.append(house.send(f"m{n}", message_id=f"id{n}"))
            if n % 3 == 2:
                house.kill(after=1)
        session = house.runtime.session(sent[0].session_id)
        assert texts(session) == [f"m{n}" for n in range(12)]
        house.kill(after=200)
        assert [house.send("x", message_id=each.message_id) for each in sent] == [
            again(each) for each in sent
        ]
        house.advance(0)
        assert told(house.again(session))[-1] == ("session:expired", 103.0)
        assert state(house.again(session))["expired_at"] == START + 103
