"""The dialogs that the documentation shows, and the example, are right."""

import re
from pathlib import Path

import pytest

from sojourn.actors.dialog import load_dialog, read_dialog
from sojourn.actors.dialog_actions import _READERS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "dialogs.md").read_text()


@pytest.mark.parametrize(
    "text", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL), ids=["smallest", "conditions"]
)
def test_each_dialog_of_the_page_is_right(text: str) -> None:
    assert read_dialog(text).nodes


def test_the_page_names_every_action() -> None:
    assert [action for action in _READERS if f"`{action}:" not in PAGE] == []


def test_the_example_is_right() -> None:
    assert load_dialog(ROOT / "examples" / "order_status.yaml").name == "order status"
