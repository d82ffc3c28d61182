"""Draws docs/desk.svg: `sojourn desk`, at work on a server of its own. Run it when the desk has changed."""

import asyncio
import io
import re
import time
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI

from sojourn import Runtime, connect
from sojourn.gateway.cli.desk_state import DeskState
from sojourn.gateway.cli.desk_view import picture
from sojourn.gateway.cli.desk_work import DeskWork
from sojourn.gateway.server import Server, ServerConfig

WIDTH, HEIGHT = 110, 24
WAITED = {"Ada Lovelace": 754.0, "Mary Shelley": 342.0, "Emmy Noether": 96.0, "Ella Baker": 8.0}
"""Seconds that are shown: nobody is kept waiting for a picture."""
TALK = (
    ("user", "My parcel A-1234 was to be here on Tuesday. Where is it?"),
    ("ai", "Order A-1234 is on its way. Does that help?"),
    ("user", "No! It has been on its way for a week. Can I talk to somebody?"),
    ("ai", "Let me get somebody."),
)


async def drawn() -> str:
    """The picture, of real sessions."""
    async with Runtime() as runtime:
        server = Server(runtime, ServerConfig(port=0, http_port=None))
        await server.start()
        host, port = server.tcp_address
        async with (
            connect(host, port, role="service", identity="shop") as shop,
            connect(host, port, role="agent", identity="grace") as grace,
        ):
            state = DeskState("grace")
            work = DeskWork(grace, state, lambda: None)
            for name, queue in zip(WAITED, ("orders", "returns", "orders", "billing"), strict=True):
                session = await shop.create(user={"user_id": name, "display_name": name}, channel="web")
                for author, text in TALK if name == "Ada Lovelace" else TALK[:1]:
                    await session.send(text, author=author)
                await session.hand_over(queue, note="A-1234, late for a week")
            desk = asyncio.create_task(work.run())
            await work.loaded.wait()
            await work.do("/next")
            await work.do(
                "Good morning! I am Grace. It stands at the depot with a torn label; I have it sent today."
            )
            now = time.time() + state.clock_ahead
            for row in state.rows:
                row.since = now - WAITED[row.name]
            console = Console(
                record=True, width=WIDTH, height=HEIGHT, file=io.StringIO(), force_terminal=True
            )
            console.print(picture(state, time.time(), "Shall I write to you when it is on the van?", WIDTH))
            desk.cancel()
        await server.drain()
    svg = console.export_svg(title="sojourn desk --name grace", theme=MONOKAI, unique_id="desk")
    # No fonts from elsewhere: the reader's own will do.
    return re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)


if __name__ == "__main__":
    Path(__file__).with_name("desk.svg").write_text(asyncio.run(drawn()), "utf-8")
