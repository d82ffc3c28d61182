"""The `websockets` library's side of a connection, and its opening: one HTTP request in, one answer out."""

import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final, cast

from websockets.datastructures import Headers
from websockets.exceptions import NegotiationError
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from .codec import encode_json

# The library tells of each refused request at INFO.
_quiet = logging.getLogger(f"{__name__}.library")
_quiet.setLevel(logging.WARNING)

KINDS: Final = {"sojourn.v1.msgpack": Opcode.BINARY, "sojourn.v1.json": Opcode.TEXT}
"""By sub-protocol: the one kind of message that such a connection carries."""

Refusal = tuple[HTTPStatus, str, str]
"""Status, code for programs, words for people."""


class WebSocketProtocol(ServerProtocol):
    """One connection's frames. No extension is offered: no small frame unfolds into a large message."""

    def __init__(self, max_message_bytes: int) -> None:
        super().__init__(
            subprotocols=[Subprotocol(name) for name in KINDS], max_size=max_message_bytes, logger=_quiet
        )
        self.between_messages = False
        """All that came was whole messages: the next byte begins a new one."""

    def shake_hands(self, data: bytes, refusal: Callable[[Request], Refusal | None]) -> bytes:
        """Return the answer to the request in `data`, whole: an acceptance, unless `refusal` says why not."""
        self.receive_data(data)
        events = self.events_received()
        if events:
            request = cast("Request", events[0])
            refused = refusal(request)
            self.send_response(self.accept(request) if refused is None else _refused(*refused))
            self.between_messages = self.is_open and not self.reader.buffer
        return b"".join(self.data_to_send())

    def receive_data(self, data: bytes | bytearray) -> None:
        """Read on; what is complete waits in `events_received`."""
        self.between_messages = False
        super().receive_data(data)

    def recv_frame(self, frame: Frame) -> None:
        """The parser has read one frame whole."""
        super().recv_frame(frame)
        self.between_messages = self.is_open and self.current_size is None and not self.reader.buffer

    @property
    def is_open(self) -> bool:
        """Frames may go both ways: the handshake succeeded, and no close frame was sent."""
        return self.state is OPEN

    @property
    def fixed_kind(self) -> Opcode | None:
        """The kind of messages that the sub-protocol fixes."""
        return None if self.subprotocol is None else KINDS[self.subprotocol]

    def let_go(self) -> None:
        """Free what holds on to this: the parser, and the traceback of a fault."""
        self.parser.close()
        self.parser_exc = None

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
