"""The operator's scope of the context in the settings: `[app]`, values that JSON has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sojourn.gateway.settings_sources import InvalidSettings, load_settings


def written(folder: Path, text: str) -> Path:
    file = folder / "sojourn.toml"
    file.write_text(text, "utf-8")
    return file


def test_the_table_of_the_file_is_the_operators_scope(tmp_path: Path) -> None:
    file = written(tmp_path, '[app]\nname = "Shop"\nopen = true\n[app.hours]\nfrom = 9\ndays = ["mo"]\n')
    app = {"name": "Shop", "open": True, "hours": {"from": 9, "days": ["mo"]}}
    assert load_settings(file=file).runtime_config().app == app


def test_a_variable_holds_it_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOJOURN_APP", '{"name": "Shop", "hours": {"from": 9}}')
    assert load_settings().runtime_config().app == {"name": "Shop", "hours": {"from": 9}}


BAD: dict[str, str] = {
    "a date": "[app]\nsince = 2024-01-01\n",
    "a date deep down": "[app.a]\nb = [2024-01-01T00:00:00Z]\n",
    "no number": "[app]\na = nan\n",
    "endless": "[app]\na = inf\n",
    "a long integer": f"[app]\na = {2**70}\n",
    "no table": "app = 3\n",
}


@pytest.mark.parametrize("case", BAD)
def test_what_json_does_not_have_is_told_in_one_line(tmp_path: Path, case: str) -> None:
    file = written(tmp_path, BAD[case])
    with pytest.raises(InvalidSettings) as caught:
        load_settings(file=file)
    message = str(caught.value)
    assert message.startswith(f"{file}: app is ")
    assert message.endswith("allowed: a table of values that JSON has")


@pytest.mark.parametrize("value", ["3", "[]", "Shop"])
def test_a_variable_that_is_no_table_is_named(monkeypatch: pytest.MonkeyPatch, value: Any) -> None:
    monkeypatch.setenv("SOJOURN_APP", value)
    with pytest.raises(InvalidSettings, match=r"(?i)app"):
        load_settings()
