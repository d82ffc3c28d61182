"""The engine as the pure function it is: position and event in, actions and position out."""

from dataclasses import replace
from typing import Any

import pytest

from sojourn.actors.dialog_engine import step
from sojourn.actors.dialog_file import read_dialog
from sojourn.actors.dialog_model import Dialog
from sojourn.actors.dialog_state import (
    DoCall,
    DoCancelReminder,
    DoFail,
    DoHandOver,
    DoPause,
    DoRemind,
    DoResolve,
    DoSay,
    DoSet,
    DoTag,
    Event,
    Happened,
    Heard,
    NotReturned,
    Position,
    Returned,
    Step,
    restored,
)
from sojourn.actors.dialog_walk import MAX_COMPUTING, MAX_NODES

NOW = 1_700_000_000.0  # a Tuesday, 22:13 UTC


def dialog(nodes: str) -> Dialog:
    return read_dialog("nodes:\n" + "\n".join(f"  {line}" for line in nodes.strip("\n").splitlines()))


def view(**more: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "context": {},
        "user": {},
        "app": {},
        "message": {},
        "text": "",
        "tags": [],
        "metadata": {},
        "channel": "test",
        "handling": "ai",
    }
    return known | more


def go(
    read: Dialog, event: Event | str, position: Position | None = None, now: float = NOW, **more: Any
) -> Step:
    event = Heard(event) if isinstance(event, str) else event
    more.setdefault("text", event.text if isinstance(event, Heard) else "")
    return step(read, position or Position("x", began=now), event, now, view(**more))


def said(result: Step) -> list[str]:
    return [action.text for action in result.actions if isinstance(action, DoSay)]


FIRST = dialog("""
never:
  trigger: {text: hello}
  if: "false"
  do: [{say: never}]
greet:
  trigger: {text: [hello, good morning]}
  do: [{say: "Hello {{ name }}!"}]
number:
  trigger: {pattern: 'order #?(?P<id>[0-9]+)'}
  do: [{say: "Order {{ match.id }}."}]
lost:
  trigger: {fallback: true}
  do: [{say: 'What?'}]
hallo:
  trigger: {text: hallo}
  do: [{say: Hallo}]
button:
  trigger: {event: pressed}
  do: [{say: Click}]
""")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Hello there", "Hello !"),
        ("oh, GOOD   morning", "Hello !"),
        ("othello", "What?"),
        ("my Order #12 please", "Order 12."),
        ("hallo", "Hallo"),
        ("", "What?"),
        ("hello" * 5000, "What?"),
    ],
    ids=lambda value: value[:20],
)
def test_the_first_node_that_a_text_triggers_answers_and_fallbacks_come_last(text: str, answer: str) -> None:
    assert said(go(FIRST, text)) == [answer]


def test_an_event_triggers_the_node_that_waits_for_it_and_no_fallback() -> None:
    assert said(go(FIRST, Happened("pressed"))) == ["Click"]
    assert go(FIRST, Happened("released")).actions == ()


def test_start_comes_once_before_the_first_message() -> None:
    read = dialog("""
greet:
  trigger: {event: start}
  do: [{say: Welcome}]
order:
  trigger: {text: order}
  do: [{say: 'Which?'}]
lost:
  trigger: {fallback: true}
  do: [{say: 'What?'}]
""")
    assert said(go(read, "order", Position(began=NOW))) == ["Welcome", "Which?"]
    first = go(read, "hi", Position(began=NOW))
    assert said(first) == ["Welcome"]
    assert said(go(read, "hi", first.position)) == ["What?"]


def test_every_action_is_taken_in_order_and_what_is_set_is_seen_behind() -> None:
    read = dialog("""
all:
  trigger: {text: go}
  do:
    - set: {count: "{{ context.count + 1 }}", user.language: de}
    - set: {text: "n {{ context.count }}", data: {a: ["{{ count }}", 2]}}
    - reset: [old, gone]
    - tag: [a, b]
    - untag: c
    - say: "{{ count }} {{ user.language }} {{ size(tags) }} {{ old }}"
    - say: left out
      if: {contains: {tags: c}}
    - remind: {name: later, after: 60, data: {n: "{{ count }}"}}
    - cancel_reminder: other
    - pause: 2
    - resolve: done
""")
    result = go(read, "go", context={"count": 1, "old": 5, "gone": 6}, tags=["c"])
    assert result.actions == (
        DoSet("count", 2),
        DoSet("user.language", "de"),
        DoSet("text", "n 2"),
        DoSet("data", {"a": [2, 2]}),
        DoSet("old", None),
        DoSet("gone", None),
        DoTag(("a", "b"), ()),
        DoTag((), ("c",)),
        DoSay("2 de 2 "),
        DoRemind("later", 60, {"n": 2}),
        DoCancelReminder("other"),
        DoPause(2),
        DoResolve("done"),
    )


