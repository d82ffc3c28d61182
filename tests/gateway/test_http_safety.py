"""Browsers of strangers, names of strangers, and paths that lead elsewhere."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sojourn.gateway.web.static_files import FOLDER
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


def test_a_link_does_not_lead_out_of_the_folder(house: HttpHouse, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("root:", "utf-8")
    link = FOLDER / "link-of-a-test.txt"
    link.symlink_to(secret)
    try:
        assert house.ask("GET", "/static/link-of-a-test.txt").status_code == 404
    finally:
        link.unlink()


@pytest.mark.parametrize("path", ["/", "/static/icon.svg", "/docs"])
def test_files_are_asked_for_again_and_sent_once(house: HttpHouse, path: str) -> None:
    first = house.ask("GET", path)
    assert first.status_code == 200
    assert first.headers["cache-control"] == "no-cache"
    again = house.ask("GET", path, If_None_Match=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
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
