"""The chit-chat data set: real conversations between two people, with second-exact times, to replay.

It is the public data set of BYU's Perception, Control and Cognition lab (`chitchat-dataset`, MIT
licence), read from the installed package or from a file of the same form:
`{key: {"messages": [[{text, timestamp, sender}, …], …], …}}`.
"""

import importlib.util
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from .errors import GatewayError


class DatasetUnavailable(GatewayError):
    """The conversations cannot be read; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Line:
    """One message of a conversation."""

    at: float
    """Unix time, seconds."""
    text: str
    """As written; may be empty."""
    sender: str
    """Who wrote it."""
    by_user: bool
    """Whether that is the one who wrote first in the conversation: the user of the replay."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation, oldest line first."""

    key: str
    lines: tuple[Line, ...]


def load_conversations(file: Path | None = None, limit: int | None = None) -> list[Conversation]:
    """The first `limit` conversations of `file`, or of the installed package where no file is given."""
    path = file or _installed()
    try:
        with path.open(encoding="utf-8") as stream:
            content: Any = json.load(stream)
        return [_conversation(key, entry["messages"]) for key, entry in islice(content.items(), limit)]
    except OSError as error:
        raise DatasetUnavailable(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetUnavailable(f"{path}: no conversations as chitchat-dataset has them: {error}") from error


def _installed() -> Path:
    found = importlib.util.find_spec("chitchat_dataset")
    if found is None or found.origin is None:
        raise DatasetUnavailable(
            "the conversations are not installed: pip install 'sojourn[demo]', or name a file with --file"
        )
    return Path(found.origin).with_name("dataset.json")


def _conversation(key: str, turns: Iterable[Iterable[dict[str, str]]]) -> Conversation:
    rows = [(_instant(entry["timestamp"]), entry) for turn in turns for entry in turn]
    rows.sort(key=lambda row: row[0])  # stable: equal times stay in the file's order
    first = rows[0][1]["sender"] if rows else None
    return Conversation(
        key,
        tuple(Line(at, entry["text"], entry["sender"], entry["sender"] == first) for at, entry in rows),
    )


def _instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
