"""`DialogAgent`: a conversation that stands in a file, as the agent of a runtime.

    runtime = Runtime("sessions.db", agent=DialogAgent.from_file("order_status.yaml"))

What to say and do is decided by `dialog_engine`, a pure function; here it is done, through what every agent
has: a `Turn`. The position stands in the session's context under `_dialog` and so lasts as long as that. When
the AI's memory lapses the talk begins anew, with the context as it was.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from time import thread_time
from typing import Any, Final

from .dialog_actions import TURN_LIMIT
from .dialog_engine import step
from .dialog_file import load_dialog, read_dialog
from .dialog_model import Dialog
from .dialog_state import (
    POSITION,
    Do,
    DoCall,
    DoCancelReminder,
    DoFail,
    DoHandOver,
    DoPause,
    DoRemind,
    DoResolve,
    DoSay,
    DoSet,
    DoTag,
    Event,
    Happened,
    Heard,
    NotReturned,
    Returned,
    restored,
)
from .dialog_yaml import InvalidDialog
from .kinds import is_map
from .turn import Turn
from .values import check_json

logger = logging.getLogger(__name__)

Call = Callable[[str, Any, float], Awaitable[Any]]
"""Posts a payload to a URL within so many seconds, returns the JSON of the answer, raises what it likes."""


class DialogAgent:
    """Answers with a dialog. One serves all sessions: it holds no state of its own."""

    events: Final = ("reminder:fired",)
    """A reminder NAME that fires is the event `reminder:NAME` to the dialog."""

    def __init__(self, dialog: Dialog, *, call: Call | None = None) -> None:
        """Without a `call`, a webhook fails as one that cannot be reached."""
        self.dialog = dialog
        self._call = call

    @classmethod
    def from_file(cls, path: str | Path, *, call: Call | None = None) -> "DialogAgent":
        """`InvalidDialog` names every mistake of the file with its line."""
        return cls(load_dialog(path), call=call)

    async def __call__(self, turn: Turn) -> None:
        """One turn: what happened is taken to the dialog, what it decides is done."""
        position = replace(
            restored(turn.context.get(POSITION), turn.memory_from_seq), nodes=0, began=turn.now
        )
        spent = 0.0
        began_computing, computed_before = 0.0, 0.0

        def computed() -> float:
            return computed_before + thread_time() - began_computing

        tags = list(turn.tags)
        event: Event | None = _event(turn, self.dialog)
        while event is not None:
            began_computing = thread_time()
            result = step(self.dialog, position, event, turn.now + spent, _view(turn, tags), computed)
            computed_before = computed()
            position = result.position
            event = None
            for action in result.actions:
                if isinstance(action, DoPause):
                    await turn.typing(action.seconds)
                    spent += action.seconds
                elif isinstance(action, DoCall):
                    began = asyncio.get_running_loop().time()
                    event = await self._return(action)
                    spent += min(action.timeout, asyncio.get_running_loop().time() - began)
                else:
                    _do(turn, action, tags)
        turn.context[POSITION] = position.stored(turn.memory_from_seq)

    async def _return(self, action: DoCall) -> Event:
        if self._call is None:
            return NotReturned("nothing is configured to call webhooks with")
        try:
            async with asyncio.timeout(action.timeout):
                value = await self._call(action.url, action.payload, action.timeout)
            check_json(value, "answer")
        except TimeoutError:
            return NotReturned(f"no answer within {action.timeout:g} s")
        except Exception as error:  # noqa: BLE001  # the network, or whatever stands in for it
            return NotReturned(f"{type(error).__name__}: {error}"[:300])
        return Returned(value)


def _event(turn: Turn, dialog: Dialog) -> Event | None:
    """What happened, for the dialog: an event that no node waits for is a message like any other."""
    if turn.message is None:
        event = turn.event or {}
        return Happened(f"reminder:{event.get('name')}")
    name = turn.data.get("event") if is_map(turn.data) else None
    if isinstance(name, str) and any(
        node.trigger is not None and node.trigger.event == name for node in dialog.nodes.values()
    ):
        return Happened(name)
    return Heard(turn.text or "")


def _view(turn: Turn, tags: list[str]) -> dict[str, Any]:
    own: dict[str, Any] = {}
    user: dict[str, Any] = dict(turn.user)
    app: dict[str, Any] = {}
    for key, value in turn.context.items():
        scope, dot, name = key.partition(".")
        if dot and scope == "user":
            user[name] = value
        elif dot and scope == "app":
            app[name] = value
        else:
            own[key] = value
    message = {"text": turn.text, "data": turn.data, "message_id": turn.message_id}
    return {
        "context": own,
        "user": user,
        "app": app,
        "message": message,
        "text": turn.text or "",
        "tags": tags,
        "metadata": turn.metadata,
        "channel": turn.channel,
        "handling": turn.handling,
    }


def _do(turn: Turn, action: Do, tags: list[str]) -> None:
    if isinstance(action, DoSay):
        turn.reply(action.text)
    elif isinstance(action, DoSet):
        turn.set(action.key, action.value)
    elif isinstance(action, DoTag):
        turn.untag(*action.remove)
        turn.tag(*action.add)
        tags[:] = [tag for tag in tags if tag not in (*action.remove, *action.add)] + list(action.add)
    elif isinstance(action, DoRemind):
        turn.remind(action.name, action.after, action.data)
    elif isinstance(action, DoCancelReminder):
        turn.cancel_reminder(action.name)
    elif isinstance(action, DoHandOver):
        turn.handover(action.queue, action.note)
    elif isinstance(action, DoResolve):
        turn.resolve(action.reason)
    elif isinstance(action, DoFail):
        logger.warning("dialog, session %s: %s: %s", turn.session_id, action.code, action.text)
        turn.fail(action.code, action.text)


__all__ = ["TURN_LIMIT", "Call", "DialogAgent", "InvalidDialog", "load_dialog", "read_dialog"]
