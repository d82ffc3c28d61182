"""The hot reply put together from parts is the whole map packed."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.actors.packing import pack
from sojourn.gateway.acknowledgements import accepted, spelled_accepted

EDGES = [0, *(2**bits + more for bits in (7, 8, 16, 32) for more in (-1, 0)), 2**63, 2**64 - 1]
counters = st.integers(0, 2**64 - 1) | st.sampled_from(EDGES)
forms = pytest.mark.parametrize("form", [accepted, spelled_accepted])


@forms
@given(st.text(), st.text(), counters, counters | st.integers(-(2**63), -1) | st.text())
def test_an_acknowledgement_from_parts_is_the_map_packed(
    form: Callable[[str, str, int, int | str], bytes],
    session_id: str,
    message_id: str,
    seq: int,
    request_id: int | str,
) -> None:
    assert form(session_id, message_id, seq, request_id) == whole(session_id, message_id, seq, request_id)


@forms
@pytest.mark.parametrize("size", [31, 32, 255, 256, 65_535, 65_536])
def test_an_acknowledgement_names_ids_of_any_length(
    form: Callable[[str, str, int, int | str], bytes], size: int
) -> None:
    long = "x" * size
    assert form(long, "m-1", 1, "r") == whole(long, "m-1", 1, "r")
    assert form("s-1", long, 1, long) == whole("s-1", long, 1, long)


def whole(session_id: str, message_id: str, seq: int, request_id: int | str) -> bytes:
    return pack(
        {
            "type": "message:accepted",
            "session_id": session_id,
            "message_id": message_id,
            "seq": seq,
            "duplicate": False,
            "created": False,
            "reopened": False,
            "reply_to": request_id,
        }
    )
