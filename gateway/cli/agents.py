"""`--agent MODULE:FUNCTION`: the agent that a server answers with, from the user's own code."""

import importlib
import sys
from collections.abc import Callable
from typing import Any


class NoAgent(Exception):
    """There is no such agent; the message says what is wrong with the name."""


def load_agent(place: str) -> Callable[..., Any]:
    """What `place` names: a module, which may lie in the working directory, and a function in it.

    An error in that module itself is raised as it is: it is its author's to read.
    """
    module_name, colon, path = place.partition(":")
    if not (module_name and colon and path):
        raise NoAgent(f"agent is {place!r}; it is named as MODULE:FUNCTION")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module_name != missing and not module_name.startswith(f"{missing}."):
            raise  # it is there, and what it imports is not
        raise NoAgent(f"agent is {place!r}; there is no module {missing!r}") from error
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError as error:
            raise NoAgent(f"agent is {place!r}; {module_name} has no {path!r}") from error
    if not callable(found):
        raise NoAgent(f"agent is {place!r}; {path} is {type(found).__name__}, nothing that can be called")
    agent: Callable[..., Any] = found
    return agent
