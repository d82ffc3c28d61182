"""The opening of a WebSocket connection: one HTTP request in, one answer out."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, cast

from websockets.datastructures import Headers
from websockets.exceptions import NegotiationError
from websockets.http11 import Request, Response
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from .codec import encode_json
from .websocket_frames import BINARY, TEXT

# The library tells of each refused request at INFO.
_quiet = logging.getLogger(f"{__name__}.library")
_quiet.setLevel(logging.WARNING)

KINDS: Final = {"sojourn.v1.msgpack": BINARY, "sojourn.v1.json": TEXT}
"""By sub-protocol: the one kind of message that such a connection carries."""

Refusal = tuple[HTTPStatus, str, str]
"""Status, code for programs, words for people."""


@dataclass(frozen=True, kw_only=True)
class Handshake:
    """The outcome."""

    answer: bytes
    "To be sent as it is."
    accepted: bool
    "False: the connection ends with the answer."
    fixed_kind: int | None
    "The kind of messages that the sub-protocol fixes."


def shake_hands(data: bytes, refusal: Callable[[Request], Refusal | None]) -> Handshake:
    """Answer the request in `data`, whole, unless `refusal` says why not."""
    protocol = _Opening(subprotocols=[Subprotocol(name) for name in KINDS], logger=_quiet)
    protocol.receive_data(data)
    events = protocol.events_received()
    if events:
        request = cast("Request", events[0])
        refused = refusal(request)
        protocol.send_response(protocol.accept(request) if refused is None else _refused(*refused))
    answer = b"".join(protocol.data_to_send())
    accepted = protocol.state is OPEN
    protocol.parser.close()  # it and the protocol hold each other: this frees both at once
    return Handshake(
        answer=answer,
        accepted=accepted,
        fixed_kind=None if protocol.subprotocol is None else KINDS[protocol.subprotocol],
    )


class _Opening(ServerProtocol):
    """The library's side of a connection, until it is open. No extension is offered: none compresses."""

    def select_subprotocol(self, subprotocols: Sequence[Subprotocol]) -> Subprotocol | None:
        """The first of ours that the client offers; who offers none decides by each message."""
        if not subprotocols:
            return None
        for name in subprotocols:
            if name in KINDS:
                return name
        raise NegotiationError(f"the sub-protocols here are {' and '.join(KINDS)}")


def _refused(status: HTTPStatus, code: str, message: str) -> Response:
    """The HTTP answer that says so, as the rest of the HTTP port does."""
    body = encode_json({"type": "error", "code": code, "message": message}).encode()
    headers = Headers(
        [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ]
    )
    return Response(status.value, status.phrase, headers, body)
