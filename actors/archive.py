"""The lines of an export: a session and its events as maps that JSON has, and back.

Pure: from rows to maps and from maps to rows, no file and no SQL. An export is a header, a line for each user
who has a context, then each session, followed by its events, and a last line that says how many there were.
What a session is follows from its events; its line says it as well, so a reader of the file has it and an
import can compare. Where a history does not go back to its beginning, the line holds the state as bytes.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from sojourn.storage import EVENT_NAMES, EVENT_TYPES, BroadcastRow, EventRow, ScopeRow, SessionRow
from sojourn.storage.broadcasts import OUTCOMES

from .context import SensitiveKeys
from .events import session_map
from .lifecycle import NEVER
from .packing import pack, unpack
from .snapshots import freeze, thaw
from .state import Session

Item = dict[str, Any]

FORMAT: Final = "sojourn"
VERSION: Final = 1
MOST_KEYS: Final = 15
"""Of an event's payload: more of them it never has."""

_CONTEXT_KEY: Final = {"session:created": "context", "session:context:updated": "patch"}
_AUTHORS: Final = frozenset({"user", "ai", "human", "system"})
_MESSAGE_KEYS: Final = ("author", "message_id", "text", "attachments", "data")
_OUTCOME_CODES: Final = {name: code for code, name in OUTCOMES.items()}
_to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class BadItem(ValueError):
    """A line is none of an export; the text says what is wrong with it."""


def to_line(item: Item) -> bytes:
    """One line of the file, its end included."""
    return _to_json(item).encode() + b"\n"


def from_line(line: bytes) -> Item:
    """What `to_line` was given; raises BadItem."""
    if not line.endswith(b"\n"):
        raise BadItem("the line is cut off")
    try:
        item = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadItem(f"this is no JSON ({error})") from error
    if not isinstance(item, dict):
        raise BadItem("this is no JSON object")
    return cast("Item", item)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


# -- out ---------------------------------------------------------------------------------------------


def header_item(*, secrets: bool, sensitive_keys: Sequence[str], filters: Mapping[str, Any]) -> Item:
    """The first line: nothing in it tells one run from another of the same export."""
    item: Item = {"kind": "header", "format": FORMAT, "version": VERSION, "secrets": secrets}
    if sensitive_keys:
        item["sensitive_keys"] = list(sensitive_keys)
    return {**item, "filters": dict(filters)} if filters else item


def user_item(row: ScopeRow, sensitive: SensitiveKeys) -> Item:
    """The context that is kept of a user across sessions."""
    context = sensitive.masked(unpack(cast("bytes", row.context)))
    return {"kind": "user", "user_id": row.user_id, "version": row.version, "context": context}


def session_item(
    row: SessionRow,
    session: Session,
    first_seq: int,
    sensitive: SensitiveKeys,
    broadcasts: Mapping[str, int],
) -> Item:
    """A session as `session:get` shows it, and what else is kept of it; `first_seq`: of its oldest event.

    `session` is what `row` and the events behind its snapshot make; `broadcasts` are those that reached it.
    """
    item: Item = {
        "kind": "session",
        "session_id": row.session_id,
        "session": session_map(session, sensitive),
        "request_key": row.request_key,
        "resume_hash": None if row.resume_hash is None else row.resume_hash.hex(),
    }
    if broadcasts:
        item["broadcasts"] = {name: OUTCOMES[outcome] for name, outcome in broadcasts.items()}
    if first_seq > 1:
        item["first_seq"] = first_seq
        session.context = pack(sensitive.masked(unpack(session.context)))
        item["state"] = b64encode(freeze(session)).decode()
    return item


def event_item(row: EventRow, session_id: str, sensitive: SensitiveKeys) -> Item:
    """One event of a session's history."""
    _, seq, at, code, flags, body = row
    name = EVENT_NAMES[code]
    payload = unpack(body)
    key = _CONTEXT_KEY.get(name)
    if key is not None and sensitive:
        payload[key] = sensitive.masked(payload[key])
    return {
        "kind": "event",
        "session_id": session_id,
        "seq": seq,
        "at": at,
        "type": name,
        "flags": flags,
        "payload": payload,
    }


def end_item(sessions: int, events: int) -> Item:
    """The last line."""
    return {"kind": "end", "sessions": sessions, "events": events}


# -- in ----------------------------------------------------------------------------------------------


def check_header(item: Item) -> None:
    """Raise BadItem unless this is the first line of an export that can be read here."""
    if item.get("kind") != "header" or item.get("format") != FORMAT:
        raise BadItem("this is no export of Sojourn: the first line is not its header")
    version = item.get("version")
    if type(version) is not int or version < 1:
        raise BadItem(f"the header has no version, but {version!r}")
    if version > VERSION:
        raise BadItem(f"its format {version} is of a later Sojourn; this one reads up to {VERSION}")
    sensitive_keys_of(item)


def sensitive_keys_of(header: Item) -> list[str]:
    """The patterns of keys that are masked for people where the export comes from."""
    patterns = header.get("sensitive_keys", [])
    texts: list[Any] = list(cast("Sequence[Any]", patterns)) if type(patterns) is list else [None]
    if not all(type(each) is str for each in texts):
        raise BadItem("sensitive_keys of the header is no list of texts")
    return texts


def user_row(item: Item) -> ScopeRow:
    """The row of a user's context."""
    user_id = _of(item, "user_id", str, "a text")
    version = _of(item, "version", int, "a whole number")
    context = _of(item, "context", dict, "a map")
    if not user_id or version < 1:
        raise BadItem("user_id is not empty and version is 1 or more")
    return ScopeRow(user_id, version, _packed(context))


