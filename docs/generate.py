"""Writes the generated parts of README.md and docs/ from the code that they describe.

    python docs/generate.py            write them
    python docs/generate.py --check    end with 1 when one of them is out of date

A part stands between `<!-- generated: NAME -->` and `<!-- end generated -->`; `FILES` are made whole.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import cast

from pydantic.fields import FieldInfo

from sojourn.actors.config import CHANNEL_TIMEOUTS, RuntimeConfig
from sojourn.actors.lifecycle import TABLE, TIMERS, Status
from sojourn.gateway.asyncapi import document
from sojourn.gateway.errors import ERROR_CODES
from sojourn.gateway.metrics import METRICS
from sojourn.gateway.setting_kinds import Allowed
from sojourn.gateway.settings import PREFIX, Settings

ROOT = Path(__file__).parent.parent
PART = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(<!-- end generated -->)", re.DOTALL)
RETRY = {"no": "no", "after_read": "after a fresh read", "yes": "yes"}


def lifecycle() -> str:
    """The diagram of the states and the table of the timers."""
    ways: dict[tuple[Status, Status], list[str]] = {}
    for (status, on), step in TABLE.items():
        if step.to is not status:
            ways.setdefault((status, step.to), []).append(on.value)
    diagram = ["```mermaid", "stateDiagram-v2", "    [*] --> active: the first message, or on request"]
    diagram += [f"    {start} --> {end}: {', '.join(whys)}" for (start, end), whys in ways.items()]
    ends = {end for _, end in ways} - {start for start, _ in ways}
    diagram += [*(f"    {end} --> [*]" for end in sorted(ends)), "```", ""]
    runtime = RuntimeConfig()
    defaults = {**vars(runtime), **vars(runtime.session)}
    timers = table(
        ("timer", "counts from", "runs in", "when it ends", "default"),
        (
            (
                f"`{timer.setting}`" if timer.setting in defaults else timer.setting,
                timer.counts_from,
                ", ".join(timer.runs_in),
                f"{timer.ends_in}, by `{timer.reason}`" if timer.reason else timer.ends_in,
                seconds(defaults[timer.setting]) if timer.setting in defaults else "–",
            )
            for timer in TIMERS
        ),
    )
    return "\n".join(diagram) + "\n" + timers


def transitions() -> str:
    """Every legal pair of state and happening; what is not here is refused and changes nothing."""
    return table(
        ("in", "on", "to", "events"),
        (
            (status.value, on.value, step.to.value, ", ".join(f"`{name}`" for name in step.events) or "–")
            for (status, on), step in TABLE.items()
        ),
    )


def settings() -> str:
    """Every setting with its flag-free name, what it may be, and its default."""
    return table(
        ("setting", "variable", "allowed", "default", "is"),
        (
            (
                f"`{name}`",
                f"`{PREFIX}{name.upper()}`",
                next(item.text for item in field.metadata if isinstance(item, Allowed)),
                default(field, name),
                (field.description or "").rstrip("."),
            )
            for name, field in Settings.model_fields.items()
        ),
    )


def channels() -> str:
    """The timeouts of the channels that have their own."""
    return table(
        ("channel", "`session_timeout`"),
        ((f"`{channel}`", seconds(timeout)) for channel, timeout in CHANNEL_TIMEOUTS.items()),
    )


def errors() -> str:
    """The error codes of the wire."""
    return table(
        ("code", "meaning", "send it again?"),
        ((f"`{name}`", code.meaning, RETRY[code.retry]) for name, code in ERROR_CODES.items()),
    )


def metrics() -> str:
    """Every number on the metrics page."""
    return table(
        ("metric", "is", "labels"),
        (
            (
                f"`{metric.shown}`",
                f"{metric.kind}: {metric.is_}",
                ", ".join(map("`{}`".format, metric.labels)) or "–",
            )
            for metric in METRICS
        ),
    )


PARTS: dict[str, Callable[[], str]] = {
    part.__name__: part for part in (lifecycle, transitions, settings, channels, errors, metrics)
}


def asyncapi() -> str:
    """The wire as an AsyncAPI document."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


FILES: dict[str, Callable[[], str]] = {"docs/asyncapi.json": asyncapi}
"""Files that are generated whole."""


def default(field: FieldInfo, name: str) -> str:
    """A default as one would write it in the file."""
    value: object = field.get_default(call_default_factory=True)
    if value is None:
        allowed = next(item.text for item in field.metadata if isinstance(item, Allowed))
        word = re.search(r'"\w+"$', allowed)  # the one that the file has for None, if it has one
        return "none" if word is None else f"`{word[0]}`"
    if isinstance(value, frozenset | tuple):
        words = cast("Iterable[str]", value)
        return ", ".join(f"`{word}`" for word in sorted(words)) or "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"{value:,.10g}"
    if isinstance(value, int):
        return f"{value:,}" if "port" not in name else str(value)
    if isinstance(value, str | Path):
        return f"`{value}`"
    return "none"


def seconds(value: float | None) -> str:
    """Seconds as a number, or never."""
    return "never" if value is None else f"{value:,.10g} s"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    columns = list(head)
    lines = [columns, ["---"] * len(columns), *([*row] for row in rows)]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)


def filled(text: str) -> str:
    """`text` with every generated part as it should be."""
    return PART.sub(lambda match: f"{match[1]}{PARTS[match['name']]()}{match[3]}", text)


def main() -> int:
    """Write or check; the exit code."""
    stale: list[Path] = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = page.read_text("utf-8")
        new = filled(text)
        if new != text:
            stale.append(page)
            if "--check" not in sys.argv:
                page.write_text(new, "utf-8")
    for name, make in FILES.items():
        file, new = ROOT / name, make()
        if not file.exists() or file.read_text("utf-8") != new:
            stale.append(file)
            if "--check" not in sys.argv:
                file.write_text(new, "utf-8")
    for page in stale:
        print(f"{page.relative_to(ROOT)}: {'out of date: make docs' if '--check' in sys.argv else 'written'}")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