def test_what_is_given_is_not_changed() -> None:
    read = dialog("a:\n  trigger: {text: go}\n  do: [{set: {b: 1, user.c: 2}}, {reset: all}, {tag: x}]")
    context: dict[str, Any] = {"a": 1, "_dialog": {}}
    user, tags = {"u": 1}, ["t"]
    result = go(read, "go", context=context, user=user, tags=tags)
    assert (context, user, tags) == ({"a": 1, "_dialog": {}}, {"u": 1}, ["t"])
    assert DoSet("a", None) in result.actions
    assert DoSet("_dialog", None) not in result.actions


ASK = dialog("""
ask:
  trigger: {text: go}
  do:
    - ask:
        {question: "How many?", save: count,
         type: integer, check: answer > 0, again: "A number.", else: stuck}
    - say: "{{ count }} it is."
stuck:
  do: [{handover: {queue: desk, note: "asked {{ 1 + 2 }} times"}}]
help:
  trigger: {text: help, always: true}
  do: [{say: Helping}]
""")


def test_an_answer_is_converted_saved_and_the_node_goes_on() -> None:
    asked = go(ASK, "go")
    assert said(asked) == ["How many?"]
    result = go(ASK, " 7 ", asked.position)
    assert result.actions == (DoSet("count", 7), DoSay("7 it is."))
    assert result.position.waiting == ""


def test_a_wrong_answer_is_asked_for_again_until_the_tries_are_used_up() -> None:
    position = go(ASK, "go").position
    for wrong in ("many", "0"):
        again = go(ASK, wrong, position)
        assert again.actions == (DoSay("A number."),)
        position = again.position
    assert go(ASK, "1.5", position).actions == (DoHandOver("desk", "asked 3 times"),)


def test_a_node_that_is_always_tried_interrupts_a_question() -> None:
    result = go(ASK, "help", go(ASK, "go").position)
    assert said(result) == ["Helping"]
    assert result.position.waiting == ""


@pytest.mark.parametrize(
    ("rule", "answer", "value"),
    [
        ("type: number", "1,5", 1.5),
        ("type: number", "nan", None),
        ("type: number", "1e999", None),
        ("type: integer", "12", 12),
        ("type: email", "a@b.example", "a@b.example"),
        ("type: email", "a@b", None),
        ("type: yes_no", "Yes!", True),
        ("type: yes_no", "nein", False),
        ("type: yes_no", "maybe", None),
        ("options: [Tea, Milk]", "tea", "Tea"),
        ("options: [Tea, Milk]", "beer", None),
        ("pattern: '[A-Z]-\\d'", "a-1", "a-1"),
        ("pattern: '[A-Z]-\\d'", "a-12", None),
        ("type: text", "   ", None),
    ],
)
def test_what_an_answer_must_be(rule: str, answer: str, value: object) -> None:
    read = dialog(
        f"a:\n  trigger: {{text: go}}\n  do: [{{ask: {{question: Q, save: it, again: again, {rule}}}}}]"
    )
    result = go(read, answer, go(read, "go").position)
    assert result.actions == ((DoSay("again"),) if value is None else (DoSet("it", value),))


def test_an_expression_that_fails_is_said_and_takes_the_else_of_its_node() -> None:
    read = dialog("""
condition:
  trigger: {text: condition}
  if: context.missing > 1
  do: [{say: never}]
  else: [{say: otherwise}]
action:
  trigger: {text: action}
  do: [{say: before}, {say: "{{ context.a.b + 1 }}"}, {say: never}]
  else: [{say: otherwise}]
bare:
  trigger: {text: bare}
  do: [{say: "{{ 1 / 0 }}"}, {say: never}]
""")
    for word in ("condition", "action", "bare"):
        result = go(read, word)
        failures = [action for action in result.actions if isinstance(action, DoFail)]
        assert [failure.code for failure in failures] == ["expression_failed"]
        assert word in failures[0].text
        assert (
            said(result) == {"condition": ["otherwise"], "action": ["before", "otherwise"], "bare": []}[word]
        )


def test_a_loop_is_cut_after_80_nodes_and_said() -> None:
    read = dialog("""
a:
  trigger: {text: go}
  do: [{say: x}, {goto: b}]
b:
  do: [{goto: a}]
""")
    result = go(read, "go")
    assert len(said(result)) == MAX_NODES // 2
    assert result.actions[-1] == DoFail("dialog_loop", "cut before node 'a': 80 nodes in one turn")
    assert said(go(read, "go", replace(result.position, nodes=0))) != []


def test_a_turn_is_cut_after_17_seconds_and_said() -> None:
    pauses = ", ".join(["{pause: 7}"] * 4)
    result = go(dialog(f"a:\n  trigger: {{text: go}}\n  do: [{pauses}, {{say: never}}]"), "go")
    assert result.actions[:3] == (DoPause(7), DoPause(7), DoPause(3))
    assert result.actions[3:] == (DoFail("dialog_time", "cut in node 'a': 17 s in one turn"),)


