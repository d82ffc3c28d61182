"""Hears whether what a turn came to is stored, for whoever waits for an answer."""

from typing import TYPE_CHECKING, Any

from .errors import InvalidRequest
from .lifecycle import On, Status, refusal

if TYPE_CHECKING:
    from .state import Session
    from .turn_run import Run
    from .turns import TurnRunner


def was_cut() -> InvalidRequest:
    """Why there is no answer of a turn that was cut."""
    return InvalidRequest("this turn was cut before its answer was whole")


class TurnOutcome:
    """The reply target of what ends a turn."""

    __slots__ = ("_cut_in", "_error", "_run", "_runner")

    def __init__(
        self, runner: "TurnRunner", run: "Run", error: Exception, cut_in: "Session | None" = None
    ) -> None:
        """`error`: why there is no answer, if none was stored. `cut_in`: the session in which something else
        cut the turn; what was shown of it is stored even if the commit of that fails.
        """
        self._runner = runner
        self._run = run
        self._error = error
        self._cut_in = cut_in

    def set(self, _value: Any = None) -> None:
        session, error = self._cut_in, self._error
        if session is not None and session.status is not Status.ACTIVE:
            error = refusal(session.status, On.OTHER_MESSAGE, session.session_id)
        # Whoever had an answer no longer waits for one.
        self._runner.unanswered(self._run.session_id, self._run.message_id, error)

    def set_exception(self, exc_info: Any = None) -> None:
        self._runner.unanswered(self._run.session_id, self._run.message_id, exc_info[1])
        if self._cut_in is not None:
            self._runner.store_cut(self._run)
