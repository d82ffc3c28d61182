"""`sojourn serve --dialog`: a server that answers with a dialog file."""

import os
from pathlib import Path

import pytest

from tests.integration.server_process import ServerProcess
from tests.integration.wire import Wire
from tests.prepared import run_sojourn

EXAMPLE = Path(__file__).parents[2] / "examples" / "order_status.yaml"


def messages(wire: Wire, count: int) -> list[str]:
    """The next messages that are pushed, without what shows them being written."""
    found: list[str] = []
    while len(found) < count:
        event = wire.push()
        if event["type"] == "message:received":
            found.append(event["text"])
    return found


def test_a_server_answers_with_a_dialog(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, "--dialog", str(EXAMPLE)) as server:
        with server.connect() as wire:
            session_id = wire.ok("session:create", user={"user_id": "ada"})["session_id"]
            wire.ok("message:send", session_id=session_id, text="order A-0001")
            assert messages(wire, 3)[1:] == ["Order A-0001 is on its way.", "Does that help?"]
            wire.ok("message:send", session_id=session_id, text="human")
            while (event := wire.push())["type"] != "session:handed_over":
                assert event["type"] != "message:received"
            assert event["queue"] == "orders"
        assert server.stop() == 0


def test_an_expression_that_fails_is_told_on_the_wire_and_the_talk_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "half.yaml"
    path.write_text(
        "nodes:\n  any:\n    trigger: {fallback: true}\n    if: context.missing > 1\n"
        "    do: [{say: never}]\n    else: [{say: otherwise}]\n"
    )
    with ServerProcess(tmp_path, "--dialog", str(path)) as server, server.connect() as wire:
        session_id = wire.ok("session:create", user={"user_id": "ada"})["session_id"]
        for message_id in ("m1", "m2"):
            wire.ok("message:send", session_id=session_id, text="hi", message_id=message_id)
            assert messages(wire, 1) == ["otherwise"]
            failed = wire.push("message:failed")
            assert (failed["code"], failed["message_id"]) == ("expression_failed", message_id)
            assert "any" in failed["message"]


@pytest.mark.parametrize(
    ("text", "why"), [("nodes: 1\n", "bad.yaml:1: `nodes` must be"), (None, "No such file")]
)
def test_a_server_does_not_start_with_a_wrong_dialog(tmp_path: Path, text: str | None, why: str) -> None:
    path = tmp_path / "bad.yaml"
    if text is not None:
        path.write_text(text)
    words = ("serve", "--port", "0", "--http-port", "off", "--db", str(tmp_path / "s.db"))
    result = run_sojourn(*words, "--dialog", str(path), environment=os.environ)
    assert result.returncode == 1
    assert why in result.stderr
