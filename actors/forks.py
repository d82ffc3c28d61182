"""Forks: a new session with the state that another one had at some place of its history.

A fork is a session like any other, with a history of its own: its first event holds the state (so the fold
needs nothing of the source, which may expire and be erased), then come copies of what was said, because that
is what an agent is given. Copies have the fork's instant: `at` never goes back in a session, and timers count
from the fork; where they come from is in `copied_from`. They carry the flag `COPIED`: nobody is told again of
what was said in another session.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, cast

from sojourn.storage import EVENT_NAMES, EVENT_TYPES, EventRow, Reader

from .answers import Created
from .context import merge_patch, own_part
from .errors import IllegalState, InvalidRequest, SessionError
from .events import session_map
from .mail import Caller, ReplyTarget, Request
from .messages import CreateSession
from .packing import pack, unpack
from .reception import Reception
from .registry import RegistryActor
from .requests import creation, on_create
from .session import SessionActor
from .state import COPIED

Json = Any

MOST_COPIED: Final = 1000
"""Events before the place of the fork whose messages are copied: as far as any turn looks back."""
COPIED_BYTES: Final = 16 << 20
PAGE: Final = 1000
PAGE_BYTES: Final = 16 << 20

_COPIED: Final = (EVENT_TYPES["message:received"], EVENT_TYPES["dialog:expired"])
_CREATED: Final = EVENT_TYPES["session:created"]
_PATCHED: Final = EVENT_TYPES["session:context:updated"]
_TAGGED: Final = EVENT_TYPES["session:tagged"]


@dataclass(slots=True, eq=False)
class DescribeSource(Request):
    """What is to be forked; `at_seq` None: as of now. Answer: `Source`."""

    at_seq: int | None


class Source(NamedTuple):
    """A session as it is now, and the place of its history to fork at."""

    key: int
    seq: int
    newest: bool
    """The place is its newest: `context` and `tags` are those of the fork."""
    user: dict[str, Json]
    context: dict[str, Json]
    metadata: dict[str, Json]
    channel: str
    timeouts: dict[str, float | None]
    tags: list[str]


@dataclass(slots=True, eq=False)
class ForkSession(CreateSession):
    """First request of a fork. Answer: `Created`."""

    forked_from: dict[str, Json] = field(default_factory=dict[str, Json])
    copies: Sequence[EventRow] = ()
    """Events of the source, oldest first."""


def on_describe(actor: SessionActor, request: DescribeSource) -> Source:
    """The answer comes behind the commit of what it describes, so all of that can be read."""
    actor.pass_time(request.now)
    session = actor.session
    at_seq = session.seq if request.at_seq is None else request.at_seq
    if not 1 <= at_seq <= session.seq:
        raise InvalidRequest(
            f"at_seq is {at_seq}, the history of session {session.session_id} goes from 1 to {session.seq}",
            session_id=session.session_id,
            details={"key": "at_seq", "expected": f"an integer from 1 to {session.seq}", "got": at_seq},
        )
    return Source(
        session.key,
        at_seq,
        at_seq == session.seq,
        session.user_map(),
        session.context_map(),
        unpack(session.metadata),
        session.channel,
        session.timeouts.as_map(),
        list(session.tags),
    )


def on_fork(actor: SessionActor, request: ForkSession) -> Created:
    """The state, then the copies, in one commit."""
    session = actor.session
    if session.seq:
        return on_create(actor, request)  # the same `request_key` again
    payload = creation(request) | {"forked_from": request.forked_from}
    actor.record("session:created", payload, request.now, 0, request.origin)
    events = actor.join().events
    redaction = actor.shared.redaction
    for _, seq, at, code, _, body in request.copies:
        copy = cast("dict[str, Json]", unpack(body))
        if redaction is not None:  # the source may be older than the rules
            copy.update({name: redaction.value(copy[name]) for name in _WRITTEN if name in copy})
        copy["copied_from"] = {"seq": seq, "at": at}
        session.apply(EVENT_NAMES[code], request.now, copy, COPIED)
        events.append((session.key, session.seq, request.now, code, COPIED, pack(copy)))
    actor.put_first_row(request.request_key, request.token_hash)
    return Created(session.session_id, session_map(session, actor.shared.sensitive))


_WRITTEN: Final = frozenset({"text", "attachments", "data"})

FORK_HANDLERS: Final[Mapping[type, Callable[[SessionActor, Any], Any]]] = {
    DescribeSource: on_describe,
    ForkSession: on_fork,
}
"""Beside those of `requests`."""


class Forks:
    """Forks on their way. Loop thread only."""

    def __init__(self, registry: RegistryActor, reception: Reception) -> None:
        self._registry = registry
        self._reception = reception
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def idle(self) -> bool:
        """None is on its way."""
        return not self._tasks

    def start(
        self,
        session_id: str,
        at_seq: int | None,
        *,
        by: Caller,
        now: float,
        reply_to: ReplyTarget,
        channel: str | None = None,
        request_key: str | None = None,
    ) -> None:
        """Fork a session as of `at_seq` (None: as of now); the answer is `Created`, or a `SessionError`.

        `channel` None: the source's. With a `request_key` that was used before it is the session made then.
        """

        async def fork() -> None:
            try:
                await self._fork(session_id, at_seq, by, now, reply_to, channel, request_key)
            except Exception as error:  # noqa: BLE001  # whatever it is, whoever waits must hear it
                reply_to.set_exception((type(error), error, None))

        task = asyncio.get_running_loop().create_task(fork())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fork(
        self,
        session_id: str,
        at_seq: int | None,
        by: Caller,
        now: float,
        reply_to: ReplyTarget,
        channel: str | None,
        request_key: str | None,
    ) -> None:
        reads = self._registry.shared.reads
        if request_key is not None:
            known = await reads.get(lambda reader: reader.find_request(request_key))
            if known is not None:  # its source may be gone since
                request = self._creation(known, by, now, None, request_key)
                request.reply_to = reply_to
                self._registry.deliver(known, request)
                return
        source = await self._describe(session_id, DescribeSource(by, now, None, False, at_seq))
        if not source.newest:
            source = await self._as_then(session_id, source)
        copies = await self._copies_of(source)
        new_id = self._reception.new_id(now)
        creation = self._creation(new_id, by, now, channel or source.channel, request_key)
        creation.reply_to = reply_to
        creation.user = source.user
        creation.context = source.context
        creation.metadata = source.metadata
        creation.timeouts = source.timeouts
        creation.tags = source.tags
        creation.forked_from = {"session_id": session_id, "seq": source.seq}
        creation.copies = copies
        self._reception.create(new_id, creation)

    def _creation(
        self, session_id: str, by: Caller, now: float, channel: str | None, request_key: str | None
    ) -> ForkSession:
        plain = self._reception.creation(
            session_id, by, now, None, attach=False, channel=channel or "", request_key=request_key
        )
        return ForkSession(
            plain.by,
            plain.now,
            plain.origin,
            plain.attach,
            plain.user,
            plain.context,
            plain.metadata,
            plain.channel,
            plain.timeouts,
            plain.tags,
            plain.request_key,
            plain.token_hash,
        )

    async def _describe(self, session_id: str, request: DescribeSource) -> Source:
        future = SessionActor._create_future()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # Pykka's hook
        request.reply_to = future
        self._registry.deliver(session_id, request)
        return cast("Source", await future)

    async def _copies_of(self, source: Source) -> list[EventRow]:
        """The last messages up to that place, and where the AI forgot; as much as one commit takes well."""
        found: list[EventRow] = []
        after = max(0, source.seq - MOST_COPIED)
        more = True
        while more:
            rows, more = await self._registry.shared.reads.get(_page_of(source.key, after, source.seq))
            found += (row for row in rows if row[3] in _COPIED)
            after = rows[-1][1] if rows else source.seq
        room = COPIED_BYTES
        for place in range(len(found) - 1, -1, -1):
            room -= len(found[place][5])
            if room < 0:
                return found[place + 1 :]
        return found

    async def _as_then(self, session_id: str, source: Source) -> Source:
        """With the context and the tags of that place: all else is as it was created."""
        context: dict[str, Json] = {}
        tags: list[str] = []
        after = 0
        while after < source.seq:
            rows, _ = await self._registry.shared.reads.get(_page_of(source.key, after, source.seq))
            if not rows or rows[0][1] != after + 1:
                raise _cut(session_id, source.seq)
            for row in rows:
                if row[3] == _CREATED:
                    payload = unpack(row[5])
                    context, tags = payload["context"], payload["tags"]
                elif row[3] == _PATCHED:
                    context = merge_patch(context, own_part(unpack(row[5])["patch"]))
                elif row[3] == _TAGGED:
                    tags = unpack(row[5])["tags"]
            after = rows[-1][1]
        return source._replace(context=context, tags=tags)


def _page_of(key: int, after: int, until: int) -> Callable[[Reader], tuple[list[EventRow], bool]]:
    return lambda reader: reader.history(key, after, until, PAGE, PAGE_BYTES)


def _cut(session_id: str, seq: int) -> SessionError:
    return IllegalState(
        f"the history of session {session_id} does not go back to its beginning: it can only be forked as it "
        f"is now, not as of {seq}",
        session_id=session_id,
        details={"key": "at_seq", "got": seq},
    )
