"""The wire as an AsyncAPI 3 document, made from the tables that the server works by.

Requests come from the request table, replies, events and errors from `shapes`. There are two channels, the
TCP connection and the WebSocket, which carry the same messages.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sojourn._version import __version__

from .checking import ALL, Request
from .errors import ERROR_CODES
from .messages import REQUESTS
from .shape_parts import MAPS, Schema
from .shapes import ERROR, EVENTS, GOODBYE, PASSING, REPLIES

Document = dict[str, Any]

TITLE: Final = "Sojourn wire protocol"
DESCRIPTION: Final = """\
Sessions of conversations over a connection. Every frame is one map with a string `type`. A request may carry
an `id`; its one reply, or the `error` in its place, carries it as `reply_to`. What others cause is pushed to
the connections that are attached to the session. A reply to a request that changes anything is sent after the
change is committed. Durations are seconds, instants Unix time in seconds. Keys may be added to any map:
ignore those that you do not know."""

MSGPACK: Final = "application/msgpack"
JSON: Final = "application/json"

CHANNELS: Final[Mapping[str, Document]] = {
    "tcp": {
        "title": "TCP connection",
        "description": "A 4-byte unsigned big-endian length, then so many bytes: one msgpack map.",
        "servers": [{"$ref": "#/servers/tcp"}],
    },
    "websocket": {
        "address": "/v1/ws",
        "title": "WebSocket",
        "description": "One binary message is one msgpack map, one text message one JSON object; the server "
        "answers in the kind that was used last. The sub-protocols `sojourn.v1.msgpack` and "
        "`sojourn.v1.json` fix it.",
        "servers": [{"$ref": "#/servers/websocket"}],
        "bindings": {"ws": {"method": "GET"}},
    },
}
REQUEST_ID: Final[Schema] = {
    "description": "Chosen by the client; the reply has it as `reply_to`.",
    **REQUESTS["ping"].fields["id"].kind.schema,
}


def document() -> Document:
    """The whole document, as JSON has it; keys in a fixed order."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": TITLE,
            "version": __version__,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": MSGPACK,
        "servers": {
            "tcp": {
                "host": "127.0.0.1:7411",
                "protocol": "tcp",
                "description": "Frames of msgpack behind their length; TLS if the server has it.",
            },
            "websocket": {
                "host": "127.0.0.1:7412",
                "protocol": "ws",
                "description": "On the HTTP port.",
            },
        },
        "channels": {
            name: {**channel, "messages": {key: _to("components", "messages", key) for key in _messages()}}
            for name, channel in CHANNELS.items()
        },
        "operations": {
            key: operation
            for channel in CHANNELS
            for key, operation in (*_requests(channel), *_pushes(channel))
        },
        "components": {
            "messages": _messages(),
            "schemas": {**MAPS, "Error": ERROR},
        },
    }


def _messages() -> dict[str, Document]:
    """Every message by its key: `request.…`, `reply.…`, `event.…`, `error`, `goodbye`."""
    messages: dict[str, Document] = {}
    for request in _built():
        messages[_key("request", request.name)] = _message(
            request.name, f"Request {request.name}", _request_payload(request), _who(request)
        )
        messages[_key("reply", request.reply)] = _message(
            request.reply, f"Reply {request.reply}", _reply_payload(request.reply), None
        )
    for name, schema in EVENTS.items():
        messages[_key("event", name)] = _message(name, f"Event {name}", _event_payload(name, schema), None)
    for name, schema in PASSING.items():
        payload = _with_type(name, schema)
        messages[_key("event", name)] = _message(name, f"Event {name}, not stored", payload, None)
    messages["error"] = _message(
        "error", "Refusal", _with_type("error", ERROR, {"reply_to": REQUEST_ID}), _codes()
    )
    messages["goodbye"] = _message("goodbye", "Goodbye", _with_type("goodbye", GOODBYE), None)
    return messages


def _requests(channel: str) -> Iterable[tuple[str, Document]]:
    for request in _built():
        yield (
            _key(channel, request.name),
            {
                "action": "receive",
                "channel": _to("channels", channel),
                "summary": _who(request),
                "messages": [_to("channels", channel, "messages", _key("request", request.name))],
                "reply": {
                    "channel": _to("channels", channel),
                    "messages": [
                        _to("channels", channel, "messages", _key("reply", request.reply)),
                        _to("channels", channel, "messages", "error"),
                    ],
                },
            },
        )


def _pushes(channel: str) -> Iterable[tuple[str, Document]]:
    keys = [_key("event", name) for name in (*EVENTS, *PASSING)]
    yield (
        f"{channel}.push",
        {
            "action": "send",
            "channel": _to("channels", channel),
            "summary": "What somebody else caused in a session that the connection is attached to, or that "
            "time did.",
            "messages": [_to("channels", channel, "messages", key) for key in keys],
        },
    )
    yield (
        f"{channel}.goodbye",
        {
            "action": "send",
            "channel": _to("channels", channel),
            "summary": "The server ends the connection.",
            "messages": [
                _to("channels", channel, "messages", "goodbye"),
                _to("channels", channel, "messages", "error"),
            ],
        },
    )


def _built() -> list[Request]:
    return [request for request in REQUESTS.values() if request.built]


def _message(name: str, title: str, payload: Schema, description: str | None) -> Document:
    message: Document = {"name": name, "title": title, "payload": dict(payload)}
    about = description or payload.get("description")
    if about:
        message["description"] = about
    return message


def _request_payload(request: Request) -> Schema:
    properties: dict[str, Schema] = {"type": {"const": request.name}, "id": REQUEST_ID}
    for name, field in request.fields.items():
        if name != "id":
            schema = dict(field.kind.schema)
            if field.kind.plain is None and not schema.keys() & {"enum", "const"}:
                schema.setdefault("description", field.kind.expected)
            properties[name] = schema
    return {"type": "object", "required": ["type", *request.required], "properties": properties}


def _reply_payload(name: str) -> Schema:
    return _with_type(name, REPLIES[name], {"reply_to": REQUEST_ID})


def _event_payload(name: str, schema: Schema) -> Schema:
    every = MAPS["AnyEvent"]["properties"]
    head = {key: every[key] for key in ("session_id", "seq", "at")}
    required = ["session_id", "at"] if name == "session:expired" else ["session_id", "seq", "at"]
    copied = {"copied_from": {"type": "object", "description": "In a fork: the event it was copied from."}}
    whole = _with_type(name, schema, {**head, **copied})
    return {**whole, "required": [*whole["required"], *required]}


def _with_type(name: str, schema: Schema, more: Mapping[str, Schema] | None = None) -> dict[str, Any]:
    return {
        **schema,
        "required": ["type", *schema.get("required", ())],
        "properties": {"type": {"const": name}, **(more or {}), **schema["properties"]},
    }


def _codes() -> str:
    rows = "\n".join(f"* `{name}`: {code.meaning}" for name, code in ERROR_CODES.items())
    return f"A request is refused, nothing was changed, and the connection lives on. Codes:\n\n{rows}"


def _who(request: Request) -> str:
    if request.roles == ALL:
        return "For every role."
    return f"For {' and '.join(sorted(f'{role}s' for role in request.roles))}."


def _key(kind: str, name: str) -> str:
    return f"{kind}.{name.replace(':', '.')}"


def _to(*path: str) -> dict[str, str]:
    return {"$ref": "#/" + "/".join(path)}
