"""What is wrong between the nodes of a dialog: leads to nowhere, nodes nobody reaches, actions never done."""

from collections.abc import Iterator, Mapping
from itertools import pairwise

from .dialog_fields import meant
from .dialog_model import Action, Ask, Goto, HandOver, Node, Resolve, Webhook
from .dialog_yaml import Problems


def check_graph(nodes: Mapping[str, Node], problems: Problems) -> None:
    """Collect the mistakes between nodes."""
    known = tuple(nodes)
    for node in nodes.values():
        for action, target in _leads(node):
            if target not in nodes:
                problems.add(action.line, f"unknown node {target!r}{meant(target, known)}")
        for actions in (node.do, node.otherwise):
            _check_ends(actions, problems)
    begins = [name for name, node in nodes.items() if node.trigger is not None]
    if not begins:
        problems.add(
            min(node.line for node in nodes.values()), "no node has a trigger: the dialog never begins"
        )
        return
    reached = set(begins)
    while begins:
        for _, target in _leads(nodes[begins.pop()]):
            if target in nodes and target not in reached:
                reached.add(target)
                begins.append(target)
    for name, node in nodes.items():
        if name not in reached:
            problems.add(
                node.line, f"node {name!r} is never reached: it has no trigger and nothing leads to it"
            )


def _check_ends(actions: tuple[Action, ...], problems: Problems) -> None:
    for action, after in pairwise(actions):
        if isinstance(action, (Goto, HandOver, Resolve)) and action.condition is None:
            problems.add(after.line, "never done: the action before it leads away")
            return


def _leads(node: Node) -> Iterator[tuple[Action, str]]:
    for action in (*node.do, *node.otherwise):
        if isinstance(action, Goto):
            yield action, action.node
        elif isinstance(action, (Ask, Webhook)) and action.otherwise is not None:
            yield action, action.otherwise
