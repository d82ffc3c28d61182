"""The dashboard's views: each draws what the server knows, for every eye, by keyboard, and as text alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from axe_playwright_python import sync_playwright as axe  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]
from playwright.sync_api import Page, expect

from tests.browser.conftest import Dashboard, OpenPage
from tests.integration.wire import Wire

VIEWS = {
    "#/": "Now",
    "#/sessions": "Sessions",
    "#/desk": "Desk",
    "#/past": "Past",
    "#/charts": "Charts",
    "#/broadcast": "Broadcast",
}
EVIL = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>\'"&amp;\u202e'
"""What somebody writes who wants to run something on the page, or to turn its text around."""


def person(user: Wire, **more: Any) -> tuple[str, str]:
    """A new session and its user's id."""
    user_id = f"user-{uuid4().hex[:8]}"
    return user.create(user={"user_id": user_id, "display_name": f"Ada {user_id}"}, **more), user_id


def serious(page: Page) -> list[str]:
    """What axe finds that keeps somebody out, one line each."""
    checker: Any = axe.Axe()  # the package has no types
    if not page.evaluate("'axe' in window"):
        page.evaluate(checker.axe_script)  # half a megabyte: once a page
    run = "axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations)"
    found: list[dict[str, Any]] = page.evaluate(run)
    return [
        f"{each['id']}: {node['html'][:200]} {node.get('failureSummary', '')[:200]}"
        for each in found
        if each["impact"] in {"serious", "critical"}
        for node in each["nodes"]
    ]


@pytest.mark.parametrize(("size", "scheme"), [("wide", "light"), ("phone", "dark")])
def test_each_view_is_drawn_for_everybody(open_page: OpenPage, user: Wire, scheme: str, size: str) -> None:
    """Each theme and each size once; no serious finding of axe, and nothing that is wider than the screen."""
    session_id, _ = person(user, context={"cart": {"items": 2}})
    user.ok("message:send", session_id=session_id, text="Where is my order?")
    user.ok("session:handover", session_id=session_id, queue="sales", note="a refund")
    page = open_page("#/", size=size, scheme=scheme, stored={"desk": "Bob"})
    for address, title in {**VIEWS, f"#/session/{session_id}": "Ada"}.items():
        page.evaluate("address => { location.hash = address }", address)
        expect(page.get_by_role("heading", level=1)).to_contain_text(title)
        expect(page.locator(".loading")).to_have_count(0)
        assert serious(page) == [], address
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address


def test_text_of_people_is_never_markup(open_page: OpenPage, user: Wire) -> None:
    """Bad input: HTML and script in every place where somebody else's words are shown."""
    session_id = user.create(
        user={"user_id": EVIL, "display_name": EVIL, EVIL[:40]: EVIL},
        context={EVIL[:40]: EVIL, "deep": {"er": [EVIL]}},
        metadata={EVIL[:40]: EVIL},
        channel=EVIL[:60],
    )
    user.ok("message:send", session_id=session_id, text=EVIL, data={"x": EVIL}, message_id=EVIL[:40])
    user.ok(
        "message:send",
        session_id=session_id,
        text="",
        attachments=[{"url": "javascript:window.hit=1", "name": EVIL}],
    )
    user.ok("session:handover", session_id=session_id, queue=EVIL[:60], note=EVIL)
    page = open_page(f"#/session/{session_id}", stored={"desk": EVIL})
    expect(page.locator(".message .text").first).to_have_text(EVIL)
    expect(page.locator(".mark").last).to_contain_text(EVIL)
    for address in (
        "#/sessions",
        "#/desk",
        f"#/past?q={EVIL[:10]}",
        "#/broadcast",
        f"#/session/{session_id}",
    ):
        page.evaluate("address => { location.hash = address }", address)
        expect(page.locator(".loading")).to_have_count(0)
        assert page.locator("main img, main script, main a[href^='javascript']").count() == 0
        assert page.evaluate("window.hit") is None
    page.evaluate("location.hash = '#/desk'")
    page.get_by_role("button", name=f"Look at {EVIL}").first.click()
    expect(page.locator(".message .text").first).to_have_text(EVIL)
    assert page.locator("main img, main script").count() == 0
    assert page.evaluate("window.hit") is None


