"""The agent of `faq_agent.py` inside an asyncio program of one's own, without a server.

    python examples/embedded_asyncio.py

Each line is a question, an empty one ends it. What was said is in `faq.db`: the next run goes on with the
same session, until that has expired, and then begins a new one.
"""

import asyncio
import sys

from faq_agent import answer

from sojourn import Runtime


async def main(path: str = "faq.db", name: str = "you") -> None:
    """Talk to the agent at the terminal, or from a pipe."""
    async with Runtime(path, agent=answer) as runtime:
        while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
            sent = runtime.send(user={"user_id": name}, text=line)
            said = await sent.answer
            state = await runtime.session((await sent).session_id).get()
            print(f"faq: {said.text}")
            if state["handling"] != "ai":
                print(f"– waits for a human in {state['queue']}")
                return


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
