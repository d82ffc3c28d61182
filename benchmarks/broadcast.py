"""Does a broadcast to very many people leave the others' talk alone?

`python -m benchmarks.broadcast [--users N] [--connected N] [--rate R] [--json]` starts `sojourn serve`
(`durability=full`), connects some of the users, sends a broadcast to all of them over the wire in requests of
500, and meanwhile has the connected ones send messages at a fixed rate (open loop: a latency counts from when
the message was due). It ends with 1 when the counts are not exact. Server and load share the machine; the
load is Python and has latency of its own. Not measured: people whose sessions are not in memory.
"""

import argparse
import asyncio
import json
import sys
import time
from typing import Any

from sojourn.gateway.client import Client, connect

from .machine import machine, scratch
from .servers import ServerProcess, sojourn

PAGE = 500
CHANNEL = "tcp"


async def measure(address: tuple[str, int], users: int, connected: int, rate: float) -> dict[str, Any]:
    """The counts, the seconds it took, and the others' latencies in milliseconds."""
    clients: list[Client] = [await connect(*address) for _ in range(connected)]
    sessions = [
        await client.create(user={"user_id": f"u{number}"}, channel=CHANNEL)
        for number, client in enumerate(clients)
    ]
    sender = await connect(*address, role="service")
    latencies: list[float] = []
    done = asyncio.Event()
    pending: set[asyncio.Task[None]] = set()

    async def say(number: int, due: float) -> None:
        await sessions[number % connected].send("hello")
        latencies.append(time.perf_counter() - due)

    async def talk() -> None:
        begun = time.perf_counter()
        number = 0
        while not done.is_set():
            due = begun + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            task = asyncio.create_task(say(number, due))
            pending.add(task)
            task.add_done_callback(pending.discard)
            number += 1
        await asyncio.gather(*pending)

    talking = asyncio.create_task(talk())
    counts = {"created": 0, "delivered": 0, "reopened": 0, "failed": 0}
    begun = time.perf_counter()
    for start in range(0, users, PAGE):
        people = [{"user_id": f"u{number}"} for number in range(start, min(start + PAGE, users))]
        reply = await sender.request(
            "broadcast:send", users=people, text="news", broadcast_id="b", channel=CHANNEL
        )
        for name in ("created", "delivered", "reopened"):
            counts[name] += reply[name]
        counts["failed"] += len(reply["failed"])
    seconds = time.perf_counter() - begun
    done.set()
    await talking
    for client in (*clients, sender):
        await client.close()
    latencies.sort()
    milliseconds = {
        name: 1000 * latencies[min(int(len(latencies) * part), len(latencies) - 1)]
        for name, part in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0))
    }
    return {"counts": counts, "seconds": seconds, "messages": len(latencies), "latency_ms": milliseconds}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.broadcast", description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--connected", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=200.0, help="messages a second of the others")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    connected = min(arguments.connected, arguments.users)
    with scratch() as folder, ServerProcess(sojourn(folder / "sessions.db")) as server:
        found = asyncio.run(measure(server.address, arguments.users, connected, arguments.rate))
        found["machine"] = machine(folder)
    found["exact"] = found["counts"] == {
        "created": arguments.users - connected,
        "delivered": connected,
        "reopened": 0,
        "failed": 0,
    }
    if arguments.json:
        print(json.dumps(found))
    else:
        latency = ", ".join(f"{name} {value:.1f} ms" for name, value in found["latency_ms"].items())
        print(
            f"{arguments.users:,} people in {found['seconds']:.1f} s "
            f"({arguments.users / found['seconds']:,.0f} a second): {found['counts']}\n"
            f"{found['messages']:,} messages of {connected:,} others meanwhile: {latency}"
        )
    sys.exit(0 if found["exact"] else 1)


if __name__ == "__main__":
    main()
