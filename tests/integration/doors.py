"""The ways into Sojourn, with one interface: what a user and a human at a desk do, and what both are told.

A party's `told` holds what reached it, in the order in which it did: events of the session as they came, and
the answers to what it did itself in the place of the events that say so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Protocol

from sojourn.actors import SessionHandle, Subscription
from sojourn.gateway.server import Server, ServerConfig
from tests.actors.house import PATIENCE, House
from tests.integration.web_wire import WebWire
from tests.integration.wire import Map, Wire

DOORS = ("tcp", "websocket-msgpack", "websocket-json")
"""The transports, and the kinds of message in each."""

QUEUE = "support"
HUMAN = "grace"
ANSWERS = {
    "session:created": "session:created",
    "message:accepted": "message:received",
    "session:assigned": "session:assigned",
    "session:closed": "session:closed",
    "session:reopened": "session:reopened",
}
"""Replies that stand for an event: the type of that event. Any other reply tells of nothing new."""


def wire_by(door: str, address: tuple[str, int]) -> Wire:
    """A connection by one of DOORS, to that port."""
    if door == "tcp":
        return Wire(address)
    return WebWire(address, "json" if door == "websocket-json" else "msgpack")


Told = tuple[str, int]
"""The type of an event and its `seq`; of a `message:delta` the `index`."""


def in_short(frame: Map) -> Told | None:
    """None: a reply that tells of no event."""
    kind: str = frame["type"]
    if "reply_to" not in frame:
        return (kind, frame["index"] if kind == "message:delta" else frame["seq"])
    return (ANSWERS[kind], frame.get("seq", 1)) if kind in ANSWERS else None


class Party(Protocol):
    """Who takes part, or looks on."""

    @property
    def frames(self) -> list[Map]: ...

    def until(self, told: Told) -> None:
        """Wait until it was told that."""
        ...


class User(Party, Protocol):
    def creates(self, timeouts: Map) -> str: ...
    def says(self, text: str, message_id: str) -> None: ...
    def reopens(self) -> None: ...


class Human(Party, Protocol):
    def watches(self) -> None: ...
    def opens(self, session_id: str) -> list[Map]:
        """Follow that session; what has happened in it so far."""
        ...

    def takes(self) -> None: ...
    def says(self, text: str) -> None: ...
    def resolves(self) -> None: ...
    def session(self) -> Map: ...
    def history(self) -> list[Map]: ...


class Door(Protocol):
    @property
    def user(self) -> User: ...
    @property
    def human(self) -> Human: ...
    @property
    def session_timeout(self) -> float:
        """Of the session that is talked in, seconds by this door's clock."""
        ...

    def let_pass(self, seconds: float) -> None:
        """What falls due within that time happens; by a real clock it does so by itself."""
        ...


def told(party: Party) -> list[Told]:
    return [short for frame in party.frames if (short := in_short(frame)) is not None]


# -- over the wire -------------------------------------------------------------------------------------


