"""What the peers written in Python share of docs/protocol.md: frames, and replies with Sojourn's keys."""

import secrets
import time
from collections.abc import Callable
from struct import Struct
from typing import Any, cast

import msgpack

BACKLOG = 1024
"""A thousand connections come at once; the usual default of 100 or less makes some wait for seconds."""
SESSION_TIMEOUT = 3600.0
"""Seconds; Sojourn's default."""
LENGTH = Struct(">I")

# msgpack has no types.
pack: Callable[[object], bytes] = cast("Any", msgpack).Packer(autoreset=True).pack
unpack: Callable[[bytes], dict[str, Any]] = cast("Any", msgpack).unpackb


def framed(reply: dict[str, Any]) -> bytes:
    """The reply as it goes over TCP."""
    body = pack(reply)
    return LENGTH.pack(len(body)) + body


def new_session_id() -> str:
    """30 characters, as many as Sojourn's, so that frames are equally long."""
    return "s_" + secrets.token_hex(14)


def created(frame: dict[str, Any], session_id: str) -> dict[str, Any]:
    """The answer to `session:create`."""
    now = time.time()
    return {
        "type": "session:created",
        "reply_to": frame["id"],
        "session_id": session_id,
        "session": {
            "session_id": session_id,
            "status": "active",
            "handling": "ai",
            "channel": frame.get("channel", "tcp"),
            "seq": 1,
            "created_at": now,
            "expires_at": now + SESSION_TIMEOUT,
        },
        "resume_token": secrets.token_hex(16),
    }


def accepted(frame: dict[str, Any], seq: int, *, duplicate: bool) -> dict[str, Any]:
    """The answer to `message:send`."""
    return {
        "type": "message:accepted",
        "reply_to": frame["id"],
        "session_id": frame["session_id"],
        "message_id": frame["message_id"],
        "seq": seq,
        "duplicate": duplicate,
        "created": False,
        "reopened": False,
    }


def welcome(frame: dict[str, Any]) -> dict[str, Any]:
    """The answer to `hello`."""
    return {
        "type": "welcome",
        "reply_to": frame["id"],
        "protocol": 1,
        "server": "peer",
        "server_time": time.time(),
        "role": "user",
    }


def refused(frame: dict[str, Any], code: str) -> dict[str, Any]:
    """The answer to what cannot be done."""
    return {"type": "error", "reply_to": frame["id"], "code": code, "message": f"{frame['type']}: {code}"}
