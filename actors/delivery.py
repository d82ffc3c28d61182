"""How what a program asks and sends reaches a session, on the loop thread."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from .answers import Accepted
from .futures import LoopFuture
from .handles import SentMessage
from .mail import Request
from .messages import SendMessage
from .outgoing import ROLES, text_message
from .posting import Posting
from .sending import new_message_id, on_send, take_text

if TYPE_CHECKING:
    from .core import Core
    from .session import SessionActor
    from .shared import Shared

NO_AGENT: Final = "this runtime has no agent"
"""Why nobody answers a message of a runtime without one."""

_new_tuple = cast("Callable[[type[Accepted], tuple[object, ...]], Accepted]", tuple.__new__)  # pyright: ignore[reportUnknownMemberType]


def deliver(core: "Core", session_id: str, request: Request) -> None:
    """Hand a request to its session."""
    core.registry.deliver(session_id, request)


class Texts:
    """The short way of a text and nothing else to its session, in a runtime without an agent."""

    def __init__(self, core: "Core", posting: Posting) -> None:
        self._core = core
        self._posting = posting
        self._now: Callable[[], float] = core.clock.now
        self._live: dict[str, SessionActor] = {}
        self._shared: Shared | None = None
        self._dispatcher: Any = None

    def open(self) -> None:
        """Deliver from now on; the core has started."""
        self._live = self._core.registry.live
        self._shared = self._core.shared
        self._dispatcher = self._core.dispatcher

    def send(self, session_id: str, author: str, message_id: Any, text: Any) -> SentMessage | None:
        """The message on its way, from any thread; None: it is not plain, and nothing was done."""
        if (
            type(text) is not str
            or not text.isascii()
            or (message_id is not None and (type(message_id) is not str or not message_id.isascii()))
            or author not in ROLES
        ):
            return None
        now = self._now()
        sent = SentMessage(NO_AGENT)
        posting = self._posting
        if not posting.is_here() or self._core.draining:
            posting.do(self.deliver, (sent, session_id, author, message_id, text, now), sent)
            return sent
        sent.producer = self._dispatcher
        try:
            self.deliver(sent, session_id, author, message_id, text, now)
        except Exception as error:  # noqa: BLE001  # whatever it is, whoever waits must hear it
            sent.set_exception((type(error), error, None))
        return sent

    def deliver(
        self, sent: SentMessage, session_id: str, author: str, message_id: str | None, text: str, now: float
    ) -> None:
        """Have the session take it, at once if nothing stands in its way."""
        shared = self._shared
        assert shared is not None
        actor = self._live.get(session_id)
        if actor is None or shared.handlers[SendMessage] is not on_send:
            self._core.registry.deliver(session_id, text_message(now, text, message_id, author, sent))
            return
        session = actor.session
        seq = session.seq
        known_id = new_message_id(session) if message_id is None else message_id
        try:
            taken = take_text(actor, author, known_id, text, now, None, message_id is None)
        except Exception as error:  # noqa: BLE001  # as for any request: the registry starts it anew
            shared.crashed(actor, text_message(now, text, message_id, author, sent), error, seq)
            return
        if taken:
            batch = actor.upkeep.batch
            assert batch is not None
            # `Accepted(…)` without the function call that a named tuple's constructor is.
            answer = _new_tuple(Accepted, (session_id, known_id, taken, False, False, False))
            batch.owed.append((sent, answer))
        else:
            self._core.registry.deliver(session_id, text_message(now, text, message_id, author, sent))


class Viewed:
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
