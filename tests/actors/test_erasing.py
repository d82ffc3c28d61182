"""Erasure to the last byte, with a receipt, also when the process dies in between."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sojourn.actors import Runtime, SessionConfig
from sojourn.actors.answers import Erased
from sojourn.actors.mail import Caller
from sojourn.actors.messages import EraseSession
from sojourn.storage import Reader, erasure
from sojourn.storage.erasure import Receipt
from tests.actors.house import ADA, PATIENCE, START, House, config, say, texts

BOB = {"user_id": "bob"}
LONG = SessionConfig(session_timeout=1e6)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """In a folder of its own: all of its files are searched."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder / "sojourn.db"


def erase_user(house: House, user_id: str) -> Erased:
    request = EraseSession(Caller("service"), house.clock.now(), None, attach=False)
    return house.runtime.run(house.runtime.core.reception.erase_user(user_id, request), PATIENCE)


def receipts(house: House) -> list[Receipt]:
    with Reader.open(str(house.path)) as reader:
        return reader.look(lambda connection: erasure.receipts(connection, 100))


def everything(path: Path) -> bytes:
    return b"".join(each.read_bytes() for each in path.parent.rglob("*") if each.is_file())


def rows(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(statement).fetchall()


def test_the_receipt_tells_how_much_and_of_whom_only_to_who_knows(path: Path) -> None:
    with House(path, config=config(session=LONG)) as house:
        for _ in range(3):
            say(house.create(), "my secret")
        say(house.create(user=BOB), "stays")
        answer = erase_user(house, "ada")
        house.settle()
        receipt = answer.receipt
        assert receipt is not None
        digest = hashlib.sha256(f"{receipt['erasure_id']}:ada".encode()).hexdigest()
        assert receipt == {
            "erasure_id": receipt["erasure_id"],
            "at": START,
            "subject": "user",
            "digest": digest,
            "sessions": 3,
            "events": 6,
            "erased_at": START,
        }
        (kept,) = receipts(house)
        assert kept == Receipt(receipt["erasure_id"], START, "user", digest, 3, 6, START, START, START)


def test_while_the_server_goes_on_no_file_holds_a_byte_of_the_person(path: Path) -> None:
    with House(path, config=config(session=LONG, snapshot_every=3)) as house:
        person = {"user_id": "lovelace@example.org"}
        mine = [house.create(user=person, context={"address": "Elm Street 7"}) for _ in range(4)]
        mine[0].update_context({"user.home": "Elm Street 7"}).result(PATIENCE)
        others = [house.create(user=BOB) for _ in range(4)]
        for number in range(40):
            for session, other in zip(mine, others, strict=True):
                say(session, f"Elm Street {number} " + "x" * (number * 97 % 5000) + " Elm Street")
                say(other, f"Oak Street {number}")
        house.passivate(mine[0])
        assert b"lovelace" in everything(path)
        erase_user(house, "lovelace@example.org")
        say(others[0], "meanwhile")
        house.settle()
        data = everything(path)
        assert b"Elm Street" not in data
        assert b"lovelace" not in data
        assert b"Oak Street" in data
        assert texts(others[0])[-1] == "meanwhile"


def test_one_session_has_its_receipt_and_leaves_the_digest_of_its_id(path: Path) -> None:
    with House(path, config=config(session=LONG)) as house:
        session = house.create()
        say(session, "x")
        answer = session.erase().result(PATIENCE)
        house.settle()
        (kept,) = receipts(house)
        assert answer.receipt is not None
        assert (kept.subject, kept.sessions, kept.events) == ("session", 1, 2)
        assert kept.digest == erasure.digest_of(answer.receipt["erasure_id"], session.id)
        assert kept.scrubbed_at == START
        gone = rows(path, "SELECT session_id, at, why FROM erasures")
        assert gone == [(hashlib.sha256(session.id.encode()).hexdigest(), START, "erased")]
        assert session.id.encode() not in everything(path)


def test_a_session_made_while_its_person_is_erased_goes_too(path: Path) -> None:
    with House(path, config=config(session=LONG)) as house:
        for _ in range(3):
            say(house.create(), "my secret")
        house.settle()

        async def both() -> Erased:
            core = house.runtime.core
            request = EraseSession(Caller("service"), house.clock.now(), None, attach=False)
            erasing = asyncio.ensure_future(core.reception.erase_user("ada", request))
            while len(await core.reads.get(lambda reader: reader.page(user_id="ada", limit=9))) == 3:
                pass
            assert not erasing.done()
            await house.runtime.create(user=ADA).send("another secret")
            return await erasing

        answer = house.runtime.run(both(), PATIENCE)
        house.settle()
        assert (answer.sessions, answer.events) == (4, 8)
        assert rows(path, "SELECT count(*) FROM sessions") == [(0,)]
        assert b"secret" not in everything(path)


def test_a_person_without_sessions_gets_a_receipt_too(path: Path) -> None:
    with House(path) as house:
        assert erase_user(house, "nobody")[:2] == (0, 0)
        house.settle()
        (kept,) = receipts(house)
        assert (kept.sessions, kept.events, kept.scrubbed_at) == (0, 0, START)


def test_what_a_crash_cut_off_is_finished_at_the_next_start(path: Path) -> None:
    with House(path, config=config(session=LONG)) as house:
        first, second = house.create(), house.create()
        say(first, "my secret")
        say(second, "my secret")
        say(house.create(user=BOB), "stays")

        async def half() -> None:
            """As far as the death of the process: one session is gone, the other is not."""
            at = house.clock.now()
            core = house.runtime.core
            await core.tend(lambda connection: erasure.begin(connection, "e1", "ada", at))
            request = EraseSession(Caller("service"), at, None, attach=False, erasure_id="e1")
            await house.runtime.ask(first.id, request)

        house.runtime.core.erasing._asked.add("e1")  # pyright: ignore[reportPrivateUsage]  # its asker dies
        house.runtime.run(half(), PATIENCE)
        house.settle()
        house.kill(after=5.0)
        house.settle()
        assert house.path is not None
        (kept,) = receipts(house)
        assert kept == Receipt(
            "e1", START, "user", erasure.digest_of("e1", "ada"), 2, 4, START + 5, START + 5, START + 5
        )
        assert rows(house.path, "SELECT * FROM open_erasures") == []
        assert [row[0] for row in rows(house.path, "SELECT user_id FROM sessions")] == ["bob"]
        left = [Path(f"{house.path}{suffix}") for suffix in ("", "-wal")]
        assert b"my secret" not in b"".join(each.read_bytes() for each in left if each.exists())


def test_a_long_session_is_gone_at_once_and_its_events_follow(path: Path) -> None:
    count = 2 * erasure.SLICE_EVENTS + 10
    with House(path, config=config(session=LONG)) as house:
        session = house.create()

        async def talk() -> None:
            for _ in range(0, count, 100):
                sent = [session.send("a long story") for _ in range(100)]
                for each in sent:
                    await each

        house.runtime.run(talk(), PATIENCE)
        answer = session.erase().result(PATIENCE)
        house.settle()
        assert answer.events > count
        assert rows(path, "SELECT count(*) FROM events") == [(0,)]
        assert rows(path, "SELECT count(*) FROM erasing") == [(0,)]
        assert b"a long story" not in everything(path)
        (kept,) = receipts(house)
        assert kept.events == answer.events


def test_a_reader_in_the_way_delays_the_receipt_and_nothing_else(path: Path) -> None:
    with House(path, config=config(session=LONG)) as house:
        session = house.create()
        say(session, "my secret")
        with closing(sqlite3.connect(path, isolation_level=None)) as reading:
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM events").fetchone()
            session.erase().result(PATIENCE)
            house.settle()
            assert receipts(house)[0].scrubbed_at is None
            say(house.create(user=BOB), "meanwhile")
            reading.execute("ROLLBACK")
        house.advance(1.0)
        assert receipts(house)[0].scrubbed_at == START + 1
        assert b"my secret" not in everything(path)


def test_dead_letters_of_an_erased_session_are_listed_no_longer() -> None:
    with House(config=config(session=LONG)) as house:
        session = house.create()
        letters = house.registry.dead_letters
        house.on_loop(lambda: letters.add(START, session.id, "poison", "x"))
        house.on_loop(lambda: letters.add(START, "another", "poison", "x"))
        session.erase().result(PATIENCE)
        assert [letter.session_id for letter in letters.newest()] == ["another"]
        assert letters.counts["poison"] == 2


def test_who_was_reached_by_a_broadcast_is_forgotten_with_the_person(path: Path) -> None:
    with House(path, config=config(session=LONG)) as house:
        sent = house.runtime.broadcast([ADA, BOB], "news", broadcast_id="b1")
        sent.result(PATIENCE)
        erase_user(house, "ada")
        assert rows(path, "SELECT user_id FROM broadcast_outcomes") == [("bob",)]


def test_a_store_in_memory_gives_receipts_too() -> None:
    with House(config=config(session=LONG)) as house:
        house.create()
        answer = erase_user(house, "ada")
        house.settle()
        assert answer.receipt is not None
        assert answer.sessions == 1


def test_embedded_in_a_loop_it_leaves_the_rest_to_the_next_start(path: Path) -> None:
    async def once() -> None:
        async with Runtime(str(path)) as runtime:
            session = await runtime.create(user=ADA)
            await session.erase()

    async def again() -> None:
        async with Runtime(str(path)) as runtime:
            await runtime.core.erasing.settled()

    asyncio.run(once())
    asyncio.run(again())
    with Reader.open(str(path)) as reader:
        (kept,) = reader.look(lambda connection: erasure.receipts(connection, 10))
        assert kept.scrubbed_at is not None
