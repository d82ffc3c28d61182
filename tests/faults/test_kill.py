"""`kill -9` under load: whatever was acknowledged is there exactly once, and nothing is there twice.

Each round talks to the server over several connections, kills it once a random number of answers has
come, starts another on the same file, and holds the file's histories against what was answered.
"""

from __future__ import annotations

import random
import threading
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.integration.server_process import ServerProcess
from tests.integration.wire import Closed, Map, Wire

TALKERS = 4
OWN_SESSIONS = 3
OUTSTANDING = 8
IDLE_SESSIONS = 60


@dataclass
class Sent:
    """One request, and its answer if that came before the kill."""

    kind: str
    payload: Map
    answer: Map | None = None


@dataclass
class Load:
    """What one round sent; `enough` is set when `target` answers have come."""

    target: int
    sent: list[Sent] = field(default_factory=list[Sent])
    errors: list[BaseException] = field(default_factory=list[BaseException])
    enough: threading.Event = field(default_factory=threading.Event)
    _answers: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)  # guards _answers

    def answered(self) -> None:
        with self._lock:
            self._answers += 1
            if self._answers >= self.target:
                self.enough.set()


def requests(talker: str, sessions: list[str], chance: random.Random) -> Iterator[Sent]:
    """An endless mix: mostly messages, some by user, context updates, closes, reopens."""
    number = 0
    while True:
        number += 1
        session_id = chance.choice(sessions)
        message_id = f"{talker}-{number}"
        match chance.randrange(10):
            case 0:
                yield Sent("session:context:update", {"session_id": session_id, "context": {talker: number}})
            case 1:
                yield Sent("session:close", {"session_id": session_id, "reason": message_id})
            case 2:
                yield Sent("session:reopen", {"session_id": session_id})
            case 3:
                person = {"user_id": f"new-{talker}-{number}"}
                yield Sent("message:send", {"user": person, "message_id": message_id, "text": "first"})
            case 4:
                content = {"text": "with context", "context": {talker: number}}
                yield Sent("message:send", {"session_id": session_id, "message_id": message_id, **content})
            case _:
                yield Sent("message:send", {"session_id": session_id, "message_id": message_id, "text": "x"})


def talk(wire: Wire, load: Load, stream: Iterator[Sent]) -> None:
    """Keeps `OUTSTANDING` requests under way until the server dies."""
    try:
        with wire:
            waiting: deque[tuple[int, Sent]] = deque()
            while True:
                while len(waiting) < OUTSTANDING:
                    one = next(stream)
                    load.sent.append(one)  # before it leaves: it may be stored without an answer
                    waiting.append((wire.send(one.kind, **one.payload), one))
                request_id, one = waiting.popleft()
                one.answer = wire.reply(request_id)
                wire.pushes.clear()
                load.answered()
    except Closed:
        pass
    except BaseException as error:  # shown by the main thread
        load.errors.append(error)


