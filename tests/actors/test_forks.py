"""A fork has the state that its source had then, a history of its own, and is made once."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sojourn.actors import RuntimeConfig, SessionConfig, SessionHandle
from sojourn.actors.errors import IllegalState, InvalidRequest, SessionError, SessionNotFound
from sojourn.actors.state import COPIED
from sojourn.actors.turn import Turn

from .house import ADA, START, House

SECRET = RuntimeConfig(sensitive_keys=("pin",))


@pytest.fixture
def house(path: Path) -> Iterator[House]:
    with House(path, config=SECRET) as opened:
        yield opened


def a_talk(house: House) -> SessionHandle:
    """Events: 1 created, 2 and 3 messages, 4 context, 5 tags, 6 a message, 7 closed."""
    session = house.runtime.create(
        ADA | {"display_name": "Ada"},
        context={"plan": 1, "pin": 1234},
        metadata={"from": "ad"},
        channel="web",
        tags=["new"],
        timeouts={"session_timeout": 600.0},
    )
    session.send("hello", message_id="m1").result(5)
    house.advance(1)
    session.send("hi", author="ai", message_id="m2", data={"n": 1}).result(5)
    session.update_context({"plan": 2, "gone": None}).result(5)
    session.tag(add=["vip"], remove=["new"]).result(5)
    house.advance(1)
    session.send("bye", message_id="m3").result(5)
    session.close("done").result(5)
    return session


def texts(session: SessionHandle) -> list[Any]:
    return [event["text"] for event in session.history().result(5).events if "text" in event]


def test_a_fork_of_now_is_an_active_session_with_the_same_state(house: House) -> None:
    source = a_talk(house)
    house.advance(1)
    before = source.get().result(5)
    fork = source.fork().result(5).get().result(5)
    same = ("user", "context", "metadata", "channel", "tags", "timeouts")
    assert {key: fork[key] for key in same} == {key: before[key] for key in same}
    assert (fork["status"], fork["handling"], fork["context_version"]) == ("active", "ai", 1)
    assert fork["created_at"] == START + 3.0
    assert fork["expires_at"] == START + 603.0
    assert source.get().result(5) == before


@pytest.mark.parametrize(
    ("at_seq", "plan", "tags", "said"),
    [
        (1, 1, ["new"], []),
        (2, 1, ["new"], ["hello"]),
        (3, 1, ["new"], ["hello", "hi"]),
        (4, 2, ["new"], ["hello", "hi"]),
        (5, 2, ["vip"], ["hello", "hi"]),
        (6, 2, ["vip"], ["hello", "hi", "bye"]),
        (7, 2, ["vip"], ["hello", "hi", "bye"]),
    ],
)
def test_a_fork_has_the_state_and_the_messages_as_of_its_place(
    house: House, at_seq: int, plan: int, tags: list[str], said: list[str]
) -> None:
    fork = a_talk(house).fork(at_seq).result(5)
    view = fork.get().result(5)
    assert (view["context"], view["tags"]) == ({"plan": plan, "pin": "***"}, tags)
    assert texts(fork) == said


def test_a_fork_s_history_says_where_it_comes_from(house: House) -> None:
    source = a_talk(house)
    fork = source.fork(3).result(5)
    created, hello, hi = fork.history().result(5).events
    assert created["forked_from"] == {"session_id": source.id, "seq": 3}
    assert [created["seq"], hello["seq"], hi["seq"]] == [1, 2, 3]
    assert hello["copied_from"] == {"seq": 2, "at": START}
    assert hi["copied_from"] == {"seq": 3, "at": START + 1.0}
    assert (hi["author"], hi["message_id"], hi["data"]) == ("ai", "m2", {"n": 1})
    assert {created["at"], hello["at"], hi["at"]} == {START + 2.0}  # `at` never goes back


def test_secrets_are_the_fork_s_in_clear_and_shown_to_nobody(house: House, path: Path) -> None:
    seen: list[dict[str, Any]] = []
    house.runtime.subscribe(seen.append)
    fork = a_talk(house).fork().result(5)
    house.settle()
    assert seen[-1]["type"] == "session:created"
    assert seen[-1]["context"] == {"plan": 2, "pin": "***"}
    actor = house.on_loop(lambda: house.runtime.core.registry.live[fork.id])
    assert actor.session.context_map() == {"plan": 2, "pin": 1234}


def test_copies_are_marked_and_pushed_to_nobody(house: House) -> None:
    seen: list[dict[str, Any]] = []
    source = a_talk(house)
    house.runtime.subscribe(seen.append)
    fork = source.fork().result(5)
    house.settle()
    assert [event["type"] for event in seen] == ["session:created"]
    key = house.on_loop(lambda: house.runtime.core.registry.live[fork.id].session.key)
    rows, _ = house.runtime.run(house.runtime.core.reads.get(lambda reader: reader.history(key)))
    assert [row[4] for row in rows] == [0, COPIED, COPIED, COPIED]


def test_the_same_request_key_again_answers_the_first_fork_also_after_a_restart(house: House) -> None:
    source = a_talk(house)
    first = source.fork(3, request_key="once").result(5)
    both = [source.fork(3, request_key="once"), source.fork(6, request_key="once")]
    assert [each.result(5).id for each in both] == [first.id, first.id]
    house.restart()
    again = house.runtime.session(source.id)
    assert again.fork(3, request_key="once").result(5).id == first.id
    again.erase().result(5)
    assert again.fork(3, request_key="once").result(5).id == first.id
    assert texts(first_of(house, first.id)) == ["hello", "hi"]


def first_of(house: House, session_id: str) -> SessionHandle:
    return house.runtime.session(session_id)


def test_two_forks_asked_at_once_under_one_key_are_one(house: House) -> None:
    source = a_talk(house)
    forks = [source.fork(request_key="k") for _ in range(5)]
    assert len({each.result(5).id for each in forks}) == 1


def test_an_expired_session_can_be_forked_and_the_fork_outlives_its_source(house: House) -> None:
    source = a_talk(house)
    house.advance(3600)
    assert source.get().result(5)["status"] == "expired"
    fork = source.fork().result(5)
    source.erase().result(5)
    house.restart()
    again = house.runtime.session(fork.id)
    assert texts(again) == ["hello", "hi", "bye"]
    assert again.send("and now?").result(5).seq == 5
    house.advance(600)
    assert again.get().result(5)["expiry_reason"] == "inactivity"


def test_a_message_of_the_source_sent_to_the_fork_is_known_there(house: House) -> None:
    source = a_talk(house)
    fork = source.fork(2).result(5)
    known = fork.send("hello", message_id="m1").result(5)
    assert (known.seq, known.duplicate) == (2, True)
    assert fork.send("hi", message_id="m2").result(5).duplicate is False
    house.restart()
    assert house.runtime.session(fork.id).send("hello", message_id="m1").result(5).duplicate is True


def test_messages_that_the_server_named_keep_their_names(house: House) -> None:
    source = house.runtime.create(ADA)
    source.tag(add=["x"]).result(5)
    sent = source.send("hello").result(5)
    fork = source.fork().result(5)
    assert fork.send("hello", message_id=sent.message_id).result(5).duplicate is True


def test_a_fork_into_another_channel_leaves_the_user_s_own_talk_alone(house: House) -> None:
    source = a_talk(house)
    fork = source.fork(channel="lab").result(5)
    assert fork.get().result(5)["channel"] == "lab"
    assert house.runtime.send("me again", user=ADA, channel="web").result(5).session_id == source.id


def test_a_fork_of_a_fork_names_the_fork(house: House) -> None:
    first = a_talk(house).fork(3).result(5)
    second = first.fork(2).result(5)
    created, hello = second.history().result(5).events
    assert created["forked_from"] == {"session_id": first.id, "seq": 2}
    assert hello["copied_from"]["seq"] == 2


def test_an_agent_in_a_fork_is_given_what_was_said_and_not_what_it_forgot(path: Path) -> None:
    given: list[list[str | None]] = []

    async def agent(turn: Turn) -> str:
        given.append([said.text for said in turn.history])
        return f"re: {turn.text}"

    config = RuntimeConfig(session=SessionConfig(session_timeout=None, dialog_timeout=60.0))
    with House(path, config=config, agent=agent) as house:
        source = house.runtime.create(ADA)
        source.send("long ago").reply(10)
        house.advance(61)
        source.send("one").reply(10)
        fork = source.fork().result(5)
        fork.send("two").reply(10)
        assert given == [[], [], ["one", "re: one"]]


def test_a_long_history_is_copied_as_far_as_a_turn_looks_back(house: House) -> None:
    source = house.runtime.create(ADA, context={"n": 0})
    for number in range(1500):
        source.send(str(number), message_id=f"k{number}")
    source.update_context({"n": 1}).result(5)
    source.send("last").result(5)
    fork = source.fork(1501).result(5)
    view = fork.get().result(5)
    assert (view["context"], view["seq"]) == ({"n": 0}, 1001)
    assert fork.history(1000, 1).result(5).events[0]["text"] == "1499"
    house.restart()
    assert house.runtime.session(fork.id).get().result(5) == view


@pytest.mark.parametrize("at_seq", [0, -1, 8, 2**63 - 1, "3", 2.0, True])
def test_a_place_that_is_none_is_refused(house: House, at_seq: Any) -> None:
    source = a_talk(house)
    with pytest.raises(InvalidRequest, match="at_seq"):
        source.fork(at_seq).result(5)


def test_what_is_not_there_cannot_be_forked(house: House) -> None:
    with pytest.raises(SessionNotFound):
        house.runtime.session("nobody").fork().result(5)


def cut_history(path: Path, session_id: str, until_seq: int) -> None:
    """Take the oldest events of a session out of a file that nobody has open; its snapshot stays."""
    with closing(sqlite3.connect(path)) as db, db:
        (key,) = db.execute("SELECT key FROM sessions WHERE session_id = ?", (session_id,)).fetchone()
        for table in ("events", "event_index", "event_runs"):
            db.execute(f"DELETE FROM {table} WHERE session = ? AND seq <= ?", (key, until_seq))


def test_a_history_whose_beginning_is_gone_is_forked_as_it_is_now_alone(house: House, path: Path) -> None:
    source = a_talk(house)
    house.stop()
    cut_history(path, source.id, until_seq=3)
    house.start()
    again = house.runtime.session(source.id)
    with pytest.raises(IllegalState, match="does not go back to its beginning"):
        again.fork(5).result(5)
    assert texts(again.fork().result(5)) == ["bye"]


def test_forks_under_way_at_a_stop_are_made_or_refused(house: House) -> None:
    source = a_talk(house)
    forks = [source.fork() for _ in range(20)]
    house.stop()
    for each in forks:
        try:
            session_id = each.result(5).id
        except SessionError as error:
            assert error.code in {"draining", "storage_failed"}  # noqa: PT017
        else:
            assert session_id
