"""A dialog as the agent of a real runtime, on a virtual clock."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sojourn.actors import Runtime, RuntimeConfig, SessionConfig
from sojourn.actors.dialog import DialogAgent, read_dialog
from sojourn.actors.handles import SessionHandle
from sojourn.actors.testing import VirtualClock

NAMES = """
nodes:
  begin:
    trigger: {text: begin}
    do:
      - set: {user.seen: true, n: 1}
      - ask: {question: "Your name?", save: name}
      - say: "Hello {{ name }}."
      - tag: [named]
      - remind: {name: later, after: 60, data: {n: "{{ n }}"}}
  reminded:
    trigger: {event: "reminder:later"}
    do: [{say: "Still there, {{ name }}?"}]
  button:
    trigger: {event: pressed}
    do: [{pause: 5}, {say: Click}]
  human:
    trigger: {text: human}
    do: [{say: One moment.}, {handover: {queue: desk, note: "{{ name }} asks"}}]
  bye:
    trigger: {text: bye}
    do: [{say: Bye.}, {resolve: done}]
  hook:
    trigger: {text: hook}
    do:
      - webhook: {url: "http://shop.example/{{ name }}", send: {n: "{{ n }}"}, timeout: 3}
      - say: "{{ state }}"
    else: [{say: "Out of order."}]
  lost:
    trigger: {fallback: true}
    do: [{say: "Say begin."}]
