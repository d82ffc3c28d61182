"""`Runtime` inside a program: on a loop of its own or the caller's, from any thread, with clear refusals."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sojourn import Runtime, RuntimeConfig, SessionConfig
from sojourn.actors import SessionHandle, SessionMaxima, SystemClock
from sojourn.actors.errors import Draining, InvalidRequest, SessionNotFound
from sojourn.actors.futures import WouldDeadlock
from sojourn.actors.mail import Caller
from sojourn.actors.messages import GetSession
from sojourn.storage import CannotOpen, NotADatabase
from tests.actors.house import ADA, PATIENCE, START, House, Map, config, history, say, state, texts

# -- the two ways in -----------------------------------------------------------------------------------


def test_plain_code_creates_talks_closes_and_reopens(path: Path) -> None:
    with Runtime(str(path)) as runtime:
        session = runtime.create(user={"user_id": "ada"})
        accepted = session.send("Where is my order?").result(PATIENCE)
        assert (accepted.seq, accepted.duplicate) == (2, False)
        assert session.close("done").result(PATIENCE).reason == "done"
        assert session.reopen().result(PATIENCE).session["status"] == "active"
        assert [event["type"] for event in session.history().result(PATIENCE).events] == [
            "session:created",
            "message:received",
            "session:closed",
            "session:reopened",
        ]
    with Runtime(str(path)) as runtime:
        assert state(runtime.session(session.id))["status"] == "active"


def test_a_callers_loop_is_used_as_it_is() -> None:
    async def talk() -> None:
        before = set(threading.enumerate())
        async with Runtime() as runtime:
            session = await runtime.create(user={"user_id": "ada"})
            assert runtime.core.loop is asyncio.get_running_loop()
            assert (await session.send("x")).seq == 2
            assert (await session.get())["seq"] == 2
            page = await session.history()
            assert [event["seq"] for event in page.events] == [1, 2]
            added = {thread.name.split("-")[0] for thread in set(threading.enumerate()) - before}
            assert added == {"StoreActor", "ReaderActor", "CheckpointActor"}
            with pytest.raises(SessionNotFound):
                await runtime.session("nobody").get()

    asyncio.run(talk())


def test_the_example_of_the_design_runs() -> None:
    with Runtime(agent=lambda turn: f"You asked: {turn.text}") as runtime:
        session = runtime.create(user={"user_id": "ada"})
        reply = session.send("Where is my order?").reply(timeout=PATIENCE)
        assert reply.text == "You asked: Where is my order?"
        assert (reply.author, reply.seq) == ("ai", 3)
        session.close()
        session.reopen()
        assert session.get().result(PATIENCE)["status"] == "active"


def test_many_threads_use_one_runtime(path: Path) -> None:
    with House(path, config=config()) as house:
        shared = house.create()
        failures: list[BaseException] = []

        def work(number: int) -> None:
            try:
                own = house.create(user={"user_id": f"u{number}"})
                for n in range(20):
                    own.send(f"{n}").result(PATIENCE)
                    shared.send(f"{number}-{n}").result(PATIENCE)
                assert texts(own) == [f"{n}" for n in range(20)]
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert failures == []
        said = texts(shared)
        assert len(said) == 120
        for number in range(6):
            mine = [text for text in said if text is not None and text.startswith(f"{number}-")]
            assert mine == [f"{number}-{n}" for n in range(20)]


def test_a_session_is_usable_before_its_creation_is_stored() -> None:
    with House() as house:
        session = house.runtime.create(user=ADA)
        assert session.send("x").result(PATIENCE).seq == 2
        keyed = house.runtime.create(user=ADA, request_key="k")
        assert keyed.send("x").result(PATIENCE).seq == 2
        assert house.runtime.create(request_key="k").id == keyed.id


# -- what goes wrong -----------------------------------------------------------------------------------


def test_a_runtime_that_was_not_entered_says_so() -> None:
    runtime = Runtime()
    with pytest.raises(RuntimeError, match="enter the runtime first"):
        runtime.session("x").get()
    with runtime:
        session = runtime.create()
        session.result(PATIENCE)
    with pytest.raises(RuntimeError, match="enter the runtime first"):
        session.get()


def test_after_its_end_on_a_callers_loop_everything_is_refused() -> None:
    async def talk() -> None:
        async with Runtime() as runtime:
            session = await runtime.create()
        for asked in (session.get(), session.send("x"), runtime.create(), runtime.send("x", user=ADA)):
            with pytest.raises(Draining):
                await asked

    asyncio.run(talk())


def test_a_blocking_wait_on_the_loop_says_so_instead_of_hanging(path: Path) -> None:
    """Also when the session must be loaded first, or its creation looked up."""
    with House(path) as house:
        session = house.create()
        house.passivate(session)
        waits: list[Callable[[], Any]] = [
            lambda: session.get().result(PATIENCE),
            lambda: session.send("x").result(PATIENCE),
            lambda: house.runtime.send("x", user=ADA).result(PATIENCE),
            lambda: house.runtime.create(request_key="k").id,
        ]
        for wait in waits:
            with pytest.raises(WouldDeadlock):
                house.on_loop(wait)
        house.settle()


@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_memory_and_a_path_do_not_go_together(durability: Any) -> None:
    with pytest.raises(ValueError, match="does not go with path"):
        Runtime(None, durability=durability)
    with pytest.raises(ValueError, match="does not go with path"):
        Runtime("sojourn.db", durability="memory")


def test_a_file_that_cannot_be_had_is_named_and_leaves_nothing_running(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.db"
    foreign.write_bytes(b"something else" * 1000)
    cases: list[tuple[Path, type[Exception]]] = [
        (tmp_path / "no" / "folder.db", CannotOpen),
        (tmp_path, CannotOpen),
        (foreign, NotADatabase),
    ]
    for where, error in cases:
        with pytest.raises(error, match=where.name), Runtime(str(where)):
            pass
    assert foreign.read_bytes() == b"something else" * 1000


REFUSED: dict[str, Callable[[Runtime, SessionHandle], Any]] = {
    "a message without content": lambda runtime, session: session.send(),
    "an unknown author": lambda runtime, session: session.send("x", author="ghost"),
    "a text that is no text": lambda runtime, session: session.send(7),  # type: ignore[arg-type]
    "data that JSON has not": lambda runtime, session: session.send(data={1, 2}),
    "a message_id that is no text": lambda runtime, session: session.send("x", message_id=7),  # type: ignore[arg-type]
    "a message_id with a lone surrogate": lambda runtime, session: session.send("x", message_id="\ud800"),
    "attachments that are no list": lambda runtime, session: session.send(attachments={"a": 1}),  # type: ignore[arg-type]
    "a context that is no map": lambda runtime, session: session.update_context([1]),  # type: ignore[arg-type]
    "a history from before the beginning": lambda runtime, session: session.history(after_seq=-1),
    "a history from a place that is no number": lambda runtime, session: session.history("1"),  # type: ignore[arg-type]
    "a page without events": lambda runtime, session: session.history(limit=0),
    "the last -1 events": lambda runtime, session: session.recent(-1),
    "a rating of 6": lambda runtime, session: session.rate(6),
    "a rating of 0": lambda runtime, session: session.rate(0),
    "a timeout of 0": lambda runtime, session: runtime.create(timeouts={"session_timeout": 0}),
    "a negative timeout": lambda runtime, session: runtime.create(timeouts={"keep_alive": -1}),
    "a timeout that is no number": lambda runtime, session: runtime.create(timeouts={"max_lifetime": "x"}),  # type: ignore[dict-item]
    "an infinite timeout": lambda runtime, session: runtime.create(
        timeouts={"session_timeout": float("inf")}
    ),
    "an unknown timeout": lambda runtime, session: runtime.create(timeouts={"sesion_timeout": 5}),
    "a user that is no map": lambda runtime, session: runtime.create("ada"),  # type: ignore[arg-type]
    "a user_id that is no text": lambda runtime, session: runtime.create({"user_id": 7}),
    "metadata that JSON has not": lambda runtime, session: runtime.create(metadata={"x": object()}),
    "tags that are no texts": lambda runtime, session: runtime.create(tags=[1]),  # type: ignore[list-item]
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_rules_do_not_allow_is_refused_by_name_and_changes_nothing(what: str) -> None:
    with House() as house:
        session = house.create()
        before = state(session), history(session)
        with pytest.raises(InvalidRequest):
            REFUSED[what](house.runtime, session).result(PATIENCE)
        house.settle()
        assert (state(session), history(session)) == before
        assert house.registry.supervisor.restarts == 0
        assert len(house.registry.live) == 1


def test_maxima_bound_what_a_session_may_ask_for() -> None:
    settings = RuntimeConfig(maxima=SessionMaxima(session_timeout=50, max_lifetime=100))
    with House(config=settings) as house:
        assert state(house.create())["timeouts"]["session_timeout"] == 50
        assert state(house.create())["timeouts"]["max_lifetime"] == 100
        assert state(house.create(timeouts={"session_timeout": 50}))["timeouts"]["session_timeout"] == 50
        for asked in ({"session_timeout": 51}, {"session_timeout": None}, {"max_lifetime": None}):
            with pytest.raises(InvalidRequest, match="at most"):
                house.create(timeouts=asked)


# -- events --------------------------------------------------------------------------------------------


def test_subscribers_hear_what_they_subscribed_to_until_they_cancel() -> None:
    with House(config=config(session=SessionConfig(session_timeout=100))) as house:
        session, other = house.create(), house.create()
        mine: list[Map] = []
        everything: list[Map] = []
        one = session.subscribe(mine.append)
        every = house.runtime.subscribe(everything.append)
        say(session, "a")
        say(other, "b")
        fresh = house.create()
        assert [event["text"] for event in mine] == ["a"]
        assert [(event["session_id"], event["type"]) for event in everything] == [
            (session.id, "message:received"),
            (other.id, "message:received"),
            (fresh.id, "session:created"),
        ]
        assert everything[0] == history(session)[-1] == mine[0]
        one.cancel()
        every.cancel()
        say(session, "c")
        house.advance(1000)
        assert len(mine) == 1
        assert len(everything) == 3


def test_a_subscriber_that_fails_costs_nobody_anything() -> None:
    def boom(_event: Map) -> None:
        raise ZeroDivisionError

    with House() as house:
        session = house.create()
        heard: list[Map] = []
        session.subscribe(boom)
        session.subscribe(heard.append)
        assert say(session, "x").seq == 2
        assert len(heard) == 1


def test_an_attachment_outlives_passivation_and_ends_with_the_session(path: Path) -> None:
    with House(path, config=config(session=SessionConfig(session_timeout=100))) as house:
        session = house.create()
        heard: list[str] = []
        session.subscribe(lambda event: heard.append(event["type"]))
        house.passivate(session)
        say(session, "x")
        house.passivate(session)
        house.advance(100)
        assert heard == ["message:received", "session:expired"]
        assert house.on_loop(lambda: house.runtime.core.shared.audience.of(session.id)) == ()


def test_a_view_that_fails_is_answered_and_keeps_nobody_waiting() -> None:
    with House() as house:
        session = house.create()
        request = GetSession(Caller("service"), START, None, attach=False)

        async def ask() -> None:
            sent = session.send("x")
            broken = house.runtime.ask(session.id, request, lambda _: 1 / 0)
            behind = session.send("y")
            assert (await sent).seq == 2
            with pytest.raises(ZeroDivisionError):
                await broken
            assert (await behind).seq == 3

        house.runtime.run(ask(), PATIENCE)


# -- lists and explanations ----------------------------------------------------------------------------


def page(house: House, filters: dict[str, str], limit: int = 100, before: int | None = None) -> Any:
    return house.runtime.run(
        house.runtime.core.reception.page(filters, limit, before, house.clock.now()), PATIENCE
    )


def test_lists_are_newest_first_filtered_and_as_of_now(path: Path) -> None:
    with House(path, config=config(session=SessionConfig(session_timeout=100))) as house:
        sessions = [house.create(user={"user_id": f"u{n % 2}"}, channel=f"c{n % 3}") for n in range(6)]
        sessions[5].close().result(PATIENCE)
        house.passivate(sessions[4])
        house.advance(50)
        say(sessions[0], "x")
        ids = [session.id for session in sessions]

        def listed(**filters: str) -> list[str]:
            return [view["session_id"] for _, view in page(house, filters)[0]]

        assert listed() == ids[::-1]
        assert listed(user_id="u0") == [ids[4], ids[2], ids[0]]
        assert listed(channel="c1", user_id="u1") == [ids[1]]
        assert listed(status="closed") == [ids[5]]
        house.clock.set(START + 100)  # before any wake-up
        assert listed(status="active") == [ids[0]]
        first, cursor = page(house, {}, limit=4)
        rest, end = page(house, {}, limit=4, before=cursor)
        assert [view["session_id"] for _, view in (*first, *rest)] == ids[::-1]
        assert end is None
        for key, view in first:
            assert key
            if view["session_id"] != ids[0]:
                assert (view["status"], view["expired_at"]) == ("expired", view["expires_at"])


# -- the machine's clock -------------------------------------------------------------------------------


def test_on_the_machines_clock_a_session_expires_by_itself() -> None:
    async def live() -> None:
        async with Runtime(clock=SystemClock()) as runtime:
            expired = asyncio.Event()
            session = await runtime.create(timeouts={"session_timeout": 0.05})
            created = (await session.get())["created_at"]
            seen: list[Map] = []

            def note(event: Map) -> None:
                seen.append(event)
                expired.set()

            session.subscribe(note)
            await asyncio.wait_for(expired.wait(), PATIENCE)
            assert (seen[0]["type"], seen[0]["at"]) == ("session:expired", created + 0.05)

    asyncio.run(live())
