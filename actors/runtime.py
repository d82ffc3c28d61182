"""`Runtime`: the whole thing inside a Python program.

`with Runtime(...)` runs a loop in a thread of its own; `async with Runtime(...)` uses the caller's running
loop. Every method may be called from any thread, and returns a future that can be awaited and waited for.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from threading import get_ident
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, runtime_checkable
from uuid import uuid4

from sojourn.storage import Durability

from .agent import Agent
from .broadcasts import Broadcast, BroadcastOutcome, Progress
from .clock import Clock, SystemClock
from .config import RuntimeConfig
from .core import Core
from .desk import Waiting
from .errors import Draining, InternalError, InvalidRequest
from .futures import LoopFuture
from .handles import SERVICE, USER, Event, Message, SentMessage, SessionHandle, Subscription
from .messages import Accepted, Caller, Request, SendMessage
from .requests import new_message_id, on_send, take_text
from .values import check_json, check_list, check_map, check_text, check_timeouts, check_user, is_plain_text

logger = logging.getLogger(__name__)
T = TypeVar("T")
Posted = tuple[Callable[..., object], tuple[Any, ...], "LoopFuture[Any] | None"]
"""A step to take on the loop thread, what it is called with, and who hears of a refusal."""

ROLES = {"user": "user", "ai": "ai", "human": "agent", "system": "service"}
"""The role of who speaks, by the author of a message."""


@runtime_checkable
class Driving(Protocol):
    """A clock that wants to know whose time it is."""

    def drives(self, runtime: "Runtime") -> None: ...


class Runtime:
    """Sessions on one database file, or in memory."""

    def __init__(
        self,
        path: str | None = None,
        *,
        durability: Durability | None = None,
        agent: Agent | None = None,
        clock: Clock | None = None,
        config: RuntimeConfig | None = None,
    ) -> None:
        """Nothing is opened before it is entered.

        `path` None keeps everything in memory; with a path, `durability` is `full` (default: an acknowledged
        event survives power loss) or `relaxed` (it survives the death of the process).
        """
        if durability is None:
            durability = "memory" if path is None else "full"
        if (path is None) != (durability == "memory"):
            msg = (
                f"durability {durability!r} does not go with path {path!r}: "
                "memory has no file, the others need one"
            )
            raise ValueError(msg)
        self.clock: Clock = SystemClock() if clock is None else clock
        self.config = RuntimeConfig() if config is None else config
        self.core = Core(path, durability, self.clock, self.config, agent)
        self._has_agent = agent is not None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._thread_id: int | None = None
        self._posted: deque[Posted] = deque()
        self._called = False
        self._ended = False
        self._answers: dict[tuple[str, str], LoopFuture[Message]] = {}
        self._listener = Subscription(self._on_answer, lambda _: None)

    # -- entering ----------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Start, with a loop in a thread of its own; raises the `StorageError` of a file that cannot be
        had.
        """
        loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=loop.run_forever, name="sojourn", daemon=True)
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.start(), loop).result()
        except BaseException:
            self._end_thread(loop)
            raise
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Save every session and close the file."""
        loop = self._loop
        assert loop is not None
        asyncio.run_coroutine_threadsafe(self.stop(), loop).result()
        self._end_thread(loop)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the file on the running loop; `async with` does it."""
        self._loop = asyncio.get_running_loop()
        self._thread_id = get_ident()
        self.core.start()
        if self.core.agent is not None:
            self.core.agent.unanswered = self._on_silence
        if isinstance(self.clock, Driving):
            self.clock.drives(self)

    async def stop(self) -> None:
        """Finish what is under way, save every session, close the file; `async with` does it."""
        await self.core.stop()
        self._ended = True
        self._refuse_posted()

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a coroutine on the runtime's loop from plain code, and wait for it."""
        loop = self._loop
        assert loop is not None, "enter the runtime first"
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(timeout)

    def _end_thread(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = self._thread_id = None
        loop.call_soon_threadsafe(loop.stop)
        assert self._thread is not None
        self._thread.join()
        loop.close()

    # -- sessions ----------------------------------------------------------------------------------

    def create(
        self,
        user: dict[str, Any] | None = None,
        *,
        context: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        channel: str = "embedded",
        timeouts: Mapping[str, float | None] | None = None,
        tags: Sequence[str] = (),
        request_key: str | None = None,
    ) -> SessionHandle:
        """A new session, usable at once; await it to know that it is stored.

        With a `request_key` that was used before, it is the session that was made then. `timeouts` may hold
        `session_timeout`, `keep_alive`, `max_lifetime` and `dialog_timeout`, seconds or None (never).
        """
        check_user(user)
        check_map(context, "context")
        check_map(metadata, "metadata")
        check_text(channel, "channel")
        check_timeouts(timeouts or {})
        for index, tag in enumerate(tags):
            check_text(tag, f"tags.{index}")
        check_text(request_key, "request_key")
        reception = self.core.reception
        now = self.clock.now()
        session_id = reception.new_id(now)
        created: LoopFuture[Any] = LoopFuture()

        def create() -> None:
            creation = reception.creation(
                session_id,
                SERVICE,
                now,
                None,
                attach=False,
                user=user,
                context=context,
                metadata=metadata,
                channel=channel,
                timeouts=timeouts,
                tags=list(tags),
                request_key=request_key,
                reply_to=created,
            )
            reception.create(session_id, creation)

        self._do(create, (), created)
        return SessionHandle(self, None if request_key else session_id, created)

    def session(self, session_id: str) -> SessionHandle:
        """The session of this id, whether or not it is in memory, whether or not it exists."""
        return SessionHandle(self, session_id)

    def send(
        self,
        text: str | None = None,
        *,
        user: dict[str, Any],
        channel: str = "embedded",
        message_id: str | None = None,
        data: Any = None,
        attachments: list[Any] | None = None,
        context: dict[str, Any] | None = None,
        author: str = "user",
        author_id: str | None = None,
    ) -> SentMessage:
        """A message to the user's newest unexpired session of that channel, or to a new one."""
        check_user(user)
        if "user_id" not in user:
            raise InvalidRequest("user.user_id is missing", details={"key": "user.user_id"})
        check_text(channel, "channel")
        message = self._message(text, message_id, data, attachments, context, author, author_id)
        reception = self.core.reception
        sent = message.reply_to = self._sent(author)

        def deliver() -> None:
            session_id = reception.new_id(message.now)
            creation = reception.creation(
                session_id, message.by, message.now, None, attach=False, user=user, channel=channel
            )
            reception.send_to_user(session_id, creation, message)

        self._do(deliver, (), sent)
        return sent

    def send_to(
        self,
        session_id: str,
        text: str | None = None,
        *,
        message_id: str | None = None,
        data: Any = None,
        attachments: list[Any] | None = None,
        context: dict[str, Any] | None = None,
        author: str = "user",
        author_id: str | None = None,
    ) -> SentMessage:
        """A message to one session."""
        sent = self._sent(author)
        if (
            is_plain_text(text)
            and (message_id is None or is_plain_text(message_id))
            and data is None
            and attachments is None
            and context is None
            and author_id is None
            and not self._has_agent
        ):
            self._do(self._take_text, (sent, session_id, author, message_id, text, self.clock.now()), sent)
        else:
            message = self._message(text, message_id, data, attachments, context, author, author_id)
            message.reply_to = sent
            self._do(self._deliver, (session_id, message), sent)
        return sent

    def broadcast(
        self,
        users: Iterable[dict[str, Any]],
        text: str | None = None,
        *,
        data: Any = None,
        attachments: list[Any] | None = None,
        context: dict[str, Any] | None = None,
        channel: str = "embedded",
        broadcast_id: str | None = None,
        reopen: bool = False,
        author: str = "system",
        author_id: str | None = None,
        progress: Progress | None = None,
    ) -> LoopFuture[BroadcastOutcome]:
        """One message to many people, each by their `user_id`; who has no session gets one.

        A closed session takes it without being reopened, unless `reopen`. The same `broadcast_id` again
        reaches who is missing and nobody twice. `progress` is called now and then, on the runtime's loop,
        with the outcome so far.
        """
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
        broadcast = Broadcast(
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
        future: LoopFuture[BroadcastOutcome] = LoopFuture()
        self._do(lambda: self.core.broadcasts.start(broadcast, future, progress), (), future)
        return future

    def subscribe(self, callback: Callable[[Event], object]) -> Subscription:
        """Have `callback` called with each event of every session from now on."""
        audience = self.core.shared.audience
        subscription = Subscription(callback, lambda each: self._do(audience.stop_observing, (each,)))
        self._do(audience.observe, (subscription,))
        return subscription

    def attach(self, session_id: str, callback: Callable[[Event], object]) -> Subscription:
        """Have `callback` called with each event of one session from now on."""
        audience = self.core.shared.audience
        subscription = Subscription(callback, lambda each: self._do(audience.leave, (each,)))
        self._do(audience.attach, (session_id, subscription))
        return subscription

    # -- humans ------------------------------------------------------------------------------------

    def desk(self, queue: str | None = None) -> LoopFuture[list[Waiting]]:
        """What waits for a human in that queue (None: in all), in the configured order, next one first."""
        check_text(queue, "queue")
        found: LoopFuture[list[Waiting]] = LoopFuture()
        queues = None if queue is None else (queue,)

        def look() -> None:
            self.core.reply_when_settled(found, self.core.shared.desk.waiting(queues))

        self._do(look, (), found)
        return found

    def arrive(self, identity: str) -> None:
        """That human is at the desk: what they had is theirs again after a reopening, and nobody else's."""
        check_text(identity, "identity")
        self._do(self.core.shared.desk.arrive, (identity,))

    def leave(self, identity: str) -> None:
        """They are gone (as often as they arrived); after `human_timeout` they lose what they hold."""
        check_text(identity, "identity")
        self._do(self.core.shared.desk.leave, (identity,))

    def watch(self, callback: Callable[[Event], object], queues: Sequence[str] | None = None) -> Subscription:
        """Have `callback` called with what happens in these queues (None: in all) from now on: handovers,
        assignments, releases, closes, reopenings and expiries.
        """
        for index, queue in enumerate(queues or ()):
            check_text(queue, f"queues.{index}")
        desk = self.core.shared.desk
        subscription = Subscription(callback, lambda each: self._do(desk.unwatch, (each,)))
        self._do(desk.watch, (subscription, queues))
        return subscription

    # -- asking ------------------------------------------------------------------------------------

    def ask(
        self, session_id: str, request: Request, view: Callable[[Any], Any] | None = None
    ) -> LoopFuture[Any]:
        """Send a request of `messages.py` to a session; `view` makes the future's value of the answer."""
        future: LoopFuture[Any] = LoopFuture()
        request.reply_to = future if view is None else _Viewed(future, view)
        self._do(self._deliver, (session_id, request), future)
        return future

    def _message(
        self,
        text: str | None,
        message_id: str | None,
        data: Any,
        attachments: list[Any] | None,
        context: dict[str, Any] | None,
        author: str,
        author_id: str | None,
    ) -> SendMessage:
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
            now=self.clock.now(),
            origin=self._listener if self._has_agent else None,
            attach=self._has_agent,
            message_id=message_id,
            author=author,
            author_id=author_id,
            text=text,
            attachments=attachments,
            data=data,
            context=context,
        )

    def _sent(self, author: str) -> SentMessage:
        """The future of a message by that author, who must be one."""
        if author not in ROLES:
            authors = ", ".join(ROLES)
            raise InvalidRequest(
                f"author must be one of {authors}, got {author!r}", details={"key": "author"}
            )
        if not self._has_agent:
            return SentMessage("this runtime has no agent")
        if author != "user":
            return SentMessage("only a user's message is answered")
        sent = SentMessage(None)
        answer = sent.answer
        answer.producer = self.core.dispatcher
        sent.add_done_callback(lambda accepted: self._expect_answer(accepted, answer))
        return sent

    def _deliver(self, session_id: str, request: Request) -> None:
        self.core.registry.deliver(session_id, request)

    def _take_text(
        self, sent: SentMessage, session_id: str, author: str, message_id: str | None, text: str, now: float
    ) -> None:
        """Have the session take a text, at once if nothing stands in its way."""
        registry = self.core.registry
        actor = registry.live.get(session_id)
        if actor is None or registry.shared.handlers[SendMessage] is not on_send:
            registry.deliver(session_id, _text_message(sent, author, message_id, text, now))
            return
        session = actor.session
        seq = session.seq
        known_id = new_message_id(session) if message_id is None else message_id
        try:
            taken = take_text(actor, author, known_id, text, now, None, message_id is None)
        except Exception as error:  # noqa: BLE001  # as for any request: the registry starts it anew
            message = _text_message(sent, author, message_id, text, now)
            registry.shared.crashed(actor, message, error, seq)
            return
        if taken:
            batch = actor.batch
            assert batch is not None
            batch.owed.append((sent, Accepted(session_id, known_id, taken, False, False, False)))
        else:
            registry.deliver(session_id, _text_message(sent, author, message_id, text, now))

    def _expect_answer(self, accepted: Any, answer: LoopFuture[Message]) -> None:
        try:
            stored: Accepted = accepted.get(timeout=0)
        except Exception as error:  # noqa: BLE001  # whoever waits for the answer hears why there is none
            answer.set_exception((type(error), error, None))
            return
        if stored.duplicate:
            known = InvalidRequest("this message was here before: its answer, if any, is in the history")
            answer.set_exception((InvalidRequest, known, None))
        else:
            self._answers[stored.session_id, stored.message_id] = answer

    def _on_silence(self, session_id: str, message_id: str, error: Exception) -> None:
        answer = self._answers.pop((session_id, message_id), None)
        if answer is not None:
            answer.set_exception((type(error), error, None))

    def _on_answer(self, event: Event) -> None:
        if event["type"] == "message:received" and "in_reply_to" in event and "cut" not in event:
            answer = self._answers.pop((event["session_id"], event["in_reply_to"]), None)
            if answer is not None:
                answer.set(
                    Message(
                        event["message_id"],
                        event["author"],
                        event["text"],
                        event["data"],
                        event["seq"],
                        event["at"],
                    )
                )
        elif event["type"] == "message:failed":
            answer = self._answers.pop((event["session_id"], event["message_id"]), None)
            if answer is not None:
                error = InternalError(event["message"], session_id=event["session_id"])
                answer.set_exception((InternalError, error, None))

    def _do(
        self, step: Callable[..., object], arguments: tuple[Any, ...], future: LoopFuture[Any] | None = None
    ) -> None:
        """Take a step on the loop thread; a refusal goes to the future.

        From another thread it is posted: the loop is called once for all that is posted in a burst.
        """
        loop = self._loop
        if loop is None:
            msg = "enter the runtime first: `with Runtime(...) as runtime`"
            raise RuntimeError(msg)
        if future is not None:
            future.producer = self.core.dispatcher
        if get_ident() == self._thread_id:
            self._take(step, arguments, future)
            return
        self._posted.append((step, arguments, future))
        if not self._called:
            self._called = True
            try:
                loop.call_soon_threadsafe(self._take_posted)
            except RuntimeError:  # the loop has been closed by its owner
                self._ended = True
        # Looked at after the append, while stop() takes what is there after setting it: one of the two sees
        # the other.
        if self._ended:
            self._refuse_posted()

    def _take_posted(self) -> None:
        self._called = False  # before the look, so that who posts behind it calls again
        posted = self._posted
        for _ in range(len(posted)):
            step, arguments, future = posted.popleft()
            try:
                self._take(step, arguments, future)
            except Exception:
                logger.exception("a step from another thread failed")

    def _refuse_posted(self) -> None:
        """Nobody will take what is posted; from any thread."""
        while True:
            try:
                _, _, future = self._posted.popleft()
            except IndexError:
                return
            if future is not None:
                future.set_exception((Draining, Draining("this runtime has stopped"), None))

    def _take(
        self, step: Callable[..., object], arguments: tuple[Any, ...], future: LoopFuture[Any] | None
    ) -> None:
        try:
            if future is not None and self.core.draining:
                raise Draining("this runtime is going down")
            step(*arguments)
        except Exception as error:  # whatever it is, whoever waits must hear it
            if future is None:
                raise
            future.set_exception((type(error), error, None))


def _text_message(
    sent: SentMessage, author: str, message_id: str | None, text: str, now: float
) -> SendMessage:
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
        reply_to=sent,
    )


class _Viewed:
    """A future that gets a view of the answer."""

    __slots__ = ("_future", "_view")

    def __init__(self, future: LoopFuture[Any], view: Callable[[Any], Any]) -> None:
        self._future = future
        self._view = view

    def set(self, value: Any = None) -> None:
        try:
            viewed = self._view(value)
        except Exception as error:  # noqa: BLE001  # whatever it is, whoever waits must hear it
            self._future.set_exception((type(error), error, None))
        else:
            self._future.set(viewed)

    def set_exception(self, exc_info: Any = None) -> None:
        self._future.set_exception(exc_info)
