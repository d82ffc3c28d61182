"""Creations that may have been asked for before: a `request_key` makes one session, however often it comes.

Not compiled, on purpose: a function within a function is a reference cycle there, one for each creation.
"""

from collections.abc import Callable

from .errors import StorageFailed
from .messages import CreateSession
from .registry import RegistryActor


class RequestKeys:
    """The keys that are being looked up. Loop thread only."""

    def __init__(self, registry: RegistryActor, make: Callable[[str, CreateSession], None]) -> None:
        """`make` makes a new session."""
        self._registry = registry
        self._make = make
        self._asked: dict[str, list[CreateSession]] = {}

    @property
    def idle(self) -> bool:
        """No creation waits for its key to be looked up."""
        return not self._asked

    def create(self, key: str, session_id: str, creation: CreateSession) -> None:
        """Make the session, or answer with the one that this key made before."""
        waiting = self._asked.get(key)
        if waiting is not None:
            waiting.append(creation)
            return
        self._asked[key] = [creation]

        def found(known: str | None) -> None:
            first, *others = self._asked.pop(key)
            if known is None:
                known = session_id
                self._make(session_id, first)
            else:
                self._registry.deliver(known, first)
            for again in others:
                self._registry.deliver(known, again)

        def failed(error: Exception) -> None:
            for each in self._asked.pop(key):
                failure = StorageFailed(f"the request_key could not be looked up: {error}", retry_after=1.0)
                if each.reply_to is not None:
                    each.reply_to.set_exception((StorageFailed, failure, None))

        def look_up() -> None:
            self._registry.shared.reads.ask(lambda reader: reader.find_request(key), found, failed)

        self._registry.when_settled(look_up)
