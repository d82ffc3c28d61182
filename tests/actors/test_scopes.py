"""Context in three scopes: the session's, its user's across sessions, the operator's."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sojourn.actors import RuntimeConfig, SessionConfig, SessionHandle
from sojourn.actors.answers import ContextUpdated, Erased
from sojourn.actors.errors import (
    ContextTooLarge,
    InvalidRequest,
    SessionError,
    StorageFailed,
    VersionConflict,
)
from sojourn.actors.mail import Caller
from sojourn.actors.messages import EraseSession
from sojourn.actors.scopes import Scopes, merged_view
from sojourn.storage import Batch, Journal, WriteFailed
from tests.actors.house import PATIENCE, House, Map, config, history, say, state
from tests.compiled import replaces_a_name

BOB: Map = {"user_id": "bob"}


def update(session: SessionHandle, patch: Map, *versions: int | None) -> ContextUpdated:
    return session.update_context(patch, *versions).result(PATIENCE)


def view(session: SessionHandle) -> Map:
    return session.context().result(PATIENCE)


def scopes(house: House) -> Scopes:
    return house.runtime.core.shared.scopes


def kept(house: House, user_id: str = "ada") -> tuple[Map, int]:
    """The user's scope as committed: values in clear, and version."""
    scope = house.runtime.run(scopes(house).get(user_id), PATIENCE)
    return scope.values(), scope.version


def test_the_merged_view_says_by_its_prefix_whose_a_key_is() -> None:
    assert merged_view({"a": 1, "user": 2}, {"a": 3}, {"a": 4, "b.c": 5}) == {
        "a": 1,
        "user": 2,
        "user.a": 3,
        "app.a": 4,
        "app.b.c": 5,
    }


def test_a_users_keys_are_read_in_every_session_of_the_user_and_in_no_other() -> None:
    with House(config=config(app={"name": "Shop"})) as house:
        first, second, bobs = house.create(), house.create(channel="web"), house.create(user=BOB)
        answer = update(first, {"topic": "order", "user.language": "de", "user.likes": {"tea": True}})
        both = {"topic": "order", "user.language": "de", "user.likes": {"tea": True}}
        assert (answer.context, answer.context_version, answer.user_version) == (both, 2, 2)
        assert state(first)["context"] == {"topic": "order"}
        assert view(first) == {**both, "app.name": "Shop"}
        assert view(second) == {
            "user.language": "de",
            "user.likes": {"tea": True},
            "app.name": "Shop",
        }
        assert view(bobs) == {"app.name": "Shop"}
        update(second, {"user.likes": {"tea": None, "milk": 1}, "user.language": None})
        assert view(first) == {"topic": "order", "user.likes": {"milk": 1}, "app.name": "Shop"}


def test_the_users_scope_outlives_sessions_restarts_and_a_kill(path: Path) -> None:
    with House(path, config=config(session=SessionConfig(session_timeout=100.0))) as house:
        session = house.create()
        update(session, {"user.language": "de", "own": 1})
        house.advance(100)
        assert state(session)["status"] == "expired"
        house.restart()
        assert view(house.create()) == {"user.language": "de"}
        update(house.create(), {"user.name": "Ada"})
        house.kill()
        assert view(house.create()) == {"user.language": "de", "user.name": "Ada"}
        assert kept(house) == ({"language": "de", "name": "Ada"}, 3)
        # the session that wrote it shows, after its fold, no key of the user's as its own
        assert state(house.again(session))["context"] == {"own": 1}


def test_what_was_written_to_the_user_stands_in_the_sessions_history_and_not_in_its_context(
    path: Path,
) -> None:
    patch = {"user.language": "de", "n": 1}
    with House(path) as house:
        session = house.create(context={"a": 1})
        update(session, patch)
        update(session, {"user.language": "fr"})
        for _ in range(2):
            _, first, second = history(house.again(session))
            assert (first["patch"], first["context_version"]) == (patch, 2)
            assert (second["patch"], second["context_version"]) == ({"user.language": "fr"}, 3)
            assert state(house.again(session))["context"] == {"a": 1, "n": 1}
            house.kill()


