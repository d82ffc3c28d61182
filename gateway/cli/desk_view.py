"""The desk as a picture: the queue on the left, the talk on the right, what one types below."""

from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.layout import Layout
from rich.panel import Panel
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from .console import AUTHOR_STYLE, harmless
from .desk_state import DeskState, Row, Talk
from .transcript import event_line

LEFT, LEAST_LEFT, NARROW = 38, 27, 90
"""Columns of the lists; on a screen below the third number they are a third of it, at least the second."""
WAITS_LONG, WAITS_TOO_LONG = 60.0, 300.0
"""Seconds from which a waiting time is yellow, and red."""
KEYS = "↑ ↓ look   Enter take   /next /back /to QUEUE /resolve /quit /help"


def picture(state: DeskState, now: float, typed: str, width: int = 110) -> RenderableType:
    """The whole screen of `width` columns. now: this machine's Unix time; typed: the line so far."""
    now += state.clock_ahead
    columns = LEFT if width >= NARROW else max(LEAST_LEFT, width // 3 + 2)
    left = Layout(name="left", size=columns)
    waiting, mine = list(state.waiting.values()), list(state.mine.values())
    with_queue = columns == LEFT
    left.split_column(
        Layout(_list(_waiting_title(state), state, waiting, 1, now, with_queue=with_queue)),
        Layout(
            _list(f"yours · {len(mine)}", state, mine, len(waiting) + 1, now, with_queue=with_queue),
            size=max(4, min(10, len(mine) + 3)),
        ),
    )
    top = Layout(name="top")
    top.split_row(left, Layout(_talk(state), name="talk"))
    screen = Layout()
    screen.split_column(top, Layout(_prompt(state, typed), size=3), Layout(_foot(state), size=1))
    return screen


def _waiting_title(state: DeskState) -> str:
    where = "" if state.queues is None else f" in {', '.join(state.queues)}"
    return f"waiting{where} · {len(state.waiting) + state.others}"


def _list(
    title: str, state: DeskState, rows: list[Row], first: int, now: float, *, with_queue: bool
) -> Panel:
    table = Table(box=None, show_header=False, expand=True, padding=(0, 1, 0, 0))
    table.add_column(justify="right", width=3, no_wrap=True)
    table.add_column(ratio=3, no_wrap=True, overflow="ellipsis")
    if with_queue:
        table.add_column(ratio=2, no_wrap=True, overflow="ellipsis", style="dim")
    table.add_column(justify="right", width=7, no_wrap=True)
    for number, row in enumerate(rows, first):
        chosen = row.session_id == state.selected
        name = Text(_one_line(row.name), "bold" if chosen else "")
        if row.unread:
            name.append(f" ({row.unread})", "bold yellow")
        mark = Text(f"▸{number}" if chosen else str(number), "bold cyan" if chosen else "dim")
        queue = (Text(_one_line(row.queue or "–")),) if with_queue else ()
        table.add_row(mark, name, *queue, _wait(row, state, now))
    body: RenderableType = table if rows else Text("nobody", "dim")
    return Panel(
        body,
        title=Text(title, "default not dim"),
        title_align="left",
        border_style="bright_black",
        box=box.ROUNDED,
    )


def _wait(row: Row, state: DeskState, now: float) -> Text:
    """How long, and for those who wait in the colour of its urgency."""
    seconds = max(0.0, now - row.since)
    if row.session_id in state.mine:
        style = "dim"
    elif seconds < WAITS_LONG:
        style = "green"
    else:
        style = "yellow" if seconds < WAITS_TOO_LONG else "bold red"
    return Text(short_span(seconds), style)


def short_span(seconds: float) -> str:
    """A length of time in at most six characters: 0:07, 12:30, 3 h, 5 d."""
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02}"
    return f"{whole // 3600} h" if whole < 172_800 else f"{whole // 86_400} d"


def _talk(state: DeskState) -> Panel:
    row = state.row(state.selected)
    if row is None:
        hint = "Nobody is chosen. /next takes who is next." if state.waiting else "Nobody waits."
        return Panel(Text(hint, "dim"), border_style="bright_black", box=box.ROUNDED)
    mine = row.session_id in state.mine
    title = Text.assemble((_one_line(row.name), "bold"), "  ", (row.session_id, "dim"))
    foot = Text("yours" if mine else "only looking: Enter takes it", "green" if mine else "yellow")
    talk = state.talks.get(row.session_id, Talk())
    lines: list[RenderableType] = [talk_line(event, state.identity) for event in talk.in_order()]
    if talk.writing:
        lines.append(Text(f"{_one_line(talk.writing)} is writing …", "dim italic"))
    return Panel(
        Tail(Group(*lines)),
        title=title,
        title_align="left",
        subtitle=foot,
        subtitle_align="left",
        border_style="green" if mine else "bright_black",
        box=box.ROUNDED,
    )


def talk_line(event: dict[str, Any], identity: str) -> RenderableType:
    """One event of a talk: when, who, what; a long text stays beside its author."""
    line = Table(box=None, show_header=False, padding=(0, 1, 0, 0), expand=True)
    line.add_column(width=5, no_wrap=True, style="dim")
    when = datetime.fromtimestamp(event["at"], UTC).astimezone().strftime("%H:%M")
    if event["type"] != "message:received":
        line.add_column(ratio=1, overflow="fold")
        line.add_row(when, event_line(event))
        return line
    author: str = event["author"]
    who = "you" if author == "human" and event.get("author_id") == identity else author
    words = event_line(event)
    line.add_column(width=6, no_wrap=True)
    line.add_column(ratio=1, overflow="fold")
    line.add_row(when, Text(who, AUTHOR_STYLE.get(author, "")), words[len(f"{author:>6}") + 2 :])
    return line


def _prompt(state: DeskState, typed: str) -> Panel:
    line = Text.assemble(("› ", "bold cyan"), typed, ("▏", "bold cyan"), overflow="fold")
    return Panel(
        Tail(line),
        border_style="cyan" if state.connected else "red",
        title=None if state.connected else Text("the server is gone; it is tried again", "red"),
        title_align="left",
        box=box.ROUNDED,
    )


def _foot(state: DeskState) -> RenderableType:
    if state.notice:
        return Text.assemble(" ", (_one_line(state.notice), "bold"), no_wrap=True, overflow="ellipsis")
    return Text(f" {KEYS}", "dim", no_wrap=True, overflow="ellipsis")


def _one_line(text: str) -> str:
    return " ".join(harmless(text).split())


class Tail:
    """The last lines of something that may be longer than its place."""

    def __init__(self, content: RenderableType) -> None:
        self._content = content

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._content, options.update(height=None), pad=False)
        height = options.height
        if height is not None and len(lines) > height:
            lines = lines[len(lines) - height :]
        for number, line in enumerate(lines):
            if number:
                yield Segment.line()
            yield from line
