"""How many turns of a conversation does an embedded Sojourn keep, against the stores of agent SDKs?

A turn appends the user's message, appends the answer, and reads the context back: each append is committed
before the next step, as in a real turn, where the model is asked in between. Against it: `SQLiteSession` of
the OpenAI Agents SDK, `DatabaseSessionService` of Google ADK on SQLite, both SQLite savers of LangGraph; on a
file each, in a fresh process each, at the durability that the peer has by itself (asked from its own
connection), which Sojourn is then given. Every read is compared with what was said.

* `together`: 100 conversations, an asyncio task each, which awaits its turns one after the other. Rounds
  alternate peer, Sojourn, peer, Sojourn …; a ratio a pair. Bar: 20 times the turns a second of the best peer.
  The conversations grow meanwhile, those of the faster side further: that flatters the slower. `at once` is
  the same with question and answer appended in one step, where the SDK has such a step.
* `alone`: one turn at a time, at turn 10, 100 and 1,000; the last 10 messages read, then the whole history.
* `aging`: Sojourn alone, 100 conversations at once, alternate windows of ten turns around turn 10 and turn
  1,000: the process's CPU time a turn. Bar: at turn 1,000 at most 1.2 times that of turn 10.

Both bars are point 4 of the issue "Speed and scale".

Not measured: a model; the SDKs' runners and LangGraph's graph, which write more than their stores are made to
here; other databases that the SDKs can use; more than one process on a file.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.findings import ANSWERS, Answer, Chart, Finding, command_line
from benchmarks.harness import Spread, progress
from benchmarks.loadgen import ROOT
from benchmarks.machine import machine, scratch

from .conversation import Level, Plan, Result, Window
from .environments import ENVIRONMENTS, INSTALL, PEERS, SOJOURN, Side, install

QUESTION = "agent_sdks"
TURNS_RATIO = 20.0
AGING_RATIO = 1.2


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How this run is played."""

    together: Plan
    alone: Plan
    aging: Plan
    rounds: int
    is_quick: bool
    "Sizes and peers are fewer, so nothing is held against a bar."
    directory: Path | None
    environments: Path

    def play(self, side: Side, plan: Plan) -> Result:
        """One process on a new file. Raises CalledProcessError; what it said is on stderr."""
        with scratch(self.directory) as place:
            made = replace(plan, db=str(place / "conversations.db"))
            command = [side.interpreter(self.environments), "-m", f"benchmarks.agent_sdks.{side.module}"]
            done = subprocess.run(
                [*command, *side.options, made.dump()],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
        result = Result.load(done.stdout)
        for window in result.windows:
            progress(
                f"{plan.case:<9}{side.name:<34}{window.reading:<7} up to turn {window.length:>5}: "
                f"{window.rate:>8,.0f} turns/s, {window.cpu_ms:.3f} ms of CPU each"
            )
        return result


@dataclass
class Duel:
    """Rounds of a peer and of Sojourn, played alternately."""

    peer: Side
    theirs: list[Window] = field(default_factory=list[Window])
    ours: list[Window] = field(default_factory=list[Window])
    durability: str = ""

    @property
    def ratio(self) -> Spread:
        """Our turns a second over the neighbouring round's of the peer."""
        return Spread.of([a.rate / b.rate for a, b in zip(self.ours, self.theirs, strict=True)])

    @property
    def rate(self) -> float:
        """Turns a second of the peer, the median."""
        return statistics.median(window.rate for window in self.theirs)


def play_together(setting: Setting, peers: Sequence[Side], *, at_once: bool) -> list[Duel]:
    """Rounds of all peers, Sojourn after each; without peers, Sojourn against nobody."""
    duels = [Duel(peer) for peer in peers if peer.has_bulk or not at_once]
    plan = replace(setting.together, at_once=at_once)
    for _ in range(setting.rounds):
        for duel in duels:
            theirs = setting.play(duel.peer, plan)
            level: Level = "full" if theirs.durability.is_full else "relaxed"
            ours = setting.play(SOJOURN, replace(plan, durability=level))
            duel.durability = f"{theirs.durability.format()}; Sojourn {level}"
            duel.theirs += theirs.windows
            duel.ours += ours.windows
    return duels


def findings_together(setting: Setting, duels: Sequence[Duel], *, at_once: bool) -> list[Finding]:
    """Ratios, the best peer's first and with the bar, and the rates that they are of."""
    if not duels:
        return []
    how = "at once" if at_once else "one after the other"
    over = f"{setting.together.conversations} conversations, question and answer {how}"
    found: list[Finding] = []
    ranked = sorted(duels, key=lambda duel: -duel.rate)
    for duel in ranked:
        best = duel is ranked[0]
        ratio = duel.ratio
        found.append(
            Finding(
                what=f"turns/s over {over}, Sojourn against {duel.peer.name}"
                + (", the best" if best else ""),
                value=ratio.median,
                low=ratio.low,
                high=ratio.high,
                unit="×",
                bar=TURNS_RATIO if best and not at_once and not setting.is_quick else None,
                note=f"{duel.durability}. Read back: {duel.peer.reads}; Sojourn: {SOJOURN.reads}.",
            )
        )
    ours = [window for duel in duels for window in duel.ours]
    for name, windows in [(SOJOURN.name, ours), *((duel.peer.name, duel.theirs) for duel in ranked)]:
        rate = Spread.of([window.rate for window in windows])
        cpu = statistics.median(window.cpu_ms for window in windows)
        found.append(
            Finding(
                what=f"turns/s over {over}, {name}",
                value=rate.median,
                low=rate.low,
                high=rate.high,
                unit="turns/s",
                note=f"{cpu:.3f} ms of CPU a turn; the longest conversation had "
                f"{max(window.length for window in windows):,} turns at the end.",
            )
        )
    return found


def findings_alone(played: dict[str, Result]) -> list[Finding]:
    """Milliseconds a turn of each side at each length, and how they compare."""
    found: list[Finding] = []
    for name, result in played.items():
        for window in result.windows:
            turn = Spread.of(window.turn_ms)
            found.append(
                Finding(
                    what=f"one conversation alone at turn {window.length:,}, {window.reading} history read, "
                    f"{name}",
                    value=turn.median,
                    low=turn.low,
                    high=turn.high,
                    unit="ms",
                    note=f"{window.cpu_ms:.3f} ms of CPU a turn over {window.turns} turns; "
                    f"{result.durability.format()}.",
                )
            )
    for index, ours in enumerate(played[SOJOURN.name].windows):
        others = [result.windows[index].rate for name, result in played.items() if name != SOJOURN.name]
        if others:
            found.append(
                Finding(
                    what=f"turns/s of one conversation alone at turn {ours.length:,}, {ours.reading} history "
                    "read, Sojourn against the best",
                    value=ours.rate / max(others),
                    unit="×",
                )
            )
    return found


def findings_aging(setting: Setting, result: Result) -> list[Finding]:
    """CPU a turn of the old over that of the young before them."""
    young, old = result.windows[::2], result.windows[1::2]
    ratio = Spread.of([late.cpu_ms / early.cpu_ms for early, late in zip(young, old, strict=True)])
    costs = [statistics.median(window.cpu_ms for window in windows) for windows in (young, old)]
    return [
        Finding(
            what=f"Sojourn's CPU time a turn at turn {old[0].length:,} over that at turn {young[0].length}",
            value=ratio.median,
            low=ratio.low,
            high=ratio.high,
            unit="×",
            bar=None if setting.is_quick else AGING_RATIO,
            at_most=True,
            note=f"{costs[0]:.3f} and {costs[1]:.3f} ms, all threads; "
            f"{setting.aging.conversations} conversations at once, "
            f"windows of {setting.aging.window} turns; {result.durability.format()}.",
        )
    ]


def charts(duels: Sequence[Duel], played: dict[str, Result]) -> list[Chart]:
    """Turns a second side by side, and milliseconds a turn over the length."""
    drawn: list[Chart] = []
    if duels:
        ours = [window.rate for duel in duels for window in duel.ours]
        bars = [(SOJOURN.name, ours), *((d.peer.name, [w.rate for w in d.theirs]) for d in duels)]
        points = [(name, *_point(rates)) for name, rates in bars]
        drawn.append(
            Chart(
                name=f"{QUESTION}_together",
                title="Turns a second, an asyncio task a conversation, every message committed",
                kind="bars",
                y="turns/s",
                log_y=True,
                series={"turns/s": list(points)},
            )
        )
    for reading, title in (("recent", "the last messages"), ("whole", "the whole history")):
        drawn.append(
            Chart(
                name=f"{QUESTION}_alone_{reading}",
                title=f"One conversation alone, {title} read back",
                kind="lines",
                x="turn",
                y="ms a turn",
                log_x=True,
                log_y=True,
                series={
                    name: [
                        (float(window.length), *_point(window.turn_ms))
                        for window in result.windows
                        if window.reading == reading
                    ]
                    for name, result in played.items()
                },
            )
        )
    return drawn


def _point(values: Sequence[float]) -> tuple[float, float, float]:
    spread = Spread.of(values)
    return spread.median, spread.low, spread.high


def ask(setting: Setting) -> Answer:
    """Play everything that is installed."""
    installed = [peer for peer in PEERS if peer.is_installed(setting.environments)]
    missing = [peer.name for peer in PEERS if peer not in installed]
    if missing:
        progress(f"left out, not installed: {', '.join(missing)}; to install them: {INSTALL}")
    peers = [peer for peer in installed if peer.is_short or not setting.is_quick]
    duels = play_together(setting, peers, at_once=False)
    duels_at_once = [] if setting.is_quick else play_together(setting, peers, at_once=True)
    played = {
        side.name: setting.play(
            side, replace(setting.alone, conversations=min(side.alone, setting.alone.conversations))
        )
        for side in (SOJOURN, *peers)
    }
    aging = setting.play(SOJOURN, setting.aging)
    return Answer(
        question=QUESTION,
        command=command_line(QUESTION),
        machine=machine(setting.directory),
        findings=[
            *findings_together(setting, duels, at_once=False),
            *findings_aging(setting, aging),
            *findings_together(setting, duels_at_once, at_once=True),
            *findings_alone(played),
        ],
        charts=charts(duels, played),
        detail={
            "together": [asdict(duel) for duel in duels],
            "at_once": [asdict(duel) for duel in duels_at_once],
            "alone": {name: asdict(result) for name, result in played.items()},
            "aging": asdict(aging),
            "missing": missing,
        },
    )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{QUESTION}",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--install", action="store_true", help="make the SDKs' environments, and do no more")
    made.add_argument("--conversations", type=int, default=100, help="at once (100)")
    made.add_argument("--rounds", type=int, default=5, help="of each pair (5)")
    made.add_argument("--seconds", type=float, default=3.0, help="of each round (3)")
    made.add_argument("--quick", action="store_true", help="one short round: does it run at all")
    made.add_argument("--into", type=Path, default=ANSWERS, help="where the answer is saved")
    made.add_argument("--json", action="store_true", help="print the answer as one object")
    made.add_argument("--directory", type=Path, help="for the database files (.cache/ in the checkout)")
    made.add_argument("--environments", type=Path, default=ENVIRONMENTS, help="of the SDKs")
    return made


