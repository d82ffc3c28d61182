"""How many sessions one connection may be attached to, and what is refused beyond that."""

from __future__ import annotations

from tests.integration.conftest import Connect


def test_the_attachments_of_one_connection_are_bounded(connect: Connect, user_id: str, channel: str) -> None:
    wire, witness = connect(), connect("service")
    bound = wire.ok("hello", protocol=1)["limits"]["max_attachments"]
    first = last = ""
    for start in range(0, bound, 500):
        block = range(start, min(start + 500, bound))
        ids = wire.send_many(
            [
                ("session:create", {"user": {"user_id": f"{user_id}-{number}"}, "channel": channel})
                for number in block
            ]
        )
        made = [wire.reply(request_id)["session_id"] for request_id in ids]
        first, last = first or made[0], made[-1]
    person = {"user_id": user_id}
    for kind, payload in (
        ("session:create", {"user": person}),
        ("message:send", {"user": person, "text": "x"}),
    ):
        error = wire.refused(kind, **payload)
        assert error["code"] == "too_many_attachments"
        assert "max_attachments" in error["details"] or "max_attachments" in error["details"].values()
    assert witness.ok("session:list", user_id=user_id)["sessions"] == [], "refused before anything is stored"
    assert wire.ok("message:send", session_id=last, text="attached already")
    assert wire.ok("message:send", user=person, text="x", attach=False)["created"]
    wire.ok("session:detach", session_id=first)
    assert wire.ok("session:create", user=person)
