"""Messages addressed to a user: which of the user's sessions takes them, or that a new one is made.

A route is what is known of one (user_id, channel): its unexpired sessions, the newest first, and the
message_ids of the newest expired one. It is looked up in storage once, behind every creation that is not
committed yet, kept up while the sessions are live, and dropped when one of them leaves memory. Messages
that come while it is looked up wait in their order.
"""

from collections import deque
from typing import TYPE_CHECKING, Any

from sojourn.storage import Reader, StoredSession

from .commits import Then
from .errors import SessionError, StorageFailed
from .lifecycle import Status
from .messages import CreateSession, SendMessage
from .reading import may_know
from .snapshots import restore
from .state import Session

if TYPE_CHECKING:
    from .registry import RegistryActor

Key = tuple[str, str]


class Addressed:
    """A message on its way to a user: and the creation to fall back on."""

    __slots__ = ("creation", "key", "message", "session_id")

    def __init__(self, key: Key, session_id: str, creation: CreateSession, message: SendMessage) -> None:
        self.key = key
        self.session_id = session_id
        self.creation = creation
        self.message = message


class Route:
    """Where one user's messages on one channel go."""

    __slots__ = ("expired", "known", "unexpired", "waiting")

    def __init__(self) -> None:
        self.unexpired: list[str] = []
        """Session ids, the newest first."""
        self.expired: Session | None = None
        """The newest expired session: its messages may be sent again."""
        self.waiting: deque[Addressed] = deque()
        self.known = False


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
        elif route.waiting:
            route.waiting.append(addressed)
        else:
            route.waiting.append(addressed)
            self._drain(key, route)

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
            if route is not None and not route.waiting:
                del self._routes[key]

    def _look_up(self, key: Key, route: Route) -> None:
        """Read the user's sessions, behind the commit of everything recorded so far."""
        self._looking_up += 1
        shared = self._registry.shared

        def ask(reader: Reader) -> tuple[list[str], StoredSession | None]:
            unexpired, expired_id = reader.find_user(*key)
            return unexpired, None if expired_id is None else reader.load([expired_id]).get(expired_id)

        def found(answer: tuple[list[str], StoredSession | None]) -> None:
            self._looking_up -= 1
            unexpired, expired = answer
            # Created while it was looked up: newer than what was read, which may hold them already.
            route.unexpired += [each for each in unexpired if each not in route.unexpired]
            route.expired = None if expired is None else restore(expired)
            route.known = True
            self._drain(key, route)

        def failed(error: Exception) -> None:
            self._looking_up -= 1
            self._routes.pop(key, None)
            for addressed in route.waiting:
                if addressed.message.reply_to is not None:
                    failure = StorageFailed(f"the user's sessions could not be read: {error}", retry_after=1.0)
                    addressed.message.reply_to.set_exception((StorageFailed, failure, None))

        def read(_error: Exception | None = None) -> None:
            shared.reads.ask(ask, found, failed)

        batch = shared.commits.latest()
        if batch is None:
            read()
        else:
            batch.owed.append((Then(read, read), None))

    def _drain(self, key: Key, route: Route) -> None:
        """Deliver what waits, in order, until a session must be loaded to know more."""
        while route.waiting and route.known:
            if not self._deliver(key, route, route.waiting[0]):
                return
            route.waiting.popleft()

    def _deliver(self, key: Key, route: Route, addressed: Addressed) -> bool:
        registry = self._registry
        message: SendMessage = addressed.message
        now = message.now
        live = registry.live
        for session_id in tuple(route.unexpired):
            actor = live.get(session_id)
            if actor is None:
                self._load_then_drain(key, route, session_id)
                return False
            session = actor.session
            if session.status is Status.EXPIRED or session.expires_at <= now:
                route.unexpired.remove(session_id)
                if route.expired is None or session.key > route.expired.key:
                    route.expired = session
        message_id = message.message_id
        if message_id is not None and not message.verified:
            if route.expired is not None and may_know(route.expired, message_id):
                registry.deliver(route.expired.session_id, addressed.message)
                return True
            for session_id in route.unexpired:
                if may_know(live[session_id].session, message_id):
                    registry.deliver(session_id, addressed.message)
                    return True
        by_user = message.author == "user"
        for session_id in route.unexpired:
            if by_user or live[session_id].session.status is Status.ACTIVE:
                registry.deliver(session_id, addressed.message)
                return True
        if message.context is not None:
            try:
                registry.shared.merged({}, message.context)
            except SessionError as error:
                registry.answer_all((message,), lambda: error)
                return True
        message.created = True
        route.unexpired.insert(0, addressed.session_id)
        registry.create(addressed.session_id, (addressed.creation, addressed.message))
        return True

    def _load_then_drain(self, key: Key, route: Route, session_id: str) -> None:
        self._looking_up += 1

        def done(_actor: object) -> None:
            self._looking_up -= 1
            if session_id not in self._registry.live and session_id in route.unexpired:
                route.unexpired.remove(session_id)  # erased meanwhile
            self._drain(key, route)

        self._registry.when_live(session_id, done)