def test_context_with_a_message_reaches_the_user_and_is_one_commit(path: Path) -> None:
    with House(path) as house:
        session = house.create()
        view(session)  # the scope is in memory
        commits = house.runtime.core.commits.commits
        assert say(session, "x", context={"user.a": 1, "b": 2}).seq == 3
        assert house.runtime.core.commits.commits == commits + 1
        assert kept(house) == ({"a": 1}, 2)
        first = house.send("x", user=BOB, context={"user.a": 5, "b": None})
        assert (first.created, first.seq) == (True, 3)
        assert view(house.runtime.session(first.session_id)) == {"user.a": 5}
        again = house.send("y", user=BOB, message_id="m", context={"user.a": 6})
        assert (again.created, kept(house, "bob")) == (False, ({"a": 6}, 3))
        assert house.send("y", user=BOB, message_id="m", context={"user.a": 7}).duplicate
        assert kept(house, "bob") == ({"a": 6}, 3)


def test_two_sessions_of_one_user_that_write_at_once_lose_nothing(path: Path) -> None:
    with House(path) as house:
        sessions = [house.create(channel=f"c{number}") for number in range(10)]
        house.restart()
        sessions = [house.again(each) for each in sessions]

        async def all_at_once() -> None:
            await asyncio.gather(
                *(
                    each.update_context({f"user.k{number}-{turn}": turn, "user.last": number})
                    for turn in range(5)
                    for number, each in enumerate(sessions)
                )
            )

        house.runtime.run(all_at_once(), PATIENCE)
        house.kill()
        values, version = kept(house)
        assert version == 51
        assert values.pop("last") in range(10)
        assert values == {f"k{number}-{turn}": turn for turn in range(5) for number in range(10)}


def test_sessions_that_compare_and_set_the_users_version_lose_no_increment() -> None:
    with House() as house:
        sessions = [house.create(channel=f"c{number}") for number in range(4)]

        async def increment(session: SessionHandle) -> None:
            while True:
                scope = await scopes(house).get("ada")
                count = scope.values().get("count", 0)
                try:
                    await session.update_context({"user.count": count + 1}, None, scope.version)
                except VersionConflict:
                    continue
                return

        async def all_of_them() -> None:
            await asyncio.gather(*(increment(each) for each in sessions for _ in range(5)))

        house.runtime.run(all_of_them(), PATIENCE)
        assert kept(house) == ({"count": 20}, 21)


def test_a_stale_version_of_the_user_changes_nothing_and_tells_the_present_one() -> None:
    with House() as house:
        session = house.create()
        update(session, {"user.a": 1}, 1, 1)
        before = state(session), history(session)
        with pytest.raises(VersionConflict) as caught:
            update(session, {"user.a": 2, "b": 1}, 2, 1)
        assert caught.value.details == {"user_version": 2}
        with pytest.raises(VersionConflict) as caught:
            update(session, {"user.a": 2}, 1, 2)
        assert caught.value.details == {"context_version": 2}
        with pytest.raises(VersionConflict):
            update(session, {"b": 1}, None, 1)
        assert (state(session), history(session), kept(house)) == (*before, ({"a": 1}, 2))
        assert update(session, {"b": 1}, None, 2).user_version is None