"""


class Talk:
    """One session, and what its dialog said."""

    def __init__(self, runtime: Runtime, clock: VirtualClock, session: SessionHandle) -> None:
        self.runtime = runtime
        self.clock = clock
        self.session = session

    async def say(self, text: str | None, data: Any = None) -> None:
        await self.session.send(text, data=data)
        await self.clock.settle()

    async def events(self) -> list[dict[str, Any]]:
        history = await self.session.history()
        assert not history.more
        return list(history.events)

    async def answers(self) -> list[str]:
        return [event["text"] for event in await self.events() if event.get("author") == "ai"]


async def talk(runtime: Runtime, clock: VirtualClock) -> Talk:
    return Talk(runtime, clock, await runtime.create(user={"user_id": "ada"}))


def test_an_answer_comes_back_and_the_position_survives_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = str(tmp_path / "sessions.db")
        clock = VirtualClock()
        async with Runtime(path, agent=DialogAgent(read_dialog(NAMES)), clock=clock) as runtime:
            first = await talk(runtime, clock)
            await first.say("hm")
            await first.say("begin")
            assert await first.answers() == ["Say begin.", "Your name?"]
        later = VirtualClock(clock.now() + 60)
        async with Runtime(path, agent=DialogAgent(read_dialog(NAMES)), clock=later) as runtime:
            again = Talk(runtime, later, runtime.session(first.session.id))
            await again.say("Ada")
            assert (await again.answers())[2:] == ["Hello Ada."]
            state = await again.session.get()
            assert state["tags"] == ["named"]
            assert state["context"]["name"] == "Ada"
            await later.advance(60)
            assert (await again.answers())[3:] == ["Still there, Ada?"]

    asyncio.run(scenario())


def test_when_the_memory_lapses_the_position_is_reset_and_the_context_kept() -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        config = RuntimeConfig(session=SessionConfig(dialog_timeout=100))
        async with Runtime(agent=DialogAgent(read_dialog(NAMES)), clock=clock, config=config) as runtime:
            one = await talk(runtime, clock)
            await one.say("begin")
            await clock.advance(100)
            await one.say("Ada")
            assert await one.answers() == ["Your name?", "Say begin."]
            context = (await one.session.get())["context"]
            assert context["n"] == 1
            assert "name" not in context

    asyncio.run(scenario())


def test_a_turn_s_changes_are_one_event_with_its_answer() -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        async with Runtime(agent=DialogAgent(read_dialog(NAMES)), clock=clock) as runtime:
            one = await talk(runtime, clock)
            await one.say("begin")
            updates = [event for event in await one.events() if event["type"] == "session:context:updated"]
            assert len(updates) == 1
            position = {"node": "begin", "seq": 0, "step": 1, "else": False, "tries": 0}
            assert updates[0]["patch"] == {"user.seen": True, "n": 1, "_dialog": position}

    asyncio.run(scenario())


def test_a_pause_passes_before_what_is_said_behind_it() -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        async with Runtime(agent=DialogAgent(read_dialog(NAMES)), clock=clock) as runtime:
            one = await talk(runtime, clock)
            await one.say(None, {"event": "pressed"})
            await clock.advance(4)
            assert await one.answers() == []
            await clock.advance(1)
            assert await one.answers() == ["Click"]

    asyncio.run(scenario())


def test_a_dialog_hands_over_and_is_silent_then() -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        async with Runtime(agent=DialogAgent(read_dialog(NAMES)), clock=clock) as runtime:
            one = await talk(runtime, clock)
            await one.say("human please")
            await one.say("begin")
            assert await one.answers() == ["One moment."]
            state = await one.session.get()
            assert (state["handling"], state["queue"]) == ("queued", "desk")

    asyncio.run(scenario())


def test_a_dialog_resolves_behind_its_last_words() -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        async with Runtime(agent=DialogAgent(read_dialog(NAMES)), clock=clock) as runtime:
            one = await talk(runtime, clock)
            await one.say("bye")
            assert [event["type"] for event in await one.events()][-2:] == [
                "message:received",
                "session:closed",
            ]
            assert (await one.session.get())["close_reason"] == "done"

    asyncio.run(scenario())


def test_a_webhook_s_answer_is_merged() -> None:
    async def scenario() -> None:
        calls: list[tuple[str, Any, float]] = []

        async def call(url: str, payload: Any, timeout: float) -> Any:
            calls.append((url, payload, timeout))
            return {"state": "sent"}

        clock = VirtualClock()
        async with Runtime(agent=DialogAgent(read_dialog(NAMES), call=call), clock=clock) as runtime:
            one = await talk(runtime, clock)
            await one.session.update_context({"name": "Ada Lovelace", "n": 5})
            await one.say("hook")
            assert await one.answers() == ["sent"]
            assert calls == [("http://shop.example/Ada%20Lovelace", {"n": 5}, 3.0)]
            assert (await one.session.get())["context"]["state"] == "sent"

    asyncio.run(scenario())


@pytest.mark.parametrize("answer", [ConnectionError("refused"), {1, 2}, float("nan"), {"a": b"x"}, None])
def test_a_webhook_that_fails_or_answers_garbage_takes_the_else(answer: Any) -> None:
    async def scenario() -> None:
        async def call(url: str, payload: Any, timeout: float) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

        clock = VirtualClock()
        agent = DialogAgent(read_dialog(NAMES), call=None if answer is None else call)
        async with Runtime(agent=agent, clock=clock) as runtime:
            one = await talk(runtime, clock)
            await one.say("hook")
            assert await one.answers() == ["Out of order."]
            assert (await one.session.get())["status"] == "active"

    asyncio.run(scenario())


def test_a_dialog_made_to_hold_the_loop_is_cut_and_its_session_goes_on() -> None:
    """Bad: fifty conditions, each of which compares two large values for every item of a list."""
    equal = "context.a == context.b"
    slow = f"context.items.all(x, {equal} && {equal} && {equal})"
    actions = "".join(f"      - {{if: {slow!r}, set: {{passed: {n}}}}}\n" for n in range(50))
    nodes = "  slow:\n    trigger: {text: slow}\n    do:\n" + actions
    nodes += "  lost:\n    trigger: {fallback: true}\n    do: [{say: Here.}]\n"

    async def scenario() -> None:
        clock = VirtualClock()
        async with Runtime(agent=DialogAgent(read_dialog("nodes:\n" + nodes)), clock=clock) as runtime:
            one = await talk(runtime, clock)
            same = list(range(1000))
            await one.session.update_context({"items": [1] * 1000, "a": same, "b": same})
            await one.say("slow")
            failed = [event for event in await one.events() if event["type"] == "message:failed"]
            assert [event["code"] for event in failed] == ["dialog_time"]
            assert "1 s of computing" in failed[0]["message"]
            assert 0 <= (await one.session.get())["context"]["passed"] < 49
            await one.say("hello")
            assert (await one.answers())[-1:] == ["Here."]

    asyncio.run(scenario())
