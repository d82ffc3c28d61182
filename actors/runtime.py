"""`Runtime`: the whole thing inside a Python program.

`with Runtime(...)` runs a loop in a thread of its own; `async with Runtime(...)` uses the caller's running
loop. Every method may be called from any thread, and returns a future that can be awaited and waited for.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from sojourn.storage import Durability

from .agent import Agent
from .answers import Created
from .broadcast import BroadcastOutcome, Progress
from .clock import Clock, SystemClock
from .config import RuntimeConfig
from .core import Core
from .delivery import Texts, Viewed, deliver
from .desk import Waiting
from .errors import InvalidRequest
from .expected import ExpectedAnswers
from .futures import LoopFuture
from .handles import SERVICE, Event, SentMessage, SessionHandle, Subscription
from .hosting import Hosted
from .mail import Request
from .outgoing import whole_broadcast, whole_message
from .posting import Posting
from .store_process import StoreProcess
from .values import check_map, check_text, check_timeouts, check_user


@runtime_checkable
class Driving(Protocol):
    """A clock that wants to know whose time it is."""

    def drives(self, runtime: "Runtime") -> None: ...


class Runtime(Hosted):
    """Sessions on one database file, or in memory."""

    def __init__(
        self,
        path: str | None = None,
        *,
        durability: Durability | None = None,
        agent: Agent | None = None,
        clock: Clock | None = None,
        config: RuntimeConfig | None = None,
        store: StoreProcess | None = None,
    ) -> None:
        """Nothing is opened before it is entered.

        `path` None keeps everything in memory; with a path, `durability` is `full` (default: an acknowledged
        event survives power loss) or `relaxed` (it survives the death of the process). `store`, forked
        beforehand, writes the file in a process of its own; otherwise a thread does.
        """
        if durability is None:
            durability = "memory" if path is None else "full"
        if (path is None) != (durability == "memory"):
            msg = (
                f"durability {durability!r} does not go with path {path!r}: "
                "memory has no file, the others need one"
            )
            raise ValueError(msg)
        if store is not None and path is None:
            raise ValueError("a process of its own writes a file: what is in memory stays in this one")
        super().__init__()
        self.clock: Clock = SystemClock() if clock is None else clock
        self.config = RuntimeConfig() if config is None else config
        self.core = Core(path, durability, self.clock, self.config, agent, store)
        self._has_agent = agent is not None
        self._expected = ExpectedAnswers(self.core, agent)
        self._posting = Posting(self.core)
        self._do = self._posting.do
        self._texts = Texts(self.core, self._posting)
        self.send_text: Callable[[str, str, Any, Any], SentMessage | None] = (
            self._texts.send if agent is None else _no_short_way
        )
        """What `SessionHandle.send` tries first; None: `send_to` is to do it."""

    async def start(self) -> None:
        """Open the file on the running loop; `async with` does it."""
        self._enter_loop()
        self.core.start()
        self._posting.open()
        self._texts.open()
        self._expected.open()
        if isinstance(self.clock, Driving):
            self.clock.drives(self)

    async def stop(self) -> None:
        """Finish what is under way, save every session, close the file; `async with` does it."""
        await self.core.stop()
        self._posting.end()

    def _left_loop(self) -> None:
        self._posting.close()

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

    def fork(
        self,
        session_id: str,
        at_seq: int | None = None,
        channel: str | None = None,
        request_key: str | None = None,
    ) -> LoopFuture[Created]:
        """For `SessionHandle.fork`: the answer of a fork that is under way."""
        created: LoopFuture[Created] = LoopFuture()
        now = self.clock.now()

        def fork() -> None:
            self.core.forks.start(
                session_id,
                at_seq,
                by=SERVICE,
                now=now,
                reply_to=created,
                channel=channel,
                request_key=request_key,
            )

        self._do(fork, (), created)
        return created

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
        sent = self._expected.sent(author)
        now, listener = self.clock.now(), self._expected.listener
        message = whole_message(
            now, text, message_id, data, attachments, context, author, author_id, listener
        )
        message.reply_to = sent
        reception = self.core.reception

        def deliver() -> None:
            session_id = reception.new_id(now)
            creation = reception.creation(
                session_id, message.by, now, None, attach=False, user=user, channel=channel
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
        if data is None and attachments is None and context is None and author_id is None:
            plain = self.send_text(session_id, author, message_id, text)
            if plain is not None:
                return plain
        sent = self._expected.sent(author)
        now, listener = self.clock.now(), self._expected.listener
        message = whole_message(
            now, text, message_id, data, attachments, context, author, author_id, listener
        )
        message.reply_to = sent
        self._do(deliver, (self.core, session_id, message), sent)
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
        broadcast = whole_broadcast(
            users, text, data, attachments, context, channel, broadcast_id, reopen, author, author_id
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
        request.reply_to = future if view is None else Viewed(future, view)
        self._do(deliver, (self.core, session_id, request), future)
        return future


def _no_short_way(_session_id: str, _author: str, _message_id: Any, _text: Any) -> None:
    """An agent is to answer: every message goes the whole way."""