def event_row(item: Item, key: int, session_id: str, seq: int, at: float) -> EventRow:
    """The row of the event with this `seq`, which happened at `at` or later; the payload is checked."""
    if _of(item, "session_id", str, "a text") != session_id:
        raise BadItem(f"an event of session {item['session_id']!r} among those of {session_id!r}")
    if _of(item, "seq", int, "a whole number") != seq:
        raise BadItem(f"seq is {item['seq']} where {seq} comes next: events are missing or doubled")
    happened = item.get("at")
    if type(happened) is not float and type(happened) is not int:
        raise BadItem("at is no number of seconds")
    if not at <= happened < NEVER:
        raise BadItem(f"at is {happened}, before the event that it follows ({at})")
    name = _of(item, "type", str, "a text")
    code = EVENT_TYPES.get(name)
    if code is None:
        raise BadItem(f"there is no event of the type {name[:64]!r}")
    flags = _of(item, "flags", int, "a whole number")
    if not 0 <= flags < 2**31:
        raise BadItem(f"flags is {flags}")
    payload = _of(item, "payload", dict, "a map")
    if len(payload) > MOST_KEYS:
        raise BadItem(f"payload has {len(payload)} keys, {MOST_KEYS} are allowed")
    if name == "message:received":
        _check_message(payload)
    return (key, seq, float(happened), code, flags, _packed(payload))


def rebuilt(item: Item, key: int, events: Sequence[EventRow]) -> tuple[SessionRow, Session]:
    """The row of a session, and the session, from its line and all of its events.

    Raises BadItem when the events do not make what the line says.
    """
    session_id = _of(item, "session_id", str, "a text")
    said = _of(item, "session", dict, "a map")
    request_key = item.get("request_key")
    if request_key is not None and type(request_key) is not str:
        raise BadItem("request_key is neither a text nor null")
    try:
        if first_seq(item) > 1:
            session = thaw(key, session_id, b64decode(_of(item, "state", str, "a text"), validate=True))
        else:
            session = Session(key, session_id)
            for _, _, at, code, flags, body in events:
                session.apply(EVENT_NAMES[code], at, unpack(body), flags)
        made = session_map(session, SensitiveKeys())
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise BadItem(f"its events make no session ({type(error).__name__}: {error})") from error
    if made != said:
        wrong = sorted(name for name in {*made, *said} if made.get(name) != said.get(name))
        raise BadItem(f"its events do not make what its line says ({', '.join(wrong)})")
    row = SessionRow(
        key=key,
        session_id=session_id,
        user_id=made["user"].get("user_id"),
        channel=session.channel,
        request_key=request_key,
        resume_hash=_resume_hash(item),
        created_at=session.created_at,
        status=session.status.value,
        handling=session.handling.value,
        queue=session.queue,
        assignee=session.assignee,
        due_at=None if session.due_at == NEVER else session.due_at,
        seq=session.seq,
        snapshot=freeze(session),
    )
    return row, session


def broadcast_rows(item: Item, row: SessionRow) -> list[BroadcastRow]:
    """Which broadcasts reached a session, from its line; they will not reach its user again."""
    said = item.get("broadcasts")
    if said is None:
        return []
    if type(said) is not dict or row.user_id is None:
        raise BadItem("broadcasts is not a map, or the session is nobody's")
    outcomes = cast("dict[str, Any]", said)
    for name, outcome in outcomes.items():
        if not name or not isinstance(outcome, str) or outcome not in _OUTCOME_CODES:
            raise BadItem(f"broadcasts of {name[:64]!r} is {outcome!r}")
    return [(row.user_id, name, row.key, _OUTCOME_CODES[outcome]) for name, outcome in outcomes.items()]


def session_id_of(item: Item) -> str:
    """The id in a session's line, which is not empty."""
    session_id: str = _of(item, "session_id", str, "a text")
    if not session_id:
        raise BadItem("session_id is empty")
    return session_id


def first_seq(item: Item) -> int:
    """The place of the oldest event that a session's line announces."""
    first = item.get("first_seq", 1)
    if type(first) is not int or first < 1:
        raise BadItem(f"first_seq is {first!r}")
    return first


def last_seq(item: Item) -> int:
    """The place of the newest event that a session's line announces."""
    seq: int = _of(_of(item, "session", dict, "a map"), "seq", int, "a whole number")
    return seq


def _check_message(payload: Item) -> None:
    missing = [name for name in _MESSAGE_KEYS if name not in payload]
    if missing:
        raise BadItem(f"a message without {missing[0]}")
    if payload["author"] not in _AUTHORS or type(payload["message_id"]) is not str:
        raise BadItem("a message has an author (user, ai, human, system) and a message_id")


def _resume_hash(item: Item) -> bytes | None:
    text = item.get("resume_hash")
    if text is None:
        return None
    try:
        found = bytes.fromhex(text)
    except (ValueError, TypeError) as error:
        raise BadItem("resume_hash is no hexadecimal text") from error
    if len(found) != 32:
        raise BadItem(f"resume_hash has {len(found)} bytes, not 32")
    return found


def _of(item: Mapping[str, Any], key: str, kind: type, expected: str) -> Any:
    value = item.get(key)
    if type(value) is not kind:
        raise BadItem(f"{key} is missing or not {expected}")
    return value


def _packed(value: Any) -> bytes:
    try:
        return pack(value)
    except (ValueError, OverflowError) as error:  # a number beyond 64 bits, a lone surrogate, too deep
        raise BadItem(f"a value that cannot be kept ({error})") from error
