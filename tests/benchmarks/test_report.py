"""The report says what was found, judges it by its bars, and does without pictures where it must."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as bench
from benchmarks import charts, report
from benchmarks.charts import ChartsUnavailable
from benchmarks.findings import Answer, Chart, Finding
from benchmarks.loadgen import ROOT

MACHINE: dict[str, Any] = {
    "processor": "Abacus",
    "cores": 2,
    "memory_bytes": 4 << 30,
    "kernel": "6.1",
    "load_average": 0.25,
    "file_system": "ext4",
    "fsync_us": 250.0,
    "python": "3.11.7",
    "sqlite": "3.40.1",
    "packages": {"pykka": "4.5.0", "absent": None},
    "commit": "0123456789abcdef",
}

RATIO = Finding(what="a | b", value=1.25, unit="×", low=1.1, high=1.5, bar=1.2, note="full")
SLOW = Finding(what="p99", value=130.0, unit="ms", bar=100.0, at_most=True)
PLAIN = Finding(what="rate", value=51234.0, unit="messages/s")
BARS = Chart(
    name="some-bars",
    title="Who is faster?",
    kind="bars",
    y="messages/s",
    series={"one": [("here", 3.0, 2.0, 4.0), ("there", 5.0, 5.0, 5.0)], "two": [("here", 1.0, 1.0, 1.0)]},
)
LINES = Chart(
    name="some-lines",
    title="Does it grow?",
    kind="lines",
    x="sessions",
    y="ms",
    log_x=True,
    log_y=True,
    series={"one": [(1, 3.0, 2.0, 4.0), (1000, 5.0, 5.0, 5.0)]},
)


def answer(question: str = "memory", *findings: Finding, **more: Any) -> Answer:
    return Answer(
        question=question,
        command=f"python -m benchmarks.{question}",
        machine=MACHINE,
        findings=list(findings),
        **more,
    )


def written(answers: list[Answer], into: Path) -> str:
    report.write_report(answers, into / "RESULTS.md", into / "charts", notes=into / "notes")
    return (into / "RESULTS.md").read_text()


@pytest.mark.parametrize(
    ("finding", "row"),
    [
        (RATIO, "| a \\| b | **1.25×** (1.1 to 1.5) | ≥ 1.2 | met | full |"),
        (SLOW, "| p99 | **130 ms** | ≤ 100 | **MISSED** |  |"),
        (PLAIN, "| rate | 51,234 messages/s |  |  |  |"),
    ],
    ids=["floor", "ceiling", "plain"],
)
def test_row_says_value_spread_bar_and_verdict(finding: Finding, row: str) -> None:
    assert report.row(finding) == row


def test_summary_counts_bars_and_names_what_is_missed() -> None:
    lines = report.summary([answer("memory", RATIO, SLOW, PLAIN), answer("restart", PLAIN)]).splitlines()
    assert lines[2] == "| [Memory](#memory) | 1 of 2 | p99 |"
    assert lines[3].endswith("| – | – |")


def test_links_of_the_summary_lead_to_titles() -> None:
    answers = [answer(question, PLAIN) for question in report.QUESTIONS]
    sections = [report.section(each).splitlines()[0].removeprefix("## ") for each in answers]
    text = report.summary(answers)
    assert all(f"[{title}](#{report.anchor(title)})" in text for title in sections)
    assert report.anchor("In process, against Pykka's threads") == "in-process-against-pykkas-threads"


def test_answers_come_in_the_order_of_the_report_and_unknown_ones_last(tmp_path: Path) -> None:
    for question in ("another", "restart", "throughput"):
        answer(question).save(tmp_path)
    loaded = [each.question for each in report.load_answers(tmp_path)]
    assert loaded == ["throughput", "restart", "another"]


def test_note_of_a_question_is_included_word_for_word(tmp_path: Path) -> None:
    note = "Missed because of *this*:\n\n| a | b |\n|---|---|\n| 1 | 2 |"
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "memory.md").write_text(note + "\n")
    text = written([answer("memory", SLOW), answer("restart", PLAIN)], tmp_path)
    assert text.count(note) == 1
    assert text.index(note) < text.index("## Restart")


def test_section_gives_its_commit_only_where_answers_are_of_several(tmp_path: Path) -> None:
    other = answer("restart", PLAIN)
    assert "commit" not in written([answer("memory"), other], tmp_path)
    other.machine.update({**MACHINE, "commit": "fedcba9876543210+changes"})
    later = Answer(
        question="restart", command="c", machine={**MACHINE, "commit": "fedcba98765432100+changes"}
    )
    assert "commit fedcba987654+changes" in written([answer("memory"), later], tmp_path)


def test_without_matplotlib_the_text_is_whole_and_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ChartsUnavailable, match="bench"):
        charts.Painter()
    text = written([answer("memory", RATIO, charts=[BARS])], tmp_path)
    assert "matplotlib is missing" in text
    assert report.row(RATIO) in text
    assert "![" not in text


def test_charts_are_drawn_and_shown_beside_their_question(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    text = written([answer("memory", RATIO, charts=[BARS, LINES])], tmp_path)
    for chart in (BARS, LINES):
        assert f"![{chart.title}](charts/{chart.name}.png)" in text
        assert (tmp_path / "charts" / f"{chart.name}.png").read_bytes().startswith(b"\x89PNG")


def test_same_figures_make_the_same_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    first, second = (charts.draw_all([BARS], tmp_path / name)[0].read_bytes() for name in ("a", "b"))
    assert first == second


def test_command_line_writes_the_report_where_it_is_asked_to(tmp_path: Path) -> None:
    answer("memory", RATIO).save(tmp_path / "answers")
    into = tmp_path / "text" / "R.md"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.report", "--answers", tmp_path / "answers", "--into", into],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(into) in done.stdout
    assert report.row(RATIO) in into.read_text()


def test_no_answers_are_an_error(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.report", "--answers", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no answers" in done.stderr


GOOD = """
import sys
from pathlib import Path
from benchmarks.findings import Answer, Finding

