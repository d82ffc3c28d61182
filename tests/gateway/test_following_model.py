"""A client against a model server whose connections break anywhere: none missing, none twice, one copy kept.

The model is the normative text in forty lines: one session, events with a gapless `seq`, replies in the place
of pushes, one answer for one `message_id`, resumes and pages that are cut. Everything runs by hand: no
socket, no time.
"""

from collections import deque
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.gateway.codec import decode, encode
from sojourn.gateway.greeting import Greeting
from sojourn.gateway.happenings import Answered, Lost, Pushed, Refused
from sojourn.gateway.protocol import ClientProtocol

Frame = dict[str, Any]
PAGE = 3


class ModelServer:
    """One session, `s`, and the one connection of the client under test."""

    def __init__(self) -> None:
        self.events: list[Frame] = []
        self.messages: dict[str, int] = {}
        self.attached = False
        self.add("session:created", by="other")

    def add(self, kind: str, **payload: Any) -> Frame:
        event = {"type": kind, "session_id": "s", "seq": len(self.events) + 1, "at": 0.0, **payload}
        self.events.append(event)
        return event

    def answer(self, frame: Frame) -> Frame:
        """Handle a request of the connection; its events are not pushed to it."""
        reply = {"reply_to": frame["id"], "session_id": "s"}
        match frame["type"]:
            case "hello":
                return {**reply, "type": "welcome", "limits": {}}
            case "session:resume":
                self.attached = True
                events, more = self.page(frame["after_seq"])
                state = {"session": {"seq": len(self.events)}, "complete": True}
                return {**reply, **state, "type": "session:resumed", "events": events, "more": more}
            case "session:history":
                events, more = self.page(frame["after_seq"])
                return {**reply, "type": "session:events", "events": events, "more": more}
            case "session:context:update":
                self.attached = True
                return {
                    **reply,
                    "type": "session:context:updated",
                    "seq": self.add("session:context:updated")["seq"],
                }
            case _:
                self.attached = True
                message_id = frame["message_id"]
                duplicate = message_id in self.messages
                if not duplicate:
                    if "context" in frame:
                        self.add("session:context:updated")
                    self.messages[message_id] = self.add("message:received", message_id=message_id)["seq"]
                seq = self.messages[message_id]
                return {**reply, "type": "message:accepted", "seq": seq, "duplicate": duplicate}

    def page(self, after_seq: int) -> tuple[list[Frame], bool]:
        return self.events[after_seq : after_seq + PAGE], len(self.events) > after_seq + PAGE


class World:
    """Client, wire, server; every step is one of the moves that Hypothesis may make."""

    def __init__(self) -> None:
        self.client = ClientProtocol(Greeting())
        self.server = ModelServer()
        self.up: deque[bytes] = deque()
        self.down: deque[bytes] = deque()
        self.connected = False
        self.delivered: list[Frame] = []
        self.settled: dict[int, Any] = {}
        self.sent: dict[int, str] = {}
        self.client.request("session:resume", {"session_id": "s", "after_seq": 0}, 0.0)

    def connect(self) -> None:
        if not self.connected:
            self.connected = True
            self.client.connected(0.0)

    def drop(self) -> None:
        if self.connected:
            self.connected = self.server.attached = False
            self.up.clear()
            self.down.clear()
            self.client.disconnected(0.0)

    def message(self) -> None:
        message_id = f"m{len(self.sent)}"
        payload = {"session_id": "s", "message_id": message_id, "text": ""}
        self.sent[self.client.request("message:send", payload, 0.0)] = message_id

    def message_with_context(self) -> None:
        message_id = f"m{len(self.sent)}"
        payload = {"session_id": "s", "message_id": message_id, "text": "", "context": {"k": 1}}
        self.sent[self.client.request("message:send", payload, 0.0)] = message_id

    def patch(self) -> None:
        self.client.request("session:context:update", {"session_id": "s", "context": {}}, 0.0)

    def other_writes(self) -> None:
        event = self.server.add("message:received", message_id=f"o{len(self.server.events)}")
        if self.server.attached:
            self.down.append(encode(event))

    def server_reads(self) -> None:
        if self.up:
            self.down.append(encode(self.server.answer(decode(self.up.popleft()))))

    def client_reads(self) -> None:
        if self.down:
            self.client.receive(self.down.popleft(), 0.0)

    def pump(self) -> None:
        self.up.extend(self.client.data_to_send())
        while (happening := self.client.next_event()) is not None:
            match happening:
                case Pushed(frame):
                    self.delivered.append(frame)
                case Answered(request_id, _) | Refused(request_id, _) | Lost(request_id, _, _):
                    assert request_id not in self.settled
                    self.settled[request_id] = happening
                case _:
                    pass

    def settle(self) -> None:
        self.connect()
        self.pump()
        while self.up or self.down:
            self.server_reads()
            self.client_reads()
            self.pump()


MOVES = ["connect", "drop", "message", "message_with_context", "patch"]
OFTEN = ["other_writes", "server_reads", "client_reads"]
moves = st.lists(st.sampled_from([*MOVES, *OFTEN, *OFTEN]), max_size=60)


@settings(max_examples=400, deadline=None)
@given(moves)
def test_nothing_is_missing_nothing_comes_twice_wherever_connections_break(made: list[str]) -> None:
    world = World()
    world.connect()
    world.pump()
    for move in made:
        getattr(world, move)()
        world.pump()
    world.settle()
    world.other_writes()
    world.settle()

    seqs = [frame["seq"] for frame in world.delivered]
    assert seqs == sorted(set(seqs))
    own = set(world.sent.values())
    told = {frame["seq"] for frame in world.delivered}
    foreign = {
        event["seq"]
        for event in world.server.events
        if event["type"] == "session:created"
        or (event["type"] == "message:received" and event["message_id"] not in own)
    }
    assert foreign <= told
    assert not [frame for frame in world.delivered if frame.get("message_id") in own]
    for request_id, message_id in world.sent.items():
        answered = world.settled[request_id]
        assert isinstance(answered, Answered)
        assert answered.reply["seq"] == world.server.messages[message_id]
    stored = [event["message_id"] for event in world.server.events if event.get("message_id") in own]
    assert sorted(stored) == sorted(own)
