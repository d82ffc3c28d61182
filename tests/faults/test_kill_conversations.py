"""`kill -9` in the middle of turns, a broadcast, reminders and webhooks, all of it under way at once.

Patient users wait for each answer; hasty ones speak into theirs, and cut it. Beside them a broadcast goes to
all of them and to strangers, reminders fall due before the kill, while nobody is there, and behind it, and
every event goes to a webhook. Then the server is killed, perhaps once more while it mends that, and started
again on its file; everybody resumes where they were, and what all of them were told is held against the
histories. Turns that were interrupted fail in one round and run again in the next.
"""

from __future__ import annotations

import asyncio
import base64
import random
import shutil
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier  # pyright: ignore[reportMissingTypeStubs]

from tests.faults import busy_agent
from tests.gateway.receiver import TAKEN, Post, Receiver
from tests.integration.server_process import ServerProcess
from tests.integration.wire import Closed, Map, Wire

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
PATIENT, HASTY = 4, 3
STRANGERS = 200
PAGE = 20
REMINDED = 24
HELD = 4
"""Webhooks without an answer at the kill, at most: half of those that the server has under way."""
PATIENCE = 20.0
PRIVATE = {"reminder:set", "reminder:cancelled"}
"""Events that no webhook gets."""
ANSWERS = {"session:created", "message:accepted"}


@dataclass
class Told:
    """What one user was told about their session, on one connection after another."""

    session_id: str
    seqs: list[int] = field(default_factory=list[int])
    events: list[Map] = field(default_factory=list[Map])
    """As they were pushed, or replayed."""
    pieces: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    """By message, the `index` of each piece."""

    def note(self, frame: Map) -> None:
        kind = frame["type"]
        if frame.get("session_id") != self.session_id:
            return
        if kind == "message:delta":
            self.pieces.setdefault(frame["message_id"], []).append(frame["index"])
        elif "reply_to" not in frame:
            self.seqs.append(frame["seq"])
            self.events.append(frame)
        elif kind in ANSWERS and not frame.get("duplicate"):
            self.seqs.append(frame.get("seq", 1))

    def outcome_of(self, message_id: str) -> bool:
        """Was there an end of that message's turn?"""
        return any(
            event.get("in_reply_to") == message_id
            or (event["type"], event.get("message_id")) == ("message:failed", message_id)
            for event in self.events
        )


@dataclass
class Load:
    """What one round does until the server dies; `enough` is set when it has had `target` frames."""

    target: int
    enough: threading.Event = field(default_factory=threading.Event)
    errors: list[BaseException] = field(default_factory=list[BaseException])
    _frames: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)  # guards _frames

    def came(self) -> None:
        with self._lock:
            self._frames += 1
            if self._frames >= self.target:
                self.enough.set()


