"""Expressions: what they see, what they come to, and which are refused because they could take too long."""

from datetime import UTC, datetime
from typing import Any

import cel
import pytest

from sojourn.actors.expressions import (
    FUNCTIONS,
    LOOPS,
    MAX_GATHERED,
    MAX_ITEMS,
    VARIABLES,
    Expression,
    ExpressionFailed,
    InvalidExpression,
)


def view(**more: Any) -> dict[str, Any]:
    known: dict[str, Any] = dict.fromkeys(VARIABLES, None)
    return known | {
        "context": {"plan": "gold", "count": 3, "items": [1, 2, 3], "none": None},
        "user": {"language": "de"},
        "text": "where is my order A-1234?",
        "tags": ["vip"],
        "now": datetime(2026, 11, 23, 9, 30, tzinfo=UTC),
        "clock": {"hour": 9},
        **more,
    }


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ('context.plan == "gold" && context.count > 2', True),
        ('"vip" in tags || user.language == "en"', True),
        ("has(context.missing) && context.missing > 1", False),
        ("context.items.all(x, x > 0) && context.items.exists(x, x == 2)", True),
        ("context.items.filter(x, x > size(tags))", [2, 3]),
        ("context.items.map(x, x > 1, -x)", [-2, -3]),
        ("[{'a': {'b': 1}}].map(x, x.a.b)", [1]),
        ("context.items.exists(x, x in [3, 4] && tags[0] == 'vip')", True),
        (r"text.matches('[A-Z]-\\d{4}')", True),
        ("now.getHours() == 9 && now.getDayOfWeek() == 1", True),
        ("now - duration('1h') < now", True),
        ("context.none == null", True),
        ("'all(exists(' + text", "all(exists(where is my order A-1234?"),
    ],
)
def test_an_expression_comes_to_its_value(source: str, value: object) -> None:
    assert Expression(source).value(view()) == value


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("", "empty"),
        ("1 +", "Syntax error"),
        ("context.plan = 'gold'", "Syntax error"),
        ("plan == 'gold'", "unknown name 'plan'"),
        ("lower(text)", "unknown function 'lower'"),
        ("text.__class__()", "unknown function '__class__'"),
        ("'" + "a" * 500 + "' == text", "at most 500"),
        ("(" * 40 + "1" + ")" * 40, "nested deeper than 24"),
        ("[" * 200 + "]" * 200, "nested deeper than 24"),
        ("+".join(["text"] * 40), "more than 16 times +"),
        ("context.items.all(x, context.items.all(y, x < y))", "within another loop"),
        ("context.items.map(x, x).map(y, y)", "on what another loop made"),
        ("[context.items.map(x, x)][0].map(y, y)", "on what another loop made"),
        ("(true ? context.items.map(x, x) : []).map(y, y)", "on what another loop made"),
        ("context.items.all(x, size(text + text + text) > x)", "+ within a loop"),
        (" && ".join(["tags.all(x, true)"] * 4), "more than 3 loops"),
        ("context.items.map(x, text)", "text within map"),
        ("context.items.map(x, x > 1, [x, x])", "[ within a loop"),
        ("context.items.map(x, {'a': x})", "{ within a loop"),
        ("context.items.all(x, size([context, context]) > 0)", "[ within a loop"),
        ("context.items.map(x, (x + x))", "+ within map"),
        ("context.items.all(x, x in tags || x in tags || x in tags)", "1 times in within a loop"),
        ("context.items.all(x, " + " || ".join(["user != app"] * 7) + ")", "3 times == within a loop"),
        ("text.matches(context.plan)", "pattern written in quotes"),
        ("tags.all(t, t.matches('a'))", "matches within a loop"),
        ("text.matches('(')", "missing )"),
        (r"text.matches('\\pL{900}')", "too large"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
def test_what_is_wrong_or_could_take_too_long_is_refused_when_it_is_compiled(source: str, why: str) -> None:
    with pytest.raises(InvalidExpression) as refused:
        Expression(source)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("context.missing == 1", "there is no key 'missing'"),
        ("context.count / 0 == 1", "division by zero"),
        ("context.plan > 1", "No such overload"),
        ("9223372036854775807 + context.count > 0", "overflow"),
        ("context.count", "a condition is true or false"),
        ("context.long.all(x, x == 1)", f"at most {MAX_ITEMS}"),
        ("context.longer.map(x, x) == []", f"at most {MAX_GATHERED}"),
        ("context.longer . filter(x, true) == []", f"at most {MAX_GATHERED}"),
    ],
)
def test_what_fails_over_the_values_says_so(source: str, why: str) -> None:
    seen = view(context={"plan": "gold", "count": 3, "long": [1] * (MAX_ITEMS + 1)})
    seen["context"]["longer"] = [1] * (MAX_GATHERED + 1)
    if "longer" in source:
        del seen["context"]["long"]
    with pytest.raises(ExpressionFailed) as failed:
        Expression(source).holds(seen)
    assert why in str(failed.value)


def test_a_long_list_is_no_matter_without_a_loop() -> None:
    assert Expression("size(context.long) > 1").holds(view(context={"long": [1] * 20_000}))


def test_every_function_that_is_taken_exists() -> None:
    calls = {
        "has": "has(a.b)",
        "size": "size(s)",
        "contains": "s.contains('x')",
        "startsWith": "s.startsWith('x')",
        "endsWith": "s.endsWith('x')",
        "matches": "s.matches('x')",
        "timestamp": "timestamp('2020-01-01T00:00:00Z')",
        "duration": "duration('1h')",
    }
    calls |= {name: f"{name}(1)" for name in ("int", "uint", "double", "string", "type", "dyn")}
    calls |= {"bytes": "bytes(s)"}
    calls |= {name: f"now.{name}()" for name in FUNCTIONS if name.startswith("get")}
    assert set(calls) == FUNCTIONS - LOOPS
    for source in calls.values():
        cel.evaluate(source, {"a": {"b": 1}, "s": "text", "now": datetime(2026, 1, 1, tzinfo=UTC)})
