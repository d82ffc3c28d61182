"""What was under way when the last process ended: failed, or run again, as `interrupted_turns` says.

Each turn is marked in the file with the commit of what it answers (`turn_ends.begin_turn`), and the mark goes
with the commit of what it came to: what is still marked at the start was neither answered nor failed.
"""

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sojourn.storage import EVENT_NAMES, EventRow, OpenTurn

from .events import event_map
from .turn import Said
from .turn_run import Run, Stands

if TYPE_CHECKING:
    from .turns import TurnRunner

logger = logging.getLogger(__name__)


def recover(runner: "TurnRunner", turns: Iterable[OpenTurn]) -> None:
    """Fail these turns, or have them run again. Loop thread only."""
    rerun = runner.config.interrupted_turns == "rerun"
    for turn in turns:
        said = Said(turn.message_id, "user", None, None, seq=turn.seq) if turn.message_id else None
        run = Run(runner, turn.session_id, turn.key, turn.seq, said)
        if rerun:
            run.stands = Stands.AGAIN
            runner.line_up(run)
            _read_again(runner, run)
        else:
            run.fail("turn_interrupted", "the server stopped while the agent was answering")
            run.stands = Stands.OVER
            assert run.error is not None
            runner.deliver(run, run.error)


def _read_again(runner: "TurnRunner", run: Run) -> None:
    """Have what it answers read, then run it."""
    shared = runner.registry.shared

    def found(rows: list[EventRow | None]) -> None:
        if run.stands is not Stands.AGAIN:
            return  # cut meanwhile
        row = rows[0]
        if row is None:
            runner.end(run)
            return
        event = event_map(row, run.session_id, shared.sensitive)
        if EVENT_NAMES[row[3]] == "message:received":
            run.message = Said.of(event)
        else:
            run.event = event
        run.stands = Stands.READY
        runner.go_on(run.session_id)

    def broken(error: Exception) -> None:
        logger.warning("a turn of session %s cannot be run again: %s", run.session_id, error)
        runner.end(run)

    shared.reads.events(run.key, [run.seq], found, broken)
