"""The AI of the crash rounds: `remind NAME SECONDS` sets a reminder, all else is answered piece by piece.

Each answer changes the context with it, so that a half of it would be seen.
"""

from __future__ import annotations

import asyncio

from sojourn.actors import Turn


async def answer(turn: Turn) -> None:
    assert turn.text is not None
    words = turn.text.split()
    if words[0] == "remind":
        turn.remind(words[1], float(words[2]), {"for": turn.message_id})
        turn.reply(f"{turn.message_id}: noted")
    else:
        for piece in (f"{turn.message_id}: ", "here ", "it ", "is"):
            await turn.write(piece)
            await asyncio.sleep(0.002)
    turn.set("answered", turn.message_id)