def test_everything_is_reached_by_keyboard(open_page: OpenPage, user: Wire) -> None:
    """From the list into a session, a message written and sent, without a pointer."""
    session_id, user_id = person(user)
    page = open_page(f"#/sessions?user_id={user_id}")
    link = page.get_by_role("link", name=f"Ada {user_id}")
    expect(link).to_be_visible()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('href')") == f"#/session/{session_id}":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Ada {user_id}")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "TEXTAREA":
            break
    page.keyboard.type("by hand")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("in two lines")
    page.keyboard.press("Enter")
    expect(page.locator(".message.from-user .text")).to_have_text("by hand\nin two lines")
    assert user.push("message:received")["text"] == "by hand\nin two lines"


def test_list_is_filtered_and_paged_by_the_server(open_page: OpenPage, user: Wire) -> None:
    channel = f"channel-{uuid4().hex[:8]}"
    ids = [person(user, channel=channel)[0] for _ in range(60)]
    page = open_page(f"#/sessions?channel={channel}")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(50)
    expect(page.locator(".pager")).to_contain_text("1–50")
    page.get_by_role("button", name="Next").click()
    expect(rows).to_have_count(10)
    expect(page.locator(".pager")).to_contain_text("51–60")
    expect(page.get_by_role("button", name="Next")).to_be_disabled()
    expect(rows.last).to_contain_text(ids[0])
    page.get_by_role("button", name="Previous").click()
    expect(rows).to_have_count(50)
    page.get_by_label("State").select_option("closed")
    expect(page.get_by_text("No session is like that")).to_be_visible()
    assert page.evaluate("location.hash").endswith(f"status=closed&channel={channel}")


def test_long_talk_is_a_window_that_moves(open_page: OpenPage, user: Wire) -> None:
    """Of 901 events at most 600 are on the page; the first and the newest are reached, none is missing."""
    session_id, _ = person(user)
    user.send_many([("message:send", {"session_id": session_id, "text": f"number {n}"}) for n in range(900)])
    for _ in range(900):
        user.recv()
    page = open_page(f"#/session/{session_id}")
    shown = page.locator("li[id^=seq-]")
    expect(shown).to_have_count(200)
    expect(page.get_by_text("number 899", exact=True)).to_be_visible()
    seqs = "[...document.querySelectorAll('li[id^=seq-]')].map(each => Number(each.id.slice(4)))"
    low = 702
    while low > 1:
        page.locator(".scroll").evaluate("room => { room.scrollTop = 0 }")
        low = max(1, low - 200)
        expect(page.locator(f"#seq-{low}")).to_be_attached()
        known = page.evaluate(seqs)
        assert known == list(range(known[0], known[-1] + 1))
        assert len(known) <= 600
    page.get_by_role("button", name="To the newest").click()
    expect(page.get_by_text("number 899", exact=True)).to_be_visible()
    user.ok("message:send", session_id=session_id, text="the newest of all")
    expect(page.get_by_text("the newest of all")).to_be_visible()


def test_link_to_an_event_shows_that_event(open_page: OpenPage, user: Wire) -> None:
    session_id, _ = person(user)
    user.send_many([("message:send", {"session_id": session_id, "text": f"number {n}"}) for n in range(400)])
    for _ in range(400):
        user.recv()
    page = open_page(f"#/session/{session_id}?at=102")
    expect(page.locator("#seq-102.wanted")).to_be_in_viewport()


