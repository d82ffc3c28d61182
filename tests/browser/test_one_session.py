"""One session on two pages and one TCP connection; a human at the desk; the end, on screen at its second."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from playwright.sync_api import Page, expect

from tests.browser.conftest import Dashboard, OpenPage
from tests.integration.wire import Wire

TEXTS = "[...document.querySelectorAll('.message .text')].map(each => each.textContent)"
SEQS = "[...document.querySelectorAll('li[id^=seq-]')].map(each => Number(each.id.slice(4)))"


def write(page: Page, text: str) -> None:
    page.get_by_label("Write a message").fill(text)
    page.get_by_role("button", name="Send").click()


def test_two_pages_and_a_tcp_client_see_everything(open_page: OpenPage, user: Wire) -> None:
    """All see all; one page is offline for a while and then lacks nothing and has nothing twice."""
    session_id = user.create(user={"user_id": f"user-{uuid4().hex[:8]}"})
    first = open_page(f"#/session/{session_id}")
    second = open_page(f"#/session/{session_id}", alone=True)
    for page in (first, second):
        expect(page.locator(".talk .link")).to_have_text("live")
    user.ok("message:send", session_id=session_id, text="from TCP")
    write(first, "from the first page")
    assert user.push("message:received")["text"] == "from the first page"
    write(second, "from the second page")
    assert user.push("message:received")["text"] == "from the second page"
    said = ["from TCP", "from the first page", "from the second page"]
    for page in (first, second):
        expect(page.locator(".message")).to_have_count(3)
        assert page.evaluate(TEXTS) == said

    second.context.set_offline(True)
    expect(second.locator(".talk .link")).to_have_text("connecting…")
    missed = [f"missed {n}" for n in range(30)]
    for text in missed:
        user.ok("message:send", session_id=session_id, text=text)
    expect(first.locator(".message")).to_have_count(33)
    assert second.locator(".message").count() == 3
    second.context.set_offline(False)
    expect(second.locator(".message")).to_have_count(33)
    for page in (first, second):
        assert page.evaluate(TEXTS) == said + missed
        assert page.evaluate(SEQS) == [event["seq"] for event in user.history(session_id)]


def test_human_takes_over_at_the_desk(open_page: OpenPage, user: Wire) -> None:
    """Waits, is taken, talks, is resolved: at the desk, and for the user over TCP."""
    name = f"Grace {uuid4().hex[:6]}"
    session_id = user.create(user={"user_id": uuid4().hex, "display_name": name})
    user.ok("message:send", session_id=session_id, text="I want a human")
    desk = open_page("#/desk")
    desk.get_by_label("Your name at the desk").fill("Bob")
    desk.get_by_role("button", name="Sit down").click()
    expect(desk.locator(".head .link")).to_have_text("live")
    user.ok("session:handover", session_id=session_id, queue="sales", note="about an invoice")
    row = desk.locator("ol.queue li", has_text=name)
    expect(row).to_contain_text("sales")
    expect(row).to_contain_text("about an invoice")

    desk.get_by_role("button", name=f"Take {name}").click()
    assert user.push("session:assigned")["assignee"] == "Bob"
    expect(desk.locator("ul.queue li", has_text=name)).to_be_visible()
    expect(row).to_have_count(0)
    desk.get_by_label(f"Write to {name}").fill("Hello, I am Bob.")
    desk.get_by_label(f"Write to {name}").press("Enter")
    assert user.push("message:composing")["by"] == {"role": "agent", "id": "Bob"}
    said = user.push("message:received")
    assert (said["author"], said["author_id"], said["text"]) == ("human", "Bob", "Hello, I am Bob.")
    user.ok("message:send", session_id=session_id, text="Good to meet you")
    expect(desk.locator(".message").last).to_contain_text("Good to meet you")
    assert desk.evaluate(TEXTS) == ["I want a human", "Hello, I am Bob.", "Good to meet you"]

    desk.get_by_role("button", name="Resolve").click()
    assert user.push("session:closed")["reason"] == "resolved_by_human"
    expect(desk.locator(".notice")).to_have_text(f"{name} is resolved.")
    expect(desk.get_by_text("You have nobody")).to_be_visible()


def test_two_humans_want_the_same_session(open_page: OpenPage, user: Wire, server: Dashboard) -> None:
    """The slower one is told who was faster."""
    name = f"Radia {uuid4().hex[:6]}"
    session_id = user.create(user={"user_id": uuid4().hex, "display_name": name})
    user.ok("session:handover", session_id=session_id, queue="race")
    desk = open_page("#/desk", stored={"desk": "Bob"})
    take = desk.get_by_role("button", name=f"Take {name}")
    expect(take).to_be_visible()
    # The other one's assignment is on its way to the page when the button is pressed.
    with server.connect("agent", "Eve") as eve:
        desk.evaluate(
            """() => { const realSend = WebSocket.prototype.send
                 WebSocket.prototype.send = function (data) {
                     const send = () => realSend.call(this, data)
                     if (JSON.parse(data).type === 'session:assign') globalThis.held = send
                     else send() } }"""
        )
        take.click()
        desk.wait_for_function("globalThis.held !== undefined")
        eve.ok("session:assign", session_id=session_id)
        desk.evaluate("globalThis.held()")
        expect(desk.locator(".notice")).to_have_text("Eve was faster.")


def test_countdown_and_expiry_are_on_screen_at_their_second(open_page: OpenPage, user: Wire) -> None:
    """The page's clock is moved by hand: what it shows follows from the deadline alone."""
    session_id = user.create(
        user={"user_id": uuid4().hex}, timeouts={"session_timeout": 600, "keep_alive": 60}
    )
    page = open_page("#/broadcast", alone=True)
    page.clock.install()
    page.reload()
    page.evaluate("address => { location.hash = address }", f"#/session/{session_id}")
    shown = page.locator(".expires time")
    expect(shown).to_be_visible()
    page.clock.pause_at(page.evaluate("Date.now() / 1000") + 1)
    deadline = user.session(session_id)["expires_at"]
    left = deadline - page.evaluate("import('/static/clock.js').then(clock => clock.now())")
    for seconds in (120, 61, 59, 3, 2, 1):
        # In the middle of the second at whose end so many are left.
        step = left - (seconds - 0.5)
        page.clock.run_for(round(step * 1000))
        left = seconds - 0.5
        minutes, rest = divmod(seconds, 60)
        written = f"{minutes} min" + (f" {rest} s" if rest else "") if minutes else f"{rest} s"
        expect(shown).to_have_text(written)
    page.clock.run_for(499)
    expect(shown).to_have_text("1 s")
    page.clock.run_for(10)
    expect(shown).to_have_text("now")


def test_session_expires_on_screen(open_page: OpenPage, tmp_path: Path) -> None:
    """At the deadline itself, by its rule, pushed: nobody asks again, and nobody can write any more."""
    with Dashboard(tmp_path) as server, server.connect() as user:
        session_id = user.create(user={"user_id": "ada"}, timeouts={"session_timeout": 2.5})
        page = open_page(f"#/session/{session_id}", server=server)
        deadline = user.session(session_id)["expires_at"]
        expect(page.locator(".states")).to_have_text("expired")
        expired = user.push("session:expired")
        assert expired["at"] == deadline
        shown = page.locator(".expired-at").get_attribute("datetime")
        assert shown == page.evaluate("at => new Date(at * 1000).toISOString()", deadline)
        expect(page.locator(".mark").last).to_contain_text("Expired: inactivity")
        expect(page.get_by_text("A new conversation is a new session")).to_be_visible()
        expect(page.get_by_label("Write a message")).to_have_count(0)
