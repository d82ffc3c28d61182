"""The context of a session: merged, compared and set, limited, and silent about what is sensitive."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sojourn.actors import SessionHandle, Turn
from sojourn.actors.errors import ContextTooLarge, InvalidRequest, SessionError, VersionConflict
from tests.actors.house import ADA, PATIENCE, House, Map, config, history, say, state


def update(session: SessionHandle, patch: Map, expected_version: int | None = None) -> Any:
    return session.update_context(patch, expected_version).result(PATIENCE)


def test_patches_merge_and_none_deletes() -> None:
    with House() as house:
        session = house.create(context={"a": {"b": 1, "c": [1, 2]}, "d": 1, "e": None})
        assert state(session)["context"] == {"a": {"b": 1, "c": [1, 2]}, "d": 1}
        answer = update(session, {"a": {"b": None, "c": [3], "x": {"y": None, "z": 0}}, "d": None})
        assert answer.context == {"a": {"c": [3], "x": {"z": 0}}} == state(session)["context"]
        assert (answer.context_version, answer.seq) == (2, 2)
        patched = history(session)[-1]
        assert patched["patch"] == {"a": {"b": None, "c": [3], "x": {"y": None, "z": 0}}, "d": None}
        assert (patched["context_version"], patched["by"]) == (2, {"role": "service", "id": None})


def test_every_accepted_patch_raises_the_version_also_one_that_changes_nothing() -> None:
    with House() as house:
        session = house.create()
        assert [update(session, {}).context_version for _ in range(3)] == [2, 3, 4]
        assert state(session)["seq"] == 4


def test_compare_and_set_takes_one_of_two_and_tells_the_other_the_version() -> None:
    with House() as house:
        session = house.create(context={"n": 0})
        assert update(session, {"n": 1}, 1).context_version == 2
        with pytest.raises(VersionConflict) as caught:
            update(session, {"n": 2}, 1)
        assert caught.value.details == {"context_version": 2}
        assert (state(session)["context"], state(session)["seq"]) == ({"n": 1}, 2)


def test_a_hundred_writers_that_compare_and_set_lose_no_increment() -> None:
    with House() as house:
        session = house.create(context={"n": 0})

        async def increment() -> None:
            while True:
                found = await session.get()
                patch = {"n": found["context"]["n"] + 1}
                try:
                    await session.update_context(patch, found["context_version"])
                except VersionConflict:
                    continue
                return

        async def all_of_them() -> None:
            await asyncio.gather(*(increment() for _ in range(20)))

        house.runtime.run(all_of_them(), PATIENCE)
        assert state(session)["context"] == {"n": 20}
        assert state(session)["context_version"] == 21


def test_context_with_a_message_is_merged_before_it_in_one_commit(path: Path) -> None:
    with House(path) as house:
        session = house.create()
        commits = house.runtime.core.commits.commits
        assert say(session, "x", context={"a": 1}).seq == 3
        assert house.runtime.core.commits.commits == commits + 1
        assert [event["type"] for event in history(session)[1:]] == [
            "session:context:updated",
            "message:received",
        ]
        first = house.send("x", user={"user_id": "bob"}, context={"b": None, "c": 1})
        assert first.seq == 3
        assert state(house.runtime.session(first.session_id))["context"] == {"c": 1}


TOO_MUCH: list[tuple[Map, type[SessionError]]] = [
    ({str(n): n for n in range(6)}, ContextTooLarge),
    ({"a": "x" * 100}, ContextTooLarge),
    ({"user.": 1}, InvalidRequest),
    ({"app.name": 1}, InvalidRequest),
    ({"token": "***"}, InvalidRequest),
    ({"deep": [{"token": "***"}]}, InvalidRequest),
    ({"a": float("nan")}, InvalidRequest),
    ({"a": {1: 2}}, InvalidRequest),
    ({"a": b"x"}, InvalidRequest),
    ({"a": 2**64}, InvalidRequest),
    ({"a": "\ud800"}, InvalidRequest),
]


@pytest.mark.parametrize(("patch", "error"), TOO_MUCH)
@pytest.mark.parametrize("way", ["update", "send", "first message", "create"])
def test_what_may_not_stand_in_a_context_is_refused_and_changes_nothing(
    patch: Map, error: type[SessionError], way: str
) -> None:
    settings = config(max_context_keys=5, max_context_bytes=100, sensitive_keys=("token",))
    with House(config=settings) as house:
        session = house.create(context={"keep": 1})
        before = state(session), history(session)
        with pytest.raises(error):
            if way == "update":
                update(session, patch)
            elif way == "send":
                say(session, "x", context=patch)
            elif way == "first message":
                house.send("x", user={"user_id": "bob"}, context=patch)
            else:
                house.runtime.create(user=ADA, context=patch).result(PATIENCE)
        house.settle()
        assert (state(session), history(session)) == before
        assert house.send("y", user={"user_id": "bob"}).created
        assert house.registry.supervisor.restarts == 0


def test_the_limits_are_of_what_is_kept_not_of_the_patch() -> None:
    with House(config=config(max_context_keys=2, max_context_bytes=50)) as house:
        session = house.create(context={"a": "x" * 20})
        assert update(session, {"b": 1}).context_version == 2
        with pytest.raises(ContextTooLarge) as caught:
            update(session, {"c": 1})
        assert caught.value.details is not None
        assert caught.value.details["limit"] == "max_context_keys"
        update(session, {"a": None, "c": 1})
        with pytest.raises(ContextTooLarge) as caught:
            update(session, {"c": "x" * 50})
        assert caught.value.details is not None
        assert caught.value.details["limit"] == "max_context_bytes"
        assert state(session)["context"] == {"b": 1, "c": 1}


def test_sensitive_values_are_in_clear_for_the_handler_alone(path: Path) -> None:
    given: list[Map] = []

    def agent(turn: Turn) -> None:
        given.append(turn.context)

    secret = {"Card_Number": "4111", "deep": {"pin": 1234, "open": [{"pin": 5}]}, "plain": "yes"}
    hidden = {"Card_Number": "***", "deep": {"pin": "***", "open": [{"pin": "***"}]}, "plain": "yes"}
    settings = config(sensitive_keys=("card*", "pin"))
    with House(path, config=settings, agent=agent) as house:
        pushed: list[Map] = []
        house.runtime.subscribe(pushed.append)
        session = house.create(context=secret)
        say(session, "x", context={"pin": 9})
        answer = update(session, {"pin": 8, "deep": None})
        assert answer.context == {"Card_Number": "***", "plain": "yes", "pin": "***"}
        update(session, {"pin": None})
        house.settle()
        assert given == [{**secret, "pin": 9}]
        created, updated, _, again, deleted = history(session)
        assert created["context"] == hidden
        assert updated["patch"] == {"pin": "***"}
        assert again["patch"] == {"pin": "***", "deep": None}
        assert deleted["patch"] == {"pin": None}
        assert pushed == history(session)
        for _ in range(2):
            shown = repr((state(house.again(session)), history(house.again(session)), pushed))
            for value in ("4111", "1234"):
                assert value not in shown
            house.restart()
        say(house.again(session), "y")
        house.settle()
        assert given[-1] == {"Card_Number": "4111", "plain": "yes"}
