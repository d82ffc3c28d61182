"""Search, past sessions and statistics over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sojourn.storage.insights import Insights
from tests.gateway.http_house import HttpHouse


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("insights") / "sessions.db")


@pytest.fixture(scope="module")
def house(path: str) -> Iterator[HttpHouse]:
    """Two talks that are gathered, and an event that is not yet."""
    with HttpHouse(path) as house:
        for user, text in (("ada", "Where is my <b>order</b>?"), ("bob", "order & order")):
            made = house.ok("POST", "/v1/sessions", {"user": {"user_id": user}}, 201)
            house.say(made["session_id"], text)
        house.ok("POST", f"/v1/sessions/{made['session_id']}/close")
        with Insights.open(path) as insights:
            insights.catch_up_all()
        house.ok("POST", "/v1/sessions", {"user": {"user_id": "eve"}}, 201)
        yield house


def test_a_search_answers_hits_in_pieces_and_says_what_it_does_not_know(house: HttpHouse) -> None:
    found = house.ok("GET", "/v1/search?q=ORDER&user_id=ada")
    assert found["behind"] == 1
    assert found["cursor"] is None
    (hit,) = found["hits"]
    assert (hit["user_id"], hit["seq"], hit["status"], hit["tags"]) == ("ada", 2, "active", [])
    assert hit["snippet"] == [["Where is my <b>", False], ["order", True], ["</b>?", False]]


def test_pages_of_hits_join(house: HttpHouse) -> None:
    first = house.ok("GET", "/v1/search?q=order&limit=1")
    second = house.ok("GET", f"/v1/search?q=order&limit=1&cursor={first['cursor']}")
    assert [hit["user_id"] for hit in first["hits"] + second["hits"]] == ["bob", "ada"]


@pytest.mark.parametrize("address", ["/v1/search?q=", "/v1/search?q=%20", "/v1/search", "/v1/past"])
def test_without_words_the_filters_alone_find_sessions(house: HttpHouse, address: str) -> None:
    more = "&" if "?" in address else "?"
    found = house.ok("GET", f"{address}{more}status=closed&sort=length&order=asc")
    assert found["total"] == 1
    assert [(each["user_id"], each["messages"]) for each in found["sessions"]] == [("bob", 1)]


def test_statistics_have_buckets_and_a_summary(house: HttpHouse) -> None:
    found = house.ok("GET", "/v1/stats?bucket=hour")
    assert sum(bucket["opened"] for bucket in found["buckets"]) == 2
    assert found["summary"]["sessions"] == 2
    assert set(found["summary"]["ratings"]) == {"1", "2", "3", "4", "5"}


@pytest.mark.parametrize(
    ("query", "key"),
    [
        ("search?q=-order", "q"),
        ("search?q=x&limit=0", "limit"),
        ("search?q=x&limit=99999999999999999999", "limit"),
        ("search?q=x&limit=ten", "limit"),
        ("search?q=x&cursor=AAAA", "cursor"),
        ("search?q=x&status=open", "status"),
        ("search?q=x&since=yesterday", "since"),
        ("search?q=x&until=inf", "until"),
        ("search?q=x&rating=nan", "rating"),
        ("past?sort=key", "sort"),
        ("past?order=up", "order"),
        ("stats?bucket=second", "bucket"),
        ("stats?since=1e300", "since"),
    ],
)
def test_a_bad_question_is_refused_with_its_key(house: HttpHouse, query: str, key: str) -> None:
    error = house.refused("GET", f"/v1/{query}")
    assert error["code"] == "invalid_payload"
    assert error["details"]["key"] == key


@pytest.mark.parametrize("q", ["%00", "%22", "%27%3B--", "NEAR(", "%F0%9F%98%80", "%ED%A0%80", "*", "a%22*"])
def test_no_text_is_an_error(house: HttpHouse, q: str) -> None:
    assert house.ok("GET", f"/v1/search?q={q}")["hits"] == []


@pytest.mark.parametrize("address", ["search?q=order", "past", "stats"])
def test_users_may_not_ask(house: HttpHouse, address: str) -> None:
    error = house.refused("GET", f"/v1/{address}", status=403, Sojourn_Role="user")
    assert error["code"] == "forbidden"


def test_where_there_are_no_insights_that_is_said(tmp_path: Path) -> None:
    with HttpHouse() as house:
        assert "database file" in house.refused("GET", "/v1/stats", status=409)["message"]
    with HttpHouse(str(tmp_path / "sessions.db")) as house:
        error = house.refused("GET", "/v1/stats", status=409)
        assert error["message"] == "No insights: nobody has gathered them yet (setting insights)."
        house.server.lookout.insights_wanted = True
        house.ok("POST", "/v1/sessions", {"channel": "web"}, 201)
        for address in ("stats", "past", "search?q=order"):
            answer = house.ask("GET", f"/v1/{address}")
            assert answer.status_code == 429
            assert answer.json()["code"] == "overloaded"
            assert answer.json()["details"] == {"behind": 1}
            assert answer.headers["Retry-After"] == "1"


def test_a_file_that_cannot_be_read_is_no_ones_business_outside(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    with HttpHouse(str(path)) as house:
        Path(f"{path}-insights").write_bytes(b"no database " * 1000)
        error = house.refused("GET", "/v1/past", status=503)
        assert error["code"] == "storage_failed"
        assert str(tmp_path) not in str(error)
