"""What is erased is gone: from memory, from the file, from every list; and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sojourn.actors import SessionConfig
from sojourn.actors.answers import Erased
from sojourn.actors.errors import SessionNotFound
from sojourn.actors.mail import Caller
from sojourn.actors.messages import EraseSession
from tests.actors.house import ADA, PATIENCE, START, House, Map, config, history, say, state, texts

SHORT = SessionConfig(session_timeout=100.0)


def erase_user(house: House, user_id: str) -> Erased:
    request = EraseSession(Caller("service"), house.clock.now(), None, attach=False)
    return house.runtime.run(house.runtime.core.reception.erase_user(user_id, request), PATIENCE)


def listed(house: House, **filters: str) -> list[str]:
    page, _ = house.runtime.run(
        house.runtime.core.reception.page(filters, 100, None, house.clock.now()), PATIENCE
    )
    return [view["session_id"] for _, view in page]


STATES: dict[str, Callable[[House, Any], Any]] = {
    "live": lambda house, session: None,
    "closed": lambda house, session: session.close().result(PATIENCE),
    "asleep": lambda house, session: house.passivate(session),
    "expired": lambda house, session: house.advance(100),
}


@pytest.mark.parametrize("when", STATES)
def test_an_erased_session_is_gone_with_its_history(path: Path, when: str) -> None:
    with House(path, config=config(session=SHORT)) as house:
        session = house.create(context={"secret": "sesame"})
        say(session, "open sesame", message_id="a")
        other = house.create(user={"user_id": "bob"}, timeouts={"session_timeout": 1e6})
        say(other, "stays")
        STATES[when](house, session)
        count = state(session)["seq"]
        assert session.erase().result(PATIENCE)[:2] == (1, count)
        with pytest.raises(SessionNotFound):
            state(session)
        with pytest.raises(SessionNotFound):
            say(session, "x", message_id="a")
        assert listed(house) == [other.id]
        house.restart()
        with pytest.raises(SessionNotFound):
            state(house.again(session))
        assert [row[0] for row in house.journal()] == [other.id] * 2
        assert texts(house.again(other)) == ["stays"]
        house.stop()
        assert b"sesame" not in b"".join(each.read_bytes() for each in path.parent.glob("sojourn.db*"))
        house.start()


def test_who_is_attached_hears_of_the_erasure_and_of_nothing_after_it() -> None:
    with House(config=config(session=SHORT)) as house:
        session = house.create()
        pushed: list[Map] = []
        session.subscribe(pushed.append)
        session.erase().result(PATIENCE)
        house.advance(1000)
        assert pushed == [
            {"type": "session:expired", "session_id": session.id, "at": START, "reason": "erased"}
        ]


def test_an_erased_session_never_expires() -> None:
    with House(config=config(session=SHORT)) as house:
        seen: list[Map] = []
        erased, other = house.create(), house.create()
        house.runtime.subscribe(seen.append)
        erased.erase().result(PATIENCE)
        house.advance(1000)
        assert [event["session_id"] for event in seen if event.get("reason") != "erased"] == [other.id]


def test_all_sessions_of_a_person_are_erased_on_every_channel(path: Path) -> None:
    with House(path, config=config(session=SHORT)) as house:
        mine = [house.create(channel=f"c{n % 3}") for n in range(7)]
        for session in mine[:3]:
            say(session, "x")
        house.passivate(mine[1])
        bobs = house.create(user={"user_id": "bob"})
        house.advance(50)
        newest = house.create()
        house.advance(60)  # the others have expired
        assert state(newest)["status"] == "active"
        events = sum(len(history(each)) for each in (*mine, newest))
        assert erase_user(house, "ada")[:2] == (8, events)
        assert listed(house) == [bobs.id]
        assert erase_user(house, "ada")[:2] == (0, 0)
        assert erase_user(house, "nobody")[:2] == (0, 0)
        assert house.send("again", user=ADA).created


def test_a_resent_message_of_an_erased_session_is_a_new_one() -> None:
    with House(config=config(session=SHORT)) as house:
        first = house.send("one", message_id="a")
        house.runtime.session(first.session_id).erase().result(PATIENCE)
        second = house.send("one", message_id="a")
        assert (second.created, second.duplicate) == (True, False)
        assert second.session_id != first.session_id


def test_a_creation_and_its_erasure_in_one_breath_leave_nothing(path: Path) -> None:
    with House(path, config=config(session=SHORT)) as house:

        async def both() -> Erased:
            session = house.runtime.create(user=ADA)
            session.send("x")
            return await session.erase()

        assert house.runtime.run(both(), PATIENCE)[:2] == (1, 2)
        house.restart()
        assert house.journal() == []
        assert listed(house) == []


def test_a_key_is_not_given_again_after_an_erasure(path: Path) -> None:
    with House(path, config=config(session=SHORT)) as house:
        house.create().erase().result(PATIENCE)
        house.restart()
        session = house.create()
        say(session, "x")
        house.restart()
        assert texts(house.again(session)) == ["x"]
