"""A real browser on real pages: Chromium (Debian's, or what CHROMIUM names) and a server with its HTTP port.

One browser for the folder's tests, and one context with a page that stays: a page that comes beside it needs
no process of its own, which would cost more than most tests do. What a test stored there goes when it ends.
Who goes offline or moves the clock has a context of its own: both are a context's.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.integration.server_process import ServerProcess
from tests.integration.wire import Wire

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # No process that waits for a page nobody opens; the others are of those that Playwright leaves out.
    "--disable-features=SpareRendererForSitePerProcess,HttpsUpgrades,MediaRouter,PaintHolding,Translate",
]
SIZES = {"wide": (1360, 860), "phone": (390, 844)}


def form(size: str = "wide") -> dict[str, Any]:
    """Of a context's pages. Without motion: a colour that is half on its way has no contrast to be judged."""
    width, height = SIZES[size]
    return {
        "viewport": {"width": width, "height": height},
        "reduced_motion": "reduce",
        "has_touch": size == "phone",
    }


class OpenPage(Protocol):
    """Opens a view on a page that ends with the test; `alone`: in a context that no other page has."""

    def __call__(
        self,
        address: str = "#/",
        *,
        size: str = "wide",
        scheme: str = "light",
        stored: dict[str, str] | None = None,
        server: Dashboard | None = None,
        alone: bool = False,
    ) -> Page: ...


class Dashboard(ServerProcess):
    """A server with its pages at `url`."""

    def __init__(self, folder: Path, *options: str) -> None:
        super().__init__(
            folder,
            "--http-port",
            "0",
            *options,
            insights=True,
            environment={"SOJOURN_SENSITIVE_KEYS": "password"},
        )
        self.url = f"http://{self.ready_line.partition('http=')[2].split()[0]}"


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Ends with this folder's tests: while Playwright lives its event loop counts as running in this thread,
    and no test that comes later could run one of its own.
    """
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no browser at {CHROMIUM}: install chromium, or name one in CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """The shared server; values of the key `password` are sensitive."""
    with Dashboard(tmp_path_factory.mktemp("dashboard")) as server:
        yield server
        assert not server.complaints()


@pytest.fixture(scope="package")
def shared(browser: Browser) -> Iterator[BrowserContext]:
    """The context of most pages."""
    context = browser.new_context(**form())
    yield context
    context.close()


@pytest.fixture
def clean(shared: BrowserContext, server: ServerProcess) -> Iterator[BrowserContext]:
    """The shared context, which forgets what a test stored in it; cookies there are none."""
    if not shared.pages:  # the one that stays
        shared.new_page().goto("http://{}:{}/healthz".format(*server.http_address))
    before = list(shared.pages)
    yield shared
    for page in shared.pages:
        if page not in before:
            page.evaluate("localStorage.clear()")
            page.close()
    assert shared.cookies() == []


@pytest.fixture
def open_page(browser: Browser, clean: BrowserContext, server: Dashboard) -> Iterator[OpenPage]:
    """Opens pages; a script that fails, or that the content security policy stops, fails the test."""
    usual = server
    contexts: list[BrowserContext] = []
    failures: list[str] = []

    def open_one(
        address: str = "#/",
        *,
        size: str = "wide",
        scheme: str = "light",
        stored: dict[str, str] | None = None,
        server: Dashboard | None = None,
        alone: bool = False,
    ) -> Page:
        context = clean
        if alone or size != "wide":
            context = browser.new_context(**form(size))
            contexts.append(context)
        page = context.new_page()
        if scheme == "dark":
            page.emulate_media(color_scheme="dark")
        page.set_default_timeout(10_000)
        for key, value in (stored or {}).items():
            page.add_init_script(f"localStorage.setItem({key!r}, {value!r})")
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.on(
            "console",
            lambda line: failures.append(line.text) if "Content Security Policy" in line.text else None,
        )
        page.goto(f"{(server or usual).url}/{address}")
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert failures == []


@pytest.fixture
def user(server: Dashboard) -> Iterator[Wire]:
    """A user's connection over TCP."""
    with server.connect() as wire:
        yield wire
