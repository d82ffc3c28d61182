"""What a server shows of itself over HTTP: is it ready, its metrics, its overview."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sojourn import connect
from sojourn.actors import Runtime
from sojourn.gateway.asyncapi import document
from sojourn.gateway.lookout import Lookout
from sojourn.gateway.metrics import METRICS, Number
from sojourn.gateway.server import Server, ServerConfig

Map = dict[str, Any]
PATIENCE = 20.0


@asynccontextmanager
async def serving(path: Path | None = None) -> AsyncGenerator[tuple[Server, httpx.AsyncClient]]:
    """A server on free ports, and a client of its HTTP port."""
    async with Runtime(None if path is None else str(path)) as runtime:
        server = Server(runtime, ServerConfig(port=0, http_port=0))
        await server.start()
        assert server.http_address is not None
        host, port = server.http_address
        try:
            async with httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=PATIENCE) as client:
                yield server, client
        finally:
            await server.drain()


def run(play: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(play(), PATIENCE))


def samples(page: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample of a page, by name and labels; Prometheus' own parser must take the page."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def test_the_metrics_page_tells_what_happened() -> None:
    async def play() -> None:
        async with serving() as (server, client):
            session = await server.runtime.create(user={"user_id": "ada"})
            for _ in range(3):
                await session.send("hello")
            closed = await server.runtime.create()
            await closed.close()
            answer = await client.get("/metrics")
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
            seen = samples(answer.text)
            assert seen["sojourn_messages_total", ()] == 3
            assert seen["sojourn_sessions", (("handling", "ai"), ("status", "active"))] == 1
            assert seen["sojourn_sessions", (("handling", "ai"), ("status", "closed"))] == 1
            assert seen["sojourn_sessions", (("handling", "human"), ("status", "expired"))] == 0
            assert seen["sojourn_events_total", (("type", "session:created"),)] == 2
            assert seen["sojourn_ready", ()] == 1
            commits = seen["sojourn_commits_total", ()]
            assert commits >= 1
            assert seen["sojourn_commit_duration_seconds_count", ()] == commits
            assert seen["sojourn_commit_duration_seconds_bucket", (("le", "+Inf"),)] == commits
            assert seen["sojourn_commit_events_sum", ()] == 6
            assert ("process_cpu_seconds_total", ()) in seen
            assert ("python_gc_collections_total", (("generation", "0"),)) in seen

    run(play)


def test_every_number_of_the_table_is_on_the_page() -> None:
    async def play() -> None:
        async with serving() as (server, client):
            server.lookout.insights_behind = lambda: 7
            page = (await client.get("/metrics")).text
            families = {family.name: family for family in text_string_to_metric_families(page)}
            for metric in METRICS:
                family = families[metric.name]
                assert family.type == metric.kind
                if isinstance(metric, Number):
                    for sample in family.samples:
                        assert tuple(sorted(sample.labels)) == tuple(sorted(metric.labels))
            assert samples(page)["sojourn_insights_behind_events", ()] == 7

    run(play)


def test_connections_are_counted_by_door() -> None:
    async def play() -> None:
        async with serving() as (server, client):
            host, port = server.tcp_address
            async with connect(host, port), connect(host, port) as second:
                await second.ping()
                seen = samples((await client.get("/metrics")).text)
                assert seen["sojourn_connections", (("door", "tcp"),)] == 2
                assert seen["sojourn_connections", (("door", "web"),)] == 0
                assert (await client.get("/v1/overview")).json()["connections"] == 2

    run(play)


def test_the_overview_tells_what_is_now() -> None:
    async def play() -> None:
        async with serving() as (server, client):
            session = await server.runtime.create()
            await session.send("hello")
            await session.hand_over()
            overview = (await client.get("/v1/overview")).json()
            assert overview["sessions"] == {
                "active": 1,
                "closed": 0,
                "expired": 0,
                "by_handling": {"ai": 0, "queued": 1, "human": 0},
            }
            assert (overview["messages_total"], overview["live"], overview["draining"]) == (1, 1, False)
            assert (
                overview["commit_ms"]["p50"] <= overview["commit_ms"]["p99"] <= overview["commit_ms"]["max"]
            )
            assert overview["commit_batch"]["mean"] >= 1

    run(play)


def test_the_overview_of_an_empty_server_has_every_key_and_no_number_is_made_up() -> None:
    async def play() -> None:
        async with serving() as (_, client):
            overview = (await client.get("/v1/overview")).json()
            assert overview["messages_total"] == overview["connections"] == overview["dead_letters"] == 0
            assert overview["commit_ms"] == {"p50": None, "p99": None, "max": None}
            assert overview["timers"] == {"due": 0, "lateness_ms": None}
            assert overview["insights"] == {"behind": None}
            assert overview["expired"] == {"inactivity": 0, "keep_alive": 0, "max_lifetime": 0}

    run(play)


async def next_overview(lines: AsyncGenerator[str]) -> Map:
    async for line in lines:
        if line.startswith("data: "):
            overview: Map = json.loads(line.removeprefix("data: "))
            return overview
    raise AssertionError("the stream ended")


def test_the_live_overview_comes_again_and_again_and_ends_with_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sojourn.gateway.lookout.EVERY", 0.01)

    async def play() -> None:
        async with serving() as (server, client):
            session = await server.runtime.create()
            async with client.stream("GET", "/v1/overview/events") as answer:
                assert answer.headers["content-type"].startswith("text/event-stream")
                lines: Any = answer.aiter_lines()
                first = await next_overview(lines)
                await session.send("hello")
                while (later := await next_overview(lines))["messages_total"] == 0:
                    pass
                assert later["at"] > first["at"]
                assert later["connections_by_door"]["http"] == 1
                draining = asyncio.ensure_future(server.drain())
                async for _ in lines:
                    pass
                await draining
            assert server.lookout.readers == 0

    run(play)


def test_readers_share_one_look_and_nobody_looks_when_all_have_gone() -> None:
    async def play() -> None:
        async with Runtime() as runtime:
            looks = 0

            def connections() -> Map:
                nonlocal looks
                looks += 1
                return {"tcp": 0}

            lookout = Lookout(runtime, connections, lambda: None, every=0.001)
            lookout.start()
            readers = [lookout.follow() for _ in range(5)]
            seen = await asyncio.gather(*map(anext, readers))
            assert len(set(seen)) == 1
            assert looks == 1
            for reader in readers:
                await anext(reader)
                await reader.aclose()
            assert lookout.readers == 0
            looked = looks
            await runtime.create()
            for _ in range(100):
                await asyncio.sleep(0)
            assert looks == looked
            # Who comes later does not see what was then.
            late = lookout.follow()
            assert json.loads(await anext(late))["sessions"]["active"] == 1
            await late.aclose()
            lookout.stop()

    run(play)


def test_a_failed_look_does_not_end_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        async with Runtime() as runtime:
            failures = iter([True, False])

            def connections() -> Map:
                if next(failures, False):
                    raise RuntimeError("no connections today")
                return {"tcp": 0}

            lookout = Lookout(runtime, connections, lambda: None, every=0.001)
            lookout.start()
            reader = lookout.follow()
            assert json.loads(await anext(reader))["connections"] == 0
            await reader.aclose()
            lookout.stop()

    run(play)
    assert "no connections today" in caplog.text


def test_it_is_ready_until_it_drains_and_says_why() -> None:
    async def play() -> None:
        async with serving() as (server, client):
            answer = await client.get("/readyz")
            assert (answer.status_code, answer.json()) == (200, {"status": "ready", "why": []})
            server.runtime.core.draining = True
            answer = await client.get("/readyz")
            assert answer.status_code == 503
            assert answer.json() == {"status": "not ready", "why": ["draining"]}
            assert answer.headers["retry-after"] == "1"
            assert samples((await client.get("/metrics")).text)["sojourn_ready", ()] == 0
            assert (await client.get("/healthz")).status_code == 200

    run(play)


def test_before_it_listens_it_is_not_ready() -> None:
    async def play() -> None:
        async with Runtime() as runtime:
            server = Server(runtime, ServerConfig(port=0, http_port=None))
            assert await server.lookout.why_not_ready() == ["starting"]
            await server.start()
            assert await server.lookout.why_not_ready() == []
            await server.drain()
            assert await server.lookout.why_not_ready() == ["draining"]

    run(play)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_looking_changes_nothing(method: str) -> None:
    async def play() -> None:
        async with serving() as (_, client):
            for path in ("/metrics", "/readyz", "/v1/overview", "/v1/overview/events", "/asyncapi.json"):
                assert (await client.request(method, path)).status_code == 405

    run(play)


def test_the_wire_is_described_as_a_document_and_as_a_page() -> None:
    async def play() -> None:
        async with serving() as (_, client):
            answer = await client.get("/asyncapi.json")
            assert answer.headers["content-type"] == "application/json"
            assert answer.json() == document()
            page = await client.get("/asyncapi")
            assert page.headers["content-type"].startswith("text/html")
            for path in re.findall(r'(?:href|src)="(/[^"]+)"', page.text):
                assert (await client.get(path)).status_code == 200, path

    run(play)
