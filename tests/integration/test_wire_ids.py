"""An id of 0 is an id like any other, also where the request is refused."""

from tests.integration.wire import Wire


def test_a_value_that_json_has_not_is_refused_under_the_id_zero(user: Wire) -> None:
    user.send_map({"type": "ping", "id": 0, "note": float("nan")})
    error = user.recv()
    assert (error["type"], error["code"]) == ("error", "invalid_payload")
    assert error["reply_to"] == 0
