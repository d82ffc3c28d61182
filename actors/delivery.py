"""How what a program asks and sends reaches a session, on the loop thread."""

from collections.abc import Callable
from typing import Any

from .answers import Accepted
from .core import Core
from .futures import LoopFuture
from .handles import SentMessage
from .mail import Request
from .messages import SendMessage
from .outgoing import text_message
from .sending import new_message_id, on_send, take_text


def deliver(core: Core, session_id: str, request: Request) -> None:
    """Hand a request to its session."""
    core.registry.deliver(session_id, request)


def deliver_text(
    core: Core,
    sent: SentMessage,
    session_id: str,
    author: str,
    message_id: str | None,
    text: str,
    now: float,
) -> None:
    """Have the session take a text, at once if nothing stands in its way."""
    registry = core.registry
    actor = registry.live.get(session_id)
    if actor is None or registry.shared.handlers[SendMessage] is not on_send:
        registry.deliver(session_id, text_message(now, text, message_id, author, sent))
        return
    session = actor.session
    seq = session.seq
    known_id = new_message_id(session) if message_id is None else message_id
    try:
        taken = take_text(actor, author, known_id, text, now, None, message_id is None)
    except Exception as error:  # noqa: BLE001  # as for any request: the registry starts it anew
        message = text_message(now, text, message_id, author, sent)
        registry.shared.crashed(actor, message, error, seq)
        return
    if taken:
        batch = actor.batch
        assert batch is not None
        batch.owed.append((sent, Accepted(session_id, known_id, taken, False, False, False)))
    else:
        registry.deliver(session_id, text_message(now, text, message_id, author, sent))


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
