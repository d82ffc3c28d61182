"""`Runtime`: the whole thing inside a Python program.

`with Runtime(...)` runs a loop in a thread of its own; `async with Runtime(...)` uses the caller's running
loop. Every method may be called from any thread, and returns a future that can be awaited and waited for.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

from sojourn.storage import Durability

from .agent import Agent, Turn
from .clock import Clock, SystemClock
from .config import RuntimeConfig
from .core import Core
from .errors import Draining, InternalError, InvalidRequest
from .futures import LoopFuture
from .handles import SERVICE, USER, Event, Message, SentMessage, SessionHandle, Subscription
from .messages import Accepted, Caller, Request, SendMessage
from .values import check_json, check_list, check_map, check_text, check_timeouts, check_user

T = TypeVar("T")

AUTHORS = ("user", "human", "system")


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
        self._thread_id = threading.get_ident()
        self.core.start()
        if self.core.agent is not None:
            self.core.agent.unanswered = self._on_silence
        if isinstance(self.clock, Driving):
            self.clock.drives(self)

    async def stop(self) -> None:
        """Finish what is under way, save every session, close the file; `async with` does it."""
        await self.core.stop()

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

        self._do(create, created)
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
        accepted: LoopFuture[Any] = LoopFuture()
        message.reply_to = accepted

        def deliver() -> None:
            session_id = reception.new_id(message.now)
            creation = reception.creation(
                session_id, message.by, message.now, None, attach=False, user=user, channel=channel
            )
            reception.send_to_user(session_id, creation, message)

        return self._sent(deliver, accepted, by_user=author == "user")

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
        message = self._message(text, message_id, data, attachments, context, author, author_id)
        accepted: LoopFuture[Any] = LoopFuture()
        message.reply_to = accepted
        return self._sent(
            lambda: self.core.registry.deliver(session_id, message), accepted, by_user=author == "user"
        )

    def subscribe(self, callback: Callable[[Event], object]) -> Subscription:
        """Have `callback` called with each event of every session from now on."""
        audience = self.core.shared.audience
        subscription = Subscription(callback, lambda each: self._do(lambda: audience.stop_observing(each)))
        self._do(lambda: audience.observe(subscription))
        return subscription

    def attach(self, session_id: str, callback: Callable[[Event], object]) -> Subscription:
        """Have `callback` called with each event of one session from now on."""
        audience = self.core.shared.audience
        subscription = Subscription(callback, lambda each: self._do(lambda: audience.leave(each)))
        self._do(lambda: audience.attach(session_id, subscription))
        return subscription

    # -- asking ------------------------------------------------------------------------------------

    def ask(
        self, session_id: str, request: Request, view: Callable[[Any], Any] | None = None
    ) -> LoopFuture[Any]:
        """Send a request of `messages.py` to a session; `view` makes the future's value of the answer."""
        future: LoopFuture[Any] = LoopFuture()
        request.reply_to = future if view is None else _Viewed(future, view)
        self._do(lambda: self.core.registry.deliver(session_id, request), future)
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
        if author not in AUTHORS:
            raise InvalidRequest(
                f"author must be one of {AUTHORS}, got {author!r}", details={"key": "author"}
            )
        if text is None and data is None and attachments is None:
            raise InvalidRequest("a message needs a text, data or attachments", details={"key": "text"})
        check_text(text, "text")
        check_text(message_id, "message_id")
        check_text(author_id, "author_id")
        check_json(data, "data")
        check_list(attachments, "attachments")
        check_map(context, "context")
        return SendMessage(
            by=USER if author == "user" else Caller("agent" if author == "human" else "service", author_id),
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

    def _sent(
        self, deliver: Callable[[], None], accepted: LoopFuture[Accepted], *, by_user: bool
    ) -> SentMessage:
        answer: LoopFuture[Message] = LoopFuture()
        if self._has_agent and by_user:
            answer.producer = self.core.dispatcher
            accepted.add_done_callback(lambda future: self._expect_answer(future, answer))
        else:
            nobody = "only a user's message is answered" if self._has_agent else "this runtime has no agent"
            error = InvalidRequest(f"{nobody}: nobody answers")
            answer.set_exception((InvalidRequest, error, None))
        self._do(deliver, accepted)
        return SentMessage(accepted, answer)

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

    def _on_silence(self, turn: Turn, error: Exception) -> None:
        answer = self._answers.pop((turn.session_id, turn.message_id), None)
        if answer is not None:
            answer.set_exception((type(error), error, None))

    def _on_answer(self, event: Event) -> None:
        if event["type"] == "message:received" and "in_reply_to" in event:
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

    def _do(self, step: Callable[[], None], future: LoopFuture[Any] | None = None) -> None:
        """Take a step on the loop thread; a refusal goes to the future."""
        loop = self._loop
        if loop is None:
            msg = "enter the runtime first: `with Runtime(...) as runtime`"
            raise RuntimeError(msg)
        if future is not None:
            future.producer = self.core.dispatcher
        if threading.get_ident() == self._thread_id:
            self._take(step, future)
            return
        loop.call_soon_threadsafe(self._take, step, future)

    def _take(self, step: Callable[[], None], future: LoopFuture[Any] | None) -> None:
        try:
            if future is not None and self.core.draining:
                raise Draining("this runtime is going down")
            step()
        except Exception as error:  # whatever it is, whoever waits must hear it
            if future is None:
                raise
            future.set_exception((type(error), error, None))


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
