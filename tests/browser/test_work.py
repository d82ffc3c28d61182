"""What one does on the pages: erase, hand back, pass on, send to many; and a server that can't just now."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Dashboard, OpenPage
from tests.integration.wire import Wire

TEXTS = "[...document.querySelectorAll('.message .text')].map(each => each.textContent)"
HALF_WRITTEN = """
import asyncio
from pathlib import Path

async def answer(turn):
    yield "It is on"
    while not Path("go").exists():
        await asyncio.sleep(0.01)
    yield " its way."
"""
"""An agent whose answer stays half written until there is a file `go`."""


def waiting(user: Wire, queue: str) -> tuple[str, str]:
    """A session that waits for a human, and its user's name."""
    name = f"Grace {uuid4().hex[:6]}"
    session_id = user.create(user={"user_id": uuid4().hex, "display_name": name})
    user.ok("session:handover", session_id=session_id, queue=queue)
    return session_id, name


def refuse_first(page: Page, address: str, status: int, code: str) -> list[str]:
    """The first request there is refused, to be asked again after a second; the others are answered."""
    asked: list[str] = []

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) > 1:
            route.fallback()
            return
        body: dict[str, Any] = {"code": code, "message": f"Not now: {code}."}
        route.fulfill(status=status, headers={"Retry-After": "1"}, json=body)

    page.route(address, answer)
    return asked


def answer_first(page: Page, address: str, answers: list[tuple[int, dict[str, Any]]]) -> None:
    """The first requests there get these answers, the others the server's."""

    def answer(route: Route) -> None:
        if not answers:
            route.fallback()
            return
        status, body = answers.pop(0)
        route.fulfill(status=status, headers={"Retry-After": "1"}, json=body)

    page.route(address, answer)


def test_erased_session_is_gone_for_everybody(open_page: OpenPage, user: Wire) -> None:
    """Asked first; the other page that shows it is told, and so is the user."""
    session_id = user.create(user={"user_id": uuid4().hex, "display_name": "Ada"})
    page = open_page(f"#/session/{session_id}")
    other = open_page(f"#/session/{session_id}", alone=True)
    expect(other.locator(".talk .link")).to_have_text("live")
    page.get_by_role("button", name="Erase…").click()
    asked = page.get_by_role("dialog", name="Erase this session?")
    asked.get_by_role("button", name="Cancel").click()
    expect(asked).to_have_count(0)
    assert user.session(session_id)["status"] == "active"
    page.get_by_role("button", name="Erase…").click()
    asked.get_by_role("button", name="Erase").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sessions")
    assert user.push("session:expired")["reason"] == "erased"
    expect(other.get_by_text("This session has been erased.")).to_be_visible()


def test_answer_is_seen_while_it_is_written_and_stands_once(open_page: OpenPage, tmp_path: Path) -> None:
    (tmp_path / "slow_agent.py").write_text(HALF_WRITTEN)
    with Dashboard(tmp_path, "--agent", "slow_agent:answer") as server, server.connect() as user:
        session_id = user.create(user={"user_id": "ada"})
        page = open_page(f"#/session/{session_id}", server=server)
        expect(page.locator(".talk .link")).to_have_text("live")
        user.ok("message:send", session_id=session_id, text="Where is my order?")
        expect(page.locator(".message.pending .text")).to_have_text("It is on")
        (tmp_path / "go").touch()
        expect(page.locator(".message.from-ai:not(.pending) .text")).to_have_text("It is on its way.")
        assert page.evaluate(TEXTS) == ["Where is my order?", "It is on its way."]


def test_human_hands_back_and_passes_on(open_page: OpenPage, user: Wire) -> None:
    """One goes back to the AI, the other waits in another queue: for the user, and in the lists."""
    queue = f"queue-{uuid4().hex[:6]}"
    back, name = waiting(user, queue)
    desk = open_page("#/desk", stored={"desk": "Bob"})
    desk.get_by_role("button", name=f"Take {name}").click()
    desk.get_by_role("button", name="Hand back").click()
    expect(desk.locator(".notice")).to_have_text(f"{name} is with the AI again.")
    assert [user.push()["type"] for _ in range(2)] == ["session:assigned", "session:released"]
    assert user.session(back)["handling"] == "ai"
    on, name = waiting(user, queue)
    desk.get_by_role("button", name=f"Take {name}").click()
    desk.get_by_role("button", name="Pass on…").click()
    desk.get_by_label("Queue", exact=True).fill(f"{queue}-billing")
    desk.get_by_role("dialog").get_by_role("button", name="Pass on").click()
    expect(desk.locator(".notice")).to_have_text(f"{name} waits in {queue}-billing.")
    expect(desk.locator("ol.queue li", has_text=name)).to_contain_text(f"{queue}-billing")
    expect(desk.get_by_text("You have nobody")).to_be_visible()
    assert user.session(on)["queue"] == f"{queue}-billing"


