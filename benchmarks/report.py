"""Makes text and pictures of the answers: `python -m benchmarks.report --answers DIR`.

Each answer (`QUESTION.json`, see `findings.py`) becomes a section: the command, a table of its findings, its
charts, and, where there is one, the file `benchmarks/notes/QUESTION.md` word for word: why a bar is missed
is for a person to say. Without matplotlib the text comes alone, and says so.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from .charts import ChartsUnavailable, draw_all
from .findings import ANSWERS, Answer, Finding, number
from .loadgen import ROOT

NOTES: Final = ROOT / "benchmarks" / "notes"

QUESTIONS: Final[Mapping[str, str]] = {
    "throughput": "Messages a second through sockets",
    "latency": "Latency at half the rate",
    "growth": "What a million sessions cost the others",
    "memory": "Memory",
    "large_file": "A file of many million events",
    "embedded": "In process, against Pykka's threads",
    "agent_sdks": "Against the session stores of agent kits",
    "restart": "Restart and a wave of expiries",
    "turns": "Ten thousand turns at once",
    "broadcast": "A broadcast beside the others",
    "looking": "What it costs to be looked at",
    "dashboard": "How long one waits for the dashboard",
    "insights": "Search and statistics",
    "gathering": "What gathering search costs",
    "retention": "While old sessions go, or a person is erased",
    "websocket": "WebSocket beside TCP",
    "before": "What it costs those who do not use it",
}
"""Title by question, in the order of a report; whatever else lies in the folder follows them."""

INTRODUCTION: Final = """\
# What was measured

{machines}

