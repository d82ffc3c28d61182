"""From a request on the wire to the actors, and the answer back to the connection.

One handler a request type. Behind `check` a frame's keys are what the request table says, so handlers only
put them into the actors' messages; what a request means is decided there. No handler waits.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final
from uuid import uuid4

from sojourn.actors import Runtime
from sojourn.actors.broadcasts import Broadcast
from sojourn.actors.core import Core
from sojourn.actors.errors import SessionError
from sojourn.actors.messages import (
    Assign,
    Caller,
    CloseSession,
    Compose,
    DetachSession,
    EraseSession,
    ExplainSession,
    GetSession,
    HandOver,
    MarkRead,
    RateSession,
    ReadHistory,
    Release,
    ReopenSession,
    Resolve,
    ResumeSession,
    SendMessage,
    TagSession,
    Told,
    UpdateContext,
)
from sojourn.actors.packing import pack
from sojourn.actors.requests import take_text

from . import replies
from .acknowledgements import accepted
from .codec import decode, usable_id
from .errors import InvalidPayload, ProtocolError, WireError
from .limits import Limits, grant_heartbeat
from .messages import PROTOCOL_VERSION, check, check_role, plain_message, request_of
from .peer import Peer
from .replies import Reply, View, WireMessage

Frame = dict[str, Any]

MAX_EVENTS: Final = 1000
DEFAULT_PAGE: Final = 100
RESOLVED: Final = "resolved_by_human"
_AUTHOR_OF_ROLE: Final = {"user": "user", "agent": "human", "service": "system"}


class Router:
    """Routes the requests of all connections of one server. Loop thread only."""

    def __init__(
        self,
        runtime: Runtime,
        limits: Limits,
        channel: str,
        server_name: str,
        watch_heartbeat: Callable[[Peer], None],
    ) -> None:
        """`channel` is what sessions get that name none: the transport's."""
        self._watch_heartbeat = watch_heartbeat
        core: Core = runtime.core
        self._core = core
        self._registry = core.registry
        self._live = core.registry.live
        self._reception = core.reception
        self._commits = core.commits
        self._limits = limits
        self._channel = channel
        self._server_name = server_name
        self._tasks: set[asyncio.Task[None]] = set()
        self._page_bytes = limits.max_reply_bytes - replies.PAGE_OVERHEAD
        self.resume_token = core.reception.resume_token
        # For the actors a message from the wire is a message.
        core.shared.handlers[WireMessage] = core.shared.handlers[SendMessage]
        self._created = replies.created(core.reception.resume_token)
        self._handlers: dict[str, Callable[[Peer, Frame, float], None]] = {
            "hello": self._hello,
            "ping": self._ping,
            "session:create": self._create,
            "session:resume": self._resume,
            "session:get": self._get,
            "session:history": self._history,
            "session:context:update": self._update_context,
            "session:close": self._close,
            "session:reopen": self._reopen,
            "session:detach": self._detach,
            "session:rate": self._rate,
            "session:tag": self._tag,
            "session:handover": self._hand_over,
            "session:assign": self._assign,
            "session:release": self._release,
            "session:resolve": self._resolve,
            "watch": self._watch,
            "session:list": self._list,
            "session:erase": self._erase,
            "session:why": self._why,
            "broadcast:send": self._broadcast,
            "webhook:resend": self._resend,
            "message:send": self._send,
            "message:compose": self._compose,
            "message:read": self._read,
        }

    def receive(self, peer: Peer, body: bytes, now: float) -> None:
        """Take one body; its reply or error goes out on `peer`, now or after a commit.

        Raises `ProtocolError` when the stream can no longer be trusted.
        """
        peer.unanswered += 1
        frame: Frame = {}
        try:
            plain = plain_message(body)
            if plain is not None and not self._core.draining:
                request_id, session_id, message_id, text = plain
                frame = {"id": request_id}
                actor = self._live.get(session_id)
                if actor is not None and peer.caller.id is None:
                    seq = take_text(actor, peer.author, message_id, text, now, peer)
                    if seq:
                        body = accepted(session_id, message_id, seq, request_id)
                        assert actor.batch is not None
                        actor.batch.owed.append((peer.acknowledgements, body))
                        return
                message = WireMessage(peer, request_id, now, peer.author, message_id, text)
                self._registry.deliver(session_id, message)
                return
            frame = decode(body)
            request = request_of(frame)
            check(request, frame)
            check_role(request, peer.caller.role, frame)
            if self._core.draining:
                raise WireError("draining", "the server is going down: connect again later", retry_after=1.0)
            self._handlers[request.name](peer, frame, now)
        except ProtocolError:
            peer.unanswered -= 1
            raise
        except InvalidPayload as error:
            peer.refuse(error, usable_id(frame) if error.reply_to is None else error.reply_to)
        except (WireError, SessionError) as error:
            peer.fail(error, usable_id(frame))
        except Exception as error:  # noqa: BLE001  # ours to mend, and no other connection's business
            peer.fail(error, usable_id(frame))

    # -- the connection itself ---------------------------------------------------------------------

    def _hello(self, peer: Peer, frame: Frame, now: float) -> None:
        if peer.greeted:
            raise WireError("illegal_state", "hello was said already: once a connection")
        peer.greeted = True
        role = frame.get("role") or "user"
        peer.caller = Caller(role, frame.get("identity"))
        peer.author = _AUTHOR_OF_ROLE[role]
        heartbeat = grant_heartbeat(frame.get("heartbeat"))
        peer.heartbeat = heartbeat
        peer.heard_at = now
        self.arrived(peer)
        if heartbeat is not None:
            self._watch_heartbeat(peer)
        self._answer(
            peer,
            frame,
            {
                "type": "welcome",
                "protocol": PROTOCOL_VERSION,
                "server": self._server_name,
                "server_time": now,
                "role": role,
                "heartbeat": heartbeat,
                "limits": self._limits.as_map(),
            },
        )

    def arrived(self, peer: Peer) -> None:
        """A human agent is present while a connection of that identity is."""
        caller = peer.caller
        if caller.role == "agent" and caller.id is not None:
            self._core.shared.desk.arrive(caller.id)

    def left(self, peer: Peer) -> None:
        """A connection is gone: it is attached to nothing."""
        shared = self._core.shared
        shared.audience.leave(peer)
        shared.desk.unwatch(peer)
        caller = peer.caller
        if caller.role == "agent" and caller.id is not None:
            shared.desk.leave(caller.id)

    def _ping(self, peer: Peer, frame: Frame, now: float) -> None:
        self._answer(peer, frame, {"type": "pong", "server_time": now})

    # -- messages ----------------------------------------------------------------------------------

    def _send(self, peer: Peer, frame: Frame, now: float) -> None:
        caller = peer.caller
        message = WireMessage(
            peer, frame.get("id"), now, peer.author, frame.get("message_id"), frame.get("text")
        )
        message.more(frame)
        session_id = frame.get("session_id")
        if session_id is not None:
            self._registry.deliver(session_id, message)
            return
        reception = self._reception
        session_id = reception.new_id(now)
        creation = reception.creation(
            session_id,
            caller,
            now,
            peer,
            attach=message.attach,
            user=frame["user"],
            channel=frame.get("channel") or self._channel,
        )
        reception.send_to_user(session_id, creation, message)

    def _compose(self, peer: Peer, frame: Frame, now: float) -> None:
        request = Compose(peer.caller, now, peer, False, frame["action"])
        self._deliver(peer, frame, request, replies.told("message:composing"))

    def _read(self, peer: Peer, frame: Frame, now: float) -> None:
        request = MarkRead(peer.caller, now, peer, False, frame["read_seq"])
        self._deliver(peer, frame, request, replies.told("message:read"))

    # -- sessions ----------------------------------------------------------------------------------

    def _create(self, peer: Peer, frame: Frame, now: float) -> None:
        get = frame.get
        reception = self._reception
        session_id = reception.new_id(now)
        creation = reception.creation(
            session_id,
            peer.caller,
            now,
            peer,
            attach=get("attach") is not False,
            user=get("user"),
            context=get("context"),
            metadata=get("metadata"),
            channel=get("channel") or self._channel,
            timeouts=get("timeouts"),
            tags=get("tags"),
            request_key=get("request_key"),
            reply_to=Reply(peer, get("id"), self._created),
        )
        reception.create(session_id, creation)

    def _resume(self, peer: Peer, frame: Frame, now: float) -> None:
        request = ResumeSession(
            peer.caller,
            now,
            peer,
            frame.get("attach") is not False,
            frame.get("after_seq"),
            MAX_EVENTS,
            self._page_bytes,
        )
        self._deliver(peer, frame, request, replies.resumed)

    def _get(self, peer: Peer, frame: Frame, now: float) -> None:
        request = GetSession(peer.caller, now, peer, False, frame.get("scopes") is True)
        self._deliver(peer, frame, request, replies.state)

    def _history(self, peer: Peer, frame: Frame, now: float) -> None:
        request = ReadHistory(
            peer.caller,
            now,
            peer,
            False,
            frame.get("after_seq") or 0,
            frame.get("limit") or DEFAULT_PAGE,
            self._page_bytes,
        )
        self._deliver(peer, frame, request, replies.events)

    def _update_context(self, peer: Peer, frame: Frame, now: float) -> None:
        request = UpdateContext(
            peer.caller,
            now,
            peer,
            frame.get("attach") is not False,
            frame["context"],
            frame.get("expected_version"),
            frame.get("expected_user_version"),
        )
        self._deliver(peer, frame, request, replies.context_updated)

    def _close(self, peer: Peer, frame: Frame, now: float) -> None:
        request = CloseSession(peer.caller, now, peer, False, frame.get("reason"))
        self._deliver(peer, frame, request, replies.closed)

    def _reopen(self, peer: Peer, frame: Frame, now: float) -> None:
        request = ReopenSession(peer.caller, now, peer, frame.get("attach") is not False)
        self._deliver(peer, frame, request, replies.reopened)

    def _detach(self, peer: Peer, frame: Frame, now: float) -> None:
        session_id: str = frame["session_id"]
        view = replies.told("session:detached")
        reply = Reply(peer, frame.get("id"), view)
        target = _DetachedAnyway(reply, session_id)
        self._registry.deliver(session_id, DetachSession(peer.caller, now, peer, False, reply_to=target))

    def _rate(self, peer: Peer, frame: Frame, now: float) -> None:
        request = RateSession(peer.caller, now, peer, False, frame["rating"], frame.get("feedback"))
        self._deliver(peer, frame, request, replies.rated)

    def _tag(self, peer: Peer, frame: Frame, now: float) -> None:
        request = TagSession(peer.caller, now, peer, False, frame.get("add") or (), frame.get("remove") or ())
        self._deliver(peer, frame, request, replies.tagged)

    def _hand_over(self, peer: Peer, frame: Frame, now: float) -> None:
        request = HandOver(peer.caller, now, peer, False, frame.get("queue"), frame.get("note"))
        self._deliver(peer, frame, request, replies.handed_over)

    def _assign(self, peer: Peer, frame: Frame, now: float) -> None:
        request = Assign(peer.caller, now, peer, False, frame.get("assignee"))
        self._deliver(peer, frame, request, replies.assigned)

    def _release(self, peer: Peer, frame: Frame, now: float) -> None:
        self._deliver(peer, frame, Release(peer.caller, now, peer, False), replies.released)

    def _resolve(self, peer: Peer, frame: Frame, now: float) -> None:
        request = Resolve(peer.caller, now, peer, False, RESOLVED)
        self._deliver(peer, frame, request, replies.closed)

    def _watch(self, peer: Peer, frame: Frame, now: float) -> None:
        """What is recorded up to now is in the answer, what is recorded later is pushed behind it."""
        queues: list[str] | None = frame.get("queues")
        desk = self._core.shared.desk
        desk.watch(peer, queues)
        reply = Reply(peer, frame.get("id"), replies.watching)
        self._core.reply_when_settled(reply, desk.waiting(queues))

    def _why(self, peer: Peer, frame: Frame, now: float) -> None:
        self._deliver(peer, frame, ExplainSession(peer.caller, now, peer, False), replies.explained)

    def _broadcast(self, peer: Peer, frame: Frame, now: float) -> None:
        get = frame.get
        broadcast = Broadcast(
            broadcast_id=get("broadcast_id") or uuid4().hex,
            users=frame["users"],
            by=peer.caller,
            author=peer.author,
            channel=get("channel") or self._channel,
            text=get("text"),
            attachments=get("attachments"),
            data=get("data"),
            context=get("context"),
            reopen=get("reopen") is True,
        )
        self._core.broadcasts.start(broadcast, Reply(peer, get("id"), replies.broadcast_sent))

    def _resend(self, peer: Peer, frame: Frame, now: float) -> None:
        reply = Reply(peer, frame.get("id"), replies.resent)

        async def put_back() -> None:
            reply.set(await self._core.resend(frame.get("dead_id")))

        self._spawn(put_back(), reply)

    def _erase(self, peer: Peer, frame: Frame, now: float) -> None:
        request = EraseSession(peer.caller, now, peer, False)
        session_id = frame.get("session_id")
        if session_id is not None:
            self._deliver(peer, frame, request, replies.erased)
            return
        reply = Reply(peer, frame.get("id"), replies.erased)

        async def erase() -> None:
            reply.set(await self._reception.erase_user(frame["user_id"], request))

        self._spawn(erase(), reply)

    def _list(self, peer: Peer, frame: Frame, now: float) -> None:
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
            found, next_key = await self._reception.page(
                filters, get("limit") or DEFAULT_PAGE, before_key, now
            )
            sessions: list[Frame] = []
            room = self._page_bytes
            behind, last_key = next_key, 0
            for key, view in found:
                room -= len(pack(view))
                if room < 0 and sessions:
                    behind = last_key
                    break
                sessions.append(view)
                last_key = key
            answer = {"sessions": sessions, "cursor": None if behind is None else str(behind)}
            self._core.reply_when_settled(reply, answer)

        self._spawn(read(), reply)

    # -- the way there -----------------------------------------------------------------------------

    def _deliver(self, peer: Peer, frame: Frame, request: Any, view: View) -> None:
        request.reply_to = Reply(peer, frame.get("id"), view)
        self._registry.deliver(frame["session_id"], request)

    @staticmethod
    def _answer(peer: Peer, frame: Frame, body: Frame) -> None:
        request_id = frame.get("id")
        peer.answer(pack(body if request_id is None else {**body, "reply_to": request_id}))

    def _spawn(self, work: Coroutine[Any, Any, None], reply: Reply) -> None:
        async def run() -> None:
            try:
                await work
            except Exception as error:  # noqa: BLE001  # whatever it is, the asker hears of it
                reply.set_exception((type(error), error, None))

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def idle(self) -> bool:
        """No list, no erasure and no broadcast is under way."""
        return not self._tasks and self._core.broadcasts.idle


class _DetachedAnyway:
    """Detaching what is not attached is no error, nor is detaching from what does not exist."""

    __slots__ = ("_reply", "_session_id")

    def __init__(self, reply: Reply, session_id: str) -> None:
        self._reply = reply
        self._session_id = session_id

    def set(self, answer: Any = None) -> None:
        self._reply.set(answer)

    def set_exception(self, exc_info: Any = None) -> None:
        error = exc_info[1]
        if isinstance(error, SessionError) and error.code == "session_not_found":
            self._reply.set(Told(self._session_id))
        else:
            self._reply.set_exception(exc_info)
