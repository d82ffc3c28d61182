"""Messages addressed to a user: which of the user's sessions takes them, or that a new one is made.

A route is what is known of one (user_id, channel): its unexpired sessions, the newest first, and the
message_ids of the newest expired one. It is looked up in storage once, behind every creation that is not
committed yet, and dropped when one of its sessions leaves memory; sessions that are not in memory are
known as they were read, so that to choose one of them needs room for none. Messages that come while it is
looked up wait in their order.
"""

import logging
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sojourn.storage import Reader, StoredSession, broadcasts

from .commits import Then
from .context import own_part
from .errors import SessionError, StorageFailed
from .lifecycle import Status
from .messages import BroadcastMessage, CreateSession, SendMessage
from .scopes import user_part
from .snapshots import restore
from .state import Session

if TYPE_CHECKING:
    from .registry import RegistryActor

logger = logging.getLogger(__name__)

Key = tuple[str, str]


class Addressed:
    """A message on its way to a user: and the creation to fall back on."""

    __slots__ = ("creation", "key", "message", "session_id", "unknown_to")

    def __init__(self, key: Key, session_id: str, creation: CreateSession, message: SendMessage) -> None:
        self.key = key
        self.session_id = session_id
        self.creation = creation
        self.message = message
        self.unknown_to: set[str] = set()
        """Sessions that could have known its message_id, and looked: they do not."""


class Route:
    """Where one user's messages on one channel go."""

    __slots__ = ("blocked", "expired", "left", "stored", "unexpired", "waiting")

    def __init__(self) -> None:
        self.unexpired: list[str] = []
        """Session ids, the newest first."""
        self.expired: Session | None = None
        """The newest expired session: its messages may be sent again."""
        self.stored: dict[str, Session] = {}
        """Unexpired sessions as they were read; what is in memory goes before."""
        self.waiting: deque[Addressed] = deque()
        self.blocked = False
        """It is being looked up, or a session that it chose is being loaded."""
        self.left = 0
        """Counts sessions that left memory: what was read before that may be old."""


