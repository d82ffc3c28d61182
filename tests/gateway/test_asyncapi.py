"""The AsyncAPI document holds every message, and AsyncAPI's own parser takes it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from sojourn.actors.lifecycle import TABLE
from sojourn.gateway.asyncapi import CHANNELS, document
from sojourn.gateway.errors import ERROR_CODES, GOODBYE_CODES
from sojourn.gateway.messages import REQUESTS
from sojourn.gateway.shapes import EVENTS
from sojourn.storage import EVENT_TYPES

DOCUMENT = document()
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]

CHECK = """
import { Parser } from "@asyncapi/parser";
import { readFileSync } from "node:fs";
const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf-8"));
for (const each of diagnostics.filter(({ severity }) => severity <= 1))
  console.log(each.severity, each.code, each.path.join("."), each.message);
console.log(document ? "read" : "refused");
"""
PARSER = "@asyncapi/parser@3"
PATIENCE = 120.0


def references(value: object) -> Iterator[str]:
    """Every `$ref` at any depth."""
    if isinstance(value, dict):
        for key, inner in cast("dict[str, object]", value).items():
            if key == "$ref":
                yield cast(str, inner)
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in cast("list[object]", value):
            yield from references(inner)


def test_every_request_has_an_operation_with_its_reply_on_each_channel() -> None:
    for channel in CHANNELS:
        for request in REQUESTS.values():
            key = request.name.replace(":", ".")
            operation = DOCUMENT["operations"].get(f"{channel}.{key}")
            assert (operation is not None) == request.built
            if operation is not None:
                assert operation["action"] == "receive"
                (taken,) = operation["messages"]
                assert taken["$ref"].endswith(f"/request.{key}")
                answers = [answer["$ref"].rpartition("/")[2] for answer in operation["reply"]["messages"]]
                assert answers == [f"reply.{request.reply.replace(':', '.')}", "error"]


def test_every_durable_event_is_described() -> None:
    assert set(EVENTS) == set(EVENT_TYPES)
    assert {name for step in TABLE.values() for name in step.events} <= set(EVENTS)


def test_every_code_is_named() -> None:
    assert MESSAGES["error"]["payload"]["properties"]["code"]["enum"] == list(ERROR_CODES)
    assert MESSAGES["goodbye"]["payload"]["properties"]["code"]["enum"] == list(GOODBYE_CODES)


@pytest.mark.parametrize("key", sorted(MESSAGES))
def test_a_message_names_its_type_and_says_what_it_is(key: str) -> None:
    payload = MESSAGES[key]["payload"]
    assert payload["properties"]["type"] == {"const": MESSAGES[key]["name"]}
    assert "type" in payload["required"]
    assert set(payload["required"]) <= set(payload["properties"])
    assert MESSAGES[key]["description"]


def test_every_reference_leads_somewhere() -> None:
    for reference in references(DOCUMENT):
        place: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_it_is_the_same_each_time_and_plain_json() -> None:
    assert json.dumps(document()) == json.dumps(DOCUMENT)
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT


@pytest.mark.slow
def test_the_parser_of_asyncapi_takes_it(tmp_path: Path) -> None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("needs node and npm")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "check.js").write_text(CHECK)
    (tmp_path / "document.json").write_text(json.dumps(DOCUMENT))
    install = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", PARSER]
    try:
        subprocess.run(install, cwd=tmp_path, check=True, capture_output=True, timeout=PATIENCE)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"{PARSER} cannot be had: {error}")
    read = subprocess.run(
        [node, "check.js", "document.json"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert read.stdout.splitlines() == ["read"]
