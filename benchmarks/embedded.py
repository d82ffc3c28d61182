"""How many messages a second does a program exchange with its sessions in its own process?

Three sides, each with 1,000 sessions (`--sessions`), in one process, one after the other:

* `Runtime`: `Runtime(None, durability="memory")`, with all that its sessions have: timers, history, each
  `message_id` once;
* `LoopActor`: Sojourn's actors without Sojourn's sessions: the small session below on them;
* `ThreadingActor`: the same small session on `pykka.ThreadingActor`, as one would write it: it keeps the
  messages in a list and answers each `message_id` once with its number.

Four ways to talk to them; each message has a `message_id` of its own, and the sessions take turns:

* `one`: the main thread sends a message and waits for its answer, then the next (a blocking `ask`);
* `pipelined`: the main thread sends a message to every session, then waits for all the answers;
* `tasks`: an asyncio task for each session awaits one answer after the other, in the sessions' own loop;
* `waves`: in that loop too, one coroutine sends a message to every session, then awaits all the answers. A
  `ThreadingActor` has no loop: for these two it is played in both ways above, and the faster counts.

Rounds alternate `Runtime`, `ThreadingActor`, `LoopActor`, so that each ratio is of two neighbours. Every
answer must hold the number that its session has reached: a lost or doubled message ends the run. The bars,
for `Runtime` and `LoopActor` over `ThreadingActor`: `tasks` and `waves` 10, `one` 1.0, `pipelined` 3.

The whole is played twice: with the process on one core, and on two. Only one thread at a time runs Python, so
threads that answer each other are faster on one core; a program that does not choose has all of them.

Not measured: a file (`throughput` has that), agents, subscribers, several sending threads, long histories or
texts, another loop than asyncio's own.
"""

import argparse
import asyncio
import gc
import json
import os
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from pykka import Actor, ActorRef, Future, ThreadingActor

from sojourn import Runtime
from sojourn.actors.handles import SentMessage
from sojourn.actors.loop import Dispatcher, LoopActor, run_in_thread

from .findings import ANSWERS, Answer, Chart, Finding, command_line
from .harness import Spread, progress
from .machine import machine
from .servers import HarnessError, pinned

TEXT: Final = "Where is my order, please?"
PATIENCE: Final = 60.0
"""Seconds; an answer that takes longer ends the run."""

RUNTIME, THREADING_ACTOR, LOOP_ACTOR = "Runtime", "ThreadingActor", "LoopActor"
SIDES: Final = (RUNTIME, THREADING_ACTOR, LOOP_ACTOR)
"""In the order of a round: the peer has both subjects beside it."""

BARS: Final = {"one": 1.0, "pipelined": 3.0, "tasks": 10.0, "waves": 10.0}
WAYS: Final = {
    "one": "blocking asks, one at a time",
    "pipelined": "pipelined asks from a thread",
    "tasks": "a task a session in the loop",
    "waves": "waves from one coroutine in the loop",
}
IN_LOOP: Final = ("tasks", "waves")


class Say(NamedTuple):
    """A message to a small session."""

    message_id: str
    text: str


class SmallSession(Actor):
    """A session as one would write it: keeps the messages, answers each `message_id` once with its number."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []
        self.numbers: dict[str, int] = {}

    def on_receive(self, message: Say) -> int:
        """The message's number, counted from 1."""
        number = self.numbers.get(message.message_id)
        if number is None:
            self.messages.append(message.text)
            number = self.numbers[message.message_id] = len(self.messages)
        return number


class ThreadSession(SmallSession, ThreadingActor):
    """In a thread of its own."""


class LoopSession(SmallSession, LoopActor):
    """On a loop."""


@dataclass(frozen=True)
class Door:
    """How the sessions of one side are talked to; they are counted from 0."""

    sessions: int
    post: Callable[[int, str], Any]
    "Send to session n under that message_id; what to wait for."
    wait: Callable[[Any], int]
    "Wait for it; the message's number in its session."
    ask: Callable[[int, str], int]
    "Both: send and wait."
    arrive: Callable[[Any], Awaitable[int]]
    "Await it, in the sessions' loop; the same number."


