"""How long does one wait for the dashboard? First paint, a view with its data, and results while typing.

`python -m benchmarks.dashboard` replays the real conversations (258,145 messages) into `sojourn serve`,
waits until all of them can be searched, and opens every view in headless Chromium with an empty cache; then
it types searches, key by key, and takes the time from the last key to the painted results: the page's own
pause, the question, the drawing. The same views once more on a file with 100,000 sessions.

Times are the browser's own: first contentful paint, and the frame behind the change that showed the last of
the data. The server has the first core, the browser the second.

Bar: 300 ms for the first paint and for each search (median of the rounds).

Not measured: a network between the two, a phone's processor, a server under load (see `looking`).
"""

import argparse
import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Page, sync_playwright

from .findings import ANSWERS, Answer, Chart, Finding, command_line
from .harness import Spread, progress
from .loadgen import ROOT
from .looking import with_http
from .machine import machine, scratch
from .restart import killed_after_filling
from .servers import Command, HarnessError, ServerProcess, default_cores, pinned, sojourn

BAR_MS: Final = 300.0
SESSIONS: Final = 100_000
KEY_MS: Final = 40.0
"""Between two keys, as one types fast."""
VIEWS: Final[Mapping[str, str]] = {
    "Now": "#/",
    "Sessions": "#/sessions",
    "One session": "#/session/{longest}",
    "Desk": "#/desk",
    "Past": "#/past?sort=messages",
    "Charts": "#/charts?period=day",
}
"""Each view that shows data; `longest` is the session with the most messages."""
SEARCHES: Final[Mapping[str, str]] = {
    "the most frequent word": "the",
    "a greeting": "hello",
    "a rare word": "zebra",
    "two words": "music food",
    "a phrase": '"how are you"',
    "beginnings of words": "wea* sun*",
    "a word without another": "weather -sunny",
    "nobody said it": "qwxyz",
}
OPTIONS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

WATCH_DRAWING: Final = """
new MutationObserver((_, watcher) => {
  if (!document.querySelector("main h1") || document.querySelector("main .loading")) return;
  watcher.disconnect();
  requestAnimationFrame(() => setTimeout(() => { window.drawnAt = performance.now(); }));
}).observe(document, { childList: true, subtree: true });
"""
"""Before any script of the page: when a view stood with its data, in ms since the navigation began."""
WATCH_TYPING: Final = """
word => {
  const room = document.querySelector("main section.panel");
  const asks = () => new URLSearchParams(location.hash.split("?")[1]).get("q") === word;
  let asked = false;
  window.shown = null;
  const box = document.querySelector("input.big");
  box.addEventListener("input", () => { window.typedAt = performance.now(); });
  new MutationObserver((_, watcher) => {
    if (room.getAttribute("aria-busy") === "true") asked = asks();
    else if (asked) {
      watcher.disconnect();
      requestAnimationFrame(() => setTimeout(() => { window.shown = performance.now() - window.typedAt; }));
    }
  }).observe(room, { attributeFilter: ["aria-busy"] });
}
"""
"""From the last key to the painted answer to exactly this question, in ms."""

Times = dict[str, list[float]]


def chromium() -> str:
    """Where the browser is; raises HarnessError."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if found is None:
        raise HarnessError("there is no browser: install chromium, or name one in CHROMIUM")
    return found


def with_pages(db: Path) -> Command:
    """`sojourn serve` on `db` with its HTTP port and its search index, which others are measured without."""
    command = with_http(sojourn(db))
    return Command(command.name, ("env", "SOJOURN_INSIGHTS=true", *command.arguments))


def ask(server: ServerProcess, path: str, *, early: bool = False) -> dict[str, Any]:
    """What the server answers to one GET; raises HarnessError where it is a refusal.

    early: the search index may not be there yet (409), or be filled just now (429): then nothing is known.
    """
    connection = http.client.HTTPConnection(*server.http_address, timeout=60)
    connection.request("GET", path, headers={"Sojourn-Role": "service"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if early and answer.status in {409, 429}:
        return {"behind": None, "total": 0}
    if answer.status != 200:
        raise HarnessError(f"{path} answered {answer.status}: {body[:200]!r}")
    found: dict[str, Any] = json.loads(body)
    return found


def wait_until_searchable(server: ServerProcess, sessions: int, patience: float = 60.0) -> int:
    """Wait until the search index has everything; how many sessions it knows. Raises HarnessError."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        found = ask(server, "/v1/search?limit=1", early=True)
        if found["behind"] == 0 and found["total"] >= sessions:
            return int(found["total"])
        time.sleep(0.2)
    raise HarnessError(f"the search index was behind for more than {patience:g} s")


