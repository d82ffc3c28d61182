"""The components of the OpenAPI document: what the wire's replies hold, and the shapes that only HTTP has."""

from collections.abc import Mapping
from typing import Any, Final

from sojourn.gateway.shape_parts import COUNT, MAP, MAPS, TEXT, Schema, maps, shape
from sojourn.gateway.shapes import ERROR, REPLIES

from .answers import MEANINGS


def component(reply: str) -> str:
    """The name of a reply of the wire among the components, where a colon may not stand."""
    return reply.replace(":", ".")


def _described(code_schema: Schema) -> Schema:
    told = "\n".join(f"* `{code}`: {meaning}" for code, meaning in MEANINGS.items())
    return {**code_schema, "enum": list(MEANINGS), "description": f"For programs.\n\n{told}"}


def _error() -> Schema:
    properties: Mapping[str, Any] = ERROR["properties"]
    return {**ERROR, "properties": {**properties, "code": _described(properties["code"])}}


SCHEMAS: Final[Mapping[str, Schema]] = {
    **MAPS,
    **{component(name): schema for name, schema in REPLIES.items()},
    "Error": _error(),
    "Context": shape(
        "The context, and its version.",
        session_id=TEXT,
        context=MAP,
        context_version={"type": "integer", "minimum": 1},
    ),
    "Desk": shape("What waits for humans, who is next first.", waiting=maps("Waiting")),
    "Progress": shape(
        "How far a broadcast is.",
        broadcast_id=TEXT,
        total=COUNT,
        created=COUNT,
        delivered=COUNT,
        reopened=COUNT,
        failed=COUNT,
    ),
}
