"""Asks every question of this folder, one after the other, and draws the report: `make bench`.

A short round of each, unless `--long`. A question that fails is reported at the end and the others go on; the
exit status is 1 then. What each says on stderr is kept in `.cache/bench/QUESTION.log`.

What readers are shown is made by `python -m benchmarks --long --into benchmarks/answers --report
benchmarks/RESULTS.md`.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from .findings import ANSWERS
from .loadgen import ROOT
from .report import QUESTIONS, load_answers, write_report

SAID = 15
"""Lines of a failed question's last words."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one question went."""

    question: str
    status: int
    seconds: float
    said: str
    "On stdout: its findings."
    log: Path
    "What it said on stderr."


def available() -> list[str]:
    """The questions that exist here, in the order of the report."""
    here = Path(__file__).parent
    return [
        name for name in QUESTIONS if (here / f"{name}.py").exists() or (here / name / "__main__.py").exists()
    ]


def ask(question: str, *, long: bool, into: Path) -> Outcome:
    """Run one question in a process of its own and wait for it."""
    options = [] if long else ["--quick"]
    into.mkdir(parents=True, exist_ok=True)
    ANSWERS.mkdir(parents=True, exist_ok=True)
    log = ANSWERS / f"{question}.log"
    answer = into / f"{question}.json"
    answer.unlink(missing_ok=True)  # what fails now must not show what it found before
    begun = time.monotonic()
    with log.open("w") as complaints:
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{question}", *options, "--into", str(into)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            check=False,
        )
    status = done.returncode
    if status == 0 and not answer.exists():
        status = 1
        with log.open("a") as complaints:
            complaints.write(f"it ended well and left no {answer.name}\n")
    return Outcome(
        question=question, status=status, seconds=time.monotonic() - begun, said=done.stdout, log=log
    )


def ask_all(questions: Sequence[str], *, long: bool, into: Path, console: Console) -> list[Outcome]:
    """Ask each in turn, showing which one runs and what it found."""
    outcomes: list[Outcome] = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as shown:
        for number, question in enumerate(questions, 1):
            task = shown.add_task(f"{question} ({number} of {len(questions)})", total=None)
            outcome = ask(question, long=long, into=into)
            shown.remove_task(task)
            outcomes.append(outcome)
            verdict = "[green]done[/]" if outcome.status == 0 else f"[red]failed, status {outcome.status}[/]"
            console.print(f"[bold]{question}[/] {verdict} in {outcome.seconds:.0f} s")
            console.print(outcome.said.rstrip(), markup=False, highlight=False, soft_wrap=True)
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help="only these (all that exist)")
    parser.add_argument("--long", action="store_true", help="at length, as for publication: an hour or more")
    parser.add_argument("--into", type=Path, default=ANSWERS, help="folder for the answers")
    parser.add_argument(
        "--report", type=Path, help="the text (RESULTS.md beside the answers), with charts/ beside it"
    )
    arguments = parser.parse_args()
    there = available()
    unknown = [name for name in arguments.questions if name not in there]
    if unknown:
        parser.error(f"no such question: {', '.join(unknown)}; there are {', '.join(there)}")
    into: Path = arguments.into.resolve()
    console = Console()
    outcomes = ask_all(arguments.questions or there, long=arguments.long, into=into, console=console)
    answers = load_answers(into)
    if answers:
        report = (arguments.report or into / "RESULTS.md").resolve()
        without, drawn = write_report(answers, report, report.parent / "charts")
        console.print(f"{report}: {len(answers)} questions, {drawn} charts", soft_wrap=True)
        if without is not None:
            console.print(without, markup=False)
    failed = [outcome for outcome in outcomes if outcome.status]
    for outcome in failed:
        console.print(f"[red]{outcome.question} failed[/] with status {outcome.status}; {outcome.log} ends:")
        last = outcome.log.read_text().splitlines()[-SAID:]
        console.print("\n".join(last), markup=False, highlight=False, soft_wrap=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
