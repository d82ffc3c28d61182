"""A reader that stops reading is let go and comes back; a server that is told to stop says goodbye."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.server_process import ServerProcess
from tests.integration.wire import Closed, Map, Wire

BIG = "x" * 60_000
MESSAGES = 400
"""24 MB in all: more than the server's bound and the sockets' buffers hold together."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server for the readers that stop reading."""
    with ServerProcess(tmp_path_factory.mktemp("slow"), "--durability", "relaxed") as process:
        yield process
        assert process.stop() == 0
        assert not process.complaints()


def until_the_end(wire: Wire) -> list[Map]:
    """Every frame that still arrives; a reset may cut the last one."""
    return wire.ended(timeout=15)


def test_a_reader_that_stops_reading_is_let_go_and_resumes_without_a_gap(server: ServerProcess) -> None:
    with (
        server.connect() as writer,
        server.connect(receive_buffer=4096) as sleeper,
        server.connect() as reader,
    ):
        session_id = writer.create()
        for wire in (sleeper, reader):
            wire.ok("session:resume", session_id=session_id)
        read: list[int] = []

        def keep_reading() -> None:
            while len(read) < MESSAGES:
                read.append(reader.push("message:received")["seq"])

        reading = threading.Thread(target=keep_reading)
        reading.start()
        for _ in range(MESSAGES):
            writer.ok("message:send", session_id=session_id, text=BIG)
        reading.join()
        newest = MESSAGES + 1
        assert read == list(range(2, newest + 1)), "who reads hears everything"

        frames = until_the_end(sleeper)
        goodbyes = [frame for frame in frames if frame["type"] == "goodbye"]
        assert [frame["code"] for frame in goodbyes] in ([], ["slow_consumer"])
        if goodbyes:
            assert frames[-1] == goodbyes[0], "goodbye is the last frame"
            assert goodbyes[0]["reconnect"] is True
        heard = [frame["seq"] for frame in frames if frame["type"] == "message:received"]
        assert len(heard) < MESSAGES
        assert heard == list(range(2, len(heard) + 2)), "what did arrive has no gap"

        with server.connect() as back:
            last = heard[-1] if heard else 1
            reply = back.ok("session:resume", session_id=session_id, after_seq=last)
            assert reply["complete"]
            caught_up = [event["seq"] for event in reply["events"]]
            if reply["more"]:
                caught_up += [event["seq"] for event in back.history(session_id, caught_up[-1])]
            assert caught_up == list(range(last + 1, newest + 1))
            writer.ok("message:send", session_id=session_id, text="welcome back")
            assert back.push("message:received")["seq"] == newest + 1


def test_a_client_that_asks_without_reading_the_answers_harms_nobody(server: ServerProcess) -> None:
    with server.connect() as writer, server.connect(receive_buffer=4096) as greedy:
        session_id = writer.create()
        for _ in range(20):
            writer.ok("message:send", session_id=session_id, text=BIG)
        # Some 50 MB of answers are asked for. Requests are small: they fit the sockets' buffers.
        greedy.send_many([("session:history", {"session_id": session_id, "limit": 1000})] * 50)
        for _ in range(20):
            assert writer.ok("message:send", session_id=session_id, text="unharmed")
        for frame in until_the_end_or_all(greedy, 50):
            assert frame["type"] in ("session:events", "error", "goodbye")
        assert writer.ok("ping")


def until_the_end_or_all(wire: Wire, answers: int) -> list[Map]:
    """The frames of a connection that gets either all its answers or its end."""
    frames: list[Map] = []
    while len(frames) < answers:
        try:
            frames.append(wire.recv(timeout=15))
        except Closed:
            break
    return frames


def test_sigterm_says_goodbye_and_keeps_everything_acknowledged(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server, server.connect() as talker, server.connect() as listener:
        session_id = talker.create()
        listener.ok("session:resume", session_id=session_id)
        ids = talker.send_many(
            [
                ("message:send", {"session_id": session_id, "message_id": f"m{n}", "text": "x"})
                for n in range(800)
            ]
        )
        accepted = {talker.reply(ids[0])["message_id"]}
        server.signal(signal.SIGTERM)
        *answers, goodbye = talker.ended(timeout=15)
        assert (goodbye["type"], goodbye["code"]) == ("goodbye", "draining")
        assert goodbye["reconnect"] is True
        for answer in answers:
            if answer["type"] == "error":
                assert answer["code"] in ("draining", "overloaded")
                assert answer["retry_after"] > 0
            else:
                accepted.add(answer["message_id"])
        *heard, goodbye = listener.ended(timeout=15)
        assert (goodbye["type"], goodbye["code"]) == ("goodbye", "draining")
        seqs = [event["seq"] for event in heard]
        assert seqs == list(range(2, len(seqs) + 2))
        assert server.wait() == 0
        assert not server.complaints()

    with ServerProcess(tmp_path) as server, server.connect() as wire:
        events = wire.history(session_id)
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        stored = [event["message_id"] for event in events[1:]]
        assert len(set(stored)) == len(stored)
        assert set(stored) >= accepted


def test_a_draining_server_tells_the_silent_too(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, memory=True) as server:
        silent = [server.connect() for _ in range(20)]
        server.signal(signal.SIGTERM)
        for wire in silent:
            (goodbye,) = wire.ended(timeout=15)
            assert (goodbye["type"], goodbye["code"], goodbye["reconnect"]) == ("goodbye", "draining", True)
            wire.close()
        assert server.wait() == 0
