"""`sojourn dialogs check` and `run`, with the example that the documentation shows."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from sojourn.gateway.cli import app

EXAMPLE = Path(__file__).parents[2] / "examples" / "order_status.yaml"


def talk(*lines: str, options: tuple[str, ...] = ()) -> list[str]:
    """What is shown when these lines are typed."""
    result = CliRunner().invoke(
        app, ["dialogs", "run", str(EXAMPLE), *options], input="".join(f"{line}\n" for line in lines)
    )
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def test_check_finds_nothing_in_the_example() -> None:
    result = CliRunner().invoke(app, ["dialogs", "check", str(EXAMPLE)])
    assert (result.exit_code, result.stdout) == (0, f"{EXAMPLE}: ok, 11 nodes\n")


def test_check_names_each_mistake_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "nodes:\n  a:\n    trigger: {text: a}\n    if: context.a >\n    do:\n      - goto: c\n"
        "  b:\n    do: [{say: x}]\n"
    )
    result = CliRunner().invoke(app, ["dialogs", "check", str(EXAMPLE), str(path)])
    assert result.exit_code == 1
    ok, syntax, unknown, unreached = result.stdout.splitlines()
    assert ok.endswith("ok, 11 nodes")
    assert syntax.startswith(f"{path}:4: 1:12: Syntax error")
    assert unknown == f"{path}:6: unknown node 'c'; known: a, b"
    assert unreached == f"{path}:7: node 'b' is never reached: it has no trigger and nothing leads to it"


@pytest.mark.parametrize("word", ["check", "run"])
def test_a_file_that_is_not_there_is_one_line(word: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["dialogs", word, str(tmp_path / "none.yaml")])
    assert result.exit_code == 1
    assert "No such file" in result.stderr


def test_run_says_the_mistakes_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("nodes: 1\n")
    result = CliRunner().invoke(app, ["dialogs", "run", str(path)])
    assert (result.exit_code, result.stdout) == (
        1,
        f"{path}:1: `nodes` must be a map with at least one node\n",
    )


def test_an_order_is_asked_for_twice_and_then_found() -> None:
    assert talk("hi", "where is my parcel?", "no idea", "A-1234", "yes") == [
        "dialog Hello! Ask me where your order is.",
        "dialog What is the number of your order? It looks like A-1234.",
        "dialog That is no order number. It looks like A-1234.",
        "dialog Order A-1234 is on its way.",
        "dialog Does that help?",
        "dialog Have a good day!",
        "– session:closed (answered)",
    ]


def test_a_number_in_the_first_message_is_taken_and_a_no_leads_to_a_human() -> None:
    assert talk("order B-0001?", "no")[1:] == [
        "dialog Order B-0001 is packed.",
        "dialog Does that help?",
        "dialog Let me get somebody.",
        "– handed over to orders",
    ]


def test_waiting_fires_the_reminder_and_a_human_can_be_asked_for_at_any_time() -> None:
    assert talk("remind me later", "/wait 1800", "my order", "human")[1:] == [
        "dialog I will come back to you in half an hour.",
        "– reminder:fired (order)",
        "dialog Half an hour has passed: shall I look where your order is?",
        "dialog What is the number of your order? It looks like A-1234.",
        "– handed over to orders",
    ]


def test_silence_begins_the_dialog_anew_and_then_expires_the_session() -> None:
    shown = talk("my order", "/wait 60", "B-0001", "/wait 3600", "hi", options=("--dialog-timeout", "60"))
    assert shown[2:5] == [
        "– dialog:expired",
        "dialog Hello! Ask me where your order is.",
        "– dialog:expired",
    ]
    assert shown[5] == "– session:expired (inactivity)"
    assert shown[6].startswith("– session_expired: ")


def test_commands_say_what_they_take() -> None:
    shown = talk("/help", "/wait long", "/wait -1", "/dance", "/event", "/state", "/quit", "hi")
    assert "/wait SECONDS" in shown[0]
    assert shown[2:4] == ["/wait takes seconds, 0 to 1,000,000,000"] * 2
    assert shown[4:6] == [
        "unknown command /dance: /help names them",
        "unknown command /event: /help names them",
    ]
    assert shown[6:] == ["active ai tags=[] context={}"]
