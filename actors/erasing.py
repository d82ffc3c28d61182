"""Erasure from the request to the last byte: what a commit begins is finished behind it, also after a crash.

Three things are left when the sessions of a person are gone for everybody who asks. The last events of long
sessions go slice by slice. Bytes of what was erased may lie in unused parts of pages, in the write-ahead log
and in the file of the insights: one pass of scrubbing behind the last slice overwrites them. Then the receipt
is complete. All of it is work between other people's commits, and what is to be done stands in the file: a
process that dies in between goes on with it when it starts again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar
from uuid import uuid4

from sojourn.storage import Call, Journal, Receipt, StorageError, erasure
from sojourn.storage.insights import InsightsMissing, InsightsReader, insights_path

from .answers import Erased
from .awaited import Awaited
from .errors import SessionError
from .later import Later
from .mail import Caller
from .messages import EraseSession
from .timers import NEVER

if TYPE_CHECKING:
    from .registry import RegistryActor

logger = logging.getLogger(__name__)
T = TypeVar("T")

SESSIONS_PAGE: Final = 500
LOOKS: Final = 5
"""How often one looks for sessions of a person, at most: somebody may make new ones all the time."""
RETRY: Final = 1.0
"""Seconds until what could not be done is tried again: a reader held an old state, or the disk was full."""
MOST_RETRY: Final = 60.0
"""Each time it takes twice as long, up to this: the insights may be waiting for somebody to start them."""
TRIES: Final = 20
TRY_AGAIN: Final = 0.005
"""How often a scrub is tried in a row, and the seconds between: other people's reads are short."""
SERVICE: Final = Caller("service")


class House(Protocol):
    """The store's thread, as the erasure sees it."""

    path: str | None

    async def tend(self, work: Callable[[Any], T]) -> T: ...

    async def maintain(self, work: Callable[[Journal], T]) -> T: ...

    async def checkpoint(self) -> None: ...


