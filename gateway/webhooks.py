"""Webhooks: events to URLs outside, signed, at least once, in order per session.

What is to be sent stands in an outbox beside the journal (`storage/outbox.py`); it is filled behind the
writer, so a message costs the same whoever listens. Each hook has a courier with a few hands. A hand takes
one lane, a session's waiting events, and posts them one after the other: what fails stops its lane and
nobody else's, and is tried again later, until it is given up as a dead letter and the lane goes on. Only when
an event has been taken (2xx) does it leave the outbox: a process that dies in between posts it again, under
the same id.
"""

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import httpx

from sojourn._version import __version__
from sojourn.actors import Runtime
from sojourn.actors.errors import SessionError
from sojourn.actors.events import event_map
from sojourn.actors.later import Later
from sojourn.actors.state import COPIED
from sojourn.actors.timers import NEVER
from sojourn.storage import Call, EventRow, StorageError, outbox
from sojourn.storage.outbox import Lane, Sent

from .receivers import Webhook
from .signatures import key_of, signed

logger = logging.getLogger(__name__)

LANE_PAGE: Final = 20
"""Events of one session posted before it is written down which were taken: at most so many come twice."""
MOST_ANSWER_BYTES: Final = 65_536
"""Of an answer's body, which nobody reads: a longer one costs its connection."""
STORE_PAUSE: Final = 1.0
"""Seconds until a store that failed is asked again."""
GONE: Final = 410


class Webhooks:
    """The couriers of one runtime. Start and stop it on the runtime's loop."""

    def __init__(self, runtime: Runtime, hooks: Sequence[Webhook]) -> None:
        names = [each.hook for each in hooks]
        if len(set(names)) < len(names):
            raise ValueError("two webhooks have one name: give them names of their own")
        self._core = runtime.core
        self._couriers = [_Courier(runtime, each) for each in hooks]

    async def start(self) -> None:
        """Go on where the last process ended; a hook that is new gets what happens from now on."""
        for courier in self._couriers:
            await courier.start()
        if self._couriers:
            # The library tells each request's address at "info".
            logging.getLogger("httpx").setLevel(logging.WARNING)
            self._core.commits.committed = self._committed

    async def stop(self) -> None:
        """Stop sending; what is not taken yet stays in the outbox."""
        self._core.commits.committed = None
        for courier in self._couriers:
            await courier.stop()

    async def settled(self) -> None:
        """Wait until everything that is committed was tried, and nothing is due."""
        for courier in self._couriers:
            await courier.rested.wait()

    def _committed(self) -> None:
        for courier in self._couriers:
            courier.look()