Such machines are noisy: expect a third more or less of any rate. **Read the ratios (×)**: they compare what
was measured in one run, over rounds that alternate. A figure is the median of its rounds, with the least and
the most of them in brackets. Where a bar was set in advance, the table says whether it is met; where it is
missed, the text below the table says why. Each section begins with the command that made it: anyone can run
it.
"""


def load_answers(directory: Path) -> list[Answer]:
    """The answers of a folder in the order of the report."""
    known = list(QUESTIONS)
    answers = [Answer.load(path) for path in sorted(directory.glob("*.json"))]
    return sorted(
        answers,
        key=lambda answer: (
            known.index(answer.question) if answer.question in known else len(known),
            answer.question,
        ),
    )


def write_report(
    answers: Sequence[Answer], into: Path, charts: Path, *, notes: Path = NOTES
) -> tuple[str | None, int]:
    """Write the text to `into` and the pictures into the folder `charts`.

    Returns why there are no pictures (None: they are there), and how many there are.
    """
    drawn: dict[str, list[Path]] = {}
    without: str | None = None
    try:
        for answer in answers:
            drawn[answer.question] = draw_all(answer.charts, charts)
    except ChartsUnavailable as error:
        without = str(error)
    parts = [introduction(answers)]
    if without is not None:
        parts.append(f"*{without[0].upper()}{without[1:]}.*\n")
    parts += [summary(answers)]
    for answer in answers:
        note = notes / f"{answer.question}.md"
        parts.append(
            section(
                answer,
                machine_differs=answer.machine.get("commit") != answers[0].machine.get("commit"),
                pictures=[
                    (chart.title, quote(Path(os.path.relpath(path, into.parent)).as_posix()))
                    for chart, path in zip(answer.charts, drawn.get(answer.question, []), strict=False)
                ],
                note=note.read_text().strip() if note.exists() else None,
            )
        )
    into.parent.mkdir(parents=True, exist_ok=True)
    into.write_text("\n".join(parts))
    return without, sum(map(len, drawn.values()))


def introduction(answers: Iterable[Answer]) -> str:
    """The machine, and how to read what follows."""
    machines = list(dict.fromkeys(machine_line(answer.machine) for answer in answers))
    return INTRODUCTION.format(machines="\n\n".join(machines))


def machine_line(machine: Mapping[str, Any]) -> str:
    """A machine and the versions on it, without what varies from hour to hour."""
    packages: Mapping[str, str | None] = machine.get("packages", {})
    versions = ", ".join(f"{name} {version}" for name, version in packages.items() if version)
    return (
        f"On {machine.get('cores')} cores of a machine with {machine.get('processor')}, "
        f"{machine.get('memory_bytes', 0) / 2**30:.0f} GiB of memory, {machine.get('file_system')}, "
        f"Linux {machine.get('kernel')}; Python {machine.get('python')}, SQLite {machine.get('sqlite')}, "
        f"{versions}."
    )


def summary(answers: Sequence[Answer]) -> str:
    """How many bars each question meets."""
    lines = ["| question | bars met | missed |", "|---|---|---|"]
    for answer in answers:
        judged = [finding for finding in answer.findings if finding.met is not None]
        missed = [finding for finding in judged if not finding.met]
        met = f"{len(judged) - len(missed)} of {len(judged)}" if judged else "–"
        title = title_of(answer.question)
        why = "; ".join(cell(finding.what) for finding in missed) or "–"
        lines.append(f"| [{cell(title)}](#{anchor(title)}) | {met} | {why} |")
    return "\n".join(lines) + "\n"


def section(
    answer: Answer,
    *,
    machine_differs: bool = False,
    pictures: Sequence[tuple[str, str]] = (),
    note: str | None = None,
) -> str:
    """One question: its command, its table, its pictures (title and path), what a person says to it."""
    commit = answer.machine.get("commit")
    conditions = f"fsync {number(answer.machine.get('fsync_us', 0.0))} µs"
    if machine_differs and commit:
        conditions += f", commit {commit[:12]}{'+changes' if commit.endswith('+changes') else ''}"
    lines = [
        f"## {title_of(answer.question)}",
        "",
        f"    {answer.command}",
        "",
        f"Load of the machine before: {machine_load(answer.machine)}; {conditions}.",
        "",
        "| what | measured | bar | | note |",
        "|---|---|---|---|---|",
        *(row(finding) for finding in answer.findings),
        "",
    ]
    for title, path in pictures:
        lines += [f"![{title}]({path})", ""]
    if note is not None:
        lines += [note, ""]
    return "\n".join(lines)


def row(finding: Finding) -> str:
    """A finding as a row of the table; what is judged stands out."""
    unit = finding.unit if finding.unit == "×" else f" {finding.unit}"
    value = f"{number(finding.value)}{unit}".strip()
    if finding.bar is not None:
        value = f"**{value}**"
    if finding.low is not None and finding.high is not None:
        value += f" ({number(finding.low)} to {number(finding.high)})"
    bar = "" if finding.bar is None else f"{'≤' if finding.at_most else '≥'} {number(finding.bar)}"
    verdict = {None: "", True: "met", False: "**MISSED**"}[finding.met]
    return f"| {cell(finding.what)} | {value} | {bar} | {verdict} | {cell(finding.note)} |"


def title_of(question: str) -> str:
    """The section's title."""
    return QUESTIONS.get(question, question.replace("_", " ").capitalize())


def machine_load(machine: Mapping[str, Any]) -> str:
    """The load average."""
    load = machine.get("load_average")
    return "unknown" if load is None else f"{load:g}"


def anchor(title: str) -> str:
    """The title as the end of a link to it, as GitHub makes it."""
    kept = "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")


def cell(text: str) -> str:
    """Text that stays within its cell."""
    return " ".join(text.replace("|", "\\|").split())


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--answers", type=Path, default=ANSWERS, help="folder of QUESTION.json")
    parser.add_argument("--into", type=Path, help="the text (RESULTS.md beside the answers)")
    parser.add_argument("--charts", type=Path, help="folder of the pictures (charts/ beside the text)")
    arguments = parser.parse_args()
    answers = load_answers(arguments.answers)
    if not answers:
        sys.exit(f"report: no answers in {arguments.answers}; `python -m benchmarks` makes them")
    into: Path = arguments.into or arguments.answers / "RESULTS.md"
    without, drawn = write_report(answers, into, arguments.charts or into.parent / "charts")
    print(f"{into}: {len(answers)} questions, {drawn} charts")
    if without is not None:
        print(without, file=sys.stderr)


if __name__ == "__main__":
    main()
