"""Distributions and the values of the last minute."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.actors.measures import KEPT, WINDOW, Distribution, Recent, quantile

numbers = st.lists(st.floats(0, 100, allow_nan=False), max_size=50)


def test_a_value_on_a_bound_is_within_it_and_what_is_above_all_counts_too() -> None:
    distribution = Distribution((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 7.0):
        distribution.add(value)
    assert distribution.cumulative() == [2, 4, 5]
    assert distribution.total == 12.0


@given(values=numbers)
def test_a_distribution_says_of_each_bound_how_many_values_it_or_less(values: list[float]) -> None:
    distribution = Distribution((0.1, 1.0, 10.0, 50.0))
    for value in values:
        distribution.add(value)
    expected = [sum(value <= bound for value in values) for bound in distribution.bounds]
    assert distribution.cumulative() == [*expected, len(values)]


@pytest.mark.parametrize(("share", "value"), [(0.01, 1.0), (0.5, 50.0), (0.99, 99.0), (1.0, 100.0)])
def test_a_quantile_is_one_of_the_values(share: float, value: float) -> None:
    assert quantile([float(number) for number in range(1, 101)], share) == value


def test_nothing_has_no_quantile_and_one_value_is_all_of_them() -> None:
    assert quantile([], 0.5) is None
    assert quantile([3.0], 0.01) == quantile([3.0], 1.0) == 3.0


@given(
    values=st.lists(st.floats(0, 100, allow_nan=False), min_size=1, max_size=51).filter(lambda v: len(v) % 2)
)
def test_half_of_an_odd_number_of_values_is_their_median(values: list[float]) -> None:
    assert quantile(sorted(values), 0.5) == statistics.median(values)


def test_recent_values_are_those_of_the_last_minute_in_their_order() -> None:
    recent = Recent()
    recent.add(0.0, 9.0)
    recent.add(WINDOW - 1, 5.0)
    recent.add(WINDOW, 3.0)
    assert recent.values(WINDOW - 0.5) == [3.0, 5.0, 9.0]
    assert recent.values(WINDOW) == [3.0, 5.0]
    assert recent.values(10 * WINDOW) == []


def test_of_very_many_recent_values_the_newest_are_kept() -> None:
    recent = Recent()
    for number in range(KEPT + 10):
        recent.add(0.0, float(number))
    assert recent.values(0.0) == [float(number) for number in range(10, KEPT + 10)]
