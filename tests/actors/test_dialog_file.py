"""Dialog files: what is read of them, and each kind of mistake with its line."""

from pathlib import Path

import pytest

from sojourn.actors.dialog_file import load_dialog, read_dialog
from sojourn.actors.dialog_yaml import InvalidDialog, Problem

GOOD = """\
dialog: test
nodes:
  hello:
    trigger: {text: hello}
    do:
      - say: Hello
"""


def problems(text: str) -> list[Problem]:
    with pytest.raises(InvalidDialog) as refused:
        read_dialog(text, "bad.yaml")
    return refused.value.problems


def node(actions: str, more: str = "") -> str:
    """A file whose node's actions begin in line 6."""
    return f"dialog: test\nnodes:\n  hello:\n    trigger: {{text: hello}}\n    do:\n{actions}{more}"


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    dialog = load_dialog(path)
    assert dialog.name == "test"
    assert list(dialog.nodes) == ["hello"]


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("", 1, "the file is empty"),
        ("nodes: [", 1, "no YAML"),
        ("dialog: a\x07b", 1, "no YAML"),
        ("- a\n- b\n", 1, "a dialog is a map"),
        ("dialog: x\n", 1, "`nodes` must be a map"),
        ("nodes: {}\n", 1, "`nodes` must be a map"),
        (GOOD + "timezone: Mars/Olympus\n", 7, "unknown timezone"),
        (GOOD + "timezone: ../etc\n", 7, "unknown timezone"),
        (GOOD + "node: {}\n", 7, "did you mean 'nodes'?"),
        (GOOD + "  hello:\n    do: [{say: x}]\n", 7, "'hello' stands here twice"),
        ("a: &x [1]\nb: *x\n", 1, "anchors"),
        ("a: !!python/object:os.system {}\n", 1, "is not taken"),
        ("[" * 100 + "]" * 100, 1, "nested deeper"),
        ("[" * 5000 + "]" * 5000, 1, "nested deeper"),
        ("#" * 300_000, 1, "larger than"),
        (GOOD + "  b:\n    do:\n      - say: x\n", 7, "'b' is never reached"),
        (GOOD.replace("{text: hello}", "{txt: hello}"), 4, "did you mean 'text'?"),
        (GOOD.replace("{text: hello}", "{text: '?!'}"), 4, "no word to look for"),
        (GOOD.replace("{text: hello}", "{pattern: '(a'}"), 4, "missing )"),
        (GOOD.replace("{text: hello}", "{pattern: '(?=a)'}"), 4, "pattern"),
        (GOOD.replace("{text: hello}", "{text: a, fallback: true}"), 4, "one of text"),
        (GOOD.replace("{text: hello}", "{}"), 4, "one of text"),
        (GOOD.replace("{text: hello}", "{fallback: 1}"), 4, "true or false"),
        (GOOD.replace("{text: hello}", "{event: a, always: true}"), 4, "goes with text"),
        (GOOD.replace("    trigger: {text: hello}\n", ""), 3, "no node has a trigger"),
        (GOOD.replace("    do:\n      - say: Hello\n", ""), 3, "has no `do`"),
        (GOOD.replace("    do:", "    if: context.a =\n    do:"), 5, "Syntax error"),
        (GOOD.replace("    do:", "    iff: 'true'\n    do:"), 5, "unknown key 'iff'"),
        (node("      say: x\n"), 5, "a list of actions"),
        (node("      - x\n"), 6, "an action is a map"),
        (node("      - {say: x, goto: hello}\n"), 6, "one word"),
        (node("      - {if: 'true'}\n"), 6, "one word, not none"),
        (node("      - sai: x\n"), 6, "did you mean 'say'?"),
        (node("      - say:\n"), 6, "is a text"),
        (node("      - say: [a]\n"), 6, "is a text"),
        (node("      - say: 'a {{ context. }}'\n"), 6, "Syntax error"),
        (node("      - say: 'a {{ b'\n"), 6, "{{ without its }}"),
        (node("      - say: '{{ nothing + 1 }}'\n"), 6, "unknown name 'nothing'"),
        (node("      - goto: hallo\n"), 6, "unknown node 'hallo': did you mean 'hello'?"),
        (node("      - goto: hello\n      - say: x\n"), 7, "never done"),
        (node("      - ask: {question: x}\n"), 6, "ask needs `save`"),
        (node("      - ask: {question: x, save: y, type: nmber}\n"), 6, "did you mean 'number'?"),
        (node("      - ask: {question: x, save: y, tries: 0}\n"), 6, "`tries` is 1 to 20"),
        (node("      - ask: {question: x, save: y, pattern: '['}\n"), 6, "missing ]"),
        (node("      - ask: {question: x, save: y, check: 'answr > 1'}\n"), 6, "unknown name 'answr'"),
        (node("      - ask: {question: x, save: y, else: z}\n"), 6, "unknown node 'z'"),
        (node("      - ask: {question: x, save: app.y}\n"), 6, "read only"),
        (node("      - ask: {question: x, save: _dialog}\n"), 6, "the dialog's own"),
        (node("      - set: x\n"), 6, "takes a map"),
        (node("      - set: {a: {b: ['{{ 1 + }}']}}\n"), 6, "Syntax error"),
        (node("      - reset: []\n"), 6, "`reset` is empty"),
        (node("      - tag: 7\n"), 6, "is a text"),
        (node("      - remind: {name: x}\n"), 6, "remind needs `after`"),
        (node("      - remind: {name: x, after: -1}\n"), 6, "`after` is 1 to"),
        (node("      - pause: 18\n"), 6, "`pause` is 0.1 to 17"),
        (node("      - pause: long\n"), 6, "`pause` is a number"),
        (node("      - webhook: {save: x}\n"), 6, "webhook needs `url`"),
        (node("      - webhook: {url: 'ftp://a/b'}\n"), 6, "begins with http"),
        (node("      - webhook: {url: 'http://{{ host }}/b'}\n"), 6, "begins with http"),
        (node("      - webhook: {url: 'http://a:99999/b'}\n"), 6, "begins with http"),
        (node("      - webhook: {url: 'http://a{{ host }}/b'}\n"), 6, "begins with http"),
        (node("      - webhook: {url: 'http://a/b', else: z}\n"), 6, "unknown node 'z'"),
        (node("      - say: x\n" * 51), 5, "at most 50"),
    ],
    ids=lambda value: str(value)[-48:].replace("\n", " ") if isinstance(value, str) else None,
)
def test_each_mistake_is_named_with_its_line(text: str, line: int, why: str) -> None:
    found = problems(text)
    assert [problem for problem in found if why in problem.text and problem.line == line], found
    assert f"bad.yaml:{found[0].line}: " in str(InvalidDialog("bad.yaml", found))


def test_all_mistakes_are_found_at_once_in_the_order_of_their_lines() -> None:
    found = problems(node("      - sai: x\n      - goto: nowhere\n      - pause: 99\n"))
    assert [problem.line for problem in found] == [6, 7, 8, 8]


def test_a_file_that_is_no_text_is_said(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(b"dialog: \xff")
    with pytest.raises(InvalidDialog, match="not UTF-8"):
        load_dialog(path)
