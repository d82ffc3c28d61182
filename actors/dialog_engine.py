"""Goes through a dialog: a pure function of the position, what happened, the time, and what is known.

A step ends when the dialog has nothing more to do, waits for an answer, or calls a webhook (whose answer is
the next event). Nodes are tried in the order of the file, fallbacks behind all others; a node whose condition
is false takes its `else`, or is passed over when it has none. An expression that fails is said, and takes the
node's `else` too.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from .dialog_answers import Refused, converted
from .dialog_model import (
    Action,
    Ask,
    Dialog,
    Node,
    Trigger,
    Webhook,
)
from .dialog_state import (
    DoSay,
    Event,
    Happened,
    Heard,
    NotReturned,
    Position,
    Returned,
    Step,
)
from .dialog_walk import Walk
from .expressions import ExpressionFailed
from .kinds import is_map

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
    run = _Turn(dialog, position, now, view, computed)
    run.take(event)
    return Step(run.position, tuple(run.actions))


class _Turn(Walk):
    """One step: what happened decides where the walk begins."""

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


def _triggered(trigger: Trigger, event: Heard | Happened) -> dict[str, str] | None:
    if isinstance(event, Happened):
        return {} if trigger.event == event.name else None
    if trigger.fallback:
        return {}
    found = (pattern.search(event.text) for pattern in trigger.patterns)
    return next((groups for groups in found if groups is not None), None)
