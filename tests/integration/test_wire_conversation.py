"""One whole conversation: the AI, cut by the user, a human, the end, once more, and the end for good.

Who takes part is told every event in order and once, by whatever door they came, and all of them the same.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from tests.actors.house import House, config
from tests.integration import story_agent
from tests.integration.conftest import Launch
from tests.integration.doors import DOORS, Door, EmbeddedDoor, Party, WireDoor, served, told
from tests.integration.wire import Map

HISTORY: list[tuple[str, Map]] = [
    ("session:created", {"user": {"user_id": "ada"}}),
    ("message:received", {"author": "user", "message_id": "m1", "text": "Tell me a story."}),
    ("message:received", {"author": "ai", "in_reply_to": "m1", "text": "Once upon a time", "cut": True}),
    ("message:received", {"author": "user", "message_id": "m2", "text": "A human, please!"}),
    ("session:context:updated", {"patch": {"topic": "refund"}, "context_version": 2}),
    ("message:received", {"author": "ai", "in_reply_to": "m2", "text": "I fetch somebody."}),
    ("session:handed_over", {"handling": "queued", "queue": "support", "note": "wants to talk to a human"}),
    ("session:assigned", {"assignee": "grace"}),
    ("message:received", {"author": "human", "author_id": "grace", "text": "This is Grace."}),
    ("message:received", {"author": "user", "message_id": "m3", "text": "My order is lost."}),
    ("session:closed", {"reason": "resolved_by_human"}),
    ("session:reopened", {}),
    ("message:received", {"author": "user", "message_id": "m4", "text": "One more thing!"}),
    ("session:expired", {"reason": "inactivity"}),
]
EVENTS = [(kind, seq) for seq, (kind, _) in enumerate(HISTORY, 1)]
PIECES = [("message:delta", 0), ("message:delta", 1)]
TOLD_TO_THE_USER = EVENTS[:2] + PIECES + EVENTS[2:4] + PIECES + EVENTS[4:]
TOLD_TO_THE_HUMAN = EVENTS[6:]


def talk(door: Door) -> None:
    """The script: each side acts when it has been told what it acts upon."""
    user, human = door.user, door.human
    human.watches()
    session_id = user.creates({"session_timeout": door.session_timeout})
    user.says("Tell me a story.", "m1")
    user.until(PIECES[1])
    user.says("A human, please!", "m2")
    human.until(("session:handed_over", 7))
    before = human.opens(session_id)
    assert [(event["type"], event["seq"]) for event in before] == EVENTS[:7]
    human.takes()
    human.says("This is Grace.")
    user.until(("message:received", 9))
    user.says("My order is lost.", "m3")
    human.until(("message:received", 10))
    human.resolves()
    user.until(("session:closed", 11))
    user.reopens()
    user.says("One more thing!", "m4")
    human.until(("message:received", 13))
    present = human.session()
    assert (present["status"], present["handling"], present["assignee"]) == ("active", "human", "grace")
    door.let_pass(door.session_timeout)
    for party in (user, human):
        party.until(("session:expired", 14))


def check(door: Door) -> None:
    """What is stored, and what each side was told of it."""
    events = door.human.history()  # the fence, too: whatever else there was to say came before
    assert [(event["type"], event["seq"]) for event in events] == EVENTS
    for event, (_, payload) in zip(events, HISTORY, strict=True):
        assert {key: event.get(key) for key in payload} == payload
        assert event.get("cut") == payload.get("cut")
    assert [event["at"] for event in events] == sorted(event["at"] for event in events)
    assert events[13]["at"] == events[12]["at"] + door.session_timeout
    last = door.human.session()
    assert (last["status"], last["expiry_reason"], last["seq"]) == ("expired", "inactivity", 14)
    assert (last["context"], last["context_version"]) == ({"topic": "refund"}, 2)
    for party, expected in ((door.user, TOLD_TO_THE_USER), (door.human, TOLD_TO_THE_HUMAN)):
        assert told(party) == expected
        for frame in durable(party):
            assert frame == events[frame["seq"] - 1]
    assert [piece["text"] for piece in deltas(door.user)] == ["Once upon ", "a time", "I fetch ", "somebody."]
    assert [piece["message_id"] for piece in deltas(door.user)] == [
        events[seq - 1]["message_id"] for seq in (3, 3, 6, 6)
    ]


def durable(party: Party) -> list[Map]:
    """Of what was pushed."""
    return [frame for frame in party.frames if "reply_to" not in frame and "seq" in frame]


def deltas(party: Party) -> list[Map]:
    return [frame for frame in party.frames if frame["type"] == "message:delta"]


@pytest.mark.parametrize("opening", ["embedded", *DOORS])
def test_a_conversation_of_hours_passes_within_a_second(opening: str) -> None:
    begun = time.process_time()  # what others do on this machine meanwhile does not count
    house = House(config=config(human_timeout=None), agent=story_agent.answer)
    hours = 4 * 3600.0
    with EmbeddedDoor(house, hours) if opening == "embedded" else served(house, hours, opening) as door:
        talk(door)
        check(door)
    assert time.process_time() - begun < 1.0


def test_a_conversation_with_a_server_is_told_to_all_in_order_and_once(
    launch: Launch, tmp_path: Path
) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    shutil.copy(story_agent.__file__, folder)
    server = launch("--agent", "story_agent:answer", folder=folder)
    # Long enough for every step on a busy machine, and short enough to see the end.
    with WireDoor(server.connect, 3.0) as door:
        talk(door)
        check(door)