def setting_of(arguments: argparse.Namespace) -> Setting:
    """What the command line asks for."""
    quick: bool = arguments.quick
    lengths = (10, 40) if quick else (10, 100, 1000)
    everyone = Plan(
        case="together",
        db="",
        conversations=20 if quick else arguments.conversations,
        seconds=0.3 if quick else arguments.seconds,
        window=4 if quick else 10,
    )
    return Setting(
        together=everyone,
        alone=replace(everyone, case="alone", conversations=1 if quick else 10, lengths=lengths),
        aging=replace(everyone, case="aging", lengths=lengths, rounds=2 if quick else 7),
        rounds=1 if quick else arguments.rounds,
        is_quick=quick,
        directory=arguments.directory,
        environments=arguments.environments,
    )


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parser().parse_args(argv)
    try:
        if arguments.install:
            install(arguments.environments)
            return
        answer = ask(setting_of(arguments))
    except subprocess.CalledProcessError as error:
        sys.exit(f"{QUESTION}: {error.cmd[0]} … ended with status {error.returncode}")
    path = answer.save(arguments.into)
    if arguments.json:
        kept: Any = asdict(answer)
        print(json.dumps(kept, indent=1, ensure_ascii=False))
    else:
        for finding in answer.findings:
            print(finding.format())
    progress(f"saved {path}")


if __name__ == "__main__":
    main()
