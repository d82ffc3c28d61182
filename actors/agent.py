"""A callable that answers the user: a plain function, an `async def`, or an async generator.

What it returns (a text) or yields (texts, the pieces of one message) is said; `Turn` has everything else. A
plain function runs in a thread; the other two on the event loop, where they must not block.
"""

import inspect
from collections.abc import AsyncIterable, Awaitable, Callable, Collection
from typing import Any, cast

from .turn import Turn

Agent = Callable[[Turn], str | Awaitable[str | None] | AsyncIterable[str] | None]
"""Returns the answer's text, or None to say nothing (more). Its attribute `events`, if it has one, names the
durable events beside the user's messages on which it is to be called (`reminder:fired`, `session:created`…).
"""


def is_plain(agent: Agent) -> bool:
    """Does it need a thread?"""
    target: Any = agent
    if not (
        inspect.isroutine(agent) or hasattr(agent, "func")
    ):  # an object with `__call__`; a partial has `func`
        target = type(agent).__call__
    return not (inspect.iscoroutinefunction(target) or inspect.isasyncgenfunction(target))


def name_of(agent: Agent) -> str:
    """Module and name, for the log."""
    target: Any = getattr(agent, "func", agent)
    if not hasattr(target, "__qualname__"):
        target = cast("Any", type(target))
    return f"{target.__module__}.{target.__qualname__}"


def events_of(agent: Agent) -> frozenset[str]:
    """The events on which it is called."""
    events: Collection[str] = getattr(agent, "events", ())
    return frozenset(events)


async def said_by(answer: Any, turn: Turn) -> None:
    """Wait for what an agent's call came to, and have it said."""
    if hasattr(answer, "__aiter__"):
        pieces = cast("AsyncIterable[str]", answer)
        try:
            async for piece in pieces:
                await turn.write(piece)
        finally:
            close = getattr(pieces, "aclose", None)
            if close is not None:
                await close()
        return
    if inspect.isawaitable(answer):
        answer = await answer
    if answer is None:
        return
    if not isinstance(answer, str):
        msg = f"the agent returned {type(answer).__name__}, not a text or None"
        raise TypeError(msg)
    answer.encode()
    turn.reply(answer)
