"""`sojourn transcript`: one conversation, to be read."""

import json
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer
from rich.text import Text

from .console import AUTHOR_STYLE, fail, harmless, instant, out
from .files import session_file
from .options import DatabaseFile, SettingsFile


def transcript(
    session_id: Annotated[str, typer.Argument(metavar="ID", help="The session's id.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: session and events.")] = False,
    db: DatabaseFile = None,
    settings_file: SettingsFile = None,
) -> None:
    """Show one conversation: who said what when, and what happened to the session."""
    with session_file(db, settings_file) as file:
        session = file.session(session_id)
        if session is None:
            fail(f"there is no session {session_id} in this file; `sojourn sessions` lists them")
        events = list(file.history(session_id))
    if as_json:
        print(json.dumps({"session": session, "events": events}, ensure_ascii=False))
    else:
        show_transcript(session, events)


def show_transcript(session: dict[str, Any], events: Iterable[dict[str, Any]]) -> None:
    """Print a conversation: a head, then one line an event."""
    user = session["user"]
    name = user.get("display_name") or user.get("user_id") or "somebody"
    out.print(
        Text.assemble(
            (str(name), "bold"),
            f" on {session['channel']}, {session['status']}, {session['seq']} events, session ",
            (session["session_id"], "dim"),
        )
    )
    for event in events:
        out.print(Text.assemble((instant(event["at"]), "dim"), "  ", event_line(event)), soft_wrap=True)


def event_line(event: dict[str, Any]) -> Text:
    """One event in words, harmless to a terminal."""
    kind: str = event["type"]
    if kind == "message:received":
        line = message_line(event)
    else:
        line = Text(f"· {_WORDS.get(kind, _plain)(event)}", style="dim")
    line.plain = harmless(line.plain)
    return line


def message_line(event: dict[str, Any]) -> Text:
    """A message: who, then what."""
    author: str = event["author"]
    line = Text.assemble((f"{author:>6}", AUTHOR_STYLE.get(author, "")), "  ", event.get("text") or "")
    for attachment in event.get("attachments") or ():
        line.append(f" [{attachment.get('name') or attachment.get('url') or 'attachment'}]", style="dim")
    if event.get("data") is not None:
        line.append(f" {json.dumps(event['data'], ensure_ascii=False)}", style="dim")
    return line


def _by(event: dict[str, Any]) -> str:
    by: dict[str, Any] | None = event.get("by")
    return f" by {by.get('id') or by['role']}" if by else ""


def _plain(event: dict[str, Any]) -> str:
    return f"{event['type']}{_by(event)}"


_WORDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "session:created": lambda event: f"created{_by(event)}",
    "session:context:updated": lambda event: (
        f"context{_by(event)}: {json.dumps(event['patch'], ensure_ascii=False)}"
    ),
    "session:closed": lambda event: f"closed{_by(event)}: {event.get('reason') or 'no reason given'}",
    "session:reopened": lambda event: f"reopened{_by(event)}",
    "session:expired": lambda event: f"expired: {event['reason']}",
    "session:rated": lambda event: f"rated {event['rating']}: {event.get('feedback') or 'no words'}",
    "session:tagged": lambda event: f"tags{_by(event)}: {', '.join(event['tags']) or 'none'}",
    "session:handed_over": lambda event: (
        f"handed over{_by(event)} to {event.get('queue') or 'the queue'}: {event.get('note') or 'no note'}"
    ),
    "session:assigned": lambda event: (
        f"taken{_by(event)}"
        if _by(event) == f" by {event['assignee']}"
        else f"given to {event['assignee']}{_by(event)}"
    ),
    "session:released": lambda event: f"given back to the AI{_by(event)}",
    "dialog:expired": lambda _: "the AI's memory of the talk lapsed",
    "reminder:fired": lambda event: f"reminder {event['name']}",
    "message:failed": lambda event: f"failed on a message: {event['code']}: {event['message']}",
}