def runtime_door(runtime: Runtime, count: int) -> Door:
    """New sessions of the runtime."""
    sessions = [runtime.create() for _ in range(count)]

    def ask(n: int, message_id: str) -> int:
        # Event 1 of a session is its creation.
        return sessions[n].send(TEXT, message_id=message_id).result(PATIENCE).seq - 1

    async def arrive(sent: SentMessage) -> int:
        return (await sent).seq - 1

    return Door(
        sessions=count,
        post=lambda n, message_id: sessions[n].send(TEXT, message_id=message_id),
        wait=lambda sent: sent.result(PATIENCE).seq - 1,
        ask=ask,
        arrive=arrive,
    )


def actor_door(refs: Sequence[ActorRef[Any]]) -> Door:
    """Small sessions of either kind."""

    def ask(n: int, message_id: str) -> int:
        return cast("int", refs[n].ask(Say(message_id, TEXT), timeout=PATIENCE))

    async def arrive(future: Future[int]) -> int:
        return await future

    return Door(
        sessions=len(refs),
        post=lambda n, message_id: refs[n].ask(Say(message_id, TEXT), block=False),
        wait=lambda future: future.get(timeout=PATIENCE),
        ask=ask,
        arrive=arrive,
    )


@contextmanager
def opened(side: str, sessions: int) -> Generator[Door]:
    """New sessions of that side for whoever is in another thread; gone afterwards."""
    if side == RUNTIME:
        with Runtime(None, durability="memory") as runtime:
            yield runtime_door(runtime, sessions)
        return
    dispatcher = run_in_thread() if side == LOOP_ACTOR else None
    refs: list[ActorRef[Any]] = [
        ThreadSession.start() if dispatcher is None else LoopSession.start(dispatcher=dispatcher)
        for _ in range(sessions)
    ]
    try:
        yield actor_door(refs)
    finally:
        for stopping in [ref.stop(block=False) for ref in refs]:
            stopping.get(timeout=PATIENCE)
        if dispatcher is not None:
            dispatcher.close()


def one(door: Door, seconds: float) -> float:
    """Messages a second with one blocking ask after the other."""
    messages, turn = 0, 0
    begun = time.perf_counter()
    while (passed := time.perf_counter() - begun) < seconds:
        n = messages % door.sessions
        turn += n == 0
        check(door.ask(n, f"message-{turn}"), turn)
        messages += 1
    return messages / passed


def pipelined(door: Door, seconds: float) -> float:
    """Messages a second with as many unanswered as there are sessions."""
    turn = 0
    begun = time.perf_counter()
    while (passed := time.perf_counter() - begun) < seconds:
        turn += 1
        for pending in [door.post(n, f"message-{turn}") for n in range(door.sessions)]:
            check(door.wait(pending), turn)
    return turn * door.sessions / passed


async def tasks(door: Door, seconds: float) -> float:
    """Messages a second with a task for each session, each waiting for its own answers."""
    begun = time.perf_counter()

    async def talk(n: int) -> int:
        turn = 0
        while time.perf_counter() - begun < seconds:
            turn += 1
            check(await door.arrive(door.post(n, f"message-{turn}")), turn)
        return turn

    messages = sum(await asyncio.gather(*(talk(n) for n in range(door.sessions))))
    return messages / (time.perf_counter() - begun)


async def waves(door: Door, seconds: float) -> float:
    """Messages a second of one coroutine, with as many unanswered as there are sessions."""
    turn = 0
    begun = time.perf_counter()
    while (passed := time.perf_counter() - begun) < seconds:
        turn += 1
        for pending in [door.post(n, f"message-{turn}") for n in range(door.sessions)]:
            check(await door.arrive(pending), turn)
    return turn * door.sessions / passed


async def in_loop(side: str, way: str, sessions: int, seconds: float) -> float:
    """Messages a second of one side, on new sessions in the running loop."""
    talk = tasks if way == "tasks" else waves
    if side == RUNTIME:
        async with Runtime(None, durability="memory") as runtime:
            return await talk(runtime_door(runtime, sessions), seconds)
    dispatcher = Dispatcher(asyncio.get_running_loop())
    refs = [LoopSession.start(dispatcher=dispatcher) for _ in range(sessions)]
    try:
        return await talk(actor_door(refs), seconds)
    finally:
        for stopping in [ref.stop(block=False) for ref in refs]:
            await stopping
        dispatcher.close()


def play(side: str, way: str, sessions: int, seconds: float) -> float:
    """Messages a second of one side in one way, on new sessions."""
    gc.collect()  # the sessions of the round before are not this one's cost
    if way not in IN_LOOP:
        with opened(side, sessions) as door:
            return (one if way == "one" else pipelined)(door, seconds)
    if side == THREADING_ACTOR:
        return max(play(side, other, sessions, seconds) for other in ("one", "pipelined"))
    return asyncio.run(in_loop(side, way, sessions, seconds))


