"""Requests that concern more than one known session: create, write to a user, list, erase a person.

Both doors come through here, the gateway's router and the embedding `Runtime`. Loop thread only.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from sojourn.storage import Reader, SessionRow, StoredSession

from .answers import Erased
from .errors import InvalidRequest, TooManyAttachments
from .events import session_map
from .lifecycle import Status
from .mail import Caller, ReplyTarget, Subscriber
from .messages import CreateSession, EraseSession, SendMessage
from .registry import RegistryActor
from .request_keys import RequestKeys
from .routes import Addressed
from .snapshots import restore
from .state import Session

TIMEOUTS: Final = ("session_timeout", "keep_alive", "dialog_timeout", "max_lifetime")
LIST_PAGE: Final = 100
"""Sessions restored in one turn of the loop, for a list."""
RANDOM_BYTES: Final = 9
"""Of a session_id: 72 bits, as 18 hexadecimal digits."""
IDS_AT_ONCE: Final = 455
"""Session ids whose random part is asked of the system in one call, 4,095 bytes. The call lets the store's
thread have the interpreter, and waits for it to come back. (Measured: 8 µs for each creation, against 0.4.)
"""


class Reception:
    """The requests that are not one session's."""

    def __init__(self, registry: RegistryActor) -> None:
        self._registry = registry
        self._first_key = registry.next_key
        self._request_keys = RequestKeys(registry, self._create)
        self._random: list[str] = []
        """Random parts of session ids to come."""
        self._defaults: dict[str | None, dict[str, float | None]] = {}
        """`timeouts` of sessions that ask for none, by channel; None: a channel that is not configured."""
        self._secret = os.urandom(32)
        """Makes a creation's resume token again when the creation is asked for again; it dies with the
        process.
        """

    @property
    def idle(self) -> bool:
        """No creation waits for its request_key to be looked up."""
        return self._request_keys.idle

    def resume_token(self, session_id: str) -> str | None:
        """The token of a session that this process created; None for others, of which only a hash is left."""
        actor = self._registry.live.get(session_id)
        if actor is None or actor.session.key < self._first_key:
            return None
        return self._token(session_id)

    def _token(self, session_id: str) -> str:
        # BLAKE2 with a key is a MAC by itself, at a third of what HMAC with SHA-256 costs.
        return hashlib.blake2b(session_id.encode(), key=self._secret, digest_size=32).hexdigest()

    def new_id(self, now: float) -> str:
        """A session_id: milliseconds, then 72 random bits, so that ids sort roughly by creation. From any
        thread.
        """
        try:
            digits = self._random.pop()
        except IndexError:
            digits, *spare = _random_parts()
            self._random.extend(spare)
        return f"{int(now * 1000):012x}{digits}"

    def creation(
        self,
        session_id: str,
        by: Caller,
        now: float,
        origin: Subscriber | None,
        *,
        attach: bool = True,
        user: dict[str, Any] | None = None,
        context: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        channel: str,
        timeouts: Mapping[str, float | None] | None = None,
        tags: list[str] | None = None,
        request_key: str | None = None,
        reply_to: ReplyTarget | None = None,
    ) -> CreateSession:
        """The checked first request of a new session; raises `SessionError` before anything is recorded."""
        shared = self._registry.shared
        merged = shared.merged({}, context) if context else {}
        if attach and origin is not None and not shared.audience.has_room(origin, session_id):
            raise TooManyAttachments(
                f"this connection is attached to {len(origin.attached)} sessions: detach some first",
                details={"limit": "max_attachments", "max": origin.max_attachments},
            )
        return CreateSession(
            by=by,
            now=now,
            origin=origin,
            attach=attach,
            user=user or {},
            context=merged,
            metadata=metadata or {},
            channel=channel,
            timeouts=self.timeouts(channel, timeouts),
            tags=list(dict.fromkeys(tags or ())),
            request_key=request_key,
            token_hash=hashlib.sha256(self._token(session_id).encode()).digest(),
            reply_to=reply_to,
        )

    def timeouts(self, channel: str, asked: Mapping[str, float | None] | None) -> dict[str, float | None]:
        """The timers of a new session: asked for, else its channel's, else the server's; within the
        maxima.
        """
        config = self._registry.shared.config
        # Callers name channels as they like: only the configured ones are remembered one by one.
        configured = channel in config.channels or channel in config.channel_timeouts
        defaults = self._defaults.get(channel if configured else None)
        if defaults is None:
            defaults = self._defaults[channel if configured else None] = self._defaults_of(channel)
        found = defaults.copy()
        if not asked:
            return found
        for name in TIMEOUTS:
            if name in asked:
                value = asked[name]
                most: float | None = getattr(config.maxima, name)
                if most is not None and (value is None or value > most):
                    raise InvalidRequest(
                        f"timeouts.{name} may be at most {most:g} seconds here, and not never",
                        details={"key": f"timeouts.{name}", "expected": f"at most {most:g}", "got": value},
                    )
                found[name] = None if value is None else float(value)
        return found

    def _defaults_of(self, channel: str) -> dict[str, float | None]:
        config = self._registry.shared.config
        defaults = config.channels.get(channel)
        if defaults is None:
            defaults = config.session
            session_timeout = config.channel_timeouts.get(channel, defaults.session_timeout)
        else:
            session_timeout = defaults.session_timeout
        maxima = config.maxima
        return {
            "session_timeout": _at_most(maxima.session_timeout, session_timeout),
            "keep_alive": _at_most(maxima.keep_alive, defaults.keep_alive),
            "dialog_timeout": _at_most(maxima.dialog_timeout, defaults.dialog_timeout),
            "max_lifetime": _at_most(maxima.max_lifetime, defaults.max_lifetime),
        }

    def create(self, session_id: str, creation: CreateSession) -> None:
        """Make the session, or answer with the one that this `request_key` made before."""
        if creation.request_key is None:
            self._create(session_id, creation)
        else:
            self._request_keys.create(creation.request_key, session_id, creation)

    def _create(self, session_id: str, creation: CreateSession) -> None:
        user_id = creation.user.get("user_id")
        if user_id is not None:
            self._registry.routes.created((user_id, creation.channel), session_id)
        self._registry.create(session_id, (creation,))

    def send_to_user(self, session_id: str, creation: CreateSession, message: SendMessage) -> None:
        """Have a message go to the user's session of that channel; `session_id` is for a new one."""
        origin = message.origin
        if origin is not None and message.attach and len(origin.attached) >= origin.max_attachments:
            creation.attach = False
        key = (creation.user["user_id"], creation.channel)
        message.addressed = addressed = Addressed(key, session_id, creation, message)
        self._registry.routes.send(addressed)

    # -- lists and erasure -------------------------------------------------------------------------

    async def page(
        self, filters: Mapping[str, str], limit: int, before_key: int | None, now: float
    ) -> tuple[list[tuple[int, dict[str, Any]]], int | None]:
        """Sessions newest created first, as (key, session map), and the key to go on behind (None: the end).

        Each is shown as of `now`: one that is due is shown expired, whether or not its expiry is stored yet.
        """
        reads = self._registry.shared.reads
        found: list[tuple[int, dict[str, Any]]] = []
        while len(found) < limit:
            rows = await reads.get(_page_of(filters, min(limit - len(found), LIST_PAGE), before_key))
            if not rows:
                return found, None
            before_key = rows[-1].key
            absent = [row.session_id for row in rows if row.session_id not in self._registry.live]
            stored = await reads.get(_load_of(absent))
            for row in rows:
                actor = self._registry.live.get(row.session_id)
                if actor is not None:
                    session = actor.session
                elif row.session_id in stored:
                    session = restore(stored[row.session_id])
                else:
                    continue
                view = self._as_of(session, now)
                if all(view[name] == wanted for name, wanted in filters.items() if name != "user_id"):
                    found.append((row.key, view))
        return found, before_key

    def _as_of(self, session: Session, now: float) -> dict[str, Any]:
        sensitive = self._registry.shared.sensitive
        view = session_map(session, sensitive)
        if session.status is Status.EXPIRED or session.expires_at > now:
            return view
        return {
            **view,
            "status": "expired",
            "expired_at": session.expires_at,
            "expiry_reason": view["expires_why"],
        }

    async def erase_user(self, user_id: str, request: EraseSession) -> Erased:
        """Erase every session of a person, then what was kept of the person across them; how much is gone,
        when it is gone.
        """
        erasing = self._registry.shared.erasing
        assert erasing is not None
        return await erasing.erase_user(user_id, request)


def _at_most(most: float | None, seconds: float | None) -> float | None:
    """The lesser; None: no bound, and forever."""
    lengths = [float(length) for length in (most, seconds) if length is not None]
    return min(lengths, default=None)


def _random_parts() -> Iterator[str]:
    digits = os.urandom(IDS_AT_ONCE * RANDOM_BYTES).hex()
    return (digits[at : at + 2 * RANDOM_BYTES] for at in range(0, len(digits), 2 * RANDOM_BYTES))


def _page_of(
    filters: Mapping[str, str], limit: int, before_key: int | None
) -> Callable[[Reader], list[SessionRow]]:
    def ask(reader: Reader) -> list[SessionRow]:
        return reader.page(**filters, before_key=before_key, limit=limit)

    return ask


def _load_of(session_ids: list[str]) -> Callable[[Reader], dict[str, StoredSession]]:
    return lambda reader: reader.load(session_ids)