def test_desk_after_a_break_lacks_nothing(open_page: OpenPage, user: Wire, server: Dashboard) -> None:
    """Offline, somebody comes, somebody is taken by another, the open talk goes on: all of it is there."""
    queue = f"queue-{uuid4().hex[:6]}"
    mine, mine_name = waiting(user, queue)
    taken, taken_name = waiting(user, queue)
    desk = open_page("#/desk", stored={"desk": "Bob"}, alone=True)
    desk.get_by_role("button", name=f"Take {mine_name}").click()
    expect(desk.get_by_label(f"Write to {mine_name}")).to_be_visible()
    desk.context.set_offline(True)
    expect(desk.locator(".head .link")).to_have_text("connecting…")
    said = [f"missed {n}" for n in range(5)]
    for text in said:
        user.ok("message:send", session_id=mine, text=text)
    _, new_name = waiting(user, queue)
    with server.connect("agent", "Eve") as eve:
        eve.ok("session:assign", session_id=taken)
    desk.context.set_offline(False)
    expect(desk.locator(".head .link")).to_have_text("live")
    expect(desk.locator("ol.queue li", has_text=new_name)).to_have_count(1)
    expect(desk.locator("ol.queue li", has_text=taken_name)).to_have_count(0)
    expect(desk.locator(".message")).to_have_count(len(said))
    assert desk.evaluate(TEXTS) == said


def test_broadcast_larger_than_a_request_is_one_broadcast(open_page: OpenPage, server: Dashboard) -> None:
    """Bad input: more users than one request may hold (413). All are reached, once, under one id."""
    users = [f"{number:03}-{uuid4().hex * 5}" for number in range(600)]
    page = open_page("#/broadcast")
    sent: list[tuple[str, int]] = []

    def note(status: int, body: Any) -> None:
        if status == 200:
            sent.append((body["broadcast_id"], len(body["users"])))

    page.on(
        "response",
        lambda response: (
            note(response.status, response.request.post_data_json) if "broadcasts" in response.url else None
        ),
    )
    page.get_by_label("Users").fill("\n".join(users))
    page.get_by_label("Message").fill("We close early today.")
    page.get_by_role("button", name="Send").click()
    outcome = page.get_by_role("region", name="Progress")
    expect(outcome.locator("dd")).to_have_text(["0", "0", "600", "0"])
    assert len({broadcast_id for broadcast_id, _ in sent}) == 1
    assert len(sent) > 1
    assert sum(people for _, people in sent) == 600
    with server.connect("service") as service:
        for one in (users[0], users[299], users[-1]):
            assert len(service.ok("session:list", user_id=one)["sessions"]) == 1


def test_what_is_refused_for_a_moment_is_asked_again(open_page: OpenPage, user: Wire) -> None:
    """Bad answers: 429 to a list, 503 to a stream. Nobody has to press anything."""
    session_id = user.create(user={"user_id": uuid4().hex, "display_name": "Ada"})
    page = open_page("#/broadcast", alone=True)
    page.clock.install()
    lists = refuse_first(page, "**/v1/sessions?*", 429, "overloaded")
    streams = refuse_first(page, "**/v1/sessions/*/events*", 503, "draining")
    page.evaluate("location.hash = '#/sessions'")
    expect(page.get_by_role("alert")).to_contain_text("Not now: overloaded.")
    page.clock.fast_forward(1000)
    expect(page.locator("tbody tr").first).to_be_visible()
    assert len(lists) == 2
    page.evaluate("address => { location.hash = address }", f"#/session/{session_id}")
    expect(page.locator(".talk .link")).to_have_text("connecting…")
    page.clock.fast_forward(1500)
    expect(page.locator(".talk .link")).to_have_text("live")
    assert len(streams) == 2
    user.ok("message:send", session_id=session_id, text="still here")
    expect(page.get_by_text("still here")).to_be_visible()


def test_a_search_that_is_being_built_is_no_failure(open_page: OpenPage) -> None:
    """Bad answers: 429 while there is no index, then one far behind. Asked again until it is whole."""
    page = open_page("#/broadcast", alone=True)
    page.clock.install()
    refused: dict[str, Any] = {"code": "overloaded", "message": "Not yet.", "details": {"behind": 120_000}}
    gone: dict[str, Any] = {"sessions": [], "hits": [], "total": 0, "cursor": None, "behind": 80_000}
    for view, address in (("past", "**/v1/past?*"), ("past?q=order", "**/v1/search?*")):
        answer_first(page, address, [(429, refused), (200, gone)])
        page.evaluate("view => { location.hash = `#/${view}` }", view)
        line = page.locator("main .building")
        expect(line).to_have_text("The search is being built, 120,000 events behind…")
        expect(page.get_by_role("alert")).to_have_count(0)
        page.clock.fast_forward(1000)
        expect(line).to_have_text("The search is being built, 80,000 events behind…")
        expect(page.locator("main .empty-title")).to_have_count(0)
        page.clock.fast_forward(2000)
        expect(line).to_have_count(0)
        page.evaluate("location.hash = '#/broadcast'")
