"""What an embedding program may put into a session: JSON's values, each refusal with its place."""

from __future__ import annotations

import math
from collections import OrderedDict
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.actors.errors import InvalidRequest
from sojourn.actors.packing import pack, unpack
from sojourn.actors.values import MAX_DEPTH, TIMERS, check_json, check_timeouts


class Rank(IntEnum):
    HIGH = 1


class Word(StrEnum):
    YES = "yes"


class Point(NamedTuple):
    x: int


def nested(levels: int, *, maps: bool) -> Any:
    value: Any = "the bottom"
    for _ in range(levels):
        value = {"in": value} if maps else [value]
    return value


def refused(value: Any) -> dict[str, Any]:
    with pytest.raises(InvalidRequest) as raised:
        check_json(value, "context")
    assert raised.value.code == "invalid_payload"
    details = raised.value.details
    assert details is not None
    assert details["key"] in raised.value.message
    return details


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -(2**63), 2**64 - 1, 1.5, "", "ä€😀", [], {}, [None, [1]], {"": {"a": (1, 2)}}],
)
def test_what_json_has_is_taken_and_can_be_stored(value: Any) -> None:
    check_json(value, "context")
    pack(value)


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (Rank.HIGH, 1),
        (Word.YES, "yes"),
        (Point(1), [1]),
        (OrderedDict[str, int](a=1), {"a": 1}),
        ({"k": Rank.HIGH}, {"k": 1}),
    ],
)
def test_what_is_one_of_them_by_inheritance_is_stored_as_such(value: Any, stored: Any) -> None:
    check_json(value, "context")
    assert unpack(pack(value)) == stored


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (b"bytes", "bytes"),
        ({1, 2}, "set"),
        (object(), "object"),
        (1j, "complex"),
        (MappingProxyType({"a": 1}), "mappingproxy"),
        (range(3), "range"),
    ],
)
def test_anything_else_is_refused_by_its_type(value: Any, got: str) -> None:
    for inside, path in ((value, "context"), ([0, value], "context.1"), ({"a": [value]}, "context.a.0")):
        assert refused(inside) == {"key": path, "expected": "a value that JSON has", "got": got}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_is_finite(value: float) -> None:
    assert refused({"a": value})["expected"] == "a finite number"


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, -(2**200)])
def test_an_integer_has_64_bits(value: int) -> None:
    details = {"key": "context.0", "expected": "an integer of 64 bits", "got": "a longer integer"}
    assert refused([value]) == details


@pytest.mark.parametrize("value", ["\ud800", "a\udfffb", {"\ud800": 1}])
def test_a_lone_surrogate_is_no_text(value: Any) -> None:
    assert refused(value)["expected"] == "text without lone surrogates"


@pytest.mark.parametrize("key", [1, None, b"a", ("a",)])
def test_a_key_is_a_text(key: Any) -> None:
    details = refused({"a": {key: 1}})
    assert details == {"key": "context.a", "expected": "string keys", "got": type(key).__name__}


@pytest.mark.parametrize("maps", [True, False])
def test_nesting_has_a_bound_and_the_bound_is_allowed(maps: bool) -> None:
    check_json(nested(MAX_DEPTH, maps=maps), "context")
    assert "nesting" in refused(nested(MAX_DEPTH + 1, maps=maps))["expected"]


def test_a_value_that_holds_itself_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)
    assert "nesting" in refused(circle)["expected"]


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**70), 2**70)
        | st.floats()
        | st.text()
        | st.binary(max_size=2),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=10,
    )
)
def test_what_is_taken_comes_back_from_the_store_as_it_was(value: Any) -> None:
    try:
        check_json(value, "context")
    except InvalidRequest:
        return
    assert unpack(pack(value)) == value


# -- timeouts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TIMERS)
@pytest.mark.parametrize("value", [None, 1, 0.001, 1e300])
def test_a_timer_takes_seconds_or_never(name: str, value: float | None) -> None:
    check_timeouts({name: value})


def test_the_grace_period_alone_may_be_nothing() -> None:
    check_timeouts({"keep_alive": 0})
    for name in set(TIMERS) - {"keep_alive"}:
        with pytest.raises(InvalidRequest, match=f"timeouts.{name}: expected seconds above 0"):
            check_timeouts({name: 0})


@pytest.mark.parametrize("name", TIMERS)
@pytest.mark.parametrize(
    "value",
    [-1, -0.001, math.nan, math.inf, "60", True, [], pytest.param(10**5000, id="more than a float holds")],
)
def test_a_timeout_that_cannot_be_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as raised:
        check_timeouts({"session_timeout": 60, name: value})
    assert raised.value.details is not None
    assert raised.value.details["key"] == f"timeouts.{name}"


def test_a_timer_that_does_not_exist_is_refused_beside_those_that_do() -> None:
    with pytest.raises(InvalidRequest, match="'keep_alife'") as raised:
        check_timeouts({"keep_alife": 60})
    assert all(name in raised.value.message for name in TIMERS)
