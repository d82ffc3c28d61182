"""The structured form of conditions, over values that are there, missing, and of the wrong type."""

from typing import Any

import pytest

from sojourn.actors.condition_file import read_condition
from sojourn.actors.dialog_yaml import Problems, read_yaml

VIEW: dict[str, Any] = {
    "context": {"plan": "gold", "count": 3, "paid": True, "none": None, "order": {"items": ["tea", "milk"]}},
    "user": {"language": "de"},
    "tags": ["vip"],
    "text": "Where is my ORDER",
    "clock": {"hour": 9},
}


@pytest.mark.parametrize(
    ("source", "holds"),
    [
        ("equal: {plan: gold}", True),
        ("equal: {context.plan: gold, user.language: de}", True),
        ("equal: {plan: gold, count: 4}", False),
        ("equal: {missing: 1}", False),
        ("equal: {paid: 1}", False),
        ("not equal: {missing: 1}", True),
        ("not equal: {plan: gold}", False),
        ("greater: {count: 2}", True),
        ("greater: {count: 3}", False),
        ("greater: {plan: 2}", False),
        ("greater: {missing: 2}", False),
        ("less: {clock.hour: 10.5}", True),
        ("less: {paid: 2}", False),
        ("contains: {text: order}", True),
        ("contains: {tags: vip}", True),
        ("contains: {order: items}", True),
        ("contains: {order.items: milk}", True),
        ("contains: {count: 3}", False),
        ("not contains: {tags: new}", True),
        ("equal: {order.items.1: milk}", True),
        ("exists: order.items", True),
        ("exists: [plan, missing]", False),
        ("exists: none", False),
        ("not exists: order.items.7", True),
        ("all: [{equal: {plan: gold}}, {exists: count}]", True),
        ("any: [{equal: {plan: iron}}, 'context.count == 3']", True),
        ("any: [{equal: {plan: iron}}, {not: {exists: count}}]", False),
        ("[{exists: plan}, {exists: missing}]", False),
        ("{exists: plan, not exists: missing}", True),
    ],
)
def test_a_structured_condition(source: str, holds: bool) -> None:
    problems = Problems()
    condition = read_condition(read_yaml(source, "test"), problems)
    assert not problems.found
    assert condition is not None
    assert condition.holds(VIEW) is holds


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("equals: {plan: gold}", "did you mean 'equal'?"),
        ("equal: gold", "takes a map"),
        ("all: {exists: plan}", "take a list"),
        ("exists: 'a b'", "is no path"),
        ("exists: 7", "is no path"),
        ("{}", "empty"),
        ("7", "is a map"),
        ("'plan == 1'", "unknown name"),
    ],
)
def test_a_wrong_structured_condition_is_said(source: str, why: str) -> None:
    problems = Problems()
    read_condition(read_yaml(source, "test"), problems)
    assert why in problems.found[0].text
