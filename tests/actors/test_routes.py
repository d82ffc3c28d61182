"""Messages addressed to a user find the one session that is meant, or make exactly one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sojourn.actors import SessionConfig, SessionHandle
from sojourn.actors.answers import Accepted
from sojourn.actors.errors import InvalidRequest
from tests.actors.house import ADA, PATIENCE, House, Map, config, say, state, texts

SHORT = SessionConfig(session_timeout=100.0, keep_alive=10.0)


def test_fifty_first_messages_at_once_make_one_session() -> None:
    with House(config=config(session=SHORT)) as house:

        async def send_all() -> list[Accepted]:
            sent = [house.runtime.send(f"m{n}", user=ADA) for n in range(50)]
            return [await each for each in sent]

        accepted = house.runtime.run(send_all(), PATIENCE)
        assert len({each.session_id for each in accepted}) == 1
        assert [each.created for each in accepted] == [True] + [False] * 49
        assert [each.seq for each in accepted] == list(range(2, 52))
        assert texts(house.runtime.session(accepted[0].session_id)) == [f"m{n}" for n in range(50)]


def test_users_and_channels_are_kept_apart() -> None:
    with House(config=config(session=SHORT)) as house:
        ids = {
            house.send(user=user, channel=channel).session_id
            for user in (ADA, {"user_id": "bob"})
            for channel in ("a", "b")
        }
        assert len(ids) == 4
        assert house.send(channel="a").session_id in ids


def test_what_is_said_of_the_user_with_the_first_message_is_kept() -> None:
    with House() as house:
        user: Map = {"user_id": "ada", "display_name": "Ada", "own": [1]}
        first = house.send(user=user, context={"a": 1})
        assert state(house.runtime.session(first.session_id))["user"] == user
        house.send(user={"user_id": "ada", "display_name": "other"})
        assert state(house.runtime.session(first.session_id))["user"] == user


@pytest.mark.parametrize("away", ["live", "passivated", "restarted", "killed"])
def test_the_newest_unexpired_session_takes_a_users_message(path: Path, away: str) -> None:
    with House(path, config=config(session=SHORT)) as house:
        sessions = [house.create() for _ in range(3)]
        house.create(channel="other")
        sessions[2].close().result(PATIENCE)
        if away == "passivated":
            for session in sessions:
                house.passivate(session)
        elif away != "live":
            house.restart() if away == "restarted" else house.kill()
        accepted = house.send()
        assert (accepted.session_id, accepted.created, accepted.reopened) == (sessions[2].id, False, True)


@pytest.mark.parametrize("author", ["human", "system"])
def test_an_agent_finds_the_newest_active_session_or_makes_one(author: str) -> None:
    with House(config=config(session=SHORT)) as house:
        older, newer = house.create(), house.create()
        newer.close().result(PATIENCE)
        assert house.send(author=author).session_id == older.id
        older.close().result(PATIENCE)
        accepted = house.send(author=author)
        assert accepted.created
        assert accepted.session_id not in (older.id, newer.id)


def test_an_expired_session_is_passed_over_even_before_its_wake_up() -> None:
    with House(config=config(session=SHORT)) as house:
        older = house.create(timeouts={"session_timeout": 500})
        newer = house.create()
        house.clock.set(house.clock.now() + 200)
        assert house.send().session_id == older.id
        assert state(newer)["status"] == "expired"


def test_a_new_conversation_begins_when_the_last_has_expired(path: Path) -> None:
    with House(path, config=config(session=SHORT)) as house:
        ids: list[str] = []
        for _ in range(4):
            accepted = house.send()
            assert accepted.created
            ids.append(accepted.session_id)
            house.advance(100)
        assert len(set(ids)) == 4


def test_a_message_right_behind_a_creation_goes_to_what_was_created() -> None:
    with House(config=config(session=SHORT)) as house:

        async def both() -> tuple[SessionHandle, Accepted]:
            session = house.runtime.create(user=ADA, channel="c")
            accepted = await house.runtime.send("x", user=ADA, channel="c")
            return await session, accepted

        session, accepted = house.runtime.run(both(), PATIENCE)
        assert (accepted.session_id, accepted.created) == (session.id, False)


def test_a_creation_while_a_lookup_is_under_way_is_seen_by_it() -> None:
    with House(config=config(session=SHORT)) as house:
        older = house.create(channel="c")
        house.passivate(older)

        async def both() -> tuple[Accepted, SessionHandle, Accepted]:
            first = house.runtime.send("x", user=ADA, channel="c")  # its lookup has begun
            session = house.runtime.create(user=ADA, channel="c")
            second = house.runtime.send("x", user=ADA, channel="c")
            return await first, await session, await second

        first, session, second = house.runtime.run(both(), PATIENCE)
        assert first.session_id in (older.id, session.id)
        assert second.session_id == session.id
        assert not first.created
        assert not second.created


def test_a_message_sees_what_the_one_before_it_did_to_a_sleeping_session(path: Path) -> None:
    with House(path, config=config(session=SHORT)) as house:
        session = house.create()
        session.close().result(PATIENCE)
        house.passivate(session)

        async def both() -> list[Accepted]:
            sent = [house.runtime.send("x", user=ADA), house.runtime.send("y", user=ADA, author="human")]
            return [await each for each in sent]

        first, second = house.runtime.run(both(), PATIENCE)
        assert (first.session_id, first.reopened) == (session.id, True)
        assert (second.session_id, second.created) == (session.id, False)


def test_what_was_read_of_a_session_before_it_came_and_went_is_not_believed(path: Path) -> None:
    """Between the lookup and its answer the older session wakes, takes the message, and sleeps again."""
    with House(path, config=config(session=SHORT)) as house:
        older, newer = house.create(), house.create()
        for session in (older, newer):
            house.passivate(session)
        reads: Any = house.runtime.core.reads
        ask = reads.ask
        held: list[Callable[[], None]] = []

        def hold(question: Any, done: Any, failed: Any) -> None:
            def keep(answer: Any) -> None:
                held.append(lambda: done(answer))

            ask(question, keep, failed)

        async def race() -> tuple[Accepted, Accepted]:
            reads.ask = hold
            by_user = house.runtime.send("x", user=ADA, message_id="a")
            while not held:  # noqa: ASYNC110  # nothing tells it
                await asyncio.sleep(0)
            del reads.ask
            first = await older.send("x", message_id="a")
            house.registry.passivate(house.registry.live[older.id])
            await house.runtime.core.commits.flushed()
            assert older.id not in house.registry.live
            held.pop()()
            return first, await by_user

        first, second = house.runtime.run(race(), PATIENCE)
        assert second == first._replace(duplicate=True)


@pytest.mark.parametrize("max_live", [1, 2, 3])
def test_a_user_with_more_sessions_than_fit_in_memory_is_served(path: Path, max_live: int) -> None:
    with House(path, config=config(session=SHORT, max_live=max_live)) as house:
        sessions = [house.create() for _ in range(4)]
        firsts = [say(session, "x", message_id=session.id) for session in sessions]
        for _ in range(3):
            assert house.send().session_id == sessions[3].id
        assert house.send(author="human").session_id == sessions[3].id
        for first in firsts:
            assert house.send(message_id=first.message_id) == first._replace(duplicate=True)


def test_many_users_with_little_memory_are_served(path: Path) -> None:
    with House(path, config=config(session=SHORT, max_live=3)) as house:

        async def send_all(turn: int) -> list[Accepted]:
            users = [{"user_id": f"u{n}"} for n in range(20)]
            sent = [house.runtime.send(f"m{turn}", user=user) for user in users]
            return [await each for each in sent]

        turns = [house.runtime.run(send_all(turn), PATIENCE) for turn in range(4)]
        assert [each.created for each in turns[0]] == [True] * 20
        for turn in turns[1:]:
            assert [each.session_id for each in turn] == [each.session_id for each in turns[0]]
        for each in turns[0]:
            assert texts(house.runtime.session(each.session_id)) == ["m0", "m1", "m2", "m3"]


def test_an_erased_session_is_no_longer_found() -> None:
    with House(config=config(session=SHORT)) as house:
        first = house.send()
        house.runtime.session(first.session_id).erase().result(PATIENCE)
        second = house.send()
        assert second.created
        assert second.session_id != first.session_id


def test_a_message_addressed_to_nobody_is_refused() -> None:
    with House() as house:
        for user in ({}, {"user_id": ""}, {"user_id": 7}):
            with pytest.raises(InvalidRequest, match="user_id"):
                house.runtime.send("x", user=user)


# -- request_key ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("between", ["nothing", "passivate", "restart", "kill", "expire"])
def test_a_request_key_sent_again_answers_the_first_session(path: Path, between: str) -> None:
    with House(path, config=config(session=SHORT)) as house:
        first = house.create(request_key="k", context={"a": 1})
        assert first.id
        if between == "passivate":
            house.passivate(first)
        elif between == "expire":
            house.advance(100)
        elif between != "nothing":
            getattr(house, between)()
        first = house.again(first)
        before = state(first)
        again = house.runtime.create(user=ADA, request_key="k", context={"b": 2})
        assert again.id == first.id
        assert state(first) == before
        assert house.runtime.create(user=ADA, request_key="other").id != first.id


def test_a_request_key_used_twenty_times_at_once_makes_one_session() -> None:
    with House(config=config(session=SHORT)) as house:

        async def create_all() -> list[str]:
            made = [house.runtime.create(user=ADA, request_key="k") for _ in range(20)]
            return [(await each).id for each in made]

        ids = house.runtime.run(create_all(), PATIENCE)
        assert len(set(ids)) == 1
        assert state(house.runtime.session(ids[0]))["seq"] == 1
        assert house.send().session_id == ids[0]
