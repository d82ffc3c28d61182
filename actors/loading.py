"""Sessions on their way into memory, and what waits for them meanwhile.

A session is *awaited* from the first request that does not find it in memory until its actor is there, or
until it is known that there will be none: everything that comes for it in between waits in its order.
"""

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pykka._envelope import Envelope

from sojourn.storage import StoredSession

from .errors import Draining, SessionError, SessionNotFound, StorageFailed
from .mailbox import MailboxFull
from .snapshots import restore

if TYPE_CHECKING:
    from .registry import RegistryActor

logger = logging.getLogger(__name__)

REASONS: Final[dict[type[SessionError], str]] = {
    SessionNotFound: "not_found",
    StorageFailed: "not_loaded",
    Draining: "draining",
}
"""Why what nobody waits for an answer to became a dead letter, by the error an asker would have heard."""


class Loading:
    """Awaited sessions by id. Loop thread only."""

    def __init__(self, registry: "RegistryActor") -> None:
        self._registry = registry
        self._awaited: dict[str, list[Envelope[Any]]] = {}
        self._paused: set[str] = set()
        """Those among them whose restart waits for its time."""

    @property
    def idle(self) -> bool:
        """Nothing is being loaded; what waits for a time is not under way."""
        return len(self._awaited) == len(self._paused)

    @property
    def waiting(self) -> int:
        """Sessions that are awaited."""
        return len(self._awaited)

    def awaits(self, session_id: str) -> bool:
        """Is it about to be in memory, or known not to be?"""
        return session_id in self._awaited

    def wait(self, session_id: str, mail: Envelope[Any]) -> None:
        """Keep a request for a session that is not in memory, and have that loaded if nobody has yet.

        Raises MailboxFull when as many wait as fit into a mailbox.
        """
        waiting = self._awaited.get(session_id)
        if waiting is None:
            self._awaited[session_id] = [mail]
            self.load(session_id)
        elif len(waiting) < self._registry.shared.config.mailbox_limit:
            waiting.append(mail)
        else:
            raise MailboxFull(len(waiting))

    def expect(self, session_id: str, mails: list[Envelope[Any]]) -> None:
        """Have what comes for a session wait behind `mails` from now on: `load` or `release` ends that."""
        self._awaited[session_id] = mails

    def pause(self, session_id: str) -> None:
        """What waits for it waits for a time."""
        self._paused.add(session_id)

    def go_on(self, session_id: str) -> None:
        self._paused.discard(session_id)

    def release(self, session_id: str) -> list[Envelope[Any]]:
        """What has waited for a session; it is awaited no longer."""
        return self._awaited.pop(session_id, [])

    def load(self, session_id: str) -> None:
        """Read an awaited session and start its actor, or refuse what waits for it."""
        self._registry.shared.reads.load(
            session_id, partial(self._loaded, session_id), partial(self._not_loaded, session_id)
        )

    def _loaded(self, session_id: str, stored: StoredSession | None) -> None:
        registry = self._registry
        if stored is None:
            self.answer_all(
                self.release(session_id),
                lambda: SessionNotFound(f"there is no session {session_id!r}", session_id=session_id),
                session_id,
            )
            return
        try:
            session = restore(stored)
        except Exception as error:
            logger.exception("session %s cannot be restored", session_id)
            self._not_loaded(session_id, error)
            return
        waiting = self.release(session_id)
        registry.file(registry.activate(stored, session))
        for mail in waiting:
            registry.deliver(session_id, mail)
        registry.make_room()

    def _not_loaded(self, session_id: str, error: Exception) -> None:
        self.answer_all(
            self.release(session_id),
            lambda: StorageFailed(f"session {session_id} could not be read: {error}", retry_after=1.0),
            session_id,
        )

    def answer_all(
        self, mails: Iterable[Envelope[Any]], error: Callable[[], SessionError], session_id: str = ""
    ) -> None:
        """Refuse each of them, with an exception of its own; what nobody asked is a dead letter.

        `session_id` is empty where they were for a user's session, whichever.
        """
        registry = self._registry
        for mail in mails:
            failure = error()
            if mail.reply_to is not None:
                mail.reply_to.set_exception((type(failure), failure, None))
            else:
                reason = REASONS[type(failure)]
                registry.dead_letters.add(registry.shared.clock.now(), session_id, reason, mail.message)

    def refuse_all(self) -> None:
        """The server goes down: who still waits for a session hears that."""
        for session_id, waiting in self._awaited.items():
            self.answer_all(
                waiting, partial(Draining, "the server is going down", session_id=session_id), session_id
            )
        self._awaited.clear()
        self._paused.clear()
