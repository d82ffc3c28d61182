"""The AI of the scripted conversation: it tells a story without end, and fetches a human when it is asked."""

from __future__ import annotations

import asyncio

from sojourn.actors import Turn


async def answer(turn: Turn) -> None:
    if turn.text == "Tell me a story.":
        for piece in ("Once upon ", "a time"):
            await turn.write(piece)
        await asyncio.Event().wait()
    for piece in ("I fetch ", "somebody."):
        await turn.write(piece)
    turn.set("topic", "refund")
    turn.handover("support", "wants to talk to a human")