def check(number: int, expected: int) -> None:
    """HarnessError: a message was lost, doubled or answered with another's number."""
    if number != expected:
        raise HarnessError(f"message {expected} of a session was answered with number {number}")


Rates = dict[str, dict[str, list[float]]]
"""By way, then by side: messages a second of each round."""


def measure(ways: Sequence[str], sessions: int, seconds: float, rounds: int) -> Rates:
    """Play every side in every way, `rounds` times."""
    rates: Rates = {way: {side: [] for side in SIDES} for way in ways}
    for way, by_side in rates.items():
        for number in range(1, rounds + 1):
            for side in SIDES:
                by_side[side].append(play(side, way, sessions, seconds))
            seen = ", ".join(f"{side} {by_side[side][-1]:,.0f}" for side in SIDES)
            progress(f"  {WAYS[way]}, round {number}/{rounds}: {seen} messages/s")
    return rates


def findings(where: str, rates: Rates, *, with_bars: bool) -> list[Finding]:
    """The ratios with their bars, then the rates."""
    found: list[Finding] = []
    for way, by_side in rates.items():
        peer = by_side[THREADING_ACTOR]
        note = "the peer in its faster way" if way in IN_LOOP else ""
        for side in (RUNTIME, LOOP_ACTOR):
            ratio = Spread.of([a / b for a, b in zip(by_side[side], peer, strict=True)])
            found.append(
                Finding(
                    what=f"{WAYS[way]}, {where}: {side} over {THREADING_ACTOR}",
                    value=ratio.median,
                    unit="×",
                    low=ratio.low,
                    high=ratio.high,
                    bar=BARS[way] if with_bars else None,
                    note=note,
                )
            )
        for side in SIDES:
            rate = Spread.of(by_side[side])
            found.append(
                Finding(
                    what=f"{WAYS[way]}, {where}: {side}",
                    value=rate.median,
                    unit="messages/s",
                    low=rate.low,
                    high=rate.high,
                    note=note if side == THREADING_ACTOR else "",
                )
            )
    return found


def chart(where: str, rates: Rates) -> Chart:
    """Rates side by side; a series for each side."""
    series: dict[str, list[tuple[str | float, float, float, float]]] = {side: [] for side in SIDES}
    for way, by_side in rates.items():
        for side in SIDES:
            rate = Spread.of(by_side[side])
            series[side].append((WAYS[way], rate.median, rate.low, rate.high))
    return Chart(
        name="embedded-" + where.replace(" ", "-"),
        title=f"How many messages a second inside one process? ({where})",
        kind="bars",
        y="messages/s",
        series=series,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.embedded",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each side in each way, a round (2)")
    parser.add_argument("--way", choices=[*WAYS, "all"], default="all")
    parser.add_argument("--quick", action="store_true", help="a short round, without bars")
    parser.add_argument("--into", type=Path, default=ANSWERS, help="folder for the answer")
    parser.add_argument("--json", action="store_true", help="print the answer as one object")
    arguments = parser.parse_args()
    quick: bool = arguments.quick
    sessions: int = min(arguments.sessions, 200) if quick else arguments.sessions
    seconds: float = min(arguments.seconds, 0.2) if quick else arguments.seconds
    rounds: int = min(arguments.rounds, 2) if quick else arguments.rounds
    ways = list(WAYS) if arguments.way == "all" else [arguments.way]
    cores = sorted(os.sched_getaffinity(0))
    places: dict[str, list[int]] = {"on one core": cores[:1]}
    if len(cores) > 1:
        places["on two cores"] = cores[:2]
    answer = Answer(question="embedded", command=command_line("embedded"), machine=machine())
    for where, given in places.items():
        progress(f"{sessions:,} sessions in one process {where}")
        with pinned(given):
            rates = measure(ways, sessions, seconds, rounds)
        answer.findings.extend(findings(where, rates, with_bars=not quick))
        answer.charts.append(chart(where, rates))
        answer.detail[where] = rates
    answer.save(arguments.into)
    if arguments.json:
        print(json.dumps(asdict(answer), indent=1, ensure_ascii=False))
    else:
        for finding in answer.findings:
            print(finding.format())


if __name__ == "__main__":
    main()
