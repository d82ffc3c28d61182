"""`sojourn.js` in a real browser against a real server: nothing missing, nothing twice, whatever breaks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.integration.server_process import ServerProcess

PRELUDE = """
async ({ user_id }) => {
  const { Client, SojournError } = await import("/sojourn.js");
  const until = (ready) => new Promise((resolve) => {
    const look = () => (ready() ? resolve() : setTimeout(look, 5));
    look();
  });
  const told = (session) => {
    const events = [];
    session.addEventListener("event", ({ detail }) => events.push(detail));
    return events;
  };
  const network = (kind) => window.dispatchEvent(new Event(kind));
"""
"""Each script runs in a page of the server's: the module, and what to wait with."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("js"), "--http-port", "0") as process:
        yield process
        assert process.stop() == 0
        assert not process.complaints()


@pytest.fixture
def page(clean: BrowserContext, server: ServerProcess) -> Iterator[Page]:
    """A page of the server's origin; an error that nobody caught in it fails the test."""
    opened = clean.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto(origin(server) + "/healthz")
    yield opened
    assert errors == []


@pytest.fixture
def user_id() -> str:
    return f"user-{uuid4().hex}"


def origin(server: ServerProcess) -> str:
    host, port = server.http_address
    return f"http://{host}:{port}"


def run(page: Page, user_id: str, script: str) -> Any:
    """What `script` returns; it may use what PRELUDE has."""
    return page.evaluate(PRELUDE + script + "\n}", {"user_id": user_id})


def test_own_events_and_those_of_others_are_told_once_and_in_order(
    page: Page, server: ServerProcess, user_id: str
) -> None:
    session_id = run(
        page,
        user_id,
        """
        window.client = new Client();
        window.session = await client.create({ user: { user_id } });
        window.events = told(session);
        const sent = await session.send("mine");
        if (sent.seq !== 2) throw new Error(JSON.stringify(sent));
        return session.id;
        """,
    )
    with server.connect("service") as other:
        other.ok("message:send", session_id=session_id, text="theirs")
    events = run(
        page,
        user_id,
        """
        await session.updateContext({ topic: "orders" });
        await session.rate(5);
        await until(() => events.length === 4);
        client.end();
        return events;
        """,
    )
    assert [(event["type"], event["seq"]) for event in events] == [
        ("message:received", 2),
        ("message:received", 3),
        ("session:context:updated", 4),
        ("session:rated", 5),
    ]
    assert [event["text"] for event in events[:2]] == ["mine", "theirs"]


def test_a_page_that_was_offline_is_told_what_it_missed_and_sends_what_waited(
    page: Page, server: ServerProcess, user_id: str
) -> None:
    session_id = run(
        page,
        user_id,
        """
        window.client = new Client();
        window.session = await client.create({ user: { user_id } });
        window.events = told(session);
        window.states = [];
        client.addEventListener("state", ({ detail }) => states.push(detail));
        window.sent = session.send("on its way when the network goes");
        network("offline");
        window.waited = session.send("written offline", "only-once");
        return session.id;
        """,
    )
    with server.connect("service") as other:
        for number in range(3):
            other.ok("message:send", session_id=session_id, text=f"missed {number}")
    texts, states = run(
        page,
        user_id,
        """
        network("online");
        const [first, second] = await Promise.all([sent, waited]);
        const again = await session.send("written offline", "only-once");
        if (!again.duplicate || again.seq !== second.seq) throw new Error(JSON.stringify(again));
        await until(() => events.length === 5);
        client.end();
        return [events.map((event) => event.text), states];
        """,
    )
    assert sorted(texts) == sorted(
        ["on its way when the network goes", "written offline", "missed 0", "missed 1", "missed 2"]
    )
    assert [text for text in texts if text.startswith("missed")] == ["missed 0", "missed 1", "missed 2"]
    assert states[0] == "waiting"
    assert states[-2:] == ["open", "ended"]
    with server.connect("service") as other:
        stored = other.history(session_id)
    assert [event["text"] for event in stored[1:]] == texts, "told is what is stored, in its order"


def test_a_server_that_was_killed_and_is_back_is_found_again(
    clean: BrowserContext, tmp_path: Path, user_id: str
) -> None:
    with ServerProcess(tmp_path, "--http-port", "0") as server:
        page = clean.new_page()
        page.goto(origin(server) + "/healthz")
        port = server.http_address[1]
        run(
            page,
            user_id,
            """
            window.client = new Client(undefined, { firstDelay: 0.01, longestDelay: 0.05 });
            window.session = await client.create({ user: { user_id } });
            window.events = told(session);
            await session.send("before");
            await until(() => events.length === 1);
            """,
        )
        server.kill()
        run(page, user_id, 'window.sent = session.send("while it was down");')
    with ServerProcess(tmp_path, "--http-port", str(port)) as server:
        events = run(
            page,
            user_id,
            """
            const sent = await window.sent;
            await until(() => events.length === 2);
            client.end();
            return events;
            """,
        )
        assert [(event["seq"], event["text"]) for event in events] == [
            (2, "before"),
            (3, "while it was down"),
        ]


def test_a_page_loaded_anew_resumes_where_it_was(page: Page, server: ServerProcess, user_id: str) -> None:
    kept = run(
        page,
        user_id,
        """
        const client = new Client();
        const session = await client.create({ user: { user_id } });
        const events = told(session);
        await session.send("one");
        await until(() => events.length === 1);
        client.end();
        return { id: session.id, seq: session.seq, resumeToken: session.resumeToken };
        """,
    )
    assert kept["seq"] == 2
    with server.connect("service") as other:
        other.ok("message:send", session_id=kept["id"], text="two")
    page.reload()
    events = page.evaluate(
        """async (kept) => {
          const { Client } = await import("/sojourn.js");
          const client = new Client();
          const session = client.session(kept.id, kept);
          const texts = [];
          session.addEventListener("message:received", ({ detail }) => texts.push(detail.text));
          const info = await session.resume();
          client.end();
          return [texts, info.seq];
        }""",
        kept,
    )
    assert events == [["two"], 3]


def test_a_long_absence_is_read_page_by_page(page: Page, server: ServerProcess, user_id: str) -> None:
    with server.connect("service") as other:
        session_id = other.create(user={"user_id": user_id}, attach=False)
        ids = other.send_many(
            [
                ("message:send", {"session_id": session_id, "text": str(n), "attach": False})
                for n in range(900)
            ]
        )
        ids += other.send_many(
            [
                ("message:send", {"session_id": session_id, "text": str(n), "attach": False})
                for n in range(900)
            ]
        )
        for request_id in ids:
            assert other.reply(request_id)["type"] == "message:accepted"
        seqs = page.evaluate(
            PRELUDE
            + """
            const client = new Client();
            const session = client.session(user_id, { seq: 0 });
            const events = told(session);
            await session.resume();
            await until(() => events.length === 1801);
            client.end();
            return events.map((event) => event.seq);
            }""",
            {"user_id": session_id},
        )
    assert seqs == list(range(1, 1802))


def test_iteration_ends_with_the_session(page: Page, server: ServerProcess, user_id: str) -> None:
    session_id = run(
        page,
        user_id,
        """
        window.client = new Client();
        window.session = await client.create({ user: { user_id } });
        window.types = (async () => {
          const types = [];
          for await (const event of session) types.push(event.type);
          return types;
        })();
        return session.id;
        """,
    )
    with server.connect("service") as admin:
        admin.ok("session:close", session_id=session_id)
        admin.ok("session:erase", session_id=session_id)
    types = run(page, user_id, "const types = await window.types; client.end(); return types;")
    assert types == ["session:closed", "session:expired"]


def test_a_refusal_is_an_error_with_its_code(page: Page, user_id: str) -> None:
    code, kind, details = run(
        page,
        user_id,
        """
        const client = new Client();
        const session = await client.create({ user: { user_id } });
        const error = await session.rate(9).catch((error) => error);
        client.end();
        const late = await client.request("ping").catch((error) => error);
        return [error.code, error instanceof SojournError, [error.details.key, late.code]];
        """,
    )
    assert (code, kind, details) == ("invalid_payload", True, ["rating", "connection_lost"])


def test_what_must_not_be_done_twice_is_not_sent_twice(page: Page, user_id: str) -> None:
    """Nobody knows whether a patch that was on its way was merged: the caller decides."""
    code = run(
        page,
        user_id,
        """
        const client = new Client();
        const session = await client.create({ user: { user_id } });
        const patch = session.updateContext({ topic: "orders" }).catch((error) => error);
        network("offline");
        const code = (await patch).code;
        client.end();
        return code;
        """,
    )
    assert code == "connection_lost"


def test_a_human_at_a_desk_hears_of_who_waits(page: Page, server: ServerProcess, user_id: str) -> None:
    queue = f"queue-{uuid4().hex}"
    waiting = page.evaluate(
        PRELUDE
        + """
        window.client = new Client(undefined, { role: "agent", identity: "grace" });
        window.pushes = [];
        client.addEventListener("push", ({ detail }) => pushes.push(detail));
        return (await client.watch([user_id])).waiting;
        }""",
        {"user_id": queue},
    )
    assert waiting == []
    with server.connect() as user:
        session_id = user.create(user={"user_id": user_id})
        user.ok("session:handover", session_id=session_id, queue=queue)
    pushes = run(
        page,
        user_id,
        """
        await until(() => pushes.length === 1);
        network("offline");
        network("online");
        await until(() => client.state === "open");
        client.end();
        return pushes;
        """,
    )
    assert [(push["type"], push["session_id"]) for push in pushes] == [("session:handed_over", session_id)]


def test_text_that_looks_like_markup_stays_text(page: Page, server: ServerProcess, user_id: str) -> None:
    with server.connect("service") as other:
        session_id = other.create(user={"user_id": user_id}, attach=False)
        text = "</script><script>alert(1)</script>\u2028\u0000\U0001f600"
        other.ok("message:send", session_id=session_id, text=text, attach=False)
    told = page.evaluate(
        PRELUDE
        + """
        const client = new Client();
        const session = client.session(user_id, { seq: 1 });
        const events = told(session);
        await session.resume();
        client.end();
        return events[0].text;
        }""",
        {"user_id": session_id},
    )
    assert told == text
