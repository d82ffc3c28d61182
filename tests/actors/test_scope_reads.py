"""How users' scopes come into memory: together, in order, and not at all when the store cannot be read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from threading import Event

import pytest

from sojourn.actors import SessionHandle, Turn
from sojourn.actors.errors import SessionError, StorageFailed
from sojourn.actors.scopes import Scopes
from sojourn.storage import Reader, ReadFailed, ScopeRow
from tests.actors.house import PATIENCE, House, Map, history, say, state


def scopes(house: House) -> Scopes:
    return house.runtime.core.shared.scopes


class ReadsSeen:
    """Counts the reads of scopes, and lets them fail while `broken`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pages: list[int] = []
        self.broken = False
        read = Reader.scopes

        def seen(reader: Reader, user_ids: Sequence[str]) -> dict[str, ScopeRow]:
            self.pages.append(len(user_ids))
            if self.broken:
                raise ReadFailed(None, "the disk is gone")
            return read(reader, user_ids)

        monkeypatch.setattr(Reader, "scopes", seen)


def test_a_storm_of_users_costs_a_few_reads(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with House(path) as house:
        people = [house.create(user={"user_id": f"u{number}"}) for number in range(300)]
        seen = ReadsSeen(monkeypatch)

        async def all_at_once() -> None:
            await asyncio.gather(
                *(each.update_context({"user.n": number}) for number, each in enumerate(people))
            )

        house.runtime.run(all_at_once(), PATIENCE)
        assert sum(seen.pages) == 300
        assert len(seen.pages) <= 4
        house.kill()
        read = house.runtime.run(scopes(house).read([f"u{number}" for number in range(300)]), PATIENCE)
        assert read == {f"u{number}": {"n": number} for number in range(300)}


def test_sessions_of_one_user_wait_for_one_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with House(path) as house:
        sessions = [house.create(channel=f"c{number}") for number in range(5)]
        seen = ReadsSeen(monkeypatch)

        async def all_at_once() -> list[Map]:
            return await asyncio.gather(*(each.context() for each in sessions))

        assert house.runtime.run(all_at_once(), PATIENCE) == [{}] * 5
        assert seen.pages == [1]


def test_what_comes_behind_an_update_that_waits_keeps_its_place(path: Path) -> None:
    with House(path) as house:
        session = house.create()

        async def in_order() -> None:
            await asyncio.gather(
                session.send("one"),
                session.update_context({"user.a": 1}),
                session.send("two"),
                session.send("three", context={"user.a": 2}),
                session.update_context({"b": 1}),
            )

        house.runtime.run(in_order(), PATIENCE)
        kinds = [(event["type"], event.get("text") or event.get("patch")) for event in history(session)[1:]]
        assert kinds == [
            ("message:received", "one"),
            ("session:context:updated", {"user.a": 1}),
            ("message:received", "two"),
            ("session:context:updated", {"user.a": 2}),
            ("message:received", "three"),
            ("session:context:updated", {"b": 1}),
        ]


@pytest.mark.parametrize("way", ["update", "send", "read", "first message"])
def test_a_scope_that_cannot_be_read_refuses_what_needs_it_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    with House(path) as house:
        session = house.create(user={"user_id": "bob"}, channel="web")
        seen = ReadsSeen(monkeypatch)
        seen.broken = True
        with pytest.raises(StorageFailed):
            if way == "update":
                session.update_context({"user.a": 1, "b": 1}).result(PATIENCE)
            elif way == "send":
                say(session, "x", context={"user.a": 1})
            elif way == "read":
                session.context().result(PATIENCE)
            else:
                house.send("x", user={"user_id": "bob"}, channel="other", context={"user.a": 1})
        assert say(session, "y").seq == 2
        assert state(session)["context"] == {}
        seen.broken = False
        assert session.update_context({"user.a": 2}).result(PATIENCE).user_version == 2
        assert house.send("x", user={"user_id": "bob"}, channel="other", context={"user.a": 3}).created


def test_a_scope_erased_while_it_is_read_stays_erased(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with House(path) as house:
        session = house.create()
        session.update_context({"user.a": 1}).result(PATIENCE)
        house.restart()
        again = house.again(session)
        state(again)  # the session is in memory, its user's scope is not
        was_read, was_erased = Event(), Event()
        read = Reader.scopes

        def slow(reader: Reader, user_ids: Sequence[str]) -> dict[str, ScopeRow]:
            rows = read(reader, user_ids)
            was_read.set()
            assert was_erased.wait(PATIENCE)
            return rows

        monkeypatch.setattr(Reader, "scopes", slow)

        async def read_and_erase() -> Map:
            reading = again.context()
            assert await asyncio.to_thread(was_read.wait, PATIENCE)
            scopes(house).erase("ada")
            await house.runtime.core.commits.flushed()
            was_erased.set()
            return await reading

        assert house.runtime.run(read_and_erase(), PATIENCE) == {}
        house.kill()
        assert house.again(session).context().result(PATIENCE) == {}


def test_a_handler_reads_and_writes_all_scopes_of_every_session_of_its_user(path: Path) -> None:
    found: list[Map] = []

    def agent(turn: Turn) -> str:
        found.append(dict(turn.context))
        turn.context["user.count"] = turn.context.get("user.count", 0) + 1
        turn.context["own"] = turn.text
        return "ok"

    with House(path, agent=agent) as house:
        first, second = house.create(), house.create(channel="web")
        _answered(first, "a")
        _answered(second, "b")
        _answered(first, "c")
        assert found == [{}, {"user.count": 1}, {"user.count": 2, "own": "a"}]
        house.kill()
        shown = [house.again(each).context().result(PATIENCE) for each in (first, second)]
        assert shown == [{"user.count": 3, "own": "c"}, {"user.count": 3, "own": "b"}]


def test_a_handler_cannot_write_to_the_operators_scope() -> None:
    def agent(turn: Turn) -> str:
        turn.context["app.name"] = "Mine"
        return "ok"

    with House(agent=agent) as house:
        session = house.create()
        with pytest.raises(SessionError):
            _answered(session, "a")
        assert "message:failed" in [event["type"] for event in history(session)]
        assert session.context().result(PATIENCE) == {}


def _answered(session: SessionHandle, text: str) -> None:
    session.send(text).reply(timeout=PATIENCE)