class Talker:
    """A user with one session, who talks until the server dies."""

    def __init__(self, name: str, chance: random.Random, *, hasty: bool) -> None:
        self.user = {"user_id": name}
        self.hasty = hasty
        self.sent: dict[str, Map | None] = {}
        """By message_id, the answer if it came."""
        self.told = Told("")
        self._chance = chance
        self._name = name

    def begin(self, wire: Wire) -> None:
        created = wire.ok("session:create", user=self.user)
        self.told = Told(created["session_id"])
        self.told.note(created)

    def talk(self, wire: Wire, load: Load) -> None:
        try:
            with wire:
                number = 0
                while True:
                    number += 1
                    message_id = f"{self._name}:{number}"
                    self._say(wire, load, message_id)
                    if not self.hasty or self._chance.random() < 0.3:
                        while not self.told.outcome_of(message_id):
                            self._hear(wire, load)
        except Closed:
            pass
        except BaseException as error:  # shown by the main thread
            load.errors.append(error)

    def _say(self, wire: Wire, load: Load, message_id: str) -> None:
        self.sent[message_id] = None  # before it leaves: it may be stored without an answer
        request_id = wire.send(
            "message:send", session_id=self.told.session_id, text="hello", message_id=message_id
        )
        while True:
            frame = self._hear(wire, load)
            if frame.get("reply_to") == request_id:
                assert frame["type"] == "message:accepted", frame
                self.sent[message_id] = frame
                return

    def _hear(self, wire: Wire, load: Load | None = None) -> Map:
        frame = wire.recv(PATIENCE)
        self.told.note(frame)
        if load is not None:
            load.came()
        return frame

    def come_back(self, wire: Wire) -> None:
        """Resume behind what was told, and hear how the last turn ended."""
        told = self.told
        resumed = wire.ok("session:resume", session_id=told.session_id, after_seq=told.seqs[-1])
        assert resumed["complete"]
        assert not resumed["more"]
        for event in [*resumed["events"], *wire.pushes]:
            told.note(event)
        wire.pushes.clear()
        mine = [event for event in wire.history(told.session_id) if event.get("author") == "user"]
        for event in wire.pushes:
            told.note(event)
        wire.pushes.clear()
        while mine and not told.outcome_of(mine[-1]["message_id"]):
            self._hear(wire)

    def resend(self, wire: Wire) -> None:
        """What was not answered is sent once more, and that is enough."""
        lost = [message_id for message_id, answer in self.sent.items() if answer is None]
        assert len(lost) <= 1
        for message_id, answer in self.sent.items():
            payload = {"session_id": self.told.session_id, "text": "hello", "message_id": message_id}
            again = wire.ok("message:send", **payload)
            if answer is not None:
                assert again["duplicate"]
                assert again["seq"] == answer["seq"]
            self.told.note(again)
            for event in wire.pushes:
                self.told.note(event)
            wire.pushes.clear()
            while answer is None and not self.told.outcome_of(message_id):
                self._hear(wire)

    def check(self, wire: Wire, interrupted: str) -> None:
        """Told once, in order, without a gap, and what is stored; each message stored and answered once."""
        events = wire.history(self.told.session_id)
        for event in wire.pushes:
            self.told.note(event)
        wire.pushes.clear()
        assert self.told.seqs == [event["seq"] for event in events] == list(range(1, len(events) + 1))
        for event in self.told.events:
            assert event == events[event["seq"] - 1]
        for indexes in self.told.pieces.values():  # who resumes amid a turn hears the rest of it
            assert indexes == list(range(indexes[0], indexes[-1] + 1))
        stored = Counter(event["message_id"] for event in events if event.get("author") == "user")
        assert stored == Counter(self.sent.keys())
        check_turns(events, interrupted, cut_by_nobody=not self.hasty)


def check_turns(events: list[Map], interrupted: str, *, cut_by_nobody: bool) -> None:
    """Each message of a user has one whole answer with its context, or one failure, or was cut."""
    context: Map = {}
    ends: dict[str, str] = {}
    for before, event in zip([{}, *events], events, strict=False):
        kind = event["type"]
        if kind == "session:context:updated":
            context = event["patch"]
        elif kind == "message:failed":
            assert (event["code"], interrupted) == ("turn_interrupted", "fail")
            assert event["message_id"] not in ends
            ends[event["message_id"]] = "failed"
        elif kind == "message:received" and event["author"] == "ai":
            message_id = event["in_reply_to"]
            assert message_id not in ends, f"{message_id} is answered twice"
            if event.get("cut"):
                ends[message_id] = "cut"
                assert f"{message_id}: here it is".startswith(event["text"])
            else:
                ends[message_id] = "whole"
                assert event["text"] in {f"{message_id}: here it is", f"{message_id}: noted"}
                assert before["type"] == "session:context:updated", "the answer is there without its context"
                assert context == {"answered": message_id}
    answered = {message_id for message_id, end in ends.items() if end == "whole"}
    updates = [event for event in events if event["type"] == "session:context:updated"]
    assert {event["patch"]["answered"] for event in updates} == answered
    assert len(updates) == len(answered)
    if cut_by_nobody:
        asked = {event["message_id"] for event in events if event.get("author") == "user"}
        assert set(ends) == asked
        assert "cut" not in ends.values()


