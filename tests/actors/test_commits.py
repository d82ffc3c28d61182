"""Group commit: one commit in flight, the next batch gathers; nobody hears of anything before it
is stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sojourn.actors.commits import Done, GroupCommit, Then
from sojourn.actors.errors import StorageFailed
from sojourn.actors.session import SessionActor
from sojourn.storage import Batch, Journal, StorageError, WriteFailed
from tests.actors.house import ADA, PATIENCE, House, config, history, say, state


class SlowWriter:
    """A journal in memory that commits when the test says so."""

    def __init__(self) -> None:
        self.journal = Journal.open(None, "memory")
        self.waiting: list[tuple[Batch, Done]] = []

    def write(self, batch: Batch, done: Done) -> bool:
        self.waiting.append((batch, done))
        return False

    def look(self) -> bool:
        return False

    async def commit(self) -> None:
        """Store the batch that waits, and tell; it is heard a turn later."""
        batch, done = self.waiting.pop(0)
        self.journal.commit(batch)
        done(None)
        await turn()

    async def fail(self) -> None:
        _, done = self.waiting.pop(0)
        done(WriteFailed(None, "no room"))
        await turn()

    def stored(self) -> list[int]:
        """The seqs of the events in the journal."""
        with self.journal.reader() as reader:
            return [row[1] for row in reader.history(1)[0]]


class Target:
    """Where an answer goes; `heard` is shared, so that it shows the order."""

    def __init__(self, name: str, heard: list[Any]) -> None:
        self.name, self.heard = name, heard

    def set(self, value: Any = None) -> None:
        self.heard.append((self.name, value))

    def set_exception(self, exc_info: Any = None) -> None:
        self.heard.append((self.name, exc_info[0]))


@pytest.fixture
def writer() -> Iterator[SlowWriter]:
    slow = SlowWriter()
    yield slow
    slow.journal.close()


def add(commits: GroupCommit, seq: int) -> None:
    commits.gathering.events.append((1, seq, 0.0, 2, 0, b"\x80"))
    commits.arm()


async def turn() -> None:
    """Let the loop take one turn."""
    await asyncio.sleep(0)


def lost_actors(_actors: Any, _error: StorageError) -> None:
    return


def test_what_arises_in_one_turn_is_one_commit(writer: SlowWriter) -> None:
    async def run() -> None:
        commits = GroupCommit(asyncio.get_running_loop(), writer, lost_actors)
        for seq in range(1, 6):
            add(commits, seq)
        assert writer.waiting == []
        await turn()
        assert [len(batch.events) for batch, _ in writer.waiting] == [5]
        assert not commits.idle
        await writer.commit()
        assert commits.idle
        assert (commits.commits, commits.committed_events) == (1, 5)
        assert writer.stored() == [1, 2, 3, 4, 5]

    asyncio.run(run())


def test_what_is_held_goes_together_and_at_once(writer: SlowWriter) -> None:
    async def main() -> None:
        commits = GroupCommit(asyncio.get_running_loop(), writer, lost_actors)
        commits.hold()
        add(commits, 1)
        await turn()
        add(commits, 2)
        assert not writer.waiting
        commits.start()
        assert [len(batch.events) for batch, _ in writer.waiting] == [2]
        commits.hold()
        add(commits, 3)
        commits.start()  # the store is busy: the next one follows when it is free
        assert len(writer.waiting) == 1
        await writer.commit()
        await writer.commit()
        assert commits.idle
        assert writer.stored() == [1, 2, 3]
        add(commits, 4)
        await turn()
        assert len(writer.waiting) == 1  # nothing is held any more
        await writer.commit()

    asyncio.run(main())


def test_one_commit_is_in_flight_and_the_next_batch_gathers_meanwhile(writer: SlowWriter) -> None:
    async def run() -> None:
        commits = GroupCommit(asyncio.get_running_loop(), writer, lost_actors)
        add(commits, 1)
        await turn()
        for seq in range(2, 5):
            add(commits, seq)
            await turn()
        assert [len(batch.events) for batch, _ in writer.waiting] == [1]
        await writer.commit()
        assert [len(batch.events) for batch, _ in writer.waiting] == [3]
        await writer.commit()
        await turn()
        assert writer.waiting == []
        assert writer.stored() == [1, 2, 3, 4]

    asyncio.run(run())


def test_answers_leave_after_their_commit_in_the_order_they_arose(writer: SlowWriter) -> None:
    async def run() -> None:
        commits = GroupCommit(asyncio.get_running_loop(), writer, lost_actors)
        heard: list[Any] = []
        add(commits, 1)
        first = commits.gathering
        commits.after(first, Target("a", heard), 1)
        commits.refuse(first, Target("b", heard), ValueError())
        await turn()
        add(commits, 2)
        second = commits.gathering
        commits.after(second, Target("d", heard), 4)
        commits.after(first, Target("c", heard), 3)  # in flight: it waits all the same
        commits.after(None, Target("now", heard), 0)
        assert heard == [("now", 0)]
        await writer.commit()
        assert heard[1:] == [("a", 1), ("b", ValueError), ("c", 3)]
        commits.after(first, Target("late", heard), 5)
        assert heard[-1] == ("late", 5)
        await writer.commit()
        assert heard[-1] == ("d", 4)

    asyncio.run(run())


def test_the_next_commit_starts_before_the_answers_of_the_last_are_given(writer: SlowWriter) -> None:
    async def run() -> None:
        commits = GroupCommit(asyncio.get_running_loop(), writer, lost_actors)
        add(commits, 1)
        under_way: list[int] = []
        commits.gathering.owed.append((Then(lambda: under_way.append(len(writer.waiting))), None))
        await turn()
        add(commits, 2)
        await writer.commit()
        assert under_way == [1]

    asyncio.run(run())


def test_a_failed_commit_takes_what_gathered_behind_it_and_the_next_starts_clean(writer: SlowWriter) -> None:
    async def run() -> None:
        gone: list[Any] = []

        def failed(actors: Any, error: StorageError) -> None:
            gone.append((list(actors), str(error)))

        commits = GroupCommit(asyncio.get_running_loop(), writer, failed)
        heard: list[Any] = []
        add(commits, 1)
        commits.after(commits.gathering, Target("a", heard), 1)
        await turn()
        add(commits, 2)
        commits.after(commits.gathering, Target("b", heard), 2)
        commits.gathering.owed.append(
            (Then(lambda: heard.append("done"), lambda error: heard.append(type(error))), None)
        )
        await writer.fail()
        assert heard == [("a", StorageFailed), ("b", StorageFailed), StorageFailed]
        assert len(gone) == 1
        assert "no room" in gone[0][1]
        assert commits.idle
        assert commits.commits == 0
        add(commits, 1)
        await turn()
        await writer.commit()
        assert writer.stored() == [1]

    asyncio.run(run())


def test_an_answer_that_cannot_be_given_keeps_no_other_waiting(writer: SlowWriter) -> None:
    class Broken(Target):
        def set(self, value: Any = None) -> None:
            raise OSError

        def set_exception(self, exc_info: Any = None) -> None:
            raise OSError

    async def run() -> None:
        commits = GroupCommit(asyncio.get_running_loop(), writer, lost_actors)
        heard: list[Any] = []
        for finish, expected in ((writer.commit, 1), (writer.fail, StorageFailed)):
            add(commits, 1 if finish == writer.commit else 2)
            commits.after(commits.gathering, Broken("broken", heard), 1)
            commits.after(commits.gathering, Target("a", heard), 1)
            flushed = asyncio.ensure_future(commits.flushed())
            await turn()
            await finish()
            await flushed
            assert heard.pop() == ("a", expected)

    asyncio.run(run())


def test_flushed_waits_for_what_gathers_and_what_is_in_flight(writer: SlowWriter) -> None:
    async def run() -> None:
        commits = GroupCommit(asyncio.get_running_loop(), writer, lost_actors)
        await commits.flushed()
        add(commits, 1)
        await turn()
        add(commits, 2)
        flushed = asyncio.ensure_future(commits.flushed())
        await turn()
        await writer.commit()
        await turn()
        assert not flushed.done()
        await writer.commit()
        await flushed

    asyncio.run(run())


# -- in a runtime --------------------------------------------------------------------------------------


def test_many_sessions_events_share_one_commit(tmp_path: Path) -> None:
    with House(tmp_path / "sojourn.db", config=config()) as house:
        sessions = [house.create() for _ in range(50)]
        house.settle()
        commits = house.runtime.core.commits
        before = commits.commits, commits.committed_events

        async def send_all() -> None:
            for sent in [session.send("x") for session in sessions]:
                await sent

        house.runtime.run(send_all(), PATIENCE)
        assert (commits.commits, commits.committed_events) == (before[0] + 1, before[1] + 50)


def test_nobody_is_told_before_the_commit(tmp_path: Path) -> None:
    """Whatever is heard, an answer, a push or a read, is in the file by then."""
    with House(tmp_path / "sojourn.db", config=config()) as house:
        session = house.create()
        reader = Journal.reader(_journal(house))
        pushed: list[bool] = []

        def stored(seq: int) -> bool:
            return reader.event(1, seq) is not None

        session.subscribe(lambda event: pushed.append(stored(event["seq"])))

        async def ask_all() -> list[bool]:
            answers: list[bool] = []
            for _ in range(20):
                sent = session.send("x")
                found = session.get()
                page = session.history()
                answers.append(stored((await sent).seq))
                answers.append(stored((await found)["seq"]))
                answers.append(stored((await page).events[-1]["seq"]))
            return answers

        assert all(house.runtime.run(ask_all(), PATIENCE))
        assert pushed == [True] * 20
        reader.close()


def _journal(house: House) -> Journal:
    store: Any = house.runtime.core._store
    journal: Journal = store._journal
    return journal


def test_pushes_of_a_session_arrive_in_the_order_of_seq_whoever_causes_them() -> None:
    with House(config=config()) as house:
        session = house.create()
        seen: list[int] = []
        session.subscribe(lambda event: seen.append(event["seq"]))

        async def ask_all() -> None:
            asked: list[Any] = []
            for n in range(30):
                asked.append(session.send(f"m{n}", author="user" if n % 2 else "human"))
                asked.append(session.update_context({"n": n}))
                if n % 7 == 0:
                    await asyncio.sleep(0)
            for each in asked:
                await each

        house.runtime.run(ask_all(), PATIENCE)
        assert seen == list(range(2, 62))


def test_a_snapshot_is_written_now_and_then_so_that_a_long_talk_loads_fast(tmp_path: Path) -> None:
    with House(tmp_path / "sojourn.db", config=config(snapshot_every=10)) as house:
        session = house.create(request_key="k", channel="c")
        for n in range(35):
            say(session, f"m{n}")
        before = state(session), history(session)
        actor: SessionActor = house.registry.live[session.id]
        assert actor.session.seq - actor.upkeep.snapshot_seq < 10
        house.kill()
        reader = _journal(house).reader()
        stored = reader.load([session.id])[session.id]
        assert len(stored.tail) < 10
        assert (stored.row.request_key, stored.row.user_id, stored.row.channel) == ("k", "ada", "c")
        reader.close()
        assert (state(house.again(session)), history(house.again(session))) == before
        assert house.runtime.create(user=ADA, request_key="k").id == session.id
