"""Does a broadcast to very many people leave the others' talk alone?

`python -m benchmarks.broadcast [--users N] [--connected N] [--rate R] [--into DIR]` starts `sojourn serve`
(`durability=full`), connects some of the users, sends a broadcast to all of them over the wire in requests of
500, and meanwhile has the connected ones send messages at a fixed rate (open loop: a latency counts from when
the message was due). It ends with 1 when the counts are not exact. Server and load share the machine; the
load is Python and has latency of its own. Not measured: people whose sessions are not in memory.
"""

import argparse
import asyncio
import sys
import time
from pathlib import Path
from typing import Any

from sojourn.gateway.client import Client, connect

from .findings import ANSWERS, Answer, Finding, command_line
from .machine import machine, scratch
from .servers import ServerProcess, sojourn

PAGE = 500
CHANNEL = "tcp"
USERS = 100_000
CONNECTED = 1000
P99_BAR_MS = 100.0


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


def findings_of(found: dict[str, Any], users: int, connected: int) -> list[Finding]:
    """What it took, and what the others felt; the bar is for the sizes that the question names."""
    where = f"a broadcast to {users:,} people, {connected:,} of them connected"
    exact = {"created": users - connected, "delivered": connected, "reopened": 0, "failed": 0}
    judged = users == USERS and connected == CONNECTED
    latency: dict[str, float] = found["latency_ms"]
    return [
        Finding(
            what=f"{where}: outcomes that are not as they must be",
            value=sum(abs(found["counts"][name] - count) for name, count in exact.items()),
            unit="people",
            bar=0.0,
            at_most=True,
            note=", ".join(f"{count:,} {name}" for name, count in found["counts"].items()),
        ),
        Finding(what=f"{where}: done in", value=found["seconds"], unit="s"),
        Finding(
            what=f"{where}: p99 of the others' messages meanwhile",
            value=latency["p99"],
            unit="ms",
            bar=P99_BAR_MS if judged else None,
            at_most=True,
            note=f"{found['messages']:,} messages, p50 {latency['p50']:.1f}, max {latency['max']:.1f} ms",
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.broadcast", description=__doc__)
    parser.add_argument("--users", type=int, default=USERS)
    parser.add_argument("--connected", type=int, default=CONNECTED)
    parser.add_argument("--rate", type=float, default=200.0, help="messages a second of the others")
    parser.add_argument("--into", type=Path, default=ANSWERS, help="folder for the answer")
    arguments = parser.parse_args()
    connected = min(arguments.connected, arguments.users)
    with scratch() as folder, ServerProcess(sojourn(folder / "sessions.db")) as server:
        found = asyncio.run(measure(server.address, arguments.users, connected, arguments.rate))
        where = machine(folder)
    findings = findings_of(found, arguments.users, connected)
    for finding in findings:
        print(finding.format())
    Answer(
        question="broadcast",
        command=command_line("broadcast"),
        machine=where,
        findings=findings,
        detail=found,
    ).save(arguments.into)
    sys.exit(0 if findings[0].value == 0 else 1)


if __name__ == "__main__":
    main()