def test_sensitive_values_are_not_on_the_page(open_page: OpenPage, user: Wire) -> None:
    session_id, _ = person(user, context={"password": "hunter2", "plan": "basic"})
    page = open_page(f"#/session/{session_id}")
    panel = page.get_by_role("region", name="Context")
    expect(panel).to_contain_text("basic")
    expect(panel.locator(".concealed")).to_have_text("hidden")
    assert "hunter2" not in page.content()


def test_unknown_session_says_so(open_page: OpenPage) -> None:
    """Bad input: an id that never was, one with a path in it, and one that no address can hold."""
    page = open_page("#/session/never-was")
    expect(page.get_by_text("There is no such session")).to_be_visible()
    for id_ in ("..%2F..%2Fetc%2Fpasswd", "%zz", "%00"):
        page.evaluate("id => { location.hash = `#/session/${id}` }", id_)
        expect(page.locator(".empty, .failure").first).to_be_visible()


def test_stopped_server_is_told_and_the_page_recovers(open_page: OpenPage, tmp_path: Path) -> None:
    with Dashboard(tmp_path) as server:
        page = open_page("#/sessions", server=server)
        expect(page.get_by_text("No session yet")).to_be_visible()
        port = server.url.rpartition(":")[2]
        server.stop()
        page.get_by_role("button", name="Refresh").click()
        expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
    with Dashboard(tmp_path, "--http-port", port):
        expect(page.get_by_text("No session yet")).to_be_visible()


def test_theme_is_remembered(open_page: OpenPage) -> None:
    page = open_page("#/", scheme="dark")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Light colours").click()
    light = page.evaluate(ground)
    assert light != dark
    page.reload()
    expect(page.get_by_role("button", name="Dark colours")).to_be_visible()
    assert page.evaluate(ground) == light


def test_broadcast_tells_what_became_of_each(open_page: OpenPage, user: Wire) -> None:
    channel = f"channel-{uuid4().hex[:8]}"
    _, known = person(user, channel=channel)
    page = open_page("#/broadcast")
    page.get_by_label("Users").fill(f"{known}\nnew-{known}, {known}")
    page.get_by_label("Message").fill("We close early today.")
    page.get_by_label("Channel").fill(channel)
    expect(page.get_by_text("to 2 users")).to_be_visible()
    page.get_by_role("button", name="Send").click()
    outcome = page.get_by_role("region", name="Progress")
    expect(outcome).to_contain_text("All were tried.")
    expect(outcome.locator("dd")).to_have_text(["1", "0", "1", "0"])
    assert user.push("message:received")["text"] == "We close early today."


def test_search_leads_to_the_message_that_was_said(open_page: OpenPage, user: Wire) -> None:
    """Bad input: markup in what is found, and the syntax of the index in what is asked."""
    word = f"w{uuid4().hex[:10]}"
    session_id, _ = person(user)
    user.ok("message:send", session_id=session_id, text=f"before {word} {EVIL}")
    page = open_page("#/past")
    page.wait_for_function(
        "async word => (await (await fetch(`/v1/search?q=${word}`)).json()).hits?.length === 1", arg=word
    )
    page.get_by_label("Search what was said").fill(word)
    hit = page.locator(".hits li")
    expect(hit.locator("mark")).to_have_text(word)
    assert page.locator("main img, main script").count() == 0
    for syntax in ('"', "*", "AND OR NOT", "near(", "text:x ^y", "'; DROP TABLE sessions; --"):
        page.get_by_label("Search what was said").fill(syntax)
        expect(page.get_by_label("Messages found")).to_have_attribute("aria-busy", "false")
        expect(hit.filter(has_text=word)).to_have_count(0)
        expect(page.locator(".failure:not(:has-text('invalid_payload'))")).to_have_count(0)
    page.get_by_label("Search what was said").fill(word)
    hit.get_by_role("link").click()
    expect(page.locator(".wanted .text")).to_have_text(f"before {word} {EVIL}")
    assert page.evaluate("window.hit") is None
