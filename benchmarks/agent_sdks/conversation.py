"""The same conversation with every store: how it is held, and what is measured.

A turn appends the user's message, appends the answer, and reads the context back. This module runs in the
environment of each SDK, so it imports nothing but the standard library.
"""

import argparse
import asyncio
import gc
import json
import resource
import time
from collections.abc import Awaitable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, Self

USER = "user"
ANSWERER = "assistant"

RECENT = 10
"""Messages of the short read-back, where the store can read fewer than all: enough for a model to go on."""

Reading = Literal["recent", "whole"]
Level = Literal["full", "relaxed"]

_QUESTION = "my order of last week has not come yet, can you tell me where it is? this is question "
_ANSWER = (
    "it left our warehouse on Monday and should be with you by Thursday; this is the answer to question "
)


@dataclass(frozen=True, slots=True)
class Said:
    """One message, as a store gives it back."""

    author: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Durability:
    """What the store's own connection said it does; of Sojourn, what it is documented to do."""

    journal_mode: str
    synchronous: int
    "SQLite's number: 0 OFF, 1 NORMAL, 2 FULL, 3 EXTRA."

    @property
    def is_full(self) -> bool:
        """A commit survives power loss; with NORMAL the last ones may not."""
        return self.synchronous >= 2

    def format(self) -> str:
        """For a note."""
        level = ("OFF", "NORMAL", "FULL", "EXTRA")[self.synchronous]
        return f"journal_mode={self.journal_mode}, synchronous={level}"


class Store(Protocol):
    """A place for conversations, on a file."""

    async def open(self, path: Path, durability: Level) -> None:
        """Make the file. `durability` is for Sojourn; an SDK has its own."""
        ...

    async def close(self) -> None: ...

    async def durability(self) -> Durability: ...

    async def start(self, name: str) -> Any:
        """A new conversation: whatever the other methods need to know it by."""
        ...

    async def say(self, conversation: Any, said: Said) -> None:
        """Append one message; returns when it is committed."""
        ...

    async def exchange(self, conversation: Any, question: Said, answer: Said) -> None:
        """Append both, in the cheapest way there is; returns when both are committed."""
        ...

    async def read(self, conversation: Any, reading: Reading) -> Sequence[Said]:
        """Oldest first: the last messages, at least `RECENT` where there are so many, or all of them."""
        ...

    async def grow(self, conversation: Any, exchanges: Sequence[tuple[Said, Said]]) -> None:
        """Append many, in the cheapest way there is; not measured."""
        ...


class WrongAnswer(Exception):
    """A store did not give back what it was given."""


def exchange_of(turn: int) -> tuple[Said, Said]:
    """What is said in a turn; the same lengths for everyone."""
    return Said(USER, f"{_QUESTION}{turn}"), Said(ANSWERER, f"{_ANSWER}{turn}")


