"""The OpenAPI document: valid, about what is there, and true of real answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from sojourn.gateway.messages import REQUESTS
from tests.gateway.http_house import HttpHouse

Map = dict[str, Any]


@pytest.fixture(scope="module")
def house() -> Iterator[HttpHouse]:
    with HttpHouse() as house:
        yield house


@pytest.fixture(scope="module")
def document(house: HttpHouse) -> Map:
    return house.ok("GET", "/openapi.json")


def operations(document: Map) -> Iterator[tuple[str, str, Map]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def test_the_document_is_valid(document: Map) -> None:
    validate(document)


def test_every_operation_is_described_and_named_once(document: Map) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names))
    for method, path, operation in operations(document):
        assert operation["description"], (method, path)
        assert operation["tags"], (method, path)


def test_requests_of_the_wire_have_an_address(document: Map) -> None:
    """Those of a connection itself have none, and a service sends dead letters again at the command line."""
    of_a_connection = {"hello", "ping", "session:resume", "session:detach", "watch"}
    addressed = {operation.get("x-sojourn-request") for _, _, operation in operations(document)}
    built = {name for name, request in REQUESTS.items() if request.built}
    assert built - addressed - of_a_connection <= {"webhook:resend"}


def test_keys_of_the_request_table_are_in_the_document(document: Map) -> None:
    body = document["paths"]["/v1/sessions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["properties"]) == set(REQUESTS["session:create"].fields) - {"id", "attach"}
    query = {each.get("name") for each in document["paths"]["/v1/sessions"]["get"]["parameters"]}
    assert {"status", "handling", "limit", "cursor"} <= query


def holds(document: Map, method: str, path: str, status: int, body: Map) -> None:
    """Is `body` what the document says of this answer?"""
    responses = document["paths"][path][method]["responses"]
    schema = responses.get(str(status), responses["default"])["content"]["application/json"]["schema"]
    validator: Any = Draft202012Validator({**schema, "components": document["components"]})
    validator.validate(body)


def test_real_answers_are_what_the_document_says(house: HttpHouse, document: Map) -> None:
    made = house.ok("POST", "/v1/sessions", {"user": {"user_id": "ada"}, "context": {"a": 1}}, 201)
    holds(document, "post", "/v1/sessions", 201, made)
    at, here = "/v1/sessions/{session_id}", f"/v1/sessions/{made['session_id']}"
    for method, below, body in (
        ("POST", "/messages", {"text": "hi", "author": "user"}),
        ("PATCH", "/context", {"b": 2}),
        ("POST", "/handover", {"queue": "q"}),
        ("POST", "/assign", {"assignee": "bob"}),
        ("POST", "/release", None),
        ("POST", "/tags", {"add": ["x"]}),
        ("POST", "/compose", {"action": "stop"}),
        ("POST", "/read", {"read_seq": 1}),
        ("POST", "/rate", {"rating": 4}),
        ("POST", "/close", {"reason": "over"}),
        ("POST", "/reopen", None),
        ("POST", "/resolve", None),
        ("GET", "", None),
        ("GET", "/context", None),
        ("GET", "/history", None),
        ("GET", "/why", None),
    ):
        answer = house.ok(method, here + below, body)
        holds(document, method.lower(), at + below, 200, answer)
    holds(document, "get", "/v1/sessions", 200, house.ok("GET", "/v1/sessions"))
    holds(document, "get", "/v1/desk", 200, house.ok("GET", "/v1/desk"))
    sent = house.ok("POST", "/v1/broadcasts", {"users": [{"user_id": "x"}, {}], "text": "t"})
    holds(document, "post", "/v1/broadcasts", 200, sent)
    holds(document, "delete", at, 200, house.ok("DELETE", here))
    holds(document, "get", at, 404, house.refused("GET", here, status=404))
