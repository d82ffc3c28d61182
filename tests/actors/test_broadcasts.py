"""Broadcasts: an outcome for everybody, nobody twice, also after the death of the process."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sojourn.actors import SessionHandle
from sojourn.actors.broadcast import BroadcastOutcome
from sojourn.actors.broadcasts import SLICE
from sojourn.actors.errors import InvalidRequest
from sojourn.storage import Reader, ReadFailed, WriteFailed
from sojourn.storage.journal import Journal
from tests.actors.house import PATIENCE, House, Map, config, history, say, state, texts

KEEP = {"keep_alive": 100.0}


def people(*names: str) -> list[Map]:
    return [{"user_id": name} for name in names]


def cast(house: House, users: list[Any], text: str = "news", **options: Any) -> BroadcastOutcome:
    return house.runtime.broadcast(users, text, **options).result(PATIENCE)


def counts(outcome: BroadcastOutcome) -> tuple[int, int, int, int]:
    return outcome.created, outcome.delivered, outcome.reopened, len(outcome.failed)


def of_user(house: House, user_id: str) -> list[str]:
    """Ids of the user's sessions, newest first."""

    def ask() -> Any:
        return house.runtime.core.reads.get(lambda reader: reader.page(user_id=user_id))

    async def read() -> list[str]:
        return [row.session_id for row in await ask()]

    return house.runtime.run(read(), PATIENCE)


def only(house: House, user_id: str) -> SessionHandle:
    (session_id,) = of_user(house, user_id)
    return house.runtime.session(session_id)


def test_who_has_no_session_gets_one_with_the_message() -> None:
    with House() as house:
        assert counts(cast(house, people("ada"))) == (1, 0, 0, 0)
        assert [event["type"] for event in history(only(house, "ada"))] == [
            "session:created",
            "message:received",
        ]
        assert history(only(house, "ada"))[1]["author"] == "system"


def test_a_live_session_takes_it() -> None:
    with House() as house:
        session = house.create()
        assert counts(cast(house, people("ada"))) == (0, 1, 0, 0)
        assert texts(session) == ["news"]
        assert history(session)[-1]["broadcast_id"]


def test_a_closed_session_takes_it_without_being_reopened_and_without_its_context() -> None:
    with House() as house:
        session = house.create(timeouts=KEEP)
        session.close().result(PATIENCE)
        before = state(session)
        assert counts(cast(house, people("ada"), context={"vip": True})) == (0, 1, 0, 0)
        after = state(session)
        assert texts(session) == ["news"]
        assert after == {**before, "seq": before["seq"] + 1}


def test_a_closed_session_is_reopened_where_the_broadcast_says_so() -> None:
    with House() as house:
        session = house.create(timeouts=KEEP)
        session.close().result(PATIENCE)
        assert counts(cast(house, people("ada"), context={"vip": True}, reopen=True)) == (0, 0, 1, 0)
        assert state(session)["status"] == "active"
        assert state(session)["context"] == {"vip": True}
        assert [event["type"] for event in history(session)[2:]] == [
            "session:reopened",
            "session:context:updated",
            "message:received",
        ]


def test_the_newest_unexpired_session_is_meant_be_it_closed() -> None:
    with House() as house:
        older = house.create()
        newer = house.create(timeouts=KEEP)
        newer.close().result(PATIENCE)
        assert counts(cast(house, people("ada"))) == (0, 1, 0, 0)
        assert (texts(older), texts(newer)) == ([], ["news"])


def test_an_expired_session_takes_nothing_and_another_is_made() -> None:
    with House() as house:
        old = house.create(timeouts={"session_timeout": 10.0})
        house.advance(10.0)
        assert counts(cast(house, people("ada"))) == (1, 0, 0, 0)
        assert texts(old) == []
        assert len(of_user(house, "ada")) == 2


def test_a_session_that_falls_due_in_the_same_instant_takes_nothing() -> None:
    with House(config=config()) as house:
        old = house.create(timeouts={"session_timeout": 10.0})
        house.clock.set(house.clock.now() + 10.0)
        assert counts(cast(house, people("ada"))) == (1, 0, 0, 0)
        assert texts(old) == []


def test_a_session_that_is_not_in_memory_takes_it() -> None:
    with House() as house:
        session = house.create()
        house.passivate(session)
        assert counts(cast(house, people("ada"))) == (0, 1, 0, 0)
        assert texts(session) == ["news"]


def test_another_channel_is_another_talk() -> None:
    with House() as house:
        session = house.create(channel="web")
        assert counts(cast(house, people("ada"), channel="sms")) == (1, 0, 0, 0)
        assert texts(session) == []


