"""Whether an actor has stopped, and something to wait on until it has."""

from pykka import Timeout

from .futures import LOCK, LoopFuture


class StopFlag:
    """What an actor has in place of a `threading.Event`: a bit, and something to wait on only when somebody
    waits.
    """

    __slots__ = ("_gate", "_set")

    def __init__(self) -> None:
        self._set = False
        self._gate: LoopFuture[None] | None = None

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        with LOCK:
            self._set = True
            gate, self._gate = self._gate, None
        if gate is not None:
            gate.set()

    def wait(self, timeout: float | None = None) -> bool:
        """True once it is set, False when that takes more than `timeout` seconds (None: as long as it
        takes).
        """
        with LOCK:
            if self._set:
                return True
            gate = self._gate = self._gate or LoopFuture()
        try:
            gate.get(timeout=timeout)
        except Timeout:
            return self._set
        return True