class Collecting:
    """The webhooks' receiver, in a thread, which verifies what comes with the specification's library.

    While it `holds`, some posts get no answer: the kill finds them under way, and they are not taken.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.came = threading.Condition()  # guards bodies and order
        self.bodies: dict[str, list[Any]] = {}
        """By webhook-id, the event of each post that was taken."""
        self.order: list[str] = []
        self._loop = loop
        self._verifier: Any = Verifier(SECRET)
        self._posts = 0
        self._held = 0
        self._let_go = asyncio.Event()
        self._let_go.set()

    @contextmanager
    def holds(self) -> Generator[None]:
        self._loop.call_soon_threadsafe(self._let_go.clear)
        yield
        self._loop.call_soon_threadsafe(self._let_go.set)

    async def take(self, post: Post) -> bytes:
        self._verifier.verify(post.body, post.headers)
        self._posts += 1
        if not self._let_go.is_set() and self._posts % 5 == 0 and self._held < HELD:
            self._held += 1
            await self._let_go.wait()
            self._held -= 1
            return b""
        with self.came:
            self.bodies.setdefault(post.id, []).append(post.content["data"])
            self.order.append(post.id)
            self.came.notify_all()
        return TAKEN

    def wait_for(self, ids: set[str]) -> None:
        with self.came:
            assert self.came.wait_for(lambda: ids <= self.bodies.keys(), 2 * PATIENCE), (
                f"{len(ids - self.bodies.keys())} of {len(ids)} events are missing"
            )


@contextmanager
def collecting() -> Generator[tuple[Collecting, str]]:
    loop = asyncio.new_event_loop()
    collected = Collecting(loop)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    receiver = Receiver(collected.take)
    try:
        asyncio.run_coroutine_threadsafe(receiver.__aenter__(), loop).result(PATIENCE)
        yield collected, receiver.url
    finally:
        asyncio.run_coroutine_threadsafe(receiver.__aexit__(None, None, None), loop).result(PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class Round:
    """Load, kill, restart, check."""

    def __init__(
        self, folder: Path, name: str, chance: random.Random, hooks: Collecting, interrupted: str
    ) -> None:
        """`interrupted`: what becomes of turns that ran, `fail` or `rerun`."""
        self._folder = folder
        self._name = name
        self._chance = chance
        self._hooks = hooks
        self._interrupted = interrupted
        self._talkers = [
            Talker(f"{name}-{number}", random.Random(chance.random()), hasty=number >= PATIENT)
            for number in range(PATIENT + HASTY)
        ]
        self._reminded: list[str] = []
        people = [talker.user for talker in self._talkers]
        people += [{"user_id": f"{name}-stranger-{number}"} for number in range(STRANGERS)]
        chance.shuffle(people)
        self._pages = [people[start : start + PAGE] for start in range(0, len(people), PAGE)]
        self._reached: list[Map | None] = [None] * len(self._pages)
        """Each page's answer, if it came."""

    def run(self) -> None:
        server = self._serve()
        try:
            self._load_and_kill(server)
            server = self._serve()
            if self._chance.random() < 0.5:
                server.kill()
                server.close()
                server = self._serve()
            self._check(server)
            server.kill()
            assert not server.complaints()
        finally:
            server.close()

    def _serve(self) -> ServerProcess:
        settings = str(self._folder / "settings.toml")
        environment = {"SOJOURN_INTERRUPTED_TURNS": self._interrupted}
        return ServerProcess(
            self._folder, "--agent", "busy_agent:answer", "--settings", settings, environment=environment
        )

    def _load_and_kill(self, server: ServerProcess) -> None:
        load = Load(target=self._chance.randint(60, 900))
        wires = [server.connect() for _ in self._talkers]
        for talker, wire in zip(self._talkers, wires, strict=True):
            talker.begin(wire)
        threads = [
            threading.Thread(target=talker.talk, args=(wire, load))
            for talker, wire in zip(self._talkers, wires, strict=True)
        ]
        threads.append(threading.Thread(target=self._broadcast, args=(server.connect("service"), load)))
        self._remind(server)
        with self._hooks.holds():
            for thread in threads:
                thread.start()
            reached = load.enough.wait(PATIENCE)
            server.kill()
        for thread in threads:
            thread.join()
        server.close()
        assert load.errors == []
        assert reached, "the server said too little to be called under load"

    def _remind(self, server: ServerProcess) -> None:
        """Their turns may still run when the server is killed."""
        with server.connect() as wire:
            self._reminded = [
                wire.create(user={"user_id": f"{self._name}-reminded-{number}"}) for number in range(REMINDED)
            ]
            ids = wire.send_many(
                [
                    (
                        "message:send",
                        {
                            "session_id": session_id,
                            "text": f"remind tea {0.1 * number:.1f}",
                            "message_id": session_id,
                        },
                    )
                    for number, session_id in enumerate(self._reminded)
                ]
            )
            for request_id in ids:
                assert wire.reply(request_id)["type"] == "message:accepted"

    def _broadcast(self, wire: Wire, load: Load) -> None:
        try:
            with wire:
                for number, page in enumerate(self._pages):
                    self._reached[number] = wire.ok("broadcast:send", users=page, **self._news())
                    load.came()
        except Closed:
            pass
        except BaseException as error:  # shown by the main thread
            load.errors.append(error)

    def _news(self) -> Map:
        return {"text": "news", "broadcast_id": f"news-{self._name}"}

    def _check(self, server: ServerProcess) -> None:
        with server.connect("service") as service:
            wires = [server.connect() for _ in self._talkers]
            for talker, wire in zip(self._talkers, wires, strict=True):
                talker.come_back(wire)
            for talker, wire in zip(self._talkers, wires, strict=True):
                talker.resend(wire)
            self._check_broadcast(service)
            self._check_reminders(service)
            for talker, wire in zip(self._talkers, wires, strict=True):
                talker.check(wire, self._interrupted)
                wire.close()
            self._check_hooks(service)

    def _check_broadcast(self, service: Wire) -> None:
        """Repeated, it reaches who is missing: in the end everybody has it once."""
        for before, page in zip(self._reached, self._pages, strict=True):
            again = service.ok("broadcast:send", users=page, **self._news())
            assert again["failed"] == []
            assert again["created"] + again["delivered"] == len(page)
            if before is not None:
                assert {**again, "reply_to": None} == {**before, "reply_to": None}
        for page in self._pages:
            for user in page:
                (session,) = service.ok("session:list", user_id=user["user_id"])["sessions"]
                news = [event for event in service.history(session["session_id"]) if "broadcast_id" in event]
                assert len(news) == 1

    def _check_reminders(self, service: Wire) -> None:
        """What was set has fired once, at its instant; a turn that was interrupted has set none."""
        for session_id in self._reminded:
            service.ok("session:resume", session_id=session_id)
        for session_id in self._reminded:
            while not (events := self._settled(service.history(session_id))):
                service.push()
            check_turns(events, self._interrupted, cut_by_nobody=True)
            put = [event for event in events if event["type"] == "reminder:set"]
            fired = [event for event in events if event["type"] == "reminder:fired"]
            answers = [event for event in events if event.get("author") == "ai"]
            assert len(put) == len(fired) == len(answers) <= 1
            for one, other in zip(put, fired, strict=True):
                assert other["at"] == one["due_at"]
                assert (other["name"], other["data"]) == ("tea", {"for": session_id})
        service.pushes.clear()

    def _settled(self, events: list[Map]) -> list[Map]:
        """Nothing when something is still to come."""
        kinds = {event["type"] for event in events}
        return events if kinds & {"message:failed", "reminder:fired"} else []

    def _check_hooks(self, service: Wire) -> None:
        """Each event came, in the order of its session, under its id, whatever came twice the same."""
        events = {
            f"{event['session_id']}:{event['seq']}": event
            for session_id in self._sessions(service)
            for event in service.history(session_id)
            if event["type"] not in PRIVATE
        }
        self._hooks.wait_for(set(events))
        with self._hooks.came:
            for event_id, event in events.items():
                assert all(body == event for body in self._hooks.bodies[event_id])
            assert self._hooks.bodies.keys() == events.keys()
            last: dict[str, int] = {}
            for event_id in dict.fromkeys(self._hooks.order):
                session_id, _, seq = event_id.rpartition(":")
                assert int(seq) > last.get(session_id, 0)
                last[session_id] = int(seq)

    def _sessions(self, service: Wire) -> list[str]:
        found: list[str] = []
        cursor = None
        while True:
            page = service.ok("session:list", limit=1000, cursor=cursor)
            found += (session["session_id"] for session in page["sessions"])
            cursor = page["cursor"]
            if cursor is None:
                return found


def rounds(folder: Path, count: int) -> None:
    """That many rounds on one file; the seed stands in the failure."""
    shutil.copy(busy_agent.__file__, folder)
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    with collecting() as (hooks, url):
        (folder / "settings.toml").write_text(f'[[webhooks]]\nurl = "{url}"\nsecret = "{SECRET}"\n')
        for number in range(count):
            try:
                Round(folder, f"{number}", chance, hooks, ("fail", "rerun")[number % 2]).run()
            except BaseException as error:
                error.add_note(f"round {number} of the seed {seed}")
                raise


@pytest.mark.timeout(180)
def test_kill_9_in_turns_broadcast_reminders_and_webhooks_loses_and_doubles_nothing(tmp_path: Path) -> None:
    rounds(tmp_path, 1)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_twelve_times_kill_9_in_all_of_it_loses_and_doubles_nothing(tmp_path: Path) -> None:
    rounds(tmp_path, 12)