@dataclass
class Talk:
    """One conversation and how far it is."""

    store: Store
    conversation: Any
    turns: int = 0

    @classmethod
    async def begin(cls, store: Store, name: str) -> Self:
        return cls(store, await store.start(name))

    async def grow_to(self, turns: int) -> None:
        """Have it `turns` long, unmeasured."""
        exchanges = [exchange_of(turn) for turn in range(self.turns, turns)]
        if exchanges:
            await self.store.grow(self.conversation, exchanges)
        self.turns = turns

    async def take_turn(self, reading: Reading, *, at_once: bool = False) -> None:
        """The work that is measured. Raises WrongAnswer when the context lacks what was just said."""
        question, answer = exchange_of(self.turns)
        if at_once:
            await self.store.exchange(self.conversation, question, answer)
        else:
            await self.store.say(self.conversation, question)
            await self.store.say(self.conversation, answer)
        self.turns += 1
        read = await self.store.read(self.conversation, reading)
        least = 2 * self.turns if reading == "whole" else min(RECENT, 2 * self.turns)
        if len(read) < least or read[-2] != question or read[-1] != answer:
            raise WrongAnswer(f"turn {self.turns}: {least} messages expected, read {len(read)}: {read[-2:]}")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one process measures."""

    case: Literal["alone", "together", "aging"]
    "`alone`: one turn at a time; `together`: a task a conversation; `aging`: the same, young against old."
    db: str
    durability: Level = "full"
    "Sojourn's; an SDK has its own."
    conversations: int = 100
    seconds: float = 3.0
    "Of `together`."
    at_once: bool = False
    lengths: tuple[int, ...] = (10, 100, 1000)
    "Turns before the middle of the measured ones, rising."
    window: int = 10
    "Turns that are measured around a length."
    rounds: int = 5
    "Of `aging`."

    @classmethod
    def load(cls, text: str) -> Self:
        kept: dict[str, Any] = json.loads(text)
        kept["lengths"] = tuple(kept["lengths"])
        return cls(**kept)

    def dump(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True, kw_only=True)
class Window:
    """Turns that were measured together."""

    length: int
    reading: Reading
    turns: int
    seconds: float
    cpu_seconds: float
    "Of the whole process, all threads."
    turn_ms: list[float] = field(default_factory=list[float])
    "Each turn's own, where they came one after the other."

    @property
    def rate(self) -> float:
        """Turns a second."""
        return self.turns / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of CPU a turn."""
        return self.cpu_seconds / self.turns * 1e3


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one process found."""

    durability: Durability
    windows: list[Window]

    @classmethod
    def load(cls, text: str) -> Self:
        kept: dict[str, Any] = json.loads(text)
        return cls(
            durability=Durability(**kept["durability"]),
            windows=[Window(**window) for window in kept["windows"]],
        )


async def measure(store: Store, plan: Plan) -> Result:
    """Carry out the plan on a new file."""
    await store.open(Path(plan.db), plan.durability)
    try:
        case = {"alone": _alone, "together": _together, "aging": _aging}[plan.case]
        windows = await case(store, plan)
        return Result(durability=await store.durability(), windows=windows)
    finally:
        await store.close()


async def _alone(store: Store, plan: Plan) -> list[Window]:
    """One turn at a time, in conversations of each length: the middle of the `recent` turns is the length."""
    talks = [await Talk.begin(store, f"alone-{number}") for number in range(plan.conversations)]
    windows: list[Window] = []
    readings: tuple[Reading, ...] = ("recent", "whole")
    for length in plan.lengths:
        for talk in talks:
            await talk.grow_to(length - plan.window // 2)
        for reading in readings:
            turn_ms: list[float] = []
            gc.collect()
            cpu, begun = time.process_time(), time.perf_counter()
            for talk in talks:
                for _ in range(plan.window):
                    asked = time.perf_counter()
                    await talk.take_turn(reading)
                    turn_ms.append((time.perf_counter() - asked) * 1e3)
            windows.append(_window(length, reading, len(turn_ms), begun, cpu, turn_ms))
    return windows


async def _together(store: Store, plan: Plan) -> list[Window]:
    """A task a conversation, each awaiting its own turns, for some seconds after a first turn of each."""
    talks = [await Talk.begin(store, f"together-{number}") for number in range(plan.conversations)]
    await _each(talk.take_turn("recent", at_once=plan.at_once) for talk in talks)
    gc.collect()
    cpu, begun = time.process_time(), time.perf_counter()
    until = begun + plan.seconds

    async def go_on(talk: Talk) -> None:
        while time.perf_counter() < until:
            await talk.take_turn("recent", at_once=plan.at_once)

    await _each(go_on(talk) for talk in talks)
    turns = sum(talk.turns - 1 for talk in talks)
    return [_window(max(talk.turns for talk in talks), "recent", turns, begun, cpu)]


async def _aging(store: Store, plan: Plan) -> list[Window]:
    """Windows of young and of old conversations in turn: young, old, young, old …

    The old are of different lengths, so that what a store does every so many turns falls into each window as
    often as it does in the long run, and not to all at once or to none.
    """
    young_length, old_length = plan.lengths[0], plan.lengths[-1]
    old = [await Talk.begin(store, f"old-{number}") for number in range(plan.conversations)]
    await _each(
        talk.grow_to(old_length - plan.window // 2 + number * 128 // plan.conversations)
        for number, talk in enumerate(old)
    )
    windows: list[Window] = []
    for played in range(plan.rounds):
        young = [await Talk.begin(store, f"young-{played}-{number}") for number in range(plan.conversations)]
        await _each(talk.grow_to(young_length - plan.window // 2) for talk in young)
        for length, talks in ((young_length, young), (old_length, old)):
            gc.collect()
            cpu, begun = time.process_time(), time.perf_counter()
            await _each(_some_turns(talk, plan.window) for talk in talks)
            windows.append(_window(length, "recent", plan.window * len(talks), begun, cpu))
    return windows


async def _some_turns(talk: Talk, turns: int) -> None:
    for _ in range(turns):
        await talk.take_turn("recent")


async def _each(doings: Any) -> None:
    """A task each, all at once; the first error ends the process."""
    tasks: list[Awaitable[None]] = [asyncio.ensure_future(doing) for doing in doings]
    await asyncio.gather(*tasks)


def _window(
    length: int, reading: Reading, turns: int, begun: float, cpu: float, turn_ms: list[float] | None = None
) -> Window:
    return Window(
        length=length,
        reading=reading,
        turns=turns,
        seconds=time.perf_counter() - begun,
        cpu_seconds=time.process_time() - cpu,
        turn_ms=turn_ms or [],
    )


def main(store: Store) -> None:
    """Carry out the plan of the command line with a store, in a process of its own; the result on stdout."""
    parser = argparse.ArgumentParser()
    parser.add_argument("plan", type=Plan.load)
    plan: Plan = parser.parse_args().plan
    # A store that opens connections for each conversation and thread needs more files than the usual 1,024.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(json.dumps(asdict(asyncio.run(measure(store, plan)))))
