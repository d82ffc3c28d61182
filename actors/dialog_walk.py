"""Goes from node to node of a dialog, and writes down what is to be done on the way.

Where it begins, and what becomes of an answer, is `dialog_engine`'s.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from .dialog_actions import TURN_LIMIT
from .dialog_model import (
    Action,
    Ask,
    CancelReminder,
    Dialog,
    Goto,
    HandOver,
    Node,
    Pause,
    Remind,
    Reset,
    Resolve,
    Say,
    Set,
    Tag,
    Webhook,
)
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
    Position,
)
from .expressions import ExpressionFailed
from .templates import Template, fill

MAX_NODES: Final = 80
"""In one turn."""
MAX_COMPUTING: Final = 1.0
"""Seconds of computing in one turn: the loop is held meanwhile. Eighty nodes with fifty ordinary conditions
each take a tenth of that, expressions that are made to be slow take 0.2 s each.
"""


class Walk:
    """One step of a dialog, while it goes from node to node."""

    def __init__(
        self,
        dialog: Dialog,
        position: Position,
        now: float,
        view: Mapping[str, Any],
        computed: Callable[[], float],
    ) -> None:
        self.dialog = dialog
        self.computed = computed
        self.position = position
        self.now = now
        self.actions: list[Do] = []
        self.paused = 0.0
        at = datetime.fromtimestamp(now, UTC)
        local = at.astimezone(dialog.timezone)
        clock = {
            "hour": local.hour,
            "minute": local.minute,
            "weekday": local.isoweekday(),
            "date": local.date().isoformat(),
            "seconds": now,
        }
        context = {key: value for key, value in view["context"].items() if key != POSITION}
        self.view: dict[str, Any] = {
            **view,
            "context": context,
            "user": dict(view["user"]),
            "tags": list(view["tags"]),
            "match": dict(position.match or {}),
            "answer": None,
            "now": at,
            "clock": clock,
        }
        self.ended = False

    def _branch(self, node: Node) -> bool | None:
        """False for `do`, True for `else`, None to pass over it."""
        if node.condition is None:
            return False
        try:
            if node.condition.holds(self.view):
                return False
        except ExpressionFailed as error:
            self._fail("expression_failed", f"node {node.name!r}: {error}")
        return True if node.otherwise else None

    # -- going through the actions -----------------------------------------------------------------

    def _run(self, name: str, index: int, *, otherwise: bool, entering: bool = True) -> None:
        """Do a node's actions from one on, and what they lead to. Not recursive: 80 nodes are no depth."""
        lead: tuple[str, int, bool, bool] | None = (name, index, otherwise, entering)
        while lead is not None:
            name, index, otherwise, entering = lead
            if entering:
                nodes = self.position.nodes + 1
                self.position = replace(self.position, nodes=nodes)
                if nodes > MAX_NODES:
                    self._fail("dialog_loop", f"cut before node {name!r}: {MAX_NODES} nodes in one turn")
                    self._end(name)
                    return
            lead = self._actions(self.dialog.nodes[name], index, otherwise=otherwise)

    def _actions(self, node: Node, index: int, *, otherwise: bool) -> tuple[str, int, bool, bool] | None:
        """Do the actions of one branch; answer where to go on."""
        actions = node.otherwise if otherwise else node.do
        for at in range(index, len(actions)):
            action = actions[at]
            if self.now + self.paused - self.position.began >= TURN_LIMIT:
                self._fail("dialog_time", f"cut in node {node.name!r}: {TURN_LIMIT:g} s in one turn")
                self._end(node.name)
                return None
            if self._computed_enough(node.name):
                return None
            self.position = replace(
                self.position, node=node.name, step=at, otherwise=otherwise, waiting="", tries=0
            )
            try:
                if action.condition is not None and not action.condition.holds(self.view):
                    continue
                if isinstance(action, Goto):
                    return self._goto(action.node)
                if not self._do(action):
                    return None
            except ExpressionFailed as error:
                self._fail("expression_failed", f"node {node.name!r}, line {action.line}: {error}")
                return self._else_of(node)
        self._end(node.name)
        return None

    def _computed_enough(self, name: str) -> bool:
        """Cut the turn before that node, or in it, when it has held the loop for too long."""
        if self.computed() < MAX_COMPUTING:
            return False
        self._fail("dialog_time", f"cut at node {name!r}: {MAX_COMPUTING:g} s of computing in one turn")
        self._end(name)
        self.ended = True
        return True

    def _goto(self, name: str) -> tuple[str, int, bool, bool] | None:
        branch = self._branch(self.dialog.nodes[name])
        if branch is None:
            self._end(name)
            return None
        return name, 0, branch, True

    def _else_of(self, node: Node) -> tuple[str, int, bool, bool] | None:
        """Where a node goes on when something failed in it."""
        if self.position.otherwise or not node.otherwise:
            self._end(node.name)
            return None
        return node.name, 0, True, False

    def _do(self, action: Action) -> bool:
        """Do one action; False when the step ends with it."""
        if isinstance(action, Say):
            self.actions.append(DoSay(action.text.text(self.view)))
        elif isinstance(action, Ask):
            self.actions.append(DoSay(action.question.text(self.view)))
            self.position = replace(self.position, waiting="answer", tries=0)
            return False
        elif isinstance(action, Set):
            for key, value in action.values.items():
                self._set(key, fill(value, self.view))
        elif isinstance(action, Reset):
            keys = tuple(self.view["context"]) if action.keys is None else action.keys
            for key in keys:
                if action.keys is not None or not key.startswith("_"):
                    self._set(key, None)
        elif isinstance(action, Tag):
            tags = [tag for tag in self.view["tags"] if tag not in action.remove]
            self.view["tags"] = tags + [tag for tag in action.add if tag not in tags]
            self.actions.append(DoTag(action.add, action.remove))
        elif isinstance(action, HandOver):
            note = None if action.note is None else action.note.text(self.view)
            self.actions.append(DoHandOver(action.queue, note))
            self._end(self.position.node)
            return False
        elif isinstance(action, Resolve):
            self.actions.append(DoResolve(action.reason))
            self._end(self.position.node)
            return False
        elif isinstance(action, Remind):
            self.actions.append(DoRemind(action.name, action.after, fill(action.data, self.view)))
        elif isinstance(action, CancelReminder):
            self.actions.append(DoCancelReminder(action.name))
        elif isinstance(action, Pause):
            left = max(0.0, TURN_LIMIT - (self.now + self.paused - self.position.began))
            seconds = min(action.seconds, left)
            self.paused += seconds
            self.actions.append(DoPause(seconds))
        elif isinstance(action, Webhook):
            self._call(action)
            return False
        return True

    def _call(self, action: Webhook) -> None:
        left = TURN_LIMIT - (self.now + self.paused - self.position.began)
        payload = fill(action.send, self.view)
        self.actions.append(DoCall(_url(action.url, self.view), payload, min(action.timeout, left)))
        self.position = replace(self.position, waiting="call")

    # -- small things ------------------------------------------------------------------------------

    def _set(self, key: str, value: Any) -> None:
        self.actions.append(DoSet(key, value))
        scope, name = ("user", key[5:]) if key.startswith("user.") else ("context", key)
        if value is None:
            self.view[scope].pop(name, None)
        else:
            self.view[scope][name] = value

    def _fail(self, code: str, text: str) -> None:
        self.actions.append(DoFail(code, text))

    def _end(self, node: str | None) -> None:
        self.ended = any(isinstance(action, (DoHandOver, DoResolve)) for action in self.actions[-1:])
        self.position = replace(self.position, node=node, step=0, waiting="", tries=0, match=None)


def _url(url: Template, view: Mapping[str, Any]) -> str:
    """What is filled in is one piece of the path or query, whatever it holds."""
    return url.text(view, lambda value: quote(value, safe="").replace(".", "%2E"))