def replay(server: ServerProcess, limit: int | None) -> dict[str, Any]:
    """The real conversations, over TCP; what came of it."""
    options = [] if limit is None else ["--limit", str(limit)]
    port = str(server.address[1])
    command = [sys.executable, "-m", "sojourn", "replay", "--json", "--port", port, *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HarnessError(f"the replay failed: {done.stderr.strip()}")
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


@contextmanager
def page_of(browser: Browser, server: ServerProcess) -> Generator[Page]:
    """A page in a context of its own: nothing is cached, nobody has been here."""
    context = browser.new_context(viewport={"width": 1360, "height": 860})
    context.add_init_script(WATCH_DRAWING)
    context.add_init_script("localStorage.setItem('desk', 'Bob')")
    try:
        yield context.new_page()
    finally:
        context.close()


def time_views(browser: Browser, server: ServerProcess, rounds: int) -> tuple[Times, Times]:
    """Milliseconds to the first contentful paint, and to the view with its data; by view."""
    longest = ask(server, "/v1/past?sort=messages&limit=1")["sessions"][0]["session_id"]
    host, port = server.http_address
    painted: Times = {name: [] for name in VIEWS}
    drawn: Times = {name: [] for name in VIEWS}
    for _ in range(rounds):
        for name, address in VIEWS.items():
            with page_of(browser, server) as page:
                page.goto(f"http://{host}:{port}/{address.format(longest=longest)}")
                page.wait_for_function("() => window.drawnAt")
                paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
                painted[name].append(page.evaluate(paint))
                drawn[name].append(page.evaluate("window.drawnAt"))
    return painted, drawn


def time_searches(browser: Browser, server: ServerProcess, rounds: int) -> Times:
    """Milliseconds from the last key to the painted results, by search."""
    host, port = server.http_address
    taken: Times = {name: [] for name in SEARCHES}
    for _ in range(rounds):
        for name, words in SEARCHES.items():
            with page_of(browser, server) as page:
                page.goto(f"http://{host}:{port}/#/past")
                page.wait_for_function("() => window.drawnAt")
                page.evaluate(WATCH_TYPING, words)
                page.locator("input.big").press_sequentially(words, delay=KEY_MS)
                page.wait_for_function("() => window.shown !== null")
                taken[name].append(page.evaluate("window.shown"))
    return taken


def findings_of(what: str, times: Times, *, bar: float | None, note: str = "") -> list[Finding]:
    """A finding for each name: the median of the rounds, the least and the most."""
    found: list[Finding] = []
    for name, taken in times.items():
        spread = Spread.of(taken)
        found.append(
            Finding(
                what=f"{what}: {name}",
                value=spread.median,
                low=spread.low,
                high=spread.high,
                unit="ms",
                bar=bar,
                at_most=True,
                note=note,
            )
        )
    return found


def chart_of(name: str, title: str, series: Mapping[str, Times]) -> Chart:
    """Milliseconds side by side."""
    points: dict[str, list[tuple[str | float, float, float, float]]] = {}
    for kind, times in series.items():
        spreads = {each: Spread.of(taken) for each, taken in times.items()}
        points[kind] = [(each, spread.median, spread.low, spread.high) for each, spread in spreads.items()]
    return Chart(name=name, title=title, kind="bars", y="ms", series=points)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.dashboard",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sessions", type=int, default=SESSIONS, help="of the large file (100,000)")
    parser.add_argument("--directory", type=Path, help="for database files")
    parser.add_argument("--into", type=Path, default=ANSWERS, help="folder for the answer")
    parser.add_argument("--quick", action="store_true", help="a few conversations and sessions, without bars")
    given = parser.parse_args(arguments)
    quick: bool = given.quick
    rounds: int = 2 if quick else given.rounds
    sessions: int = min(given.sessions, 2000) if quick else given.sessions
    bar = None if quick else BAR_MS
    answer = Answer(question="dashboard", command=command_line("dashboard"), machine=machine(given.directory))
    server_cores, browser_cores = default_cores()
    try:
        with scratch(given.directory) as place, pinned(browser_cores), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=OPTIONS)
            with ServerProcess(with_pages(place / "real.db"), cores=server_cores) as server:
                summary = replay(server, 100 if quick else None)
                wait_until_searchable(server, summary["sessions_created"])
                real = f"{summary['messages']:,} messages of {summary['sessions_created']:,} sessions"
                progress(f"views on {real}")
                painted, drawn = time_views(browser, server, rounds)
                searched = time_searches(browser, server, rounds)
            progress(f"filling {sessions:,} sessions")
            with killed_after_filling(place / "large.db", "--sessions", str(sessions)):
                pass
            with ServerProcess(
                with_pages(place / "large.db"), cores=server_cores, ready_timeout=120.0
            ) as server:
                large = f"{wait_until_searchable(server, sessions):,} sessions"
                progress(f"views on {large}")
                large_painted, large_drawn = time_views(browser, server, rounds)
            browser.close()
    except HarnessError as error:
        sys.exit(f"dashboard: {error}")
    answer.findings.extend(
        [
            *findings_of("first paint", painted, bar=bar, note=real),
            *findings_of("search", searched, bar=bar, note=real),
            *findings_of("with its data", drawn, bar=None, note=real),
            *findings_of(f"first paint, {large}", large_painted, bar=bar),
            *findings_of(f"with its data, {large}", large_drawn, bar=None),
        ]
    )
    series = {real: drawn, large: large_drawn}
    answer.charts.append(chart_of("dashboard-views", "How long until a view stands with its data?", series))
    answer.charts.append(chart_of("dashboard-searches", "From the last key to the results", {real: searched}))
    answer.detail.update(
        painted=painted, drawn=drawn, searched=searched, large_painted=large_painted, large_drawn=large_drawn
    )
    answer.save(given.into)
    for finding in answer.findings:
        print(finding.format())


if __name__ == "__main__":
    main()
