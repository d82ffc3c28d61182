"""The clients at a human's desk: against a real server, and against one that breaks off."""

from __future__ import annotations

import asyncio

import pytest

from sojourn import Runtime
from sojourn.gateway.client import Event, connect
from sojourn.gateway.client_sync import Client as PlainClient
from sojourn.gateway.client_values import Assigned, HandedOver
from sojourn.gateway.errors import RequestFailed
from sojourn.gateway.server import Server, ServerConfig
from tests.gateway.scripted_server import ScriptedServer
from tests.gateway.test_client import both, meet, play


def test_a_human_takes_a_session_and_resolves_it() -> None:
    async def talk() -> None:
        async with Runtime() as runtime:
            server = Server(runtime, ServerConfig(port=0, http_port=None))
            await server.start()
            host, port = server.tcp_address
            heard: asyncio.Queue[Event] = asyncio.Queue()
            async with (
                connect(host, port) as user,
                connect(host, port, role="agent", identity="grace") as grace,
                connect(host, port, role="agent", identity="joan") as joan,
            ):
                session = await user.create()
                grace.subscribe(heard.put_nowait)
                assert (await grace.watch(["sales"])).waiting == []
                assert await session.hand_over("sales", note="a price") == HandedOver("sales", 2)
                event = await heard.get()
                assert (event.type, event.session_id, event.payload["note"]) == (
                    "session:handed_over",
                    session.id,
                    "a price",
                )
                (waiting,) = (await joan.watch()).waiting
                assert (waiting["session_id"], waiting["queue"]) == (session.id, "sales")
                taken = grace.session(session.id)
                assert await taken.assign() == Assigned("grace", 3)
                with pytest.raises(RequestFailed) as refused:
                    await joan.session(session.id).assign()
                assert refused.value.code == "illegal_state"
                assert await taken.release() == 4
                await taken.assign()
                assert (await taken.resolve()).reason == "resolved_by_human"
            await server.drain()

    asyncio.run(talk())


def test_a_watch_goes_on_after_a_reconnect() -> None:
    async def script(server: ScriptedServer) -> None:
        client, peer = await meet(server)

        async def answer() -> None:
            request = await peer.expect("watch")
            assert request["queues"] == ["sales"]
            peer.reply(request, "watching", waiting=[], more=False)

        await both(client.watch(["sales"]), answer())
        peer.drop()
        again = await server.welcome()
        renewed = await again.expect("watch")
        assert renewed["queues"] == ["sales"]
        again.reply(renewed, "watching", waiting=[], more=False)
        heard: asyncio.Queue[Event] = asyncio.Queue()
        client.subscribe(heard.put_nowait)
        again.send(type="session:handed_over", session_id="s", seq=2, at=2.0, queue="sales")
        assert (await heard.get()).session_id == "s"
        await client.close()

    play(script)


def test_the_desk_in_plain_code() -> None:
    with Runtime() as runtime:
        server = Server(runtime, ServerConfig(port=0, http_port=None))
        runtime.run(server.start(), 20)
        host, port = server.tcp_address
        with PlainClient(host, port, role="agent", identity="grace") as grace:
            session = grace.create()
            assert session.hand_over("sales") == HandedOver("sales", 2)
            assert [each["session_id"] for each in grace.watch(["sales"]).waiting] == [session.id]
            assert session.assign() == Assigned("grace", 3)
            assert session.release() == 4
            assert session.resolve().reason == "resolved_by_human"
        runtime.run(server.drain(), 20)
