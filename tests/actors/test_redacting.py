"""What is not to be kept is in no answer, no push, no turn of an agent, and in no byte of any file."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from sojourn.actors import RuntimeConfig
from sojourn.actors.turn import Turn

from .house import ADA, House

MAIL, CARD, PHONE, SECRET = "ada@example.org", "4111 1111 1111 1111", "+49 170 1234567", "ORD-123456"
VALUES = (MAIL, CARD, PHONE, SECRET)
EVERYTHING = f"{MAIL} {CARD} {PHONE}, {SECRET}"
CLEAN = "[email] [card] [phone], [order]"
CONFIG = RuntimeConfig(redact=("email", "card", "phone", "order=ORD-[0-9]{6}"))


@pytest.fixture
def house(path: Path) -> Iterator[House]:
    with House(path, config=CONFIG) as opened:
        yield opened


def assert_nowhere(path: Path) -> None:
    """No file beside the database, and not the database, holds one of the values."""
    files = [file for file in path.parent.iterdir() if file.is_file()]
    assert files
    for file in files:
        content = file.read_bytes()
        for value in (*VALUES, CARD.replace(" ", "")):
            assert value.encode() not in content, (file.name, value)


def test_nothing_that_people_write_is_kept_with_it(house: House, path: Path) -> None:
    session = house.runtime.create(
        ADA, context={"mail": MAIL, "deep": [{"card": 4111111111111111}]}, metadata={"from": MAIL}
    )
    session.send(EVERYTHING, data={"said": EVERYTHING}, attachments=[{"name": f"{MAIL}.pdf"}]).result(5)
    session.send(EVERYTHING, author="human", author_id="rik", context={"phone": PHONE}).result(5)
    session.update_context({"card": CARD, "user.mail": MAIL}).result(5)
    session.tag(add=[MAIL]).result(5)
    session.remind("call", 60, {"phone": PHONE}).result(5)
    session.hand_over("help", f"call {PHONE}").result(5)
    session.rate(5, EVERYTHING).result(5)
    session.close(f"answered by {MAIL}").result(5)
    house.runtime.broadcast([ADA], EVERYTHING, data={"x": EVERYTHING}).result(5)
    shown = repr([session.get().result(5), session.context().result(5), session.history().result(5)])
    assert not [value for value in VALUES if value in shown]
    first = session.history().result(5).events[1]
    assert (first["text"], first["data"]) == (CLEAN, {"said": CLEAN})
    assert first["attachments"] == [{"name": "[email]"}]
    assert session.get().result(5)["context"]["deep"] == [{"card": "[card]"}]
    house.kill()  # what is on the disk now
    assert_nowhere(path)
    house.stop()  # and what is left behind
    assert_nowhere(path)


def test_pushes_never_hold_it(house: House) -> None:
    seen: list[dict[str, Any]] = []
    house.runtime.subscribe(seen.append)
    session = house.runtime.create(ADA)
    session.send(EVERYTHING).result(5)
    house.settle()
    (message,) = [event for event in seen if event["type"] == "message:received"]
    assert message["text"] == CLEAN


def test_the_same_message_again_gets_its_first_answer(house: House) -> None:
    session = house.runtime.create(ADA)
    first = session.send(EVERYTHING, message_id="m1").result(5)
    again = session.send(EVERYTHING, message_id="m1").result(5)
    assert (again.seq, again.duplicate) == (first.seq, True)
    house.restart()
    once_more = house.runtime.session(first.session_id).send(EVERYTHING, message_id="m1").result(5)
    assert (once_more.seq, once_more.duplicate) == (first.seq, True)


def test_identifiers_and_the_user_s_map_are_kept_as_given(house: House) -> None:
    session = house.runtime.create({"user_id": MAIL, "email": MAIL})
    assert session.send("hello", message_id=MAIL).result(5).message_id == MAIL
    assert session.get().result(5)["user"] == {"user_id": MAIL, "email": MAIL}


def test_an_answer_that_is_streamed_never_shows_it_and_is_kept_without_it(path: Path) -> None:
    heard: list[str | None] = []

    async def agent(turn: Turn) -> None:
        heard.append(turn.text)
        for piece in ("Write to ada@exam", "ple.org or call +49 170 12", "34567. ", "Thanks"):
            await turn.write(piece)
        turn.reply("plain", data={"mail": MAIL})
        turn.context["mail"] = MAIL
        turn.tag(MAIL)
        turn.remind("later", 60, {"phone": PHONE})
        turn.fail("odd", f"no answer from {MAIL}")

    with House(path, config=RuntimeConfig(redact=("email", "phone", "card")), agent=agent) as house:
        seen: list[dict[str, Any]] = []
        session = house.runtime.create(ADA)
        house.runtime.attach(session.id, seen.append)
        reply = session.send(f"I am {MAIL}").reply(10)
        house.settle()
        assert reply.text == "Write to [email] or call [phone]. Thanks"
        deltas = [event for event in seen if event["type"] == "message:delta"]
        assert [each["index"] for each in deltas] == list(range(len(deltas)))
        streamed = "".join(each["text"] for each in deltas)
        assert streamed
        assert reply.text.startswith(streamed)
        assert heard == ["I am [email]"]
        assert not [value for value in VALUES if value in repr(seen)]
        assert session.get().result(5)["context"]["mail"] == "[email]"
        house.kill()
        assert_nowhere(path)


def test_what_is_left_of_an_answer_that_is_cut_is_kept_without_it(path: Path) -> None:
    written = Event()

    async def agent(turn: Turn) -> None:
        await turn.write(f"Write to {MAIL}")
        if turn.text == "first":
            written.set()
            await turn.typing(3600)  # in virtual time, which nobody lets pass

    with House(path, config=RuntimeConfig(redact=("email",)), agent=agent) as house:
        session = house.runtime.create(ADA)
        session.send("first").result(5)
        assert written.wait(5)
        assert session.send("second").reply(10).text == "Write to [email]"
        house.settle()
        cut = [event for event in session.history().result(5).events if event.get("cut")]
        assert [each["text"] for each in cut] == ["Write to [email]"]
        house.kill()
        assert_nowhere(path)


def test_a_failure_s_own_words_are_kept_without_it(path: Path) -> None:
    def agent(turn: Turn) -> None:
        raise RuntimeError(f"no mailbox {MAIL}")

    with House(path, config=RuntimeConfig(redact=("email",), fallback_queue="help"), agent=agent) as house:
        session = house.runtime.create(ADA)
        session.send("hello").result(5)
        house.settle()
        types = [event["type"] for event in session.history().result(5).events]
        assert "message:failed" in types
        house.kill()
        assert_nowhere(path)


def test_without_rules_the_plain_way_of_a_text_stays(path: Path) -> None:
    with House(path) as house:
        handlers = house.runtime.core.shared.handlers
        assert house.runtime.core.shared.redaction is None
        assert not [handler for handler in handlers.values() if "redacting" in handler.__qualname__]
