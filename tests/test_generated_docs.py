"""What the pages show of the code is made from the code, whole, and nothing else of a page is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs import generate
from sojourn.actors.config import CHANNEL_TIMEOUTS
from sojourn.actors.lifecycle import TABLE, TIMERS, On, Status
from sojourn.gateway.errors import ERROR_CODES
from sojourn.gateway.settings import Settings

PAGE = "# Errors\n\n<!-- generated: errors -->\n{part}<!-- end generated -->\n\nThe end.\n"


def cells(part: str) -> list[list[str]]:
    """The rows of the tables in `part`, without their heads and lines."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in part.splitlines() if line[:1] == "|"]
    breaks = [number for number, row in enumerate(rows) if set("".join(row)) == {"-"}]
    return [row for number, row in enumerate(rows) if number not in breaks and number + 1 not in breaks]


def first_words(part: str) -> list[str]:
    return [row[0].strip("`") for row in cells(part)]


@pytest.mark.parametrize("stale", ["", "| an | old | table |\n"])
def test_a_part_is_filled_and_the_rest_of_the_page_stays(stale: str) -> None:
    assert generate.filled(PAGE.format(part=stale)) == PAGE.format(part=generate.errors())


def test_two_parts_of_one_page_do_not_run_into_each_other() -> None:
    page = PAGE.format(part="") + "between\n" + PAGE.format(part="").replace("errors", "channels")
    filled = generate.filled(page)
    assert generate.errors() in filled
    assert generate.channels() in filled
    assert "between\n" in filled


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small one, with one page out of date and one without generated parts."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "protocol.md").write_text(PAGE.format(part="old\n"), "utf-8")
    (tmp_path / "README.md").write_text("# Sojourn\n", "utf-8")
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    return tmp_path


def test_a_check_finds_what_is_out_of_date_and_changes_nothing(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = checkout / "docs" / "protocol.md"
    before = page.read_text("utf-8")
    monkeypatch.setattr("sys.argv", ["generate.py", "--check"])
    assert generate.main() == 1
    assert page.read_text("utf-8") == before
    assert "protocol.md" in capsys.readouterr().out


def test_a_page_that_was_written_is_up_to_date(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["generate.py"])
    assert generate.main() == 0
    assert (checkout / "docs" / "protocol.md").read_text("utf-8") == PAGE.format(part=generate.errors())
    monkeypatch.setattr("sys.argv", ["generate.py", "--check"])
    assert generate.main() == 0
    assert "README" not in capsys.readouterr().out


def test_every_part_stands_on_some_page() -> None:
    pages = [generate.ROOT / "README.md", *(generate.ROOT / "docs").glob("*.md")]
    text = "".join(page.read_text("utf-8") for page in pages)
    assert not [name for name in generate.PARTS if f"<!-- generated: {name} -->" not in text]


def test_the_diagram_shows_every_change_of_state_and_what_brings_it() -> None:
    diagram = generate.lifecycle().partition("```mermaid\nstateDiagram-v2\n")[2].partition("```")[0]
    arrows = dict(line.strip().split(": ", 1) for line in diagram.splitlines() if ": " in line)
    assert {arrow for arrow in arrows if "[*]" not in arrow} == {
        f"{start} --> {step.to}" for (start, _), step in TABLE.items() if step.to is not start
    }
    for (start, on), step in TABLE.items():
        if step.to is not start:
            assert on in arrows[f"{start} --> {step.to}"].split(", ")
    assert "[*] --> active" in arrows
    assert f"{Status.EXPIRED} --> [*]" in diagram


def test_the_table_of_timers_has_each_with_its_default() -> None:
    rows = cells(generate.lifecycle())
    assert [row[0].strip("`") for row in rows] == [timer.setting for timer in TIMERS]
    assert [row[-1] for row in rows] == ["3,600 s", "120 s", "never", "never", "never", "300 s", "–"]


def test_the_table_of_transitions_has_each_pair_and_its_events() -> None:
    rows = cells(generate.transitions())
    assert {(Status(row[0]), On(row[1])): Status(row[2]) for row in rows} == {
        pair: step.to for pair, step in TABLE.items()
    }
    for status, on, _, events in rows:
        names = [] if events == "–" else [name.strip("`") for name in events.split(", ")]
        assert names == list(TABLE[Status(status), On(on)].events)


def test_the_other_tables_leave_nothing_out() -> None:
    assert first_words(generate.settings()) == list(Settings.model_fields)
    assert first_words(generate.errors()) == list(ERROR_CODES)
    assert first_words(generate.channels()) == list(CHANNEL_TIMEOUTS)
    for row in cells(generate.settings()):
        assert all(row), f"an empty cell for {row[0]}"


def test_a_setting_without_a_value_shows_the_word_that_the_file_has_for_that() -> None:
    defaults = {row[0].strip("`"): row[3] for row in cells(generate.settings())}
    assert defaults["queue_timeout"] == '`"never"`'
    assert defaults["max_held"] == '`"any"`'
    for name in ("agent", "dialog", "fallback_text", "fallback_queue"):
        assert defaults[name] == "none"