def test_the_same_broadcast_again_repeats_nothing_and_reports_the_first_outcome() -> None:
    with House() as house:
        session = house.create(user={"user_id": "bob"}, timeouts=KEEP)
        session.close().result(PATIENCE)
        first = cast(house, people("ada", "bob"), broadcast_id="b", reopen=True)
        again = cast(house, people("ada", "bob"), broadcast_id="b", reopen=True)
        assert counts(first) == counts(again) == (1, 0, 1, 0)
        assert texts(session) == ["news"]
        assert texts(only(house, "ada")) == ["news"]


def test_a_repeat_finds_who_was_reached_in_a_session_that_is_gone() -> None:
    with House() as house:
        session = house.create(timeouts={"session_timeout": 10.0})
        cast(house, people("ada"), broadcast_id="b")
        house.advance(20.0)
        assert counts(cast(house, people("ada"), broadcast_id="b")) == (0, 1, 0, 0)
        assert of_user(house, "ada") == [session.id]


def test_two_at_once_under_one_id_reach_everybody_once() -> None:
    with House() as house:
        users = people(*(f"u{number}" for number in range(3 * SLICE)))
        several = [house.runtime.broadcast(users, "news", broadcast_id="b") for _ in range(3)]
        assert [counts(each.result(PATIENCE)) for each in several] == [(3 * SLICE, 0, 0, 0)] * 3
        assert all(texts(only(house, user["user_id"])) == ["news"] for user in users)


def test_somebody_named_twice_counts_once_wherever_the_second_name_stands() -> None:
    with House() as house:
        crowd = [f"u{number}" for number in range(2 * SLICE)]
        assert counts(cast(house, people("ada", "ada", *crowd, "ada"))) == (1 + len(crowd), 0, 0, 0)
        assert texts(only(house, "ada")) == ["news"]


NONE_AT_ALL = [
    {},
    {"user_id": None},
    {"user_id": ""},
    {"user_id": 7},
    {"user_id": ["ada"]},
    {"user_id": "eve", "email": 7},
    "ada",
    None,
]


@pytest.mark.parametrize("wrong", NONE_AT_ALL, ids=repr)
def test_what_is_no_person_fails_alone(wrong: Any) -> None:
    with House() as house:
        outcome = cast(house, [*people("ada"), wrong, *people("bob")])
        assert counts(outcome) == (2, 0, 0, 1)
        assert outcome.failed[0]["code"] == "invalid_payload"


MALICIOUS = [
    "ada\0",
    "ada\0x",
    "'; DROP TABLE sessions; --",
    '"]}',
    "\u202eada",
    "%",
    "ada' OR '1'='1",
    "a" * 20_000,
    "../../ada",
    "\U0001f4a3",
]


def test_malicious_names_are_names_like_others() -> None:
    with House() as house:
        ada = house.create()
        users = people(*MALICIOUS)
        assert counts(cast(house, users, broadcast_id="b")) == (len(MALICIOUS), 0, 0, 0)
        assert counts(cast(house, users, broadcast_id="b")) == (len(MALICIOUS), 0, 0, 0)
        assert counts(cast(house, users, broadcast_id="c")) == (0, len(MALICIOUS), 0, 0)
        assert texts(ada) == []
        assert counts(cast(house, people("ada"), broadcast_id="b")) == (0, 1, 0, 0)


def test_who_opted_out_is_left_alone_until_the_mind_is_changed() -> None:
    with House() as house:
        session = house.create()
        session.update_context({"user.opt_out": True}).result(PATIENCE)
        outcome = cast(house, people("ada", "bob"), broadcast_id="b")
        assert outcome.failed == [{"user_id": "ada", "code": "opted_out"}]
        assert counts(outcome) == (1, 0, 0, 1)
        assert texts(session) == []
        session.update_context({"user.opt_out": None}).result(PATIENCE)
        assert counts(cast(house, people("ada", "bob"), broadcast_id="b")) == (1, 1, 0, 0)


def test_a_context_that_is_too_large_for_one_fails_for_that_one() -> None:
    with House(config=config(max_context_keys=2)) as house:
        full = house.create(context={"a": 1, "b": 2})
        outcome = cast(house, people("ada", "bob"), context={"c": 3})
        assert outcome.failed == [{"user_id": "ada", "code": "context_too_large"}]
        assert texts(full) == []
        assert state(full)["seq"] == 1
        assert state(only(house, "bob"))["context"] == {"c": 3}


def test_a_context_that_nobody_may_have_reaches_nobody() -> None:
    with House() as house:
        with pytest.raises(InvalidRequest):
            cast(house, people("ada"), context={"app.secret": 1})
        assert of_user(house, "ada") == []


def test_a_queued_session_is_not_taken_by_a_broadcast_of_an_agent() -> None:
    with House() as house:
        cast(house, people("ada"), author="human", author_id="bob")
        event = history(only(house, "ada"))[-1]
        assert (event["author"], event["author_id"]) == ("human", "bob")
        assert state(only(house, "ada"))["handling"] == "ai"


