"""Requests about many sessions at once: lists, erasures, broadcasts, webhooks that are to be sent again."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

from sojourn.actors.broadcast import Broadcast, Progress
from sojourn.actors.messages import EraseSession
from sojourn.actors.packing import pack

from . import replies
from .errors import InvalidPayload
from .peer import Peer
from .replies import Reply
from .routing import Handler, Routing

Frame = dict[str, Any]

DEFAULT_PAGE: Final = 100


def list_sessions(routing: Routing, peer: Peer, frame: Frame, now: float) -> None:
    get = frame.get
    filters = {
        name: frame[name]
        for name in ("status", "handling", "user_id", "channel", "queue")
        if get(name) is not None
    }
    cursor = get("cursor")
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        raise InvalidPayload("cursor", "a cursor of session:page", cursor[:64])
    before_key = None if cursor is None else int(cursor)
    reply = Reply(peer, get("id"), lambda body, head: pack({"type": "session:page", **head, **body}))

    async def read() -> None:
        found, next_key = await routing.reception.page(filters, get("limit") or DEFAULT_PAGE, before_key, now)
        sessions: list[Frame] = []
        room = routing.page_bytes
        behind, last_key = next_key, 0
        for key, view in found:
            room -= len(pack(view))
            if room < 0 and sessions:
                behind = last_key
                break
            sessions.append(view)
            last_key = key
        answer = {"sessions": sessions, "cursor": None if behind is None else str(behind)}
        routing.core.reply_when_settled(reply, answer)

    routing.spawn(read(), reply)


def erase(routing: Routing, peer: Peer, frame: Frame, now: float) -> None:
    request = EraseSession(peer.caller, now, peer, False)
    session_id = frame.get("session_id")
    if session_id is not None:
        routing.deliver(peer, frame, request, replies.erased)
        return
    reply = Reply(peer, frame.get("id"), replies.erased)

    async def remove() -> None:
        reply.set(await routing.reception.erase_user(frame["user_id"], request))

    routing.spawn(remove(), reply)


def send_broadcast(
    routing: Routing, peer: Peer, frame: Frame, now: float, progress: Progress | None = None
) -> None:
    get = frame.get
    broadcast = Broadcast(
        broadcast_id=get("broadcast_id") or uuid4().hex,
        users=frame["users"],
        by=peer.caller,
        author=peer.author,
        channel=get("channel") or routing.channel,
        text=get("text"),
        attachments=get("attachments"),
        data=get("data"),
        context=get("context"),
        reopen=get("reopen") is True,
    )
    routing.core.broadcasts.start(broadcast, Reply(peer, get("id"), replies.broadcast_sent), progress)


def resend(routing: Routing, peer: Peer, frame: Frame, now: float) -> None:
    reply = Reply(peer, frame.get("id"), replies.resent)

    async def put_back() -> None:
        reply.set(await routing.core.resend(frame.get("dead_id")))

    routing.spawn(put_back(), reply)


HANDLERS: Final[Mapping[str, Handler]] = {
    "session:list": list_sessions,
    "session:erase": erase,
    "broadcast:send": send_broadcast,
    "webhook:resend": resend,
}
