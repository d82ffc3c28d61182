"""A history that is read again and again is answered without the journal, and says the same."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sojourn.actors import SessionHandle
from sojourn.actors.errors import StorageFailed
from sojourn.actors.mail import Caller
from sojourn.actors.messages import ReadHistory, ResumeSession
from sojourn.actors.packing import unpack
from sojourn.storage import Batch, WriteFailed
from tests.actors.house import PATIENCE, House, Map, config, history, say, texts

AGENT = Caller("agent")


def recent(session: SessionHandle, limit: int = 20) -> list[Map]:
    page = session.recent(limit).result(PATIENCE)
    assert not page.more
    return page.events


@contextmanager
def reads_of(house: House) -> Generator[list[Any]]:
    """What is asked of the reader's thread meanwhile."""
    reads = house.runtime.core.reads
    ask, asked = reads.ask, list[Any]()

    def counted(job: Any, done: Any, failed: Any) -> None:
        asked.append(job)
        ask(job, done, failed)

    house.on_loop(lambda: setattr(reads, "ask", counted))
    yield asked
    house.on_loop(lambda: setattr(reads, "ask", ask))


def test_the_last_events_come_without_knowing_where_they_stand() -> None:
    with House(config=config()) as house:
        session = house.create()
        assert [event["seq"] for event in recent(session)] == [1]
        for n in range(30):
            say(session, f"m{n}")
        assert recent(session) == history(session)[-20:]
        assert recent(session, 3) == history(session)[-3:]
        assert recent(session, 1000) == history(session)


def test_what_is_read_again_asks_no_journal_and_is_the_same(path: Path) -> None:
    with House(path, config=config(snapshot_every=5)) as house:
        session = house.create()
        say(session, "first")
        recent(session)
        with reads_of(house) as asked:
            for n in range(20):
                say(session, f"m{n}", data={"n": n})
                session.update_context({"n": n}).result(PATIENCE)
                assert recent(session, 10)[-1]["patch"] == {"n": n}
            seen = recent(session, 30)
            page = session.history(after_seq=20, limit=5).result(PATIENCE)
            assert asked == []
        assert (page.events, page.more) == (seen[-22:-17], True)
        house.passivate(session)
        with reads_of(house) as asked:
            assert recent(session, 30) == seen
            assert len(asked) == 2  # the session, and the page
            assert recent(session, 30) == seen
            assert len(asked) == 2


def test_the_wires_page_and_resume_use_what_is_at_hand() -> None:
    with House(config=config()) as house:
        session = house.create()
        say(session, "a")
        recent(session)
        say(session, "b")
        with reads_of(house) as asked:
            now = house.clock.now()
            page = house.runtime.ask(session.id, ReadHistory(AGENT, now, None, False, 1, 10, 1 << 20))
            resume = house.runtime.ask(session.id, ResumeSession(AGENT, now, None, False, 2, 10, 1 << 20))
            assert [unpack(each)["text"] for each in page.result(PATIENCE).events] == ["a", "b"]
            resumed = resume.result(PATIENCE)
            assert [unpack(each)["text"] for each in resumed.events] == ["b"]
            assert (resumed.complete, resumed.more) == (True, False)
            assert asked == []


def test_a_message_sent_again_is_found_at_hand_behind_a_snapshot() -> None:
    with House(config=config(snapshot_every=2)) as house:
        session = house.create()
        recent(session)
        first = say(session, "a", message_id="a")
        say(session, "b")
        with reads_of(house) as asked:
            assert say(session, "a", message_id="a") == first._replace(duplicate=True)
            assert say(session, "a", message_id=say(session, "c").message_id).duplicate
            assert asked == []
        assert texts(session) == ["a", "b", "c"]


def test_what_is_shown_is_stored_first(path: Path) -> None:
    with House(path, config=config()) as house:
        session = house.create()
        recent(session)

        async def read_at_once() -> None:
            sent, page = session.send("x"), session.recent()
            assert not page.done()
            assert (await page).events[-1]["text"] == "x"
            assert sent.done()
            assert house.journal()[-1][1] == 2

        house.runtime.run(read_at_once(), PATIENCE)


def test_what_was_not_stored_is_never_shown() -> None:
    with House(config=config()) as house:
        session = house.create()
        recent(session)
        core = house.runtime.core
        write = core.write

        def fail(_batch: Batch, done: Any) -> None:
            core.loop.call_soon(done, WriteFailed(None, "no room"))

        async def read_meanwhile() -> None:
            setattr(core, "write", fail)  # noqa: B010
            sent, page = session.send("x"), session.recent()
            with pytest.raises(StorageFailed):
                await page
            with pytest.raises(StorageFailed):
                await sent
            setattr(core, "write", write)  # noqa: B010
            assert [event["seq"] for event in (await session.recent()).events] == [1]

        house.runtime.run(read_meanwhile(), PATIENCE)
        assert say(session, "y").seq == 2
        assert [event["seq"] for event in recent(session)] == [1, 2]