def test_it_is_no_activity_of_the_user() -> None:
    with House() as house:
        session = house.create(timeouts={"session_timeout": 100.0})
        house.advance(60.0)
        cast(house, people("ada"))
        house.advance(40.0)
        assert state(session)["status"] == "expired"


def test_progress_is_told_slice_by_slice() -> None:
    with House() as house:
        seen: list[int] = []
        users = people(*(f"u{number}" for number in range(2 * SLICE + 1)))
        house.runtime.broadcast(users, "news", progress=lambda outcome: seen.append(outcome.reached)).result(
            PATIENCE
        )
        assert seen == [SLICE, 2 * SLICE, 2 * SLICE + 1]


def test_others_are_answered_between_two_slices() -> None:
    with House() as house:
        session = house.create(user={"user_id": "eve"})
        answered_after: list[int] = []
        reached: list[int] = []

        def told(outcome: BroadcastOutcome) -> None:
            reached.append(outcome.reached)
            if len(reached) == 1:
                house.runtime.session(session.id).send("hello").add_done_callback(
                    lambda _: answered_after.append(reached[-1])
                )

        users = people(*(f"u{number}" for number in range(20 * SLICE)))
        house.runtime.broadcast(users, "news", progress=told).result(PATIENCE)
        house.settle()
        assert answered_after
        assert answered_after[0] <= 3 * SLICE


def test_killed_half_way_it_is_finished_by_the_same_again(tmp_path: Path) -> None:
    with House(tmp_path / "sessions.db") as house:
        users = people(*(f"u{number}" for number in range(3 * SLICE)))
        cast(house, users[: SLICE + 7], broadcast_id="b")
        house.kill()
        assert counts(cast(house, users, broadcast_id="b")) == (3 * SLICE, 0, 0, 0)
        types = [event for _, _, event, _ in house.journal()]
        assert types.count("message:received") == types.count("session:created") == 3 * SLICE


def test_what_is_not_stored_has_failed_and_the_same_again_finishes_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with House(tmp_path / "sessions.db") as house:
        session = house.create()
        commit = Journal.commit

        def full(self: Journal, batch: Any) -> None:
            if batch.broadcasts:
                raise WriteFailed(self.path, "no space left on device")
            commit(self, batch)

        with monkeypatch.context() as disk:
            disk.setattr(Journal, "commit", full)
            outcome = cast(house, people("ada", "bob"), broadcast_id="b")
        assert {each["code"] for each in outcome.failed} == {"storage_failed"}
        assert len(outcome.failed) == 2
        assert counts(cast(house, people("ada", "bob"), broadcast_id="b")) == (1, 1, 0, 0)
        assert texts(session) == ["news"]


def test_unreadable_outcomes_reach_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Any:
        raise ReadFailed(None, "the disk is gone")

    with House() as house:
        with monkeypatch.context() as disk:
            disk.setattr(Reader, "look", broken)
            outcome = cast(house, people("ada"), broadcast_id="b")
        assert outcome.failed == [{"user_id": "ada", "code": "storage_failed"}]
        assert of_user(house, "ada") == []


def test_an_erased_person_is_forgotten(tmp_path: Path) -> None:
    with House(tmp_path / "sessions.db") as house:
        cast(house, people("ada", "bob"), broadcast_id="b")
        only(house, "ada").erase().result(PATIENCE)
        house.settle()

        def stored(reader: Reader) -> list[tuple[str]]:
            return reader.look(
                lambda connection: connection.execute("SELECT user_id FROM broadcast_outcomes").fetchall()
            )

        async def read() -> list[tuple[str]]:
            return await house.runtime.core.reads.get(stored)

        assert house.runtime.run(read(), PATIENCE) == [("bob",)]


def test_a_stop_ends_it_with_its_slice_and_says_who_is_missing() -> None:
    async def main() -> BroadcastOutcome:
        from sojourn.actors import Runtime  # noqa: PLC0415  # on this loop

        async with Runtime() as runtime:
            users = people(*(f"u{number}" for number in range(10 * SLICE)))
            first = asyncio.Event()
            sending = runtime.broadcast(users, "news", progress=lambda _: first.set())
            await first.wait()
            await runtime.stop()
            return await sending

    outcome = asyncio.run(main())
    assert 0 < outcome.reached < 10 * SLICE
    assert {each["code"] for each in outcome.failed} == {"draining"}
    assert outcome.reached + len(outcome.failed) == 10 * SLICE


@pytest.mark.parametrize(
    "wrong",
    [{"text": None}, {"text": 7}, {"channel": 7}, {"author": "user"}, {"context": []}, {"broadcast_id": 7}],
    ids=repr,
)
def test_a_wrong_broadcast_is_refused_before_anybody_hears_it(wrong: Map) -> None:
    with House() as house:
        given: Map = {"text": "news", **wrong}
        with pytest.raises(InvalidRequest):
            house.runtime.broadcast(people("ada"), **given)
        assert say(house.create()).created is False