class WireParty:
    """A connection that keeps every frame, replies too, in the order they came."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.frames: list[Map] = []
        self.wire.heard = self.frames
        self.session_id = ""

    def until(self, told: Told) -> None:
        while told not in map(in_short, self.frames):
            self.wire.recv(PATIENCE)

    def does(self, kind: str, **payload: Any) -> Map:
        return self.wire.ok(kind, session_id=self.session_id, **payload)


class WireUser(WireParty):
    def creates(self, timeouts: Map) -> str:
        self.session_id = self.wire.create(user={"user_id": "ada"}, timeouts=timeouts)
        return self.session_id

    def says(self, text: str, message_id: str) -> None:
        self.does("message:send", text=text, message_id=message_id)

    def reopens(self) -> None:
        self.does("session:reopen")


class WireHuman(WireParty):
    def watches(self) -> None:
        self.wire.ok("hello", protocol=1, role="agent", identity=HUMAN)
        assert self.wire.ok("watch", queues=[QUEUE])["waiting"] == []

    def opens(self, session_id: str) -> list[Map]:
        self.session_id = session_id
        resumed = self.does("session:resume", after_seq=0)
        assert (resumed["complete"], resumed["more"]) == (True, False)
        events: list[Map] = resumed["events"]
        return events

    def takes(self) -> None:
        self.does("session:assign")

    def says(self, text: str) -> None:
        self.does("message:send", text=text)

    def resolves(self) -> None:
        self.does("session:resolve")

    def session(self) -> Map:
        return self.wire.session(self.session_id)

    def history(self) -> list[Map]:
        return self.wire.history(self.session_id)


class WireDoor:
    """Two connections to a server; `house`: the virtual time it lives by, None: it lives on real time."""

    def __init__(
        self, connect: Callable[[], Wire], session_timeout: float, house: House | None = None
    ) -> None:
        self.user = WireUser(connect())
        self.human = WireHuman(connect())
        self.session_timeout = session_timeout
        self._house = house

    def let_pass(self, seconds: float) -> None:
        if self._house is not None:
            self._house.advance(seconds)

    def __enter__(self) -> Door:
        return self

    def __exit__(self, *_: object) -> None:
        self.user.wire.close()
        self.human.wire.close()


@contextmanager
def served(house: House, session_timeout: float, name: str) -> Generator[Door]:
    """Real sockets, and a server in this process whose clock is the house's; `name` is one of DOORS."""
    with house:
        server = Server(house.runtime, ServerConfig(port=0, http_port=None if name == "tcp" else 0))
        house.runtime.run(server.start(), PATIENCE)
        address = server.tcp_address if server.http_address is None else server.http_address
        try:
            with WireDoor(lambda: wire_by(name, address), session_timeout, house) as door:
                yield door
        finally:
            house.runtime.run(server.drain(), PATIENCE)


# -- embedded ------------------------------------------------------------------------------------------


class EmbeddedParty:
    """Whoever talks through the program that embeds the runtime."""

    def __init__(self, house: House) -> None:
        self.frames: list[Map] = []
        self._house = house
        self._session: SessionHandle | None = None
        self._came = threading.Condition()  # guards frames

    def hear(self, event: Map) -> None:
        with self._came:
            self.frames.append(event)
            self._came.notify_all()

    def until(self, told: Told) -> None:
        with self._came:
            assert self._came.wait_for(lambda: told in map(in_short, self.frames), PATIENCE), told

    @property
    def its(self) -> SessionHandle:
        assert self._session is not None
        return self._session


class EmbeddedUser(EmbeddedParty):
    def creates(self, timeouts: Map) -> str:
        self._session = self._house.create(timeouts=timeouts)
        self.hear(self._session.history().result(PATIENCE).events[0])
        self._session.subscribe(self.hear)
        return self._session.id

    def says(self, text: str, message_id: str) -> None:
        self.its.send(text, message_id=message_id).result(PATIENCE)

    def reopens(self) -> None:
        self.its.reopen().result(PATIENCE)


class EmbeddedHuman(EmbeddedParty):
    def __init__(self, house: House) -> None:
        super().__init__(house)
        self._watch: Subscription | None = None

    def watches(self) -> None:
        self._house.runtime.arrive(HUMAN)
        self._watch = self._house.runtime.watch(self.hear, [QUEUE])

    def opens(self, session_id: str) -> list[Map]:
        assert self._watch is not None
        self._watch.cancel()  # a program's subscriptions are each a reader of its own
        self._session = self._house.runtime.session(session_id)
        self._session.subscribe(self.hear)
        return self.history()

    def takes(self) -> None:
        self.its.assign(HUMAN).result(PATIENCE)

    def says(self, text: str) -> None:
        self.its.send(text, author="human", author_id=HUMAN).result(PATIENCE)

    def resolves(self) -> None:
        self.its.resolve().result(PATIENCE)

    def session(self) -> Map:
        return self.its.get().result(PATIENCE)

    def history(self) -> list[Map]:
        page = self.its.history(limit=1000).result(PATIENCE)
        assert not page.more
        return page.events


class EmbeddedDoor:
    """A runtime in this program, on virtual time."""

    def __init__(self, house: House, session_timeout: float) -> None:
        self.user = EmbeddedUser(house)
        self.human = EmbeddedHuman(house)
        self.session_timeout = session_timeout
        self._house = house

    def let_pass(self, seconds: float) -> None:
        self._house.advance(seconds)

    def __enter__(self) -> Door:
        self._house.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._house.__exit__(*exc)