if __name__ == "__main__":
    into = Path(sys.argv[sys.argv.index("--into") + 1])
    findings = [Finding(what="all", value=1.0)]
    Answer(question="{question}", command="c", machine={{}}, findings=findings).save(into)
    print("quick" if "--quick" in sys.argv else "long")
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the folder in which the questions are others."""
    place = tmp_path / "benchmarks"
    place.mkdir()
    for name in ("__init__", "__main__", "charts", "findings", "loadgen", "report"):
        (place / f"{name}.py").write_text((ROOT / "benchmarks" / f"{name}.py").read_text())
    (place / "throughput.py").write_text(GOOD.format(question="throughput"))
    (place / "memory.py").write_text("raise SystemExit('the memory is gone')")
    (place / "embedded.py").write_text("print('nothing saved')")
    (place / "restart.py").write_text(GOOD.format(question="restart"))
    return tmp_path


def run(house: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", "--into", str(house / "out"), *options],
        cwd=house,
        capture_output=True,
        text=True,
        check=False,
    )


def test_failing_question_is_reported_and_the_others_go_on(house: Path) -> None:
    (house / "out").mkdir()
    answer("memory", RATIO).save(house / "out")
    done = run(house)
    assert done.returncode == 1
    assert "the memory is gone" in done.stdout
    assert "left no embedded.json" in done.stdout
    assert sorted(path.name for path in (house / "out").glob("*.json")) == ["restart.json", "throughput.json"]
    text = (house / "out" / "RESULTS.md").read_text()
    assert "## Restart" in text
    assert "## Memory" not in text, "what failed now shows what it found before"


def test_rounds_are_short_unless_asked_for_at_length(house: Path) -> None:
    elsewhere = house / "text" / "R.md"
    short, at_length = run(house, "restart"), run(house, "--long", "restart", "--report", str(elsewhere))
    assert "## Restart" in elsewhere.read_text()
    assert (short.returncode, at_length.returncode) == (0, 0)
    assert "quick" in short.stdout
    assert "long" in at_length.stdout
    assert json.loads((house / "out" / "restart.json").read_text())["question"] == "restart"


def test_unknown_question_names_those_that_there_are(house: Path) -> None:
    done = run(house, "weather")
    assert done.returncode == 2
    assert "throughput, memory, embedded, restart" in done.stderr


def test_questions_that_exist_are_found_in_the_order_of_the_report() -> None:
    there = bench.available()
    assert "embedded" in there
    assert there == [name for name in report.QUESTIONS if name in there]


def test_what_a_question_prints_is_not_taken_for_markup(house: Path) -> None:
    talker = house / "benchmarks" / "restart.py"
    talker.write_text(talker.read_text() + "    print('[red]x[/red] [/]')\n")
    done = run(house, "restart")
    assert done.returncode == 0
    assert "[red]x[/red] [/]" in done.stdout
