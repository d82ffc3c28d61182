"""`message:accepted`, the one hot reply: its bytes, and the target that takes many of them."""

from typing import Final, Protocol

from sojourn.actors.commits import ManyAnswers
from sojourn.actors.errors import SessionError
from sojourn.actors.packing import COMPILED, map_header, pack, spelled_number, string_header, unpack

_ACCEPTED_HEAD: Final = map_header(8) + pack("type") + pack("message:accepted") + pack("session_id")
_MESSAGE_ID: Final = pack("message_id")
_SEQ: Final = pack("seq")
_USUAL_FLAGS: Final = b"".join(
    map(pack, ("duplicate", False, "created", False, "reopened", False, "reply_to"))
)


def accepted(session_id: str, message_id: str, seq: int, request_id: int | str) -> bytes:
    """The usual `message:accepted`, from prepared parts: half the cost of a map."""
    if COMPILED:
        return spelled_accepted(session_id, message_id, seq, request_id)
    return b"".join(
        (
            _ACCEPTED_HEAD,
            pack(session_id),
            _MESSAGE_ID,
            pack(message_id),
            _SEQ,
            pack(seq),
            _USUAL_FLAGS,
            pack(request_id),
        )
    )


def spelled_accepted(session_id: str, message_id: str, seq: int, request_id: int | str) -> bytes:
    """`accepted` without the packer."""
    session, message = session_id.encode(), message_id.encode()
    return b"%b%b%b%b%b%b%b%b%b%b" % (
        _ACCEPTED_HEAD,
        string_header(len(session)),
        session,
        _MESSAGE_ID,
        string_header(len(message)),
        message,
        _SEQ,
        spelled_number(seq),
        _USUAL_FLAGS,
        spelled_number(request_id) if isinstance(request_id, int) else pack(request_id),
    )


class Answering(Protocol):
    """A connection's peer, as far as it answers."""

    def answer(self, body: bytes) -> None: ...

    def fail(self, error: BaseException, reply_to: int | str | None) -> None: ...


class Acknowledgements(ManyAnswers):
    """Replies of one connection that need no object each: a reply tells itself what it answers."""

    __slots__ = ("_peer",)

    def __init__(self, peer: Answering) -> None:
        self._peer = peer

    def set(self, value: bytes) -> None:
        self._peer.answer(value)

    def refuse(self, value: bytes, error: SessionError) -> None:
        self._peer.fail(error, unpack(value)["reply_to"])
