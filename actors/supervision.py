"""When an actor fails: start it again from storage, but not for ever; set a poisonous message aside.

Pykka restarts nothing. Here an actor that fails is replaced by one from storage, at once for the first few
times in a period, then after a growing pause. A message whose handling failed twice is not tried a third
time: the session goes on without it, the history says so (`message:failed`), and it is a dead letter.
"""

import logging
import uuid
from collections import deque
from dataclasses import dataclass
from typing import Any

from .errors import InternalError

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 2
"""How often the handling of one message may kill its actor."""
KEPT_DEAD_LETTERS = 1000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be delivered, and why."""

    at: float
    session_id: str
    reason: str
    """`stopped`, `mailbox_full`, `loop_closed`, `poison`, `not_found` (there is no such session),
    `not_loaded` (it could not be read) or `draining`.
    """
    message: str
    """The type of the message; its content is not kept."""


class DeadLetters:
    """Counted by reason; the newest can be listed."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._newest: deque[DeadLetter] = deque(maxlen=KEPT_DEAD_LETTERS)

    def add(self, at: float, session_id: str, reason: str, message: Any) -> None:
        """Count one."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        self._newest.append(DeadLetter(at, session_id, reason, type(message).__name__))

    def forget(self, session_id: str) -> None:
        """List none of a session that was erased; they stay counted."""
        kept = [letter for letter in self._newest if letter.session_id != session_id]
        if len(kept) < len(self._newest):
            self._newest = deque(kept, maxlen=KEPT_DEAD_LETTERS)

    def newest(self) -> list[DeadLetter]:
        """The last thousand, oldest first."""
        return list(self._newest)


@dataclass(slots=True)
class _Record:
    failures: deque[float]
    envelope: Any = None
    attempts: int = 0


class Supervisor:
    """Decides what becomes of a failed actor. It keeps a record only of sessions that failed lately."""

    def __init__(self, intensity: int, period: float) -> None:
        """`intensity` restarts within `period` seconds are free; the next ones wait, up to `period`."""
        self._intensity = intensity
        self._period = period
        self._records: dict[str, _Record] = {}
        self.restarts = 0

    def failed(
        self, session_id: str, envelope: Any, error: Exception, now: float
    ) -> tuple[float, InternalError | None]:
        """Note a failure: the seconds to wait before the restart, and the error if the message is poison."""
        self.restarts += 1
        record = self._records.get(session_id)
        if record is None:
            self._forget_old(now)
            record = self._records[session_id] = _Record(deque(maxlen=64))
        if record.envelope is envelope:
            record.attempts += 1
        else:
            record.envelope, record.attempts = envelope, 1
        record.failures.append(now)
        while record.failures and record.failures[0] < now - self._period:
            record.failures.popleft()
        excess = len(record.failures) - self._intensity
        pause = min(self._period, 0.1 * 2.0 ** (excess - 1)) if excess > 0 else 0.0
        if record.attempts < MAX_ATTEMPTS:
            logger.warning("session %s failed and is started again: %r", session_id, error, exc_info=error)
            return pause, None
        record.envelope = None
        error_id = uuid.uuid4().hex
        logger.error(
            "session %s: a message failed twice and is set aside, error_id %s",
            session_id,
            error_id,
            exc_info=error,
        )
        return pause, InternalError(
            f"the handling of this message failed; the server's log has it under {error_id}",
            session_id=session_id,
            details={"error_id": error_id},
        )

    def restarts_of(self, session_id: str) -> int:
        """Failures of this session within the period."""
        record = self._records.get(session_id)
        return 0 if record is None else len(record.failures)

    def _forget_old(self, now: float) -> None:
        old = [each for each, record in self._records.items() if record.failures[-1] < now - self._period]
        for each in old:
            del self._records[each]
