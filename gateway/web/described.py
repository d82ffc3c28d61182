"""What the OpenAPI document says of an operation, from the table that judges it.

FastAPI checks none of it: the request table is the only judge of shapes. So document and behaviour cannot
part.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from sojourn.gateway.checking import SERVICE, STAFF, Request
from sojourn.gateway.messages import REQUESTS

from .frames import IDENTITY_HEADER, KEY_HEADER, ROLE_HEADER
from .schemas import component

Schema = dict[str, Any]
Parameter = dict[str, Any]

CALLER: Final[tuple[Parameter, ...]] = (
    {"$ref": "#/components/parameters/Role"},
    {"$ref": "#/components/parameters/Identity"},
)
PARAMETERS: Final[Mapping[str, Parameter]] = {
    "Role": {
        "name": ROLE_HEADER,
        "in": "header",
        "description": "As whom the request is made; `service` unless given.",
        "schema": {"type": "string", "enum": ["user", "agent", "service"], "default": "service"},
    },
    "Identity": {
        "name": IDENTITY_HEADER,
        "in": "header",
        "description": "Who the caller is: in `by`, `author_id` and `assignee`.",
        "schema": {"type": "string"},
    },
}
REQUEST: Final = "x-sojourn-request"
"""Where the document names the request of the wire that an operation is."""
_NOT_OF_HTTP: Final = frozenset({"id", "attach"})


def operation(
    request: str | None,
    reply: str | Schema | None = None,
    *,
    status: int = 200,
    takes: Literal["body", "query"] | None = "body",
    without: Iterable[str] = ("session_id",),
    key: str | None = None,
    body: Schema | None = None,
    parameters: Iterable[Parameter] = (),
    media: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The arguments of a route.

    `reply` is the component that it answers with, or a schema, unless that is the reply of the table; "" is
    none.
    `request` names a row of the request table; its keys but `without` stand in the body or in the query, and
    `key` is the one that `Idempotency-Key` names. `body` describes a body that is no such map; `media` are
    other media types of the answer, and what they are.
    """
    row = None if request is None else REQUESTS.get(request)
    listed = [*CALLER, *parameters]
    extra: Schema = {}
    if key is not None:
        listed.append(
            {
                "name": KEY_HEADER,
                "in": "header",
                "description": f"The `{key}`: sent again, the request is answered as the first time.",
                "schema": {"type": "string"},
            }
        )
    if row is not None and takes == "query":
        listed += _query(row, without)
    elif body is not None or (row is not None and takes == "body"):
        schema = _body(row, without) if body is None and row is not None else body
        needed = body is not None or (row is not None and bool(set(row.required) - set(without)))
        extra["requestBody"] = {"required": needed, "content": {"application/json": {"schema": schema}}}
    extra["parameters"] = listed
    if row is not None:
        extra[REQUEST] = row.name
    name = component(row.reply) if reply is None and row is not None else reply
    schema_of_reply = _component(name) if isinstance(name, str) else name
    content: Schema = {"application/json": {"schema": schema_of_reply}} if name else {}
    for kind, meaning in (media or {}).items():
        content[kind] = {"schema": {"type": "string", "description": meaning}}
    return {
        "status_code": status,
        "openapi_extra": extra,
        "responses": {
            status: {"description": "Done.", "content": content},
            "default": {
                "description": "Refused, and nothing was changed.",
                "content": {"application/json": {"schema": _component("Error")}},
            },
        },
    }


def who_may(row: Request) -> str:
    """Which request of the wire it is, and whose, for people."""
    if row.roles == frozenset({SERVICE}):
        who = "For services."
    elif row.roles == STAFF:
        who = "For agents and services."
    else:
        who = ""
    return f"`{row.name}` of the wire. {who}".rstrip()


def _component(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _body(row: Request, without: Iterable[str]) -> Schema:
    left_out = _NOT_OF_HTTP | set(without)
    schema: Schema = {
        "type": "object",
        "properties": {
            name: _nullable(dict(each.kind.schema), required=each.required)
            for name, each in row.fields.items()
            if name not in left_out
        },
    }
    required = [name for name in row.required if name not in left_out]
    if required:
        schema["required"] = required
    return schema


def _nullable(schema: Schema, *, required: bool) -> Schema:
    """An optional key that is null counts as absent."""
    if required or not schema:
        return schema
    return {"anyOf": [schema, {"type": "null"}]}


def _query(row: Request, without: Iterable[str]) -> list[Parameter]:
    left_out = _NOT_OF_HTTP | set(without)
    return [
        {"name": name, "in": "query", "required": each.required, "schema": dict(each.kind.schema)}
        for name, each in row.fields.items()
        if name not in left_out
    ]
