"""What an embedding program sends: its arguments, checked, as a message to one session or to many people."""

from collections.abc import Iterable
from typing import Any, Final
from uuid import uuid4

from .broadcast import Broadcast
from .errors import InvalidRequest
from .handles import USER
from .mail import Caller, Subscriber
from .messages import SendMessage
from .values import check_json, check_list, check_map, check_text

ROLES: Final = {"user": "user", "ai": "ai", "human": "agent", "system": "service"}
"""The role of who speaks, by the author of a message."""


def whole_message(
    now: float,
    text: str | None,
    message_id: str | None,
    data: Any,
    attachments: list[Any] | None,
    context: dict[str, Any] | None,
    author: str,
    author_id: str | None,
    listener: Subscriber | None,
) -> SendMessage:
    """A message with all that it may hold; `listener` is attached to its session."""
    if text is None and data is None and attachments is None:
        raise InvalidRequest("a message needs a text, data or attachments", details={"key": "text"})
    check_text(text, "text")
    check_text(message_id, "message_id")
    check_text(author_id, "author_id")
    check_json(data, "data")
    check_list(attachments, "attachments")
    check_map(context, "context")
    return SendMessage(
        by=USER if author == "user" else Caller(ROLES[author], author_id),
        now=now,
        origin=listener,
        attach=listener is not None,
        message_id=message_id,
        author=author,
        author_id=author_id,
        text=text,
        attachments=attachments,
        data=data,
        context=context,
    )


def whole_broadcast(
    users: Iterable[dict[str, Any]],
    text: str | None,
    data: Any,
    attachments: list[Any] | None,
    context: dict[str, Any] | None,
    channel: str,
    broadcast_id: str | None,
    reopen: bool,
    author: str,
    author_id: str | None,
) -> Broadcast:
    """A message to many; who they are is judged one by one, when their turn comes."""
    if text is None and data is None and attachments is None:
        raise InvalidRequest("a broadcast needs a text, data or attachments", details={"key": "text"})
    check_text(text, "text")
    check_json(data, "data")
    check_list(attachments, "attachments")
    check_map(context, "context")
    check_text(channel, "channel")
    check_text(broadcast_id, "broadcast_id")
    check_text(author_id, "author_id")
    if author not in ROLES or author == "user":
        raise InvalidRequest(
            f"author must be one of ai, human, system, got {author!r}", details={"key": "author"}
        )
    return Broadcast(
        broadcast_id=broadcast_id or uuid4().hex,
        users=list(users),
        by=Caller(ROLES[author], author_id),
        author=author,
        channel=channel,
        text=text,
        attachments=attachments,
        data=data,
        context=context,
        reopen=reopen,
    )


def text_message(now: float, text: str, message_id: str | None, author: str, reply_to: Any) -> SendMessage:
    """A message that is a text and nothing else, known to be one."""
    return SendMessage(
        by=USER if author == "user" else Caller(ROLES[author]),
        now=now,
        origin=None,
        attach=False,
        message_id=message_id,
        author=author,
        author_id=None,
        text=text,
        attachments=None,
        data=None,
        context=None,
        reply_to=reply_to,
    )
