"""An agent over the wire: streamed in pieces, cut by the user, failed after a crash."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.integration.conftest import Launch
from tests.integration.server_process import ServerProcess
from tests.prepared import run_sojourn

AGENT = '''
import asyncio

written = 0


async def answer(turn):
    """Streams, holds or fails, as it is told."""
    if turn.text == "hold":
        await turn.write("so ")
        await turn.write("far")
        await asyncio.Event().wait()
    elif turn.text == "fail":
        raise ValueError("no")
    else:
        for piece in ("Hel", "lo"):
            await turn.write(piece)
'''


def folder_with_agent(tmp_path: Path) -> Path:
    if not (tmp_path / "shop.py").exists():
        (tmp_path / "shop.py").write_text(AGENT)
    return tmp_path


def serve(launch: Launch, tmp_path: Path, **settings: str) -> ServerProcess:
    environment = {f"SOJOURN_{name.upper()}": value for name, value in settings.items()}
    folder = folder_with_agent(tmp_path)
    return launch("--agent", "shop:answer", environment=environment, folder=folder)


def test_an_answer_comes_in_pieces_to_all_who_are_attached_and_is_stored_once(
    launch: Launch, tmp_path: Path
) -> None:
    server = serve(launch, tmp_path)
    user, other = server.connect("user"), server.connect("agent", "grace")
    session_id = user.create(user={"user_id": "ada"})
    other.ok("session:resume", session_id=session_id)
    user.ok("message:send", session_id=session_id, text="hi", message_id="m")
    other.push("message:received")
    for wire in (user, other):
        first, second, whole = (wire.push() for _ in range(3))
        assert [(each["type"], each["index"], each["text"]) for each in (first, second)] == [
            ("message:delta", 0, "Hel"),
            ("message:delta", 1, "lo"),
        ]
        assert "seq" not in first
        assert whole["type"] == "message:received"
        assert (whole["author"], whole["text"], whole["in_reply_to"], whole["seq"]) == ("ai", "Hello", "m", 3)
        assert first["message_id"] == second["message_id"] == whole["message_id"]
        assert "cut" not in whole
    assert [event["type"] for event in user.history(session_id)] == [
        "session:created",
        "message:received",
        "message:received",
    ]


def test_a_user_who_speaks_again_cuts_the_answer(launch: Launch, tmp_path: Path) -> None:
    user = serve(launch, tmp_path).connect("user")
    session_id = user.create(user={"user_id": "ada"})
    user.ok("message:send", session_id=session_id, text="hold")
    assert [user.push("message:delta")["text"] for _ in range(2)] == ["so ", "far"]
    user.ok("message:send", session_id=session_id, text="hi")
    cut = user.push("message:received")
    assert (cut["text"], cut["cut"], cut["seq"]) == ("so far", True, 3)
    for _ in range(2):
        user.push("message:delta")
    assert user.push("message:received")["text"] == "Hello"
    assert [event.get("text") for event in user.history(session_id)] == [
        None,
        "hold",
        "so far",
        "hi",
        "Hello",
    ]


def test_with_reject_a_second_message_is_overloaded(launch: Launch, tmp_path: Path) -> None:
    user = serve(launch, tmp_path, turn_policy="reject").connect("user")
    session_id = user.create(user={"user_id": "ada"})
    user.ok("message:send", session_id=session_id, text="hold")
    error = user.refused("message:send", session_id=session_id, text="hi", message_id="m")
    assert (error["code"], error["details"]["limit"]) == ("overloaded", "turn_policy")
    assert error["retry_after"] > 0
    user.ok("session:close", session_id=session_id)
    assert not user.ok("message:send", session_id=session_id, text="hi", message_id="m")["duplicate"]


def test_a_failed_answer_is_said_and_the_fallback_follows(launch: Launch, tmp_path: Path) -> None:
    user = serve(launch, tmp_path, fallback_text="Sorry.", fallback_queue="help").connect("user")
    session_id = user.create(user={"user_id": "ada"})
    user.ok("message:send", session_id=session_id, text="fail", message_id="m")
    failed = user.push("message:failed")
    assert (failed["message_id"], failed["code"]) == ("m", "internal_error")
    assert user.push("message:received")["text"] == "Sorry."
    assert user.push("session:handed_over")["queue"] == "help"


@pytest.mark.parametrize("turns", ["fail", "rerun"])
def test_a_killed_server_says_what_became_of_the_answer_that_ran(
    launch: Launch, tmp_path: Path, turns: str
) -> None:
    server = serve(launch, tmp_path)
    user = server.connect("user")
    session_id = user.create(user={"user_id": "ada"})
    user.ok("message:send", session_id=session_id, text="hold", message_id="m")
    for _ in range(2):
        user.push("message:delta")
    server.kill()
    (tmp_path / "shop.py").write_text(AGENT.replace('== "hold"', '== "never"'))
    for _ in range(2):  # once, however often it is started again
        server = serve(launch, tmp_path, interrupted_turns=turns)
        user = server.connect("user")
        user.ok("session:resume", session_id=session_id)
        events = user.history(session_id)
        if turns == "rerun" and len(events) < 3:
            while user.push()["type"] != "message:received":
                pass
            events = user.history(session_id)
        elif len(events) < 3:
            user.push("message:failed")
            events = user.history(session_id)
        assert len(events) == 3
        if turns == "fail":
            assert (events[2]["type"], events[2]["code"], events[2]["message_id"]) == (
                "message:failed",
                "turn_interrupted",
                "m",
            )
        else:
            assert (events[2]["author"], events[2]["text"], events[2]["in_reply_to"]) == ("ai", "Hello", "m")
        server.kill()


@pytest.mark.parametrize(
    ("place", "word"),
    [
        ("shop", "MODULE:FUNCTION"),
        ("nowhere:answer", "no module 'nowhere'"),
        ("shop:nothing", "has no 'nothing'"),
        ("shop:written", "nothing that can be called"),
    ],
)
def test_an_agent_that_is_not_there_stops_the_server_with_one_line(
    tmp_path: Path, place: str, word: str
) -> None:
    folder = folder_with_agent(tmp_path)
    words = ("serve", "--port", "0", "--http-port", "off", "--agent", place)
    ended = run_sojourn(*words, environment=os.environ, folder=folder)
    assert ended.returncode == 2
    assert word in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
