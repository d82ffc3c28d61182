"""The alerts and the Grafana dashboard that come with Sojourn ask for numbers that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sojourn.gateway.metrics import METRICS, Number

FOLDER = Path(__file__).parents[2] / "docs" / "metrics"
ALERTS = FOLDER / "alerts.yaml"
DASHBOARD = FOLDER / "grafana.json"
NAME = re.compile(r"\b(sojourn_\w+|process_\w+|python_\w+)\b")
SELECTOR = re.compile(r"\b(sojourn_\w+)\{([^}]*)\}")
LABEL = re.compile(r"(\w+)\s*[=!]~?")
OF_PYTHON = {"process_cpu_seconds_total", "process_resident_memory_bytes"}
OF_PROMETHEUS = {"instance", "job"}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    return found


def expressions() -> Iterator[str]:
    for rule in rules():
        yield rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"]


def on_the_page() -> dict[str, tuple[str, ...]]:
    """The name of every sample, with its labels."""
    names: dict[str, tuple[str, ...]] = {}
    for metric in METRICS:
        if isinstance(metric, Number):
            names[metric.shown] = metric.labels
        else:
            names |= {
                f"{metric.name}_bucket": ("le",),
                f"{metric.name}_sum": (),
                f"{metric.name}_count": (),
            }
    return names


EXPRESSIONS = sorted(set(expressions()))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_number_that_is_asked_for_exists(expression: str) -> None:
    known = on_the_page()
    named = set(NAME.findall(expression))
    assert named
    assert not named - set(known) - OF_PYTHON
    for name, selectors in SELECTOR.findall(expression):
        assert set(LABEL.findall(selectors)) <= {*known[name], *OF_PROMETHEUS}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_counters_are_asked_how_fast_they_grow_and_gauges_are_not(expression: str) -> None:
    for metric in METRICS:
        for found in re.finditer(rf"\b{metric.shown}(_bucket|_sum|_count)?\b", expression):
            grows = re.search(r"(rate|increase)\($", expression[: found.start()]) is not None
            assert grows == (metric.kind != "gauge"), metric.shown


def test_every_alert_says_what_is_wrong_how_bad_it_is_and_has_a_name_of_its_own() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}


def test_every_number_of_ours_is_on_the_dashboard_or_in_an_alert() -> None:
    asked = " ".join(EXPRESSIONS) + json.dumps(json.loads(DASHBOARD.read_text("utf-8"))["templating"])
    unseen = [metric.name for metric in METRICS if metric.name not in asked]
    assert unseen == []


def test_panels_have_titles_and_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        assert panel["title"]
        place = panel["gridPos"]
        cells = {
            (place["x"] + right, place["y"] + down)
            for right in range(place["w"])
            for down in range(place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken
        taken |= cells


def test_names_are_as_prometheus_wants_them() -> None:
    for metric in METRICS:
        assert re.fullmatch(r"sojourn_[a-z]+(_[a-z]+)*", metric.name)
        assert not metric.name.endswith(("_total", "_bucket", "_sum", "_count", "_ms"))
        assert not metric.is_[0].islower()
        assert not metric.is_.endswith(".")
