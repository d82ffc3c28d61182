"""What time does to sessions in humans' hands: silence, absence, long waits, restarts; and who is next."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sojourn.actors import Event, RuntimeConfig, SessionConfig, SessionHandle
from sojourn.actors.config import QueueOrder
from sojourn.actors.errors import StorageFailed
from tests.actors.house import PATIENCE, House, Map, config, history, say, state, told
from tests.faults.test_storage_faults import commits_that_fail

LONG = SessionConfig(session_timeout=100_000.0)


def desk(**options: Any) -> RuntimeConfig:
    return config(session=LONG, human_timeout=60.0, **options)


def taken(house: House, by: str = "grace", queue: str = "sales") -> SessionHandle:
    session = house.create()
    session.hand_over(queue).result(PATIENCE)
    session.assign(by).result(PATIENCE)
    return session


def handling(session: SessionHandle) -> tuple[str, str | None]:
    found = state(session)
    return found["handling"], found["assignee"]


def waiting(house: House, queue: str | None = None) -> list[str]:
    return [each.session_id for each in house.runtime.desk(queue).result(PATIENCE)]


# -- silence -------------------------------------------------------------------------------------------


def test_a_human_who_never_answers_loses_the_session_to_its_queue_at_the_deadline() -> None:
    with House(config=desk()) as house:
        session = taken(house)
        house.advance(59.9)
        assert handling(session) == ("human", "grace")
        house.advance(0.1)
        assert handling(session) == ("queued", None)
        assert told(session)[-1] == ("session:handed_over", 60.0)
        event = history(session)[-1]
        assert (event["queue"], event["reason"], event["by"]["role"]) == ("sales", "human_timeout", "system")
        assert waiting(house, "sales") == [session.id]


def test_silence_is_counted_from_the_users_first_message_that_waits_for_an_answer() -> None:
    with House(config=desk()) as house:
        session = taken(house)
        house.advance(50)
        say(session, "Good day!", author="human", author_id="grace")
        house.advance(1000)
        assert handling(session) == ("human", "grace"), "the human owes nothing while the user is silent"
        say(session, "I have a question")
        house.advance(40)
        say(session, "Hello?")
        house.advance(20)
        assert handling(session) == ("queued", None)
        assert told(session)[-1] == ("session:handed_over", 1110.0)


@pytest.mark.parametrize("author", ["ai", "system"])
def test_what_is_no_humans_message_is_no_answer(author: str) -> None:
    with House(config=desk()) as house:
        session = taken(house)
        say(session, "please hold the line", author=author)
        house.advance(60)
        assert handling(session) == ("queued", None)


def test_without_a_limit_a_human_may_be_silent_for_ever() -> None:
    with House(config=config(session=LONG, human_timeout=None)) as house:
        session = taken(house)
        house.advance(50_000)
        assert handling(session) == ("human", "grace")


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_silence_is_counted_across_a_restart(tmp_path: Path, ending: str) -> None:
    with House(tmp_path / "desk.db", config=desk()) as house:
        session = taken(house)
        house.advance(10)
        (house.restart if ending == "stop" else house.kill)(20)
        session = house.again(session)
        house.advance(29)
        assert handling(session) == ("human", "grace")
        house.advance(1)
        assert told(session)[-1] == ("session:handed_over", 60.0)


def test_silence_that_ended_while_nobody_served_is_noted_at_its_instant(tmp_path: Path) -> None:
    with House(tmp_path / "desk.db", config=desk()) as house:
        session = taken(house)
        house.restart(500)
        house.advance(0)
        session = house.again(session)
        assert told(session)[-1] == ("session:handed_over", 60.0)
        assert waiting(house) == [session.id]


def test_silence_before_the_expiry_comes_first_when_both_ended_while_nobody_served(tmp_path: Path) -> None:
    short = config(session=SessionConfig(session_timeout=100.0), human_timeout=60.0)
    with House(tmp_path / "desk.db", config=short) as house:
        session = taken(house)
        house.restart(500)
        house.advance(0)
        session = house.again(session)
        assert told(session)[-2:] == [("session:handed_over", 60.0), ("session:expired", 100.0)]
        with closing(sqlite3.connect(tmp_path / "desk.db")) as connection:
            row = connection.execute("SELECT status, handling, assignee FROM sessions").fetchone()
        assert row == ("expired", "queued", None)
        assert waiting(house) == []


def test_a_passivated_session_returns_to_its_queue_all_the_same(tmp_path: Path) -> None:
    with House(tmp_path / "desk.db", config=desk()) as house:
        session = taken(house)
        house.passivate(session)
        house.advance(60)
        assert told(session)[-1] == ("session:handed_over", 60.0)


# -- absence -------------------------------------------------------------------------------------------


def test_a_human_who_is_gone_for_too_long_loses_what_they_hold() -> None:
    with House(config=desk()) as house:
        house.runtime.arrive("grace")
        mine, others = taken(house), taken(house, "joan")
        for session in (mine, others):
            say(session, "Good day!", author="human", author_id="whoever")
        house.runtime.leave("grace")
        house.advance(59)
        assert handling(mine) == ("human", "grace")
        house.advance(1)
        assert handling(mine) == ("queued", None)
        assert (history(mine)[-1]["reason"], told(mine)[-1][1]) == ("human_gone", 60.0)
        assert handling(others) == ("human", "joan")


def test_a_human_who_comes_back_in_time_loses_nothing() -> None:
    with House(config=desk()) as house:
        house.runtime.arrive("grace")
        session = taken(house)
        say(session, "Good day!", author="human", author_id="grace")
        house.runtime.leave("grace")
        house.advance(59)
        house.runtime.arrive("grace")
        house.advance(1000)
        assert handling(session) == ("human", "grace")


def test_a_human_is_there_as_long_as_one_of_their_connections_is() -> None:
    with House(config=desk()) as house:
        for _ in range(2):
            house.runtime.arrive("grace")
        session = taken(house)
        say(session, "Good day!", author="human", author_id="grace")
        house.runtime.leave("grace")
        house.advance(1000)
        assert handling(session) == ("human", "grace")


def test_after_a_restart_nobody_is_there_and_the_grace_begins_then(tmp_path: Path) -> None:
    with House(tmp_path / "desk.db", config=desk()) as house:
        for name in ("grace", "joan"):
            house.runtime.arrive(name)
        back, gone = taken(house, "grace"), taken(house, "joan")
        for session in (back, gone):
            say(session, "Good day!", author="human", author_id="whoever")
        house.restart(1000)
        house.runtime.arrive("grace")
        house.advance(59)
        assert handling(house.again(gone)) == ("human", "joan")
        house.advance(1)
        assert handling(house.again(gone)) == ("queued", None)
        assert told(house.again(gone))[-1][1] == 1060.0
        assert handling(house.again(back)) == ("human", "grace")


# -- queues --------------------------------------------------------------------------------------------


def test_a_session_that_waited_too_long_is_the_ais_again() -> None:
    with House(config=desk(queue_timeout=30.0)) as house:
        session = house.create()
        session.hand_over("sales").result(PATIENCE)
        say(session)
        house.advance(30)
        assert handling(session) == ("ai", None)
        assert told(session)[-1] == ("session:released", 30.0)
        assert history(session)[-1]["reason"] == "queue_timeout"
        assert waiting(house) == []


def test_the_wait_in_the_queue_is_limited_after_a_human_lost_it_too() -> None:
    with House(config=desk(queue_timeout=30.0)) as house:
        session = taken(house)
        house.advance(90)
        assert told(session)[-2:] == [("session:handed_over", 60.0), ("session:released", 90.0)]


@pytest.mark.parametrize(
    ("order", "expected"),
    [("longest_wait", [0, 1, 2]), ("shortest_wait", [2, 1, 0]), ("silent_longest", [1, 2, 0])],
)
def test_a_queue_is_worked_off_in_the_order_that_is_set(order: QueueOrder, expected: list[int]) -> None:
    with House(config=desk(queue_order=order)) as house:
        sessions: list[SessionHandle] = []
        for _ in range(3):
            sessions.append(house.create())
            sessions[-1].hand_over("sales").result(PATIENCE)
            house.advance(1)
        say(sessions[0])
        assert waiting(house, "sales") == [sessions[each].id for each in expected]
        places = [why(house, session)["place"] for session in sessions]
        assert places == [expected.index(each) + 1 for each in range(3)]


def why(house: House, session: SessionHandle) -> Map:
    def step() -> Any:
        core = house.runtime.core
        return core.explainer.explain(core.registry.live[session.id])

    found: Map = house.on_loop(step)
    return found


def test_why_says_how_long_it_has_waited_and_what_ends_the_wait() -> None:
    with House(config=desk(queue_timeout=300.0)) as house:
        session = house.create()
        session.hand_over("sales").result(PATIENCE)
        house.advance(45)
        told_why = why(house, session)
        assert (told_why["place"], told_why["waiting"]) == (1, 45.0)
        assert told_why["deadlines"][0]["timer"] == "queue_timeout"
        session.assign("grace").result(PATIENCE)
        told_why = why(house, session)
        assert "place" not in told_why
        assert told_why["deadlines"][0]["timer"] == "human_timeout"
        assert told_why["deadlines"][0]["at"] == house.clock.now() + 60


def test_who_waits_and_who_holds_what_is_known_after_a_restart(tmp_path: Path) -> None:
    with House(tmp_path / "desk.db", config=desk(max_held=1)) as house:
        first, second = house.create(), house.create()
        second.hand_over("sales").result(PATIENCE)
        house.advance(5)
        first.hand_over("sales").result(PATIENCE)
        taken(house)
        ended = house.create()
        ended.hand_over("sales").result(PATIENCE)
        ended.close().result(PATIENCE)
        house.kill()
        assert waiting(house) == [second.id, first.id]
        held = house.on_loop(lambda: len(house.runtime.core.shared.desk.held_by("grace")))
        assert held == 1


def test_an_erased_session_waits_no_longer() -> None:
    with House(config=desk()) as house:
        session = house.create()
        session.hand_over("sales").result(PATIENCE)
        heard: list[tuple[str, str]] = []
        house.runtime.watch(lambda event: heard.append((event["type"], event["reason"])), ["sales"])
        session.erase().result(PATIENCE)
        assert waiting(house) == []
        assert heard == [("session:expired", "erased")]


def test_what_could_not_be_stored_has_not_changed_hands(tmp_path: Path) -> None:
    with House(tmp_path / "desk.db", config=desk(max_held=1)) as house:
        queued, free = house.create(), house.create()
        queued.hand_over("sales").result(PATIENCE)
        with commits_that_fail(house):
            for asked in (queued.assign("grace"), free.hand_over("sales")):
                with pytest.raises(StorageFailed):
                    asked.result(PATIENCE)
        house.settle()
        assert waiting(house) == [queued.id]
        assert house.on_loop(lambda: house.runtime.core.shared.desk.held_by("grace")) == []
        assert queued.assign("grace").result(PATIENCE)
        assert handling(free) == ("ai", None)


# -- other timers --------------------------------------------------------------------------------------


def test_the_dialog_timer_rests_while_a_human_handles_it_and_the_others_run() -> None:
    timers = SessionConfig(session_timeout=100.0, dialog_timeout=10.0)
    with House(config=config(session=timers, human_timeout=None)) as house:
        session = house.create()
        say(session)
        session.assign("grace").result(PATIENCE)
        house.advance(50)
        say(session, "still here", author="human", author_id="grace")
        assert "dialog:expired" not in [name for name, _ in told(session)]
        house.advance(50)
        assert told(session)[-1] == ("session:expired", 100.0), "a human's message is no activity"


def test_the_ai_is_silent_while_a_session_is_in_humans_hands() -> None:
    with House(config=desk(), agent=lambda turn: f"AI: {turn.text}") as house:
        session = house.create()
        assert session.send("a").reply(PATIENCE).text == "AI: a"
        session.hand_over("sales").result(PATIENCE)
        say(session, "b")
        session.assign("grace").result(PATIENCE)
        say(session, "c")
        session.release().result(PATIENCE)
        assert session.send("d").reply(PATIENCE).text == "AI: d"
        house.settle()
        said = [event["text"] for event in history(session) if event.get("author") == "ai"]
        assert said == ["AI: a", "AI: d"]


# -- watching ------------------------------------------------------------------------------------------


def test_a_watcher_is_told_of_its_queues_and_of_no_other() -> None:
    with House(config=desk()) as house:
        heard: dict[str, list[tuple[str, str]]] = {"sales": [], "all": []}

        def hear(name: str) -> Callable[[Event], object]:
            def note(event: Event) -> None:
                heard[name].append((event["session_id"], event["type"]))

            return note

        house.runtime.watch(hear("sales"), ["sales"])
        everywhere = house.runtime.watch(hear("all"))
        sale, complaint, plain = (house.create() for _ in range(3))
        plain.close().result(PATIENCE)
        sale.hand_over("sales").result(PATIENCE)
        complaint.hand_over("complaints").result(PATIENCE)
        complaint.hand_over("sales").result(PATIENCE)
        complaint.hand_over("complaints").result(PATIENCE)
        say(sale)
        sale.assign("grace").result(PATIENCE)
        sale.release().result(PATIENCE)
        sale.tag(["vip"]).result(PATIENCE)
        everywhere.cancel()
        complaint.close().result(PATIENCE)
        house.settle()
        of_sale = [(sale.id, f"session:{what}") for what in ("handed_over", "assigned", "released")]
        moved = (complaint.id, "session:handed_over")
        assert heard["sales"] == [of_sale[0], moved, moved, *of_sale[1:]]
        assert heard["all"] == [of_sale[0], moved, moved, moved, *of_sale[1:]]


def test_a_watcher_hears_of_expiries_of_sessions_that_left_memory(tmp_path: Path) -> None:
    short = config(session=SessionConfig(session_timeout=30.0))
    with House(tmp_path / "desk.db", config=short) as house:
        session, plain = house.create(), house.create()
        session.hand_over("sales").result(PATIENCE)
        heard: list[tuple[str, str]] = []
        house.runtime.watch(lambda event: heard.append((event["session_id"], event["type"])), ["sales"])
        for each in (session, plain):
            house.passivate(each)
        house.advance(30)
        assert heard == [(session.id, "session:expired")]
        assert waiting(house) == []


# -- settings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("human_timeout", value) for value in (0, -1, float("nan"), float("inf"), "60", True)),
        *(("queue_timeout", value) for value in (0, -1, "never")),
        *(("max_held", value) for value in (0, -1, 1.5, True)),
        *(("queue_order", value) for value in ("oldest", None)),
    ],
)
def test_a_setting_out_of_range_is_refused_by_its_name(name: str, value: Any) -> None:
    wrong: Map = {name: value}
    with pytest.raises(ValueError, match=name):
        RuntimeConfig(**wrong)
