"""Goes through a dialog: a pure function of the position, what happened, the time, and what is known.

A step ends when the dialog has nothing more to do, waits for an answer, or calls a webhook (whose answer is
the next event). Nodes are tried in the order of the file, fallbacks behind all others; a node whose condition
is false takes its `else`, or is passed over when it has none. An expression that fails is said, and takes the
node's `else` too.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from .dialog_actions import TURN_LIMIT
from .dialog_answers import Refused, converted
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
    Trigger,
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
    Event,
    Happened,
    Heard,
    NotReturned,
    Position,
    Returned,
    Step,
)
from .expressions import ExpressionFailed
from .kinds import is_map
from .templates import Template, fill

MAX_NODES: Final = 80
"""In one turn."""
MAX_COMPUTING: Final = 1.0
"""Seconds of computing in one turn: the loop is held meanwhile. Eighty nodes with fifty ordinary conditions
each take a tenth of that, expressions that are made to be slow take 0.2 s each.
"""
START: Final = "start"
"""The event before the first message of a talk."""


def step(
    dialog: Dialog,
    position: Position,
    event: Event,
    now: float,
    view: Mapping[str, Any],
    computed: Callable[[], float] = float,
) -> Step:
    """What to do, in order, and where the talk then stands.

    `view` is what expressions see, without `match`, `answer`, `now` and `clock`; it is not changed.
    `position.began` is when the turn began; the limits of 80 nodes and 17 s count from there. `computed`
    tells the seconds of computing that the turn has taken so far: what would begin after `MAX_COMPUTING` of
    them is not done.
    """
    run = _Run(dialog, position, now, view, computed)
    run.take(event)
    return Step(run.position, tuple(run.actions))


class _Run:
    """One step, while it runs."""

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

    # -- events ------------------------------------------------------------------------------------

    def take(self, event: Event) -> None:
        if isinstance(event, (Returned, NotReturned)):
            self._returned(event)
        elif isinstance(event, Happened):
            self._select(event)
        else:
            self._heard(event)

    def _heard(self, event: Heard) -> None:
        if self.position.waiting == "answer":
            if not self._select(event, always=True):
                self._answered(event.text)
            return
        begins = self.position.node is None
        started = begins and self._select(Happened(START))
        if not self.ended and self.position.waiting == "":
            self._select(event, fallbacks=not started)

    def _select(self, event: Heard | Happened, *, always: bool = False, fallbacks: bool = True) -> bool:
        """Begin at the first node that this triggers; answer whether there is one."""
        nodes = [node for node in self.dialog.nodes.values() if node.trigger is not None]
        nodes.sort(key=lambda node: node.trigger is not None and node.trigger.fallback)
        for node in nodes:
            trigger = node.trigger
            assert trigger is not None
            if (always and not trigger.always) or (trigger.fallback and not fallbacks):
                continue
            match = _triggered(trigger, event)
            if match is None:
                continue
            if self._computed_enough(node.name):
                return True
            self.view["match"] = match
            branch = self._branch(node)
            if branch is None:
                continue
            self.position = replace(self.position, match=match or None)
            self._run(node.name, 0, otherwise=branch)
            return True
        return False

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

    # -- what comes back ---------------------------------------------------------------------------

    def _returned(self, event: Returned | NotReturned) -> None:
        asked = self._at_hand(Webhook)
        if asked is None:
            return
        node, action = asked
        assert isinstance(action, Webhook)
        if isinstance(event, NotReturned):
            self._fail("webhook_failed", f"node {node.name!r}, line {action.line}: {event.reason}")
            self._give_up(node, action.otherwise)
            return
        if action.save is not None:
            self._set(action.save, event.value)
        elif is_map(event.value):
            for key, value in event.value.items():
                # A receiver writes the session's own values, nothing wider and nothing of the dialog's.
                if not key.startswith(("_", "user.", "app.")):
                    self._set(key, value)
        self._run(node.name, self.position.step + 1, otherwise=self.position.otherwise, entering=False)

    def _answered(self, text: str) -> None:
        asked = self._at_hand(Ask)
        if asked is None:  # the file has changed since
            self.position = Position(nodes=self.position.nodes, began=self.position.began)
            self._select(Heard(text))
            return
        node, action = asked
        assert isinstance(action, Ask)
        try:
            value = self._convert(action, text.strip())
        except Refused:
            self._ask_again(node, action)
            return
        except ExpressionFailed as error:
            self._fail("expression_failed", f"node {node.name!r}, line {action.line}: {error}")
            self._give_up(node, None)
            return
        self._set(action.save, value)
        self._run(node.name, self.position.step + 1, otherwise=self.position.otherwise, entering=False)

    def _ask_again(self, node: Node, action: Ask) -> None:
        tries = self.position.tries + 1
        if tries >= action.tries:
            self._give_up(node, action.otherwise)
            return
        self.position = replace(self.position, tries=tries)
        try:
            self.actions.append(DoSay((action.again or action.question).text(self.view)))
        except ExpressionFailed as error:
            self._fail("expression_failed", f"node {node.name!r}, line {action.line}: {error}")
            self._give_up(node, action.otherwise)

    def _give_up(self, node: Node, otherwise: str | None) -> None:
        lead = self._goto(otherwise) if otherwise is not None else self._else_of(node)
        if lead is not None:
            name, index, branch, entering = lead
            self._run(name, index, otherwise=branch, entering=entering)

    def _at_hand(self, kind: type[Action]) -> tuple[Node, Action] | None:
        node = self.dialog.nodes.get(self.position.node or "")
        if node is None:
            return None
        actions = node.otherwise if self.position.otherwise else node.do
        if not 0 <= self.position.step < len(actions):
            return None
        action = actions[self.position.step]
        return (node, action) if isinstance(action, kind) else None

    def _convert(self, action: Ask, text: str) -> Any:
        """The answer as what it must be, or `Refused`."""
        value = converted(action, text)
        if action.pattern is not None:
            groups = action.pattern.fits(text)
            if groups is None:
                raise Refused
            self.view["match"] = {**self.view["match"], **groups}
        if action.options:
            near = [option for option in action.options if option.casefold() == text.casefold()]
            if not near:
                raise Refused
            value = near[0]
        self.view["answer"] = value
        if action.check is not None and not action.check.holds(self.view):
            raise Refused
        return value

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


def _triggered(trigger: Trigger, event: Heard | Happened) -> dict[str, str] | None:
    if isinstance(event, Happened):
        return {} if trigger.event == event.name else None
    if trigger.fallback:
        return {}
    found = (pattern.search(event.text) for pattern in trigger.patterns)
    return next((groups for groups in found if groups is not None), None)


def _url(url: Template, view: Mapping[str, Any]) -> str:
    """What is filled in is one piece of the path or query, whatever it holds."""
    return url.text(view, lambda value: quote(value, safe="").replace(".", "%2E"))