class _Courier:
    """Sends one hook's events."""

    def __init__(self, runtime: Runtime, webhook: Webhook) -> None:
        self._core = runtime.core
        self._webhook = webhook
        self._key = key_of(webhook.secret)
        self._types = webhook.types()
        self._hands: dict[int, asyncio.Task[None]] = {}
        """Lanes in hand, by their session."""
        self._news = asyncio.Event()
        self._unseen = True
        """There may be events in the journal that were not taken in yet."""
        self._alarm = Later(self._wake)
        self.rested = asyncio.Event()

    async def start(self) -> None:
        hook = self._webhook.hook
        await self._core.tend(Call(outbox.enrol, hook))
        room = self._webhook.concurrency
        self._client = httpx.AsyncClient(
            headers={"user-agent": f"sojourn/{__version__}", "content-type": "application/json"},
            follow_redirects=False,  # what is signed for one receiver is for nobody else
            timeout=None,  # noqa: S113  # an attempt has one limit for all of it, see `_attempt`
            limits=httpx.Limits(max_connections=room, max_keepalive_connections=room),
        )
        self._news.set()
        self._run = asyncio.create_task(self._go())

    async def stop(self) -> None:
        tasks = [self._run, *self._hands.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._core.shared.wheel.cancel(self._alarm)
        await self._client.aclose()

    def look(self) -> None:
        """There are new events."""
        self._unseen = True
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self.rested.clear()

    async def _go(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._take_in()
                await self._hand_out()
            except (StorageError, SessionError) as error:
                logger.warning("webhook %s: the outbox does not answer: %s", self._webhook.hook, error)
                self._wake_at(self._core.clock.now() + STORE_PAUSE)

    async def _take_in(self) -> None:
        hook, types = self._webhook.hook, self._types
        while self._unseen:
            self._unseen = False
            if await self._core.tend(Call(outbox.take_in, hook, types, COPIED)):
                self._unseen = True

    async def _hand_out(self) -> None:
        """Give each free hand a lane that is due; be woken when the next one is."""
        hook = self._webhook.hook
        room = self._webhook.concurrency
        # One more than there are hands: it says when to look again.
        lanes: list[Lane] = await self._core.reads.get(
            lambda reader: reader.look(Call(outbox.due_lanes, hook, room + 1))
        )
        now = self._core.clock.now()
        for lane in lanes:
            if lane.session in self._hands:
                continue
            if lane.due_at > now:
                self._wake_at(lane.due_at)
                break
            if len(self._hands) < room:
                self._hands[lane.session] = asyncio.create_task(self._work(lane))
        if not self._hands and not self._news.is_set():
            self.rested.set()

    def _wake_at(self, at: float) -> None:
        if self._alarm.wake_at == NEVER or at < self._alarm.wake_at:
            self._core.shared.wheel.file(self._alarm, at)

    async def _work(self, lane: Lane) -> None:
        try:
            await self._send(lane)
        except (StorageError, SessionError) as error:
            logger.warning("webhook %s: the outbox does not answer: %s", self._webhook.hook, error)
            self._wake_at(self._core.clock.now() + STORE_PAUSE)
        except Exception:
            logger.exception("webhook %s: a lane failed", self._webhook.hook)
            self._wake_at(self._core.clock.now() + STORE_PAUSE)
        finally:
            self._news.set()
            self._hands.pop(lane.session, None)

    async def _send(self, lane: Lane) -> None:
        """Post what waits in the lane, up to the first failure, and write down what was taken."""
        webhook, clock = self._webhook, self._core.clock
        events = await self._core.reads.get(
            lambda reader: reader.look(Call(outbox.waiting, webhook.hook, lane.session, LANE_PAGE))
        )
        delivered: list[int] = []
        sent = Sent(webhook.hook, lane.session, delivered, None, lane.due_at, 0)
        try:
            for session_id, event in events:
                failure = await self._attempt(session_id, event)
                if failure is None:
                    delivered.append(event[1])
                    continue
                attempts = 1 if delivered else lane.attempts + 1
                now = clock.now()
                if failure.final or attempts > len(webhook.retries):
                    dead = (event[1], now, attempts, failure.reason)
                    sent = sent._replace(dead=dead, due_at=now)
                    logger.warning(
                        "webhook %s: %s:%d is given up: %s",
                        webhook.hook,
                        session_id,
                        event[1],
                        failure.reason,
                    )
                else:
                    pause = max(webhook.retries[attempts - 1], failure.retry_after)
                    sent = sent._replace(due_at=now + pause, attempts=attempts)
                    logger.info(
                        "webhook %s: %s:%d again in %g s: %s",
                        webhook.hook,
                        session_id,
                        event[1],
                        pause,
                        failure.reason,
                    )
                break
        finally:
            # Also when it is stopped: what was taken need not come twice.
            if delivered or sent.attempts or sent.dead or not events:
                await self._core.tend(Call(outbox.settle, sent))

    async def _attempt(self, session_id: str, row: EventRow) -> "_Failure | None":
        """Post one event; None when it was taken."""
        event = event_map(row, session_id, self._core.shared.sensitive)
        at = datetime.fromtimestamp(row[2], UTC).isoformat().replace("+00:00", "Z")
        content = {"type": event["type"], "timestamp": at, "data": event}
        body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        now = int(self._core.clock.now())
        headers = signed(self._key, f"{session_id}:{row[1]}", now, body)
        status: int | None = None
        retry_after = 0.0
        try:
            async with (
                asyncio.timeout(self._webhook.timeout),
                self._client.stream("POST", self._webhook.url, content=body, headers=headers) as response,
            ):
                status = response.status_code
                retry_after = _seconds(response.headers.get("retry-after"))
                if int(response.headers.get("content-length", MOST_ANSWER_BYTES + 1)) <= MOST_ANSWER_BYTES:
                    await response.aread()  # so that the connection can be used again
        except TimeoutError:
            if status is None:
                return _Failure(f"no answer within {self._webhook.timeout:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            if status is None:
                return _Failure(f"{type(error).__name__}: {error}"[:200])
        # Once there is a status it has decided; what came behind it is nobody's business.
        assert status is not None
        if httpx.codes.is_success(status):
            return None
        return _Failure(f"answered {status}", final=status == GONE, retry_after=retry_after)


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why an event was not taken."""

    reason: str
    final: bool = False
    """The receiver says that it will never take it."""
    retry_after: float = 0.0


def _seconds(text: str | None) -> float:
    """A `Retry-After` in seconds, a day at most; its other form, a date, is not worth the trouble."""
    return min(float(text), 86_400.0) if text is not None and text.isascii() and text.isdigit() else 0.0