LIMITS: dict[str, Any] = {"max_context_keys": 5, "max_context_bytes": 100, "sensitive_keys": ("token",)}
REFUSED: dict[str, tuple[Map, type[SessionError], str]] = {
    "too many keys": ({f"user.{n}": n for n in range(6)}, ContextTooLarge, "max_context_keys"),
    "too many bytes": ({"user.a": "x" * 100}, ContextTooLarge, "max_context_bytes"),
    "own part too large": ({"user.a": 1, "b": "x" * 100}, ContextTooLarge, "max_context_bytes"),
    "operator's": ({"app.name": 1}, InvalidRequest, "context.app.name"),
    "operator's beside a user's": ({"user.a": 1, "app.name": 1}, InvalidRequest, "context.app.name"),
    "no name": ({"user.": 1}, InvalidRequest, "context.user."),
    "a prefix twice": ({"user.user.a": 1}, InvalidRequest, "context.user.a"),
    "a prefix in a prefix": ({"user.app.a": 1}, InvalidRequest, "context.app.a"),
    "the mask": ({"user.token": "***"}, InvalidRequest, "context.user.token"),
    "the mask deep down": ({"user.a": [{"token": "***"}]}, InvalidRequest, "context.user.a.0.token"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("way", ["update", "send", "first message"])
def test_what_may_not_stand_in_a_users_scope_is_refused_and_changes_nothing(case: str, way: str) -> None:
    patch, error, named = REFUSED[case]
    with House(config=config(**LIMITS)) as house:
        session = house.create(user=BOB, channel="web")
        update(session, {"user.keep": 1})
        before = state(session), history(session)
        with pytest.raises(error) as caught:
            if way == "update":
                update(session, patch)
            elif way == "send":
                say(session, "x", context=patch)
            else:
                house.send("x", user=BOB, channel="other", context=patch)
        assert caught.value.details is not None
        assert named in caught.value.details.values()
        house.settle()
        assert (state(session), history(session), kept(house, "bob")) == (*before, ({"keep": 1}, 2))
        assert house.send("y", user=BOB, channel="other").created
        assert house.registry.supervisor.restarts == 0


def test_a_creation_writes_to_no_wider_scope() -> None:
    with House() as house:
        for key in ("user.a", "app.a"):
            with pytest.raises(InvalidRequest):
                house.create(context={key: 1})
        assert kept(house) == ({}, 1)


def test_a_session_without_a_user_has_no_users_scope() -> None:
    with House(config=config(app={"name": "Shop"})) as house:
        session = house.create(user={"display_name": "somebody"})
        with pytest.raises(InvalidRequest, match="no user_id"):
            update(session, {"user.a": 1})
        assert update(session, {"a": 1}).user_version is None
        assert view(session) == {"a": 1, "app.name": "Shop"}


def test_each_scope_has_limits_of_its_own() -> None:
    with House(config=config(max_context_keys=3, max_context_bytes=60)) as house:
        session = house.create(context={"a": 1, "b": 2, "c": "x" * 40})
        update(session, {"user.a": 1, "user.b": 2, "user.c": "x" * 40})
        with pytest.raises(ContextTooLarge):
            update(session, {"user.d": 1})
        update(session, {"user.d": 1, "user.a": None})
        assert kept(house) == ({"b": 2, "c": "x" * 40, "d": 1}, 3)


def test_sensitive_keys_of_every_scope_are_shown_to_nobody(path: Path) -> None:
    settings = config(sensitive_keys=("card*", "pin", "user.diary"), app={"pin": "4321", "name": "Shop"})
    with House(path, config=settings) as house:
        pushed: list[Map] = []
        house.runtime.subscribe(pushed.append)
        session = house.create()
        answer = update(session, {"user.card": "4111", "user.deep": {"pin": 1234}, "user.diary": "love"})
        hidden = {"user.card": "***", "user.deep": {"pin": "***"}, "user.diary": "***"}
        assert answer.context == hidden
        assert view(session) == {**hidden, "app.pin": "***", "app.name": "Shop"}
        assert history(session)[1]["patch"] == hidden
        house.settle()
        assert pushed == history(session)
        house.restart()
        shown = repr((view(house.again(session)), history(house.again(session)), pushed))
        for secret in ("4111", "1234", "love", "4321"):
            assert secret not in shown
        assert kept(house)[0] == {"card": "4111", "deep": {"pin": 1234}, "diary": "love"}


def test_a_read_shows_what_another_session_wrote_only_when_that_is_stored() -> None:
    with House() as house:
        first, second = house.create(), house.create(channel="web")
        for session in (first, second):
            view(session)  # the scope is in memory
        order: list[str] = []

        async def write_and_read() -> Map:
            written = first.update_context({"user.a": 1})
            written.add_done_callback(lambda _: order.append("written"))
            read = second.context()
            read.add_done_callback(lambda _: order.append("read"))
            await written
            return await read

        assert house.runtime.run(write_and_read(), PATIENCE) == {"user.a": 1}
        assert order == ["written", "read"]


def test_a_commit_that_fails_takes_the_users_change_with_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with House(path) as house:
        first, second = house.create(), house.create(channel="web")
        update(first, {"user.a": 1})
        commit = Journal.commit
        fails = True

        def broken(journal: Journal, batch: Batch) -> None:
            if fails:
                raise WriteFailed(journal.path, "the disk is full")
            commit(journal, batch)

        monkeypatch.setattr(Journal, "commit", broken)
        with pytest.raises(StorageFailed):
            update(first, {"user.a": 2, "user.b": 2})
        fails = False
        assert kept(house) == ({"a": 1}, 2)
        assert view(second) == {"user.a": 1}
        assert update(second, {"user.c": 3}).context == {"user.a": 1, "user.c": 3}
        house.kill()
        assert kept(house) == ({"a": 1, "c": 3}, 3)


def test_who_hears_of_a_failed_commit_and_writes_at_once_does_not_build_on_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with House(path) as house:
        first, second, bobs = house.create(), house.create(channel="web"), house.create(user=BOB)
        update(first, {"user.a": 1})
        commit = Journal.commit
        fails = True

        def broken(journal: Journal, batch: Batch) -> None:
            nonlocal fails
            if fails:
                fails = False
                raise WriteFailed(journal.path, "the disk is full")
            commit(journal, batch)

        monkeypatch.setattr(Journal, "commit", broken)

        async def write_at_once() -> ContextUpdated:
            again: list[Any] = []
            told = bobs.send("told first")
            told.add_done_callback(lambda _: again.append(second.update_context({"user.c": 3})))
            with pytest.raises(StorageFailed):
                await first.update_context({"user.b": 2})
            updated: ContextUpdated = await again[0]
            return updated

        answer = house.runtime.run(write_at_once(), PATIENCE)
        assert (answer.context, answer.user_version) == ({"user.a": 1, "user.c": 3}, 3)
        house.kill()
        assert kept(house) == ({"a": 1, "c": 3}, 3)


@replaces_a_name
def test_a_message_that_kills_its_actor_leaves_no_half_of_it_with_the_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with House() as house:
        session = house.create()
        update(session, {"user.a": 1})
        monkeypatch.setattr("sojourn.actors.sending.pack_message", _broken)
        with pytest.raises(SessionError):
            say(session, "x", context={"user.a": 2})
        monkeypatch.undo()
        house.advance(60)
        assert kept(house) == ({"a": 1}, 2)


def _broken(*_: object) -> bytes:
    raise ZeroDivisionError


def erase_user(house: House, user_id: str) -> Erased:
    request = EraseSession(Caller("service"), house.clock.now(), None, attach=False)
    return house.runtime.run(house.runtime.core.reception.erase_user(user_id, request), PATIENCE)


@pytest.mark.parametrize("when", ["in memory", "asleep", "without sessions"])
def test_an_erased_person_leaves_no_scope_and_no_byte_of_it(path: Path, when: str) -> None:
    with House(path) as house:
        session, bobs = house.create(), house.create(user=BOB)
        update(session, {"user.word": "sesame" * 10})
        update(bobs, {"user.word": "stays"})
        if when == "without sessions":
            session.erase().result(PATIENCE)
        if when != "in memory":
            house.restart()
        erased = erase_user(house, "ada")
        assert erased[:2] == ((0, 0) if when == "without sessions" else (1, 2))
        assert kept(house) == ({}, 1)
        assert view(house.create()) == {}
        house.stop()
        left = b"".join(each.read_bytes() for each in path.parent.glob("sojourn.db*"))
        assert b"sesame" not in left
        assert b"stays" in left
        house.start()
        assert kept(house) == ({}, 1)
        assert kept(house, "bob") == ({"word": "stays"}, 2)


def test_who_writes_after_the_erasure_begins_anew(path: Path) -> None:
    with House(path) as house:
        update(house.create(), {"user.a": 1, "user.b": 1})
        erase_user(house, "ada")
        update(house.create(), {"user.c": 1})
        house.kill()
        assert kept(house) == ({"c": 1}, 2)


def test_scopes_in_memory_are_bounded_and_what_left_is_read_again(path: Path) -> None:
    with House(path) as house:
        scopes(house).cache.most_bytes = 3000
        people = [house.create(user={"user_id": f"u{number}"}) for number in range(40)]
        for number, session in enumerate(people):
            update(session, {"user.n": number, "user.fill": "x" * 200})
        house.settle()
        update(people[0], {"user.n": -1})
        assert len(scopes(house).cache) <= 5
        assert [view(each)["user.n"] for each in people] == [-1, *range(1, 40)]
        assert len(scopes(house).cache) <= 5


def test_many_uncommitted_scopes_stay_whatever_the_bound(path: Path) -> None:
    with House(path) as house:
        scopes(house).cache.most_bytes = 1000
        people = [house.create(user={"user_id": f"u{number}"}) for number in range(30)]

        async def all_at_once() -> None:
            await asyncio.gather(
                *(
                    each.update_context({f"user.k{turn}": number})
                    for turn in range(3)
                    for number, each in enumerate(people)
                )
            )

        house.runtime.run(all_at_once(), PATIENCE)
        for number, session in enumerate(people):
            assert view(session) == {f"user.k{turn}": number for turn in range(3)}


def test_those_who_opted_out_are_known_in_memory_and_in_storage(path: Path) -> None:
    with House(path) as house:
        for number, value in enumerate([True, False, None, "yes", 0]):
            session = house.create(user={"user_id": f"u{number}"})
            update(session, {"user.opt_out": value, "user.else": 1})
        house.restart()
        update(house.create(user={"user_id": "u1"}), {"user.opt_out": True})
        asked = [*(f"u{number}" for number in range(5)), "nobody", "'--", "a\x00b"]
        found = house.runtime.run(scopes(house).opted_out(asked), PATIENCE)
        assert found == {"u0", "u1", "u3"}
        assert len(scopes(house).cache) == 1
        read = house.runtime.run(scopes(house).read(asked), PATIENCE)
        assert read["u4"] == {"opt_out": 0, "else": 1}
        assert set(read) == {f"u{number}" for number in range(5)}


def test_plain_messages_bring_no_scope_into_memory(path: Path) -> None:
    with House(path) as house:
        update(house.create(), {"user.a": 1})
        house.restart()
        say(house.create(), "x", context={"a": 1})
        house.send("y")
        assert len(scopes(house).cache) == 0


def test_the_operators_scope_is_nobodys_to_change() -> None:
    app = {"hours": {"from": 9}}
    with House(config=config(app=app)) as house:
        scopes(house).app["hours"]["from"] = 10
        app["hours"]["from"] = 11
        assert view(house.create()) == {"app.hours": {"from": 9}}


@pytest.mark.parametrize("app", [{"a": float("nan")}, {"a": b"x"}, {1: 2}, {"a": "\ud800"}], ids=repr)
def test_an_operators_scope_that_json_does_not_have_is_refused(app: Any) -> None:
    with pytest.raises(ValueError, match="app"):
        RuntimeConfig(app=app)
