"""Which names a server answers to, and whose pages may speak to it."""

from __future__ import annotations

import pytest

from sojourn.gateway.origins import Origins

HERE = Origins("127.0.0.1", ["https://chat.example.org/"], ["chat.example.org"])


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost:7412", "127.0.0.1:7412", "[::1]", "[::1]:7412", "chat.example.org:443"]
)
def test_loopback_and_what_is_allowed_are_names_of_this_server(host: str) -> None:
    assert HERE.knows_host(host)


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "evil.example",
        "localhost.evil.example",
        "evil.example#localhost",
        "localhost/evil.example",
        "evil@localhost",
        "localhost:x",
        "localhost:99999",
        "[::1",
        "::1",
        "0.0.0.0",
    ],
)
def test_no_other_name_is(host: str | None) -> None:
    assert not HERE.knows_host(host)


def test_the_host_it_listens_on_is_a_name_and_the_one_that_means_all_is_none() -> None:
    assert Origins("chat.internal").knows_host("Chat.internal:7412")
    assert not Origins("0.0.0.0").knows_host("0.0.0.0:7412")
    assert not Origins("::").knows_host("[::]:7412")


@pytest.mark.parametrize("listen_host", ["0.0.0.0", "::", "127.0.0.1"])
def test_an_address_needs_no_permission_since_no_name_leads_astray(listen_host: str) -> None:
    here = Origins(listen_host)
    for host in ("192.0.2.1:7412", "10.0.0.5", "[fe80::1]:7412", "[2001:db8::7]"):
        assert here.knows_host(host)
        assert here.allows(f"http://{host}", host)
        assert not here.allows("http://evil.example", host)


@pytest.mark.parametrize(
    "host",
    [
        "192.0.2.1.evil.example",
        "192.0.2",
        "3221225985",
        "0300.0.2.1",
        "0xc0.0.2.1",
        "192.0.2.256",
        "[fe80::g]",
    ],
)
def test_what_only_looks_like_an_address_is_a_name(host: str) -> None:
    assert not Origins("0.0.0.0").knows_host(host)


def test_a_star_allows_all() -> None:
    anybody = Origins("127.0.0.1", ["*"], ["*"])
    assert anybody.knows_host("anything.example")
    assert anybody.allows("https://anything.example", "anything.example:1")
    assert not anybody.knows_host(None)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (None, "localhost:7412"),
        ("http://localhost:7412", "localhost:7412"),
        ("https://localhost:7412", "LOCALHOST:7412"),
        ("https://chat.example.org", "localhost:7412"),
        ("HTTPS://CHAT.example.org", "localhost:7412"),
    ],
)
def test_programs_own_pages_and_allowed_sites_may_speak(origin: str | None, host: str) -> None:
    assert HERE.allows(origin, host)


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "localhost:7412",
        "http://localhost",
        "http://localhost:7413",
        "http://localhost:7412.evil.example",
        "http://evil.example",
        "http://chat.example.org",
        "https://chat.example.org:8443",
    ],
)
def test_no_other_page_may(origin: str) -> None:
    assert not HERE.allows(origin, "localhost:7412")