class Routes:
    """All routes in use. Loop thread only."""

    def __init__(self, registry: "RegistryActor") -> None:
        self._registry = registry
        self._routes: dict[Key, Route] = {}
        self._looking_up = 0

    @property
    def idle(self) -> bool:
        return self._looking_up == 0

    def send(self, addressed: Addressed) -> None:
        """Deliver to the user's session, or to a new one."""
        key = addressed.key
        route = self._routes.get(key)
        if route is None:
            route = self._routes[key] = Route()
            route.waiting.append(addressed)
            self._look_up(key, route)
        else:
            route.waiting.append(addressed)
            if len(route.waiting) == 1:
                self._drain(key, route)

    def prepare(self, channel: str, user_ids: Sequence[str]) -> None:
        """Look up, in one read, where messages to these people go: one to each of them follows at once."""
        routes = {(each, channel): Route() for each in user_ids if (each, channel) not in self._routes}
        if not routes:
            return
        self._routes.update(routes)
        for route in routes.values():
            route.blocked = True
        self._looking_up += 1
        people = [user_id for user_id, _ in routes]

        def ask(reader: Reader) -> tuple[list[tuple[list[str], str | None]], dict[str, StoredSession]]:
            found = reader.look(lambda connection: broadcasts.sessions_of(connection, channel, people))
            ids = [each for unexpired, expired_id in found for each in (*unexpired, expired_id) if each]
            return found, reader.load(ids)

        def found(answer: tuple[list[tuple[list[str], str | None]], dict[str, StoredSession]]) -> None:
            self._looking_up -= 1
            for (key, route), (ids, expired_id) in zip(routes.items(), answer[0], strict=True):
                if route.left:  # what was read may be old
                    self._look_up(key, route)
                else:
                    self._found(key, route, ids, expired_id, answer[1])

        def failed(error: Exception) -> None:
            self._looking_up -= 1
            for key, route in routes.items():
                self._refuse(key, route, error)

        self._registry.when_settled(lambda: self._registry.shared.reads.ask(ask, found, failed))

    def created(self, key: Key, session_id: str) -> None:
        """A session was created for this user by itself: it is the newest now."""
        route = self._routes.get(key)
        if route is not None:
            route.unexpired.insert(0, session_id)

    def forget(self, session: Session) -> None:
        """A session leaves memory: its route is looked up anew when it is needed."""
        if not self._routes:
            return
        user_id = session.user_map().get("user_id")
        if user_id is not None:
            key = (user_id, session.channel)
            route = self._routes.get(key)
            if route is None:
                return
            route.stored.pop(session.session_id, None)
            route.left += 1
            if not route.waiting and not route.blocked:
                del self._routes[key]

    def _look_up(self, key: Key, route: Route) -> None:
        """Read the user's sessions, behind the commit of everything recorded so far."""
        route.blocked = True
        self._looking_up += 1
        shared = self._registry.shared
        left = route.left

        def ask(reader: Reader) -> tuple[list[str], str | None, dict[str, StoredSession]]:
            unexpired, expired_id = reader.find_user(*key)
            ids = unexpired if expired_id is None else [*unexpired, expired_id]
            return unexpired, expired_id, reader.load(ids)

        def found(answer: tuple[list[str], str | None, dict[str, StoredSession]]) -> None:
            self._looking_up -= 1
            if route.left != left:
                self._look_up(key, route)
                return
            self._found(key, route, *answer)

        def failed(error: Exception) -> None:
            self._looking_up -= 1
            self._refuse(key, route, error)

        def read(_error: Exception | None = None) -> None:
            nonlocal left
            left = route.left
            shared.reads.ask(ask, found, failed)

        batch = shared.commits.latest()
        if batch is None:
            read()
        else:
            batch.owed.append((Then(read, read), None))

    def _found(
        self,
        key: Key,
        route: Route,
        ids: list[str],
        expired_id: str | None,
        stored: dict[str, StoredSession],
    ) -> None:
        wanted = ids if expired_id is None else [*ids, expired_id]
        try:
            # What is not there was erased between the two reads.
            sessions = {each: restore(stored[each]) for each in wanted if each in stored}
        except Exception as error:
            logger.exception("the sessions of user %s cannot be restored", key[0])
            self._refuse(key, route, error)
            return
        unexpired = [each for each in ids if each in sessions]
        live = self._registry.live
        # Created while it was looked up: newer than what was read, which may hold them already.
        newer = [each for each in route.unexpired if each in live and each not in unexpired]
        route.unexpired = newer + unexpired
        route.stored = {each: sessions[each] for each in unexpired if each not in live}
        route.expired = None if expired_id is None else sessions.get(expired_id)
        route.blocked = False
        self._drain(key, route)

    def _refuse(self, key: Key, route: Route, error: Exception) -> None:
        """Tell all who wait for the lookup that it failed; the next message looks up anew."""
        self._routes.pop(key, None)
        self._registry.answer_all(
            (each.message for each in route.waiting),
            lambda: StorageFailed(f"the user's sessions could not be read: {error}", retry_after=1.0),
        )

    def _drain(self, key: Key, route: Route) -> None:
        """Deliver what waits, in order, until something must be read to know more."""
        while route.waiting and not route.blocked:
            if not self._deliver(key, route, route.waiting[0]):
                return
            route.waiting.popleft()

    def _deliver(self, key: Key, route: Route, addressed: Addressed) -> bool:
        registry = self._registry
        message: SendMessage = addressed.message
        sessions: dict[str, Session] = {}
        for session_id in tuple(route.unexpired):
            actor = registry.live.get(session_id)
            session = route.stored.get(session_id) if actor is None else actor.session
            if session is None:
                self._look_up(key, route)
                return False
            if session.status is Status.EXPIRED or session.expires_at <= message.now:
                route.unexpired.remove(session_id)
                if route.expired is None or session.key > route.expired.key:
                    route.expired = session
            else:
                sessions[session_id] = session
        message_id = message.message_id
        if message_id is not None:
            expired = () if route.expired is None else (route.expired,)
            for session in (*expired, *sessions.values()):
                if session.session_id not in addressed.unknown_to and session.candidates(message_id):
                    self._hand_over(key, route, session.session_id, message)
                    return True
        # A broadcast's message is meant for the newest, closed or not.
        by_user = message.author == "user" or isinstance(message, BroadcastMessage)
        for session_id, session in sessions.items():
            if by_user or session.status is Status.ACTIVE:
                self._hand_over(key, route, session_id, message)
                return True
        context = message.context
        if context is not None:
            scope = registry.shared.scopes.of(key[0])
            if scope is None and user_part(context):
                self._await_scope(key, route)
                return False
            try:
                registry.shared.merged({}, own_part(context))
                if scope is not None:
                    registry.shared.scopes.checked(scope, user_part(context))
            except SessionError as error:
                if message.reply_to is not None:
                    message.reply_to.set_exception((type(error), error, None))
                return True
        message.created = True
        route.unexpired.insert(0, addressed.session_id)
        registry.create(addressed.session_id, (addressed.creation, addressed.message))
        return True

    def _await_scope(self, key: Key, route: Route) -> None:
        """Have the user's scope in memory: a first message that writes to it is refused before a session is
        made.
        """
        route.blocked = True
        self._looking_up += 1

        def found(_scope: object) -> None:
            self._looking_up -= 1
            route.blocked = False
            self._drain(key, route)

        def failed(error: Exception) -> None:
            self._looking_up -= 1
            self._refuse(key, route, error)

        self._registry.shared.scopes.load(key[0], found, failed)

    def _hand_over(self, key: Key, route: Route, session_id: str, message: SendMessage) -> None:
        """Deliver it; what comes behind it waits until the session is in memory, so that it sees what it
        did.
        """
        registry = self._registry
        registry.deliver(session_id, message)
        if session_id in registry.live:
            return
        route.blocked = True
        self._looking_up += 1

        def done(_answer: object) -> None:
            self._looking_up -= 1
            route.blocked = False
            self._drain(key, route)

        registry.when_live(session_id, done)
