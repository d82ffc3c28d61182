"""Browsers of strangers, names of strangers, and paths that lead elsewhere."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sojourn.gateway.web.static_files import FOLDER, JOINED, read_files
from tests.gateway.http_house import HttpHouse


@pytest.fixture(scope="module")
def house() -> Iterator[HttpHouse]:
    with HttpHouse(
        allowed_origins=("https://chat.example.org",), allowed_hosts=("api.example.org",)
    ) as house:
        yield house


def raw(house: HttpHouse, target: str) -> bytes:
    """The answer to a GET of a target as it is written, which no client would send so."""
    assert house.server.http_address is not None
    with socket.create_connection(house.server.http_address, 10) as connection:
        request = f"GET {target} HTTP/1.1\r\nHost: {house.authority}\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode("latin-1"))
        received = b""
        while data := connection.recv(1 << 16):
            received += data
        return received


def test_a_page_of_another_site_changes_nothing(house: HttpHouse) -> None:
    for method, path in (
        ("POST", "/v1/sessions"),
        ("PATCH", "/v1/sessions/x/context"),
        ("DELETE", "/v1/users/ada"),
    ):
        for origin in ("https://evil.example", "null", f"http://{house.authority}.evil.example", ""):
            error = house.refused(method, path, {}, 403, Origin=origin)
            assert (error["code"], error["details"]["key"]) == ("forbidden", "Origin")
    assert house.ok("GET", "/v1/sessions")["sessions"] == []


def test_our_own_pages_and_allowed_sites_may(house: HttpHouse) -> None:
    for origin in (house.url, "https://chat.example.org"):
        house.ok("POST", "/v1/sessions", {"channel": "own"}, 201, Origin=origin)
    house.ok("POST", "/v1/sessions", {"channel": "own"}, 201)  # a program sends none


def test_only_allowed_sites_may_read(house: HttpHouse) -> None:
    allowed = house.ask("GET", "/v1/sessions", Origin="https://chat.example.org")
    assert allowed.headers["access-control-allow-origin"] == "https://chat.example.org"
    other = house.ask("GET", "/v1/sessions", Origin="https://evil.example")
    assert "access-control-allow-origin" not in other.headers
    asked = house.ask(
        "OPTIONS",
        "/v1/sessions",
        Origin="https://chat.example.org",
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="idempotency-key",
    )
    assert asked.status_code == 200
    assert "POST" in asked.headers["access-control-allow-methods"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7412", "127.0.0.1.evil.example", "a b", ""])
def test_a_name_that_was_bent_to_this_address_reads_nothing(house: HttpHouse, host: str) -> None:
    """DNS rebinding: the page is of evil.example, and so is, for the browser, this server."""
    error = house.refused("GET", "/v1/sessions", status=403, Host=host)
    assert (error["code"], error["details"]["key"]) == ("forbidden", "Host")
    assert house.ask("GET", "/", Host=host).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1", "[::1]:7412", "api.example.org"])
def test_our_own_names_are_answered(house: HttpHouse, host: str) -> None:
    assert house.ask("GET", "/healthz", Host=host).status_code == 200


@pytest.mark.parametrize("path", ["/", "/v1/sessions", "/v1/nothing", "/static/icon.svg", "/docs"])
def test_every_answer_says_what_a_page_may_load(house: HttpHouse, path: str) -> None:
    headers = house.ask("GET", path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "target",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/..%5capp.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/icon.svg%00.html",
        "/static/",
        "/static/vendor",
        "/static/" + "a/" * 2000,
        "/static/" + "a" * 5000,
        "/static/\xff",
    ],
)
def test_paths_lead_nowhere_but_to_the_files(house: HttpHouse, target: str) -> None:
    answer = raw(house, target)
    status = int(answer.split(b" ", 2)[1])
    assert status in {400, 404}, answer[:200]
    assert b"root:" not in answer
    assert b"import" not in answer


def test_a_link_does_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    """Bad input: a link to a file, and one to a folder, that are elsewhere."""
    secret = tmp_path / "secret.js"
    secret.write_text("root:", "utf-8")
    inside = tmp_path / "static"
    (inside / "views").mkdir(parents=True)
    (inside / "views" / "own.js").write_text("", "utf-8")
    (inside / "linked.js").symlink_to(secret)
    (inside / "folder").symlink_to(tmp_path)
    assert list(read_files(inside)) == ["views/own.js"]


def test_every_file_is_shipped_as_what_it_is(house: HttpHouse) -> None:
    """Browsers run no module and take no style sheet under another type: `nosniff`."""
    kinds = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}
    files = [each for each in FOLDER.rglob("*") if each.is_file()]
    assert len(files) > 30
    for file in files:
        answer = house.ask("GET", f"/static/{file.relative_to(FOLDER).as_posix()}")
        assert answer.content == file.read_bytes()
        assert answer.headers["content-type"].startswith(kinds.get(file.suffix, "text/plain")), file


def test_the_pages_name_only_what_is_there(house: HttpHouse) -> None:
    """Every style sheet, script and module that is loaded beforehand; and each of them once."""
    for address in ("/", "/docs", "/asyncapi"):
        named = re.findall(r'(?:href|src)="(/static/[^"]+)"', house.ask("GET", address).text)
        assert len(named) == len(set(named)) > 1
        for path in named:
            assert house.ask("GET", path).status_code == 200, path


def test_style_sheets_come_as_one(house: HttpHouse) -> None:
    joined = house.ask("GET", "/static/dashboard.css").text
    at = [joined.index((FOLDER / name).read_text("utf-8")) for name in JOINED["dashboard.css"]]
    assert at == sorted(at)
    assert house.ask("GET", "/").text.count('rel="stylesheet"') == 1


def test_files_are_read_once_and_by_no_thread(house: HttpHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    house.ask("GET", "/")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a file was opened, or a thread was asked")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    monkeypatch.setattr("anyio.to_thread.run_sync", refuse)
    for path in ("/", "/sojourn.js", "/docs", "/asyncapi", "/static/app.js", "/static/vendor/swagger-ui.js"):
        assert house.ask("GET", path).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_files_are_only_read(house: HttpHouse, method: str) -> None:
    error = house.refused(method, "/static/app.js", status=405)
    assert error["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["/", "/static/icon.svg", "/docs"])
def test_files_are_asked_for_again_and_sent_once(house: HttpHouse, path: str) -> None:
    first = house.ask("GET", path)
    assert first.status_code == 200
    assert first.headers["cache-control"] == "no-cache"
    tag = first.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = house.ask("GET", path, If_None_Match=known)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert again.headers["cache-control"] == "no-cache"
    for other in ('"other"', tag.strip('"'), "", '"'):
        assert house.ask("GET", path, If_None_Match=other).status_code == 200
    head = house.ask("HEAD", path)
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(first.content)))


def test_pages_hold_no_script_and_nothing_from_elsewhere() -> None:
    pages = list(FOLDER.rglob("*.html"))
    assert pages
    for page in pages:
        text = page.read_text("utf-8")
        assert "<script>" not in text
        assert "style=" not in text
        assert "//" not in text.replace("<!doctype html>", ""), page


def test_our_fault_is_an_error_like_others_and_its_id_is_in_the_log(
    house: HttpHouse, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken part behind the door, whichever it is: here the one that reads the desk."""

    def broken(_queue: str | None = None) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(house.runtime, "desk", broken)
    error = house.refused("GET", "/v1/desk", status=500)
    assert error["code"] == "internal_error"
    assert "broken" not in error["message"]
    assert error["details"]["error_id"] in caplog.text
    assert len([record for record in caplog.records if record.exc_info]) == 1
