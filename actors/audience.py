"""Who is attached to which session: apart from the actors, so that it outlives passivation."""

from .mail import Subscriber


class Audience:
    """Subscribers by session. Loop thread only.

    Most sessions have one subscriber: it stands there by itself, a list comes with the second.
    """

    def __init__(self) -> None:
        self._by_session: dict[str, Subscriber | list[Subscriber]] = {}
        self._observers: tuple[Subscriber, ...] = ()

    def of(self, session_id: str) -> tuple[Subscriber, ...]:
        """Everybody attached, in the order they came."""
        found = self._by_session.get(session_id)
        if found is None:
            return ()
        return tuple(found) if isinstance(found, list) else (found,)

    def others(self, session_id: str, cause: Subscriber | None) -> tuple[Subscriber, ...]:
        """Everybody attached but the one whose request caused it, and the observers."""
        found = self._by_session.get(session_id)
        if found is None or found is cause:
            return self._observers
        if isinstance(found, list):
            return (*(each for each in found if each is not cause), *self._observers)
        return (found, *self._observers)

    def has_room(self, subscriber: Subscriber, session_id: str) -> bool:
        """Could it be attached?"""
        return len(subscriber.attached) < subscriber.max_attachments or session_id in subscriber.attached

    def attach(self, session_id: str, subscriber: Subscriber) -> None:
        """Attach; attaching twice is attaching once."""
        if session_id in subscriber.attached:
            return
        subscriber.attached.add(session_id)
        found = self._by_session.get(session_id)
        if found is None:
            self._by_session[session_id] = subscriber
        elif isinstance(found, list):
            found.append(subscriber)
        else:
            self._by_session[session_id] = [found, subscriber]

    def detach(self, session_id: str, subscriber: Subscriber) -> None:
        """Detach; detaching what is not attached is no error."""
        if session_id not in subscriber.attached:
            return
        subscriber.attached.discard(session_id)
        found = self._by_session[session_id]
        if isinstance(found, list):
            found.remove(subscriber)
            if len(found) == 1:
                self._by_session[session_id] = found[0]
        else:
            del self._by_session[session_id]

    def leave(self, subscriber: Subscriber) -> None:
        """The subscriber is gone: detach it from everything."""
        for session_id in tuple(subscriber.attached):
            self.detach(session_id, subscriber)

    def clear(self, session_id: str) -> None:
        """The session has ended: detach everybody."""
        for subscriber in self.of(session_id):
            self.detach(session_id, subscriber)

    def observe(self, subscriber: Subscriber) -> None:
        """Have every event of every session pushed to it."""
        self._observers = (*self._observers, subscriber)

    def stop_observing(self, subscriber: Subscriber) -> None:
        self._observers = tuple(each for each in self._observers if each is not subscriber)