class Round:
    """Load, kill, restart, check; `server` is the one that runs now."""

    def __init__(self, folder: Path, name: str, chance: random.Random) -> None:
        self.server = ServerProcess(folder)
        self._folder = folder
        self._name = name
        self._chance = chance
        self._sent: list[Sent] = []
        self._idle: list[Map] = []
        self._talked_in: set[str] = set()

    def run(self) -> None:
        try:
            self._load_and_kill()
            self.server = ServerProcess(self._folder)
            with self.server.connect("service") as wire:
                self._check_idle(wire)
                self._check_histories(wire)
                self._check_answers(wire)
                self._check_resent(wire)
                self._check_histories(wire)
            self.server.kill()
            assert not self.server.complaints()
        finally:
            self.server.close()

    def _load_and_kill(self) -> None:
        with self.server.connect() as wire:
            sessions = [self._create(wire) for _ in range(TALKERS * OWN_SESSIONS + 1)]
            for number in range(IDLE_SESSIONS):  # some lapse before the kill, some while down, some after
                person = {"user_id": f"idle-{self._name}-{number}"}
                timeouts = {"session_timeout": 0.025 * (number + 1)}
                created = wire.ok("session:create", user=person, timeouts=timeouts, attach=False)
                self._idle.append(created["session"])
        shared = sessions.pop()
        load = Load(target=self._chance.randint(20, 800))
        threads: list[threading.Thread] = []
        for number in range(TALKERS):
            own = sessions[number * OWN_SESSIONS : (number + 1) * OWN_SESSIONS]
            stream = requests(f"{self._name}-{number}", [*own, shared], random.Random(self._chance.random()))
            # Connected before the first answer can come: the kill must find all of them talking.
            threads.append(threading.Thread(target=talk, args=(self.server.connect(), load, stream)))
        for thread in threads:
            thread.start()
        reached = load.enough.wait(30)
        self.server.kill()
        for thread in threads:
            thread.join()
        self.server.close()
        assert reached, "the server answered too little to be called under load"
        assert load.errors == []
        self._sent = load.sent
        self._talked_in = {*sessions, shared}

    def _create(self, wire: Wire) -> str:
        return wire.create(user={"user_id": f"talk-{self._name}"}, attach=False)

    def _check_idle(self, wire: Wire) -> None:
        """What fell due, before, during or after the kill, has expired once, at its deadline."""
        for before in self._idle:
            session_id = before["session_id"]
            if wire.session(session_id)["status"] == "active":  # not due yet: its push will come
                wire.request("session:resume", session_id=session_id)
        for before in self._idle:
            session_id = before["session_id"]
            while wire.session(session_id)["status"] == "active":
                wire.push("session:expired")
            session = wire.session(session_id)
            assert (session["status"], session["expiry_reason"]) == ("expired", "inactivity")
            assert session["expired_at"] == before["expires_at"]
            created, expired = wire.history(session_id)
            assert (created["type"], created["seq"]) == ("session:created", 1)
            assert (expired["type"], expired["seq"]) == ("session:expired", 2)
            assert (expired["at"], expired["reason"]) == (before["expires_at"], "inactivity")
        wire.pushes.clear()

    def _check_histories(self, wire: Wire) -> None:
        """Gapless, in the order of time, each message once, and the state is what the events say."""
        for session_id in self._talked_in:
            events, session = wire.history(session_id), wire.session(session_id)
            assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
            assert session["seq"] == len(events)
            instants = [event["at"] for event in events]
            assert instants == sorted(instants)
            stored = Counter(event["message_id"] for event in events if event["type"] == "message:received")
            assert set(stored.values()) <= {1}
            updates = [event for event in events if event["type"] == "session:context:updated"]
            assert [event["context_version"] for event in updates] == list(range(2, len(updates) + 2))
            assert session["context_version"] == len(updates) + 1
            context: Map = {}
            for event in updates:
                context.update(event["patch"])  # flat, and without nil: a merge is an update
            assert session["context"] == context
            doors = [
                event["type"] for event in events if event["type"] in ("session:closed", "session:reopened")
            ]
            assert doors == (["session:closed", "session:reopened"] * len(doors))[: len(doors)]
            assert session["status"] == ("closed" if len(doors) % 2 else "active")

    def _check_answers(self, wire: Wire) -> None:
        """Every acknowledged change is the event that its answer named."""
        histories: dict[str, dict[int, Map]] = {}
        for one in self._sent:
            if one.answer is None or one.answer["type"] == "error":
                assert one.answer is None or one.kind != "message:send", one.answer
                continue
            session_id = one.payload.get("session_id") or one.answer["session_id"]
            if session_id not in histories:
                histories[session_id] = {event["seq"]: event for event in wire.history(session_id)}
            event = histories[session_id][one.answer["seq"]]
            match one.kind:
                case "message:send":
                    assert event["type"] == "message:received"
                    assert event["message_id"] == one.payload["message_id"] == one.answer["message_id"]
                    assert not one.answer["duplicate"]
                case "session:context:update":
                    assert event["type"] == "session:context:updated"
                    assert event["patch"] == one.payload["context"]
                    assert event["context_version"] == one.answer["context_version"]
                case "session:close":
                    assert (event["type"], event["reason"]) == ("session:closed", one.answer["reason"])
                case _:
                    assert event["type"] == "session:reopened"

    def _check_resent(self, wire: Wire) -> None:
        """Everything resent: the acknowledged is a duplicate with the first answer, the rest stored once."""
        messages = [one for one in self._sent if one.kind == "message:send"]
        as_user: dict[str, Any] = {"author": "user", "attach": False}
        for start in range(0, len(messages), 500):
            block = messages[start : start + 500]
            ids = wire.send_many([("message:send", {**one.payload, **as_user}) for one in block])
            for request_id, one in zip(ids, block, strict=True):
                again = wire.reply(request_id)
                assert again["type"] == "message:accepted"
                if one.answer is not None:
                    assert again["duplicate"]
                    for key in ("session_id", "message_id", "seq", "created", "reopened"):
                        assert again[key] == one.answer[key]
                once_more = wire.ok("message:send", **one.payload, **as_user) if one.answer is None else again
                assert once_more["duplicate"]
                assert (once_more["session_id"], once_more["seq"]) == (again["session_id"], again["seq"])


def rounds(folder: Path, count: int) -> None:
    """That many rounds on one file; the seed stands in the failure."""
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    for number in range(count):
        try:
            Round(folder, f"{number}", chance).run()
        except BaseException as error:
            error.add_note(f"round {number} of the seed {seed}")
            raise


def test_kill_9_under_load_loses_and_doubles_nothing_acknowledged(tmp_path: Path) -> None:
    rounds(tmp_path, 2)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_twenty_times_kill_9_under_load_loses_and_doubles_nothing_acknowledged(tmp_path: Path) -> None:
    rounds(tmp_path, 20)
