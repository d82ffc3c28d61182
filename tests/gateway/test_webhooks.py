"""Webhooks to real servers: signed, in order, at least once; whoever is slow or wrong harms nobody else."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier  # pyright: ignore[reportMissingTypeStubs]
from standardwebhooks import WebhookVerificationError

from sojourn.actors import Runtime, RuntimeConfig
from sojourn.actors.testing import VirtualClock
from sojourn.gateway.receivers import Webhook
from sojourn.gateway.webhooks import LANE_PAGE, Webhooks
from sojourn.storage import outbox
from sojourn.storage.outbox import DeadLetter

from .receiver import TAKEN, Post, Receiver, answer, takes

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
PATIENCE = 20.0

Story = Callable[[], Awaitable[None]]


def play(story: Story) -> None:
    """Run an async test, which fails when it hangs."""
    asyncio.run(asyncio.wait_for(story(), PATIENCE))


@asynccontextmanager
async def house(
    *hooks: Webhook, path: Path | None = None, clock: VirtualClock | None = None, **config: Any
) -> AsyncGenerator[tuple[Runtime, Webhooks]]:
    async with Runtime(
        None if path is None else str(path), clock=clock, config=RuntimeConfig(**config)
    ) as runtime:
        webhooks = Webhooks(runtime, hooks)
        await webhooks.start()
        try:
            yield runtime, webhooks
        finally:
            await webhooks.stop()


def hook(receiver: Receiver, **options: Any) -> Webhook:
    return Webhook(url=receiver.url, secret=SECRET, **options)


async def dead(runtime: Runtime) -> list[DeadLetter]:
    return await runtime.core.reads.get(lambda reader: reader.look(outbox.dead_letters))


async def waiting(runtime: Runtime) -> int:
    """Events in the outbox."""

    def count(connection: Any) -> int:
        return int(connection.execute("SELECT count(*) FROM outbox").fetchone()[0])

    return await runtime.core.reads.get(lambda reader: reader.look(count))


def test_the_library_of_the_specification_verifies_ours() -> None:
    async def story() -> None:
        async with Receiver() as receiver, house(hook(receiver)) as (runtime, webhooks):
            session = await runtime.create(user={"user_id": "ada"})
            await session.send("grüß dich ✓")
            await webhooks.settled()
            verifier: Any = Verifier(SECRET)
            for post in receiver.posts:
                verifier.verify(post.body, post.headers)
            with pytest.raises(WebhookVerificationError):
                verifier.verify(receiver.posts[0].body + b" ", receiver.posts[0].headers)
            assert receiver.ids == [f"{session.id}:1", f"{session.id}:2"]
            content = receiver.posts[1].content
            event = (await session.history()).events[1]
            assert content["data"] == event
            assert content["type"] == "message:received"
            assert content["timestamp"].endswith("Z")
            assert receiver.posts[1].headers["content-type"] == "application/json"
            assert await waiting(runtime) == 0

    play(story)


def test_only_chosen_events_are_sent() -> None:
    async def story() -> None:
        async with (
            Receiver() as all_of_session,
            Receiver() as one,
            house(hook(all_of_session, events=("session:*",)), hook(one, events=("session:closed",))) as (
                runtime,
                webhooks,
            ),
        ):
            session = await runtime.create()
            await session.send("hello")
            await session.close()
            await webhooks.settled()
            assert [post.content["type"] for post in all_of_session.posts] == [
                "session:created",
                "session:closed",
            ]
            assert [post.content["type"] for post in one.posts] == ["session:closed"]

    play(story)


def test_sensitive_values_are_hidden() -> None:
    async def story() -> None:
        async with (
            Receiver() as receiver,
            house(hook(receiver), sensitive_keys=("card*",)) as (runtime, webhooks),
        ):
            session = await runtime.create(context={"card_number": "4111"})
            await session.update_context({"card_number": "4222"})
            await webhooks.settled()
            assert len(receiver.posts) == 2
            assert b"4111" not in receiver.posts[0].body
            assert b"4222" not in receiver.posts[1].body

    play(story)


def test_the_order_within_a_session_is_kept_also_when_it_is_longer_than_a_page() -> None:
    async def story() -> None:
        async with Receiver() as receiver, house(hook(receiver, concurrency=4)) as (runtime, webhooks):
            sessions = [await runtime.create() for _ in range(6)]
            for number in range(LANE_PAGE + 5):
                for session in sessions:
                    session.send(str(number))
            await sessions[-1].get()
            await webhooks.settled()
            for session in sessions:
                assert receiver.seqs(session.id) == list(range(1, LANE_PAGE + 7))
            assert receiver.most_at_once <= 4

    play(story)


def test_a_new_hook_hears_of_what_happens_from_now_on(tmp_path: Path) -> None:
    async def story() -> None:
        path = tmp_path / "sessions.db"
        async with Receiver() as old, Receiver() as new:
            async with house(hook(old), path=path) as (runtime, webhooks):
                session = await runtime.create()
                await webhooks.settled()
            async with house(hook(old), hook(new), path=path) as (runtime, webhooks):
                await runtime.session(session.id).send("hello")
                await webhooks.settled()
            assert (old.seqs(session.id), new.seqs(session.id)) == ([1, 2], [2])

    play(story)


def test_what_happened_while_nobody_sent_is_sent_at_the_next_start(tmp_path: Path) -> None:
    async def story() -> None:
        path = tmp_path / "sessions.db"
        async with Receiver() as receiver:
            async with house(hook(receiver), path=path) as (_, webhooks):
                await webhooks.settled()
            async with Runtime(str(path)) as runtime:
                session = await runtime.create()
            assert receiver.posts == []
            async with house(hook(receiver), path=path) as (_, webhooks):
                await webhooks.settled()
            assert receiver.seqs(session.id) == [1]

    play(story)


def garbage(_: Post) -> bytes:
    return b"\x00\xff this is no HTTP at all\r\n\r\n"


def hangs_up(_: Post) -> bytes:
    return b""


def redirects(_: Post) -> bytes:
    return answer(302, "location: http://127.0.0.1:1/elsewhere")


def fails(_: Post) -> bytes:
    return answer(500, body=b"oh no")


@pytest.mark.parametrize("behaves", [garbage, hangs_up, redirects, fails])
def test_who_does_not_take_it_gets_it_again_and_what_follows_waits(
    behaves: Callable[[Post], bytes],
) -> None:
    async def story() -> None:
        clock = VirtualClock()
        async with Receiver(behaves) as receiver, house(hook(receiver), clock=clock) as (runtime, webhooks):
            session = await runtime.create()
            await session.send("hello")
            await webhooks.settled()
            assert receiver.seqs(session.id) == [1]
            await clock.advance(4.9)
            await webhooks.settled()
            assert receiver.seqs(session.id) == [1]
            await clock.advance(0.1)
            await webhooks.settled()
            assert receiver.seqs(session.id) == [1, 1]
            receiver.behaves = takes
            await clock.advance(300.0)
            await webhooks.settled()
            assert receiver.seqs(session.id) == [1, 1, 1, 2]
            assert receiver.posts[0].id == receiver.posts[2].id
            assert await waiting(runtime) == 0

    play(story)


def test_a_receiver_that_is_down_gets_it_when_it_is_up_again() -> None:
    async def story() -> None:
        clock = VirtualClock()
        with socket.socket() as place:
            place.bind(("127.0.0.1", 0))
            port = place.getsockname()[1]
        late = Receiver(port=port)
        async with house(Webhook(url=f"http://127.0.0.1:{port}/hook", secret=SECRET), clock=clock) as (
            runtime,
            webhooks,
        ):
            session = await runtime.create()
            await webhooks.settled()
            assert await waiting(runtime) == 1
            async with late:
                await clock.advance(5.0)
                await webhooks.settled()
                assert late.seqs(session.id) == [1]

    play(story)


def test_one_that_never_answers_is_tried_again() -> None:
    async def story() -> None:
        clock = VirtualClock()
        never = asyncio.Event()

        async def silent(_: Post) -> bytes:
            await never.wait()
            return TAKEN

        async with (
            Receiver(silent) as receiver,
            house(hook(receiver, timeout=0.05), clock=clock) as (runtime, webhooks),
        ):
            session = await runtime.create()
            await webhooks.settled()
            receiver.behaves = takes
            await clock.advance(5.0)
            await webhooks.settled()
            assert receiver.seqs(session.id) == [1, 1]

    play(story)


def test_a_slow_receiver_keeps_nobody_waiting() -> None:
    async def story() -> None:
        go_on = asyncio.Event()

        async def slow(_: Post) -> bytes:
            await go_on.wait()
            return TAKEN

        async with (
            Receiver(slow) as receiver,
            Receiver() as other,
            house(hook(receiver, concurrency=2), hook(other)) as (runtime, webhooks),
        ):
            sessions = [await runtime.create() for _ in range(10)]
            await other.has(10)
            assert [(await session.send("hello")).seq for session in sessions] == [2] * 10
            await other.has(20)
            await receiver.has(2)
            assert receiver.most_at_once == 2
            go_on.set()
            await webhooks.settled()
            assert sorted(receiver.ids) == sorted(other.ids)

    play(story)


def test_one_session_that_is_refused_holds_up_no_other() -> None:
    async def story() -> None:
        clock = VirtualClock()
        async with Receiver() as receiver, house(hook(receiver), clock=clock) as (runtime, webhooks):
            bad = await runtime.create()

            def refuses_one(post: Post) -> bytes:
                return answer(500 if post.id.startswith(bad.id) else 204)

            receiver.behaves = refuses_one
            good = await runtime.create()
            await good.send("hello")
            await webhooks.settled()
            assert receiver.seqs(good.id) == [1, 2]
            assert await waiting(runtime) <= 1

    play(story)


def test_behind_the_last_attempt_it_is_a_dead_letter_and_the_next_goes_on() -> None:
    async def story() -> None:
        clock = VirtualClock()
        async with (
            Receiver(lambda post: answer(503 if post.seq == 1 else 204)) as receiver,
            house(hook(receiver, retries=(1.0, 2.0), name="crm"), clock=clock) as (runtime, webhooks),
        ):
            session = await runtime.create()
            await session.send("hello")
            await webhooks.settled()
            for pause in (1.0, 2.0):
                await clock.advance(pause)
                await webhooks.settled()
            assert receiver.seqs(session.id) == [1, 1, 1, 2]
            (letter,) = await dead(runtime)
            assert (letter.hook, letter.session_id, letter.seq) == ("crm", session.id, 1)
            assert (letter.attempts, letter.reason) == (3, "answered 503")

            receiver.behaves = takes
            assert await runtime.core.resend(letter.id) == 1
            await webhooks.settled()
            assert receiver.seqs(session.id) == [1, 1, 1, 2, 1]
            assert await dead(runtime) == []
            assert await runtime.core.resend(letter.id) == 0

    play(story)


def test_gone_is_final() -> None:
    async def story() -> None:
        async with Receiver(lambda _: answer(410)) as receiver, house(hook(receiver)) as (runtime, webhooks):
            await runtime.create()
            await webhooks.settled()
            (letter,) = await dead(runtime)
            assert (letter.attempts, letter.reason) == (1, "answered 410")

    play(story)


def test_who_says_when_to_come_again_is_heard() -> None:
    async def story() -> None:
        clock = VirtualClock()
        async with (
            Receiver(lambda _: answer(429, "retry-after: 60")) as receiver,
            house(hook(receiver), clock=clock) as (runtime, webhooks),
        ):
            await runtime.create()
            await webhooks.settled()
            await clock.advance(59.0)
            await webhooks.settled()
            assert len(receiver.posts) == 1
            await clock.advance(1.0)
            await webhooks.settled()
            assert len(receiver.posts) == 2

    play(story)


def test_an_answer_without_end_counts_by_its_status() -> None:
    async def story() -> None:
        async with (
            Receiver(lambda _: b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\nand on") as receiver,
            house(hook(receiver)) as (runtime, webhooks),
        ):
            session = await runtime.create()
            await session.send("hello")
            await webhooks.settled()
            assert receiver.seqs(session.id) == [1, 2]
            assert await waiting(runtime) == 0

    play(story)


def test_a_process_that_ends_before_it_knows_sends_again_under_the_same_id(tmp_path: Path) -> None:
    async def story() -> None:
        path = tmp_path / "sessions.db"
        never = asyncio.Event()

        async def silent(_: Post) -> bytes:
            await never.wait()
            return TAKEN

        async with Receiver(silent) as receiver:
            async with house(hook(receiver), path=path) as (runtime, _):
                session = await runtime.create()
                await receiver.has(1)
            receiver.behaves = takes
            async with house(hook(receiver), path=path) as (_, webhooks):
                await webhooks.settled()
            assert receiver.ids == [f"{session.id}:1"] * 2

    play(story)


def test_an_erased_session_is_told_to_nobody_and_its_event_ids_are_anothers(tmp_path: Path) -> None:
    async def story() -> None:
        clock = VirtualClock()
        async with (
            Receiver(fails) as receiver,
            house(hook(receiver), clock=clock, path=tmp_path / "sessions.db") as (runtime, webhooks),
        ):
            erased = await runtime.create()
            await webhooks.settled()
            await erased.erase()
            receiver.behaves = takes
            session = await runtime.create()  # its first event has the id of the erased one
            await webhooks.settled()
            await clock.advance(1000.0)
            await webhooks.settled()
            assert receiver.seqs(erased.id) == [1]
            assert receiver.seqs(session.id) == [1]

    play(story)


WRONG = [
    {"url": "ftp://example.org/"},
    {"url": "example.org/hook"},
    {"url": "http://"},
    {"url": "http://[::1"},
    {"url": "http://example.org/a b"},
    {"secret": "open sesame"},
    {"secret": "whsec_%%%"},
    {"secret": "whsec_" + base64.b64encode(b"short").decode()},
    {"secret": "whsec_" + base64.b64encode(bytes(65)).decode()},
    {"events": ()},
    {"events": ("message:recieved",)},
    {"timeout": 0.0},
    {"concurrency": 0},
]


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_a_receiver_that_cannot_be_is_refused_without_its_secret_in_the_message(
    wrong: dict[str, Any],
) -> None:
    given: dict[str, Any] = {"url": "https://example.org/hook", "secret": SECRET, **wrong}
    with pytest.raises(ValueError) as refused:
        Webhook(**given)
    assert given["secret"] not in str(refused.value)


def test_two_of_one_name_are_refused() -> None:
    async def story() -> None:
        one = Webhook(url="https://example.org/hook", secret=SECRET)
        async with Runtime() as runtime:
            with pytest.raises(ValueError):
                Webhooks(runtime, [one, one])

    play(story)
