"""The examples run as their first lines say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.server_process import ServerProcess
from tests.integration.wire import Wire

EXAMPLES = Path(__file__).parents[1] / "examples"


def program(*lines: str, folder: Path) -> list[str]:
    """What the embedded agent prints when these lines are typed."""
    result = subprocess.run(
        [sys.executable, EXAMPLES / "embedded_asyncio.py"],
        input="".join(f"{line}\n" for line in lines),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_the_embedded_agent_answers_asks_back_and_calls_a_human(tmp_path: Path) -> None:
    said = program(
        "My mouse is not responding",
        "What is the Milky way?",
        "yes",
        'flurb" OR * NEAR(',
        "Can I talk to a human?",
        folder=tmp_path,
    )
    assert said == [
        "faq: Try plugging it into another USB port or changing the batteries.",
        "faq: Did you mean: What is the name of the nearest major galaxy to the Milky Way?",
        "faq: The Andromeda Galaxy.",
        "faq: I don't know that. Ask me about computers, or for a human.",
        "faq: Let me get somebody.",
        "– waits for a human in faq",
    ]


def test_the_next_run_goes_on_and_gives_another_answer_to_the_same_greeting(tmp_path: Path) -> None:
    first, second = program("hello", folder=tmp_path), program("hello", folder=tmp_path)
    assert len({*first, *second}) == 2


def test_without_the_corpus_one_line_says_what_to_install() -> None:
    program = "import sys; sys.modules['chatterbot_corpus'] = None; import faq_agent"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=EXAMPLES, capture_output=True, text=True, timeout=30, check=False
    )
    assert result.returncode == 1
    assert result.stderr == "the questions are in a package: pip install chatterbot-corpus\n"


# -- served --------------------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(
        tmp_path,
        "--agent",
        "faq_agent:answer",
        environment={"PYTHONPATH": str(EXAMPLES)},
        memory=True,
    ) as server:
        yield server
        assert server.stop() == 0
        assert not server.complaints()


def answered(wire: Wire, session_id: str, text: str) -> tuple[list[str], dict[str, Any]]:
    """The pieces of the answer as they were pushed, and the whole."""
    wire.ok("message:send", session_id=session_id, text=text)
    pieces: list[str] = []
    while (event := wire.push())["type"] != "message:received":
        if event["type"] == "message:delta":
            pieces.append(event["text"])
    return pieces, event


def test_the_served_agent_streams_and_hands_over_after_two_misses(served: ServerProcess) -> None:
    with served.connect() as wire:
        session_id = wire.create(user={"user_id": "ada"})
        pieces, whole = answered(wire, session_id, "my computer won't turn on")
        assert "".join(pieces) == whole["text"]
        assert whole["text"] == "Check if it's plugged in and hold the power button for 10 seconds."
        assert whole["author"] == "ai"
        for miss in ("flurb", "flarb", "flirb"):
            answered(wire, session_id, miss)
        session = wire.session(session_id)
        assert (session["handling"], session["queue"], session["tags"]) == ("queued", "faq", ["tech_support"])