def test_a_session_that_nobody_reads_keeps_nothing_and_one_that_rests_lets_go() -> None:
    with House(config=config(passivate_after=100)) as house:
        read, unread = house.create(), house.create()
        recent(read)

        def pass_time(reading: bool) -> None:
            for each in (read, unread):
                say(each, "x")
            if reading:
                recent(read)
            house.advance(100)

        def kept(session: SessionHandle) -> int | None:
            actor = house.live(session)
            assert actor is not None
            return None if actor.upkeep.newest is None else len(actor.upkeep.newest)

        pass_time(reading=True)
        pass_time(reading=True)
        assert (kept(read), kept(unread)) == (3, None)
        pass_time(reading=False)
        assert (kept(read), kept(unread)) == (None, None)
        assert [event["seq"] for event in recent(read)] == [1, 2, 3, 4]


def test_secrets_at_hand_are_hidden() -> None:
    with House(config=config(sensitive_keys=("password",))) as house:
        session = house.create(context={"password": "x"})
        session.update_context({"password": "y"}).result(PATIENCE)
        for _ in range(2):  # from the journal, then at hand
            created, updated = recent(session)
            assert (created["context"], updated["patch"]) == ({"password": "***"}, {"password": "***"})


def test_what_somebody_does_to_a_page_is_no_elses_trouble() -> None:
    with House(config=config()) as house:
        session = house.create()
        say(session, "x", data={"list": [1]})
        for _ in range(3):
            event = recent(session)[-1]
            assert event["data"] == {"list": [1]}
            event["data"]["list"].append(2)


# -- messages on their short way -------------------------------------------------------------------------


def test_a_program_may_answer_as_the_ai() -> None:
    with House(config=config()) as house:
        session = house.create()
        say(session, "hello")
        say(session, "hi", author="ai")
        say(session, "again", author="ai", data={"model": "m"}, author_id="m-1", context={"topic": "t"})
        events = history(session)
        assert [event.get("author") for event in events] == [None, "user", "ai", None, "ai"]
        assert events[3]["by"] == {"role": "ai", "id": "m-1"}
        assert events[4]["author_id"] == "m-1"


def test_the_ai_is_no_activity_and_reopens_nothing() -> None:
    with House(config=config()) as house:
        session = house.create()
        house.advance(100)
        say(session, "hi", author="ai")
        expires_at = session.get().result(PATIENCE)["expires_at"]
        assert expires_at == session.get().result(PATIENCE)["created_at"] + 3600
        session.close().result(PATIENCE)
        with pytest.raises(Exception, match="closed"):
            say(session, "hi", author="ai")


@pytest.mark.parametrize("message_id", [None, "m"])
def test_a_text_whose_handling_fails_is_handled_after_the_restart(message_id: str | None) -> None:
    class FailsOnce(dict[str, int]):
        failed = False

        def __getitem__(self, author: str) -> int:
            if not self.failed:
                self.failed = True
                raise ZeroDivisionError
            return super().__getitem__(author)

    with House(config=config()) as house:
        session = house.create()
        say(session, "before")
        actor = house.live(session)
        shared = house.runtime.core.shared
        flags = FailsOnce(shared.message_flags)
        house.on_loop(lambda: setattr(shared, "message_flags", flags))
        assert say(session, "x", message_id=message_id).seq == 3
        assert flags.failed
        assert house.live(session) is not actor
        assert texts(session) == ["before", "x"]
        assert house.registry.supervisor.restarts == 1


def test_server_made_ids_are_their_places_and_never_the_same_twice() -> None:
    with House(config=config()) as house:
        sessions = [house.create() for _ in range(3)]
        made = [say(session, f"m{n}").message_id for n in range(5) for session in sessions]
        assert len(set(made)) == 15
        assert [each.partition("-")[0] for each in made[::3]] == [f"~{seq}" for seq in range(2, 7)]
        again = sessions[0].send("m0", message_id=made[0]).result(PATIENCE)
        assert (again.duplicate, again.seq) == (True, 2)


def test_texts_of_one_thread_keep_their_order_whatever_way_they_go() -> None:
    with House(config=config()) as house:
        session = house.create()
        sent = [
            session.send(f"{n}", data=n if n % 3 == 0 else None, message_id=f"m{n}" if n % 2 else None)
            for n in range(50)
        ]
        assert [each.result(PATIENCE).seq for each in sent] == list(range(2, 52))
        assert texts(session) == [f"{n}" for n in range(50)]


def test_a_burst_of_another_thread_calls_the_loop_once() -> None:
    with House(config=config()) as house:
        session = house.create()
        house.settle()
        loop = house.runtime.core.loop
        call, called = loop.call_soon_threadsafe, list[Any]()

        def counted(callback: Any, *arguments: Any, **options: Any) -> Any:
            if callback == house.runtime._posting._take_posted:
                called.append(callback)
            return call(callback, *arguments, **options)

        async def send_elsewhere() -> None:
            """The loop is busy here while a thread sends, so that all it sends is one burst."""
            setattr(loop, "call_soon_threadsafe", counted)  # noqa: B010
            sent: list[Any] = []

            def send() -> None:
                sent.extend(session.send(f"{n}") for n in range(100))

            thread = threading.Thread(target=send)
            thread.start()
            thread.join()
            assert [(await each).seq for each in sent] == list(range(2, 102))

        house.runtime.run(send_elsewhere(), PATIENCE)
        assert len(called) == 1