HOOK = dialog("""
a:
  trigger: {text: go}
  do:
    - webhook:
        {url: "http://shop.example/o/{{ id }}?x={{ x }}", send: {id: "{{ id }}"}, timeout: 9, else: down}
    - say: "{{ state }}"
b:
  trigger: {text: save}
  do:
    - webhook: {url: "http://shop.example/", save: order}
    - say: "{{ order.state }}"
  else: [{say: otherwise}]
down:
  do: [{say: down}]
""")


def test_a_webhook_ends_the_step_and_its_answer_is_merged_or_saved() -> None:
    called = go(HOOK, "go", context={"id": "../a&b", "x": 1})
    assert called.actions == (DoCall("http://shop.example/o/%2E%2E%2Fa%26b?x=1", {"id": "../a&b"}, 9),)
    answer = {"state": "sent", "_dialog": 1, "user.opt_out": True, "app.x": 1}
    assert go(HOOK, Returned(answer), called.position).actions == (DoSet("state", "sent"), DoSay("sent"))
    saved = go(HOOK, Returned({"state": "sent"}), go(HOOK, "save").position)
    assert saved.actions == (DoSet("order", {"state": "sent"}), DoSay("sent"))


def test_a_webhook_that_fails_is_said_and_takes_its_else_or_the_node_s() -> None:
    failed = NotReturned("no answer")
    down = go(HOOK, failed, go(HOOK, "go", context={"id": 1}).position)
    assert isinstance(down.actions[0], DoFail)
    assert said(down) == ["down"]
    assert said(go(HOOK, failed, go(HOOK, "save").position)) == ["otherwise"]


def test_a_webhook_has_what_is_left_of_the_turn() -> None:
    called = go(HOOK, "go", Position("x", began=NOW - 12))
    assert called.actions[-1] == DoCall("http://shop.example/o/?x=", {"id": None}, 5)


def test_the_clock_is_told_in_the_dialog_s_time_zone() -> None:
    text = """
timezone: Asia/Tokyo
nodes:
  a:
    trigger: {text: go}
    do:
      - say: "{{ clock.hour }}:{{ clock.minute }} {{ clock.weekday }} {{ clock.date }} {{ now.getHours() }}"
"""
    assert said(go(read_dialog(text), "go")) == ["7:13 3 2023-11-15 22"]


def test_a_position_is_stored_and_restored() -> None:
    position = replace(go(ASK, "go").position, match={"id": "7"}, nodes=0, began=0.0)
    kept = position.stored(12)
    assert restored(kept, 12) == position
    assert restored(kept, 13) == Position()


@pytest.mark.parametrize(
    "kept",
    [
        None,
        7,
        [],
        {},
        {"node": 1, "seq": 0},
        {"node": "a", "seq": "x"},
        {"node": "nowhere", "seq": 0, "step": 0},
        {"node": "ask", "seq": 0, "step": 99},
        {"node": "ask", "seq": 0, "step": -1},
        {"node": "ask", "seq": 0, "step": 1},
        {"node": "ask", "seq": 0, "step": "x", "tries": []},
    ],
)
def test_nonsense_in_the_stored_position_begins_anew(kept: object) -> None:
    result = go(ASK, "go", replace(restored(kept, 0), began=NOW))
    assert said(result) == ["How many?"]


def test_a_turn_that_computes_for_too_long_is_cut_between_two_actions() -> None:
    """Bad: a node of fifty slow conditions would hold everybody else for as long as all of them take."""
    many = "\n".join(f"    - {{if: 'size(text) > 0', say: 'word {n}'}}" for n in range(50))
    slow = dialog("slow:\n  trigger: {fallback: true}\n  do:\n" + many)
    looks = 0

    def computed() -> float:
        """Each look comes a tenth of the limit after the last."""
        nonlocal looks
        looks += 1
        return (looks - 1) * MAX_COMPUTING / 10

    result = step(slow, Position("x", began=NOW), Heard("hello"), NOW, view(text="hello"), computed)
    assert said(result) == [f"word {n}" for n in range(9)]
    assert result.actions[-1] == DoFail("dialog_time", "cut at node 'slow': 1 s of computing in one turn")
    assert (result.position.node, result.position.waiting) == ("slow", "")


def test_looking_for_a_node_is_computing_too() -> None:
    passed_over = "\n  trigger: {text: hello}\n  if: 'size(text) < 0'\n  do: [{say: x}]"
    nodes = "\n".join(f"n{n}:{passed_over}" for n in range(90))
    nodes += "\nlost:\n  trigger: {fallback: true}\n  do: [{say: 'What?'}]"
    searched = dialog(nodes)
    assert said(go(searched, "hello")) == ["What?"]
    result = step(
        searched, Position("x", began=NOW), Heard("hello"), NOW, view(text="hello"), lambda: MAX_COMPUTING
    )
    assert result.actions == (DoFail("dialog_time", "cut at node 'n0': 1 s of computing in one turn"),)