class Erasing:
    """Erases people, and finishes what was erased. Loop thread only."""

    def __init__(self, registry: "RegistryActor", house: House) -> None:
        self._registry = registry
        self._house = house
        self._asked: set[str] = set()
        """Erasures that somebody waits for: they are not to be finished by somebody else."""
        self._news = asyncio.Event()
        self._rested = asyncio.Event()
        self._alarm = Later(self.look)
        self._retry = RETRY
        self._scrubbing: list[str] = []
        """The erasures that the pass under way is for."""
        self._page = 1
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Go on where the last process ended."""
        self._news.set()
        self._task = asyncio.get_running_loop().create_task(self._go())

    async def stop(self) -> None:
        """Leave the rest to the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._registry.shared.wheel.cancel(self._alarm)

    @property
    def idle(self) -> bool:
        """Nothing is left to do, or it waits for its time."""
        return self._task is None or self._task.done() or self._rested.is_set()

    async def settled(self) -> None:
        """Wait until all receipts are complete, or something is to be tried again later."""
        await self._rested.wait()

    def look(self) -> None:
        """Something was erased."""
        self._rested.clear()
        self._news.set()

    # -- people ------------------------------------------------------------------------------------

    async def erase_user(self, user_id: str, request: EraseSession) -> Erased:
        """Erase every session of a person, then what was kept of the person across them; how much is gone,
        when nobody can ask for it any more. What a failure cuts off is finished later.
        """
        erasure_id = uuid4().hex
        at = request.now
        self._asked.add(erasure_id)
        try:
            await self._house.tend(Call(erasure.begin, erasure_id, user_id, at))
            receipt = await self._erase_person(erasure_id, user_id, request)
        finally:
            self._asked.discard(erasure_id)
            self.look()
        return Erased(receipt.sessions, receipt.events, receipt_map(receipt))

    async def _erase_person(self, erasure_id: str, user_id: str, request: EraseSession) -> Receipt:
        registry = self._registry
        # What was created before is in storage once all is settled; what came meanwhile, another look sees.
        for _ in range(LOOKS):
            await self._when_settled()
            if not await self._erase_sessions(erasure_id, user_id, request):
                break
        shared = registry.shared
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        shared.commits.after(shared.scopes.erase(user_id), Awaited(gone), None)
        await gone
        now = shared.clock.now()
        return await self._house.tend(Call(erasure.end, erasure_id, user_id, now))

    async def _erase_sessions(self, erasure_id: str, user_id: str, request: EraseSession) -> int:
        """Erase the sessions of a person that are in storage; how many there were."""
        registry = self._registry
        before_key: int | None = None
        count = 0
        while rows := await registry.shared.reads.get(_page_of(user_id, before_key)):
            before_key = rows[-1].key
            count += len(rows)
            for row in rows:
                future: asyncio.Future[Erased] = asyncio.get_running_loop().create_future()
                again = replace(request, reply_to=Awaited(future), erasure_id=erasure_id)
                registry.deliver(row.session_id, again)
                try:
                    await future
                except SessionError as error:
                    if error.code != "session_not_found":
                        raise
        return count

    async def _when_settled(self) -> None:
        settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._registry.when_settled(lambda: None if settled.done() else settled.set_result(None))
        await settled

    # -- behind them -------------------------------------------------------------------------------

    async def _go(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            self._rested.clear()
            try:
                through = await self._finish()
            except (StorageError, SessionError) as error:
                logger.warning("an erasure waits: %s", error)
                through = False
            except Exception:
                logger.exception("an erasure failed")
                through = False
            if through:
                self._retry = RETRY
            else:
                self._try_again()
            if not self._news.is_set():
                self._rested.set()

    def _try_again(self) -> None:
        shared = self._registry.shared
        if self._alarm.wake_at == NEVER or self._alarm.wake_at <= shared.clock.now():
            shared.wheel.file(self._alarm, shared.clock.now() + self._retry)
            self._retry = min(2 * self._retry, MOST_RETRY)

    async def _finish(self) -> bool:
        """Do all that is left; False: not now."""
        house, clock = self._house, self._registry.shared.clock
        for erasure_id, user_id in await house.tend(erasure.open_erasures):
            if erasure_id not in self._asked:
                request = EraseSession(SERVICE, clock.now(), None, attach=False)
                await self._erase_person(erasure_id, user_id, request)
        while await house.maintain(Journal.erase_on):
            await paced(asyncio.sleep(0))
        while await self._begin_pass():
            if not await self._scrub():
                return False
            await self._end_pass()
        return await self._ask_insights()

    async def _end_pass(self) -> None:
        now, done = self._registry.shared.clock.now(), self._scrubbing
        await self._house.tend(Call(erasure.scrubbed, done, now))
        self._scrubbing = []

    async def _begin_pass(self) -> bool:
        """Is there a pass to go on with, or to begin? It is for those who are through when it begins."""
        if not self._scrubbing:
            self._scrubbing = await self._house.tend(erasure.unscrubbed)
            self._page = 1
        return bool(self._scrubbing)

    async def _ask_insights(self) -> bool:
        """Complete the receipts of which the insights have nothing any more; False: some must wait."""
        house = self._house
        waiting = await house.tend(erasure.unpurged)
        if not waiting:
            return True
        through = await asyncio.to_thread(_purged, house.path)
        done = [erasure_id for erasure_id, last in waiting.items() if through is None or last <= through]
        if done:
            now = self._registry.shared.clock.now()
            await house.tend(Call(erasure.purged, done, now))
        return len(done) == len(waiting)

    async def _scrub(self) -> bool:
        """Go on with the pass to its end; False: somebody is in the way for long."""
        tries = 0
        while tries < TRIES:
            # The store's thread has little left to copy then, and who begins to read is in nobody's way.
            await self._house.checkpoint()
            step = await paced(self._house.maintain(Call(Journal.scrub, self._page)))
            if step is None:
                tries += 1
                await asyncio.sleep(TRY_AGAIN)
            elif step.next_page is None:
                return True
            else:
                self._page = step.next_page
                tries = 0
        return False


async def paced(work: Awaitable[T], *, rest: float = 1.0) -> T:
    """Do it, then leave to others the time that it took, times `rest`: they wait for an answer."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = await work
    await asyncio.sleep(min(rest * (loop.time() - began), 0.1))
    return answer


def _purged(path: str | None) -> int | None:
    """The last row of `erasures` of which the insights have nothing; None: there are no insights."""
    if path is None or not Path(insights_path(path)).exists():
        return None
    try:
        with closing(InsightsReader.open(path)) as reader:
            return reader.purged
    except InsightsMissing:
        return 0  # of another version, which nobody has made anew yet


def receipt_map(receipt: Receipt) -> dict[str, Any]:
    """A receipt as JSON has it; what is not known yet is left out."""
    return {name: value for name, value in receipt._asdict().items() if value is not None}


def _page_of(user_id: str, before_key: int | None) -> Callable[[Any], list[Any]]:
    return lambda reader: reader.page(user_id=user_id, before_key=before_key, limit=SESSIONS_PAGE)
