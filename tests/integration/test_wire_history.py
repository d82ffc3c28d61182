"""`session:history` and `session:resume`: pages, and a resume that misses nothing and repeats nothing."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.integration.conftest import Connect
from tests.integration.wire import MAX_REPLY_BYTES, Map, Wire


def talk(wire: Wire, session_id: str, count: int, **content: Any) -> None:
    """Sends `count` messages at once and waits for all answers."""
    ids = wire.send_many([("message:send", {"session_id": session_id, "text": "x", **content})] * count)
    for request_id in ids:
        assert wire.reply(request_id)["type"] == "message:accepted"


def seqs(events: list[Map]) -> list[int]:
    return [event["seq"] for event in events]


# -- history -----------------------------------------------------------------------------------------


def test_a_history_is_gapless_and_oldest_first(user: Wire, session_id: str) -> None:
    talk(user, session_id, 20)
    reply = user.ok("session:history", session_id=session_id)
    assert reply["type"] == "session:events"
    assert seqs(reply["events"]) == list(range(1, 22))
    assert reply["more"] is False
    for event in reply["events"]:
        assert event["session_id"] == session_id
        assert isinstance(event["at"], float)
        assert "reply_to" not in event


def test_the_instants_of_a_history_never_go_back(user: Wire, session_id: str) -> None:
    talk(user, session_id, 50)
    instants = [event["at"] for event in user.history(session_id)]
    assert instants == sorted(instants)


def test_a_page_holds_a_hundred_events_by_default(user: Wire, session_id: str) -> None:
    talk(user, session_id, 150)
    first = user.ok("session:history", session_id=session_id)
    assert (seqs(first["events"]), first["more"]) == (list(range(1, 101)), True)
    second = user.ok("session:history", session_id=session_id, after_seq=100)
    assert (seqs(second["events"]), second["more"]) == (list(range(101, 152)), False)


@pytest.mark.parametrize(
    ("after_seq", "limit", "expected", "more"),
    [
        (0, 1, [1], True),
        (0, 10, list(range(1, 11)), True),
        (5, 3, [6, 7, 8], True),
        (8, 3, [9, 10, 11], False),
        (10, 1000, [11], False),
        (11, 1000, [], False),
        (12, 1000, [], False),
        (2**63, 1000, [], False),
    ],
)
def test_after_seq_and_limit_cut_the_page(
    user: Wire, session_id: str, after_seq: int, limit: int, expected: list[int], more: bool
) -> None:
    talk(user, session_id, 10)
    reply = user.ok("session:history", session_id=session_id, after_seq=after_seq, limit=limit)
    assert (seqs(reply["events"]), reply["more"]) == (expected, more)


def test_a_page_that_would_pass_the_reply_limit_is_cut_with_more(user: Wire, session_id: str) -> None:
    talk(user, session_id, 40, text="x" * 60_000)
    page = user.ok("session:history", session_id=session_id, limit=1000)
    assert page["more"]
    assert 1 < len(page["events"]) < 41
    assert seqs(user.history(session_id)) == list(range(1, 42))
    assert user.longest_frame_bytes <= MAX_REPLY_BYTES


# -- resume ------------------------------------------------------------------------------------------


def test_resuming_without_after_seq_replays_nothing(connect: Connect, user: Wire, session_id: str) -> None:
    talk(user, session_id, 5)
    wire = connect()
    reply = wire.ok("session:resume", session_id=session_id)
    assert reply["type"] == "session:resumed"
    assert (reply["events"], reply["complete"], reply["more"]) == ([], True, False)
    assert reply["session"] == wire.session(session_id)


def test_resuming_replays_what_was_missed_oldest_first(connect: Connect, user: Wire, session_id: str) -> None:
    talk(user, session_id, 5)
    wire = connect()
    reply = wire.ok("session:resume", session_id=session_id, after_seq=2)
    assert reply["events"] == wire.history(session_id, after_seq=2)
    assert seqs(reply["events"]) == [3, 4, 5, 6]
    assert (reply["complete"], reply["more"]) == (True, False)
    assert wire.pushed(session_id) == [], "what was replayed is not pushed again"


@pytest.mark.parametrize(("after_seq", "complete"), [(6, True), (7, False), (2**63, False)])
def test_resuming_behind_the_newest_event_is_not_complete(
    user: Wire, session_id: str, after_seq: int, complete: bool
) -> None:
    talk(user, session_id, 5)
    reply = user.ok("session:resume", session_id=session_id, after_seq=after_seq)
    assert (reply["events"], reply["complete"], reply["more"]) == ([], complete, False)


def test_a_user_with_the_resume_token_resumes(connect: Connect, user_id: str) -> None:
    created = connect().ok("session:create", user={"user_id": user_id})
    reply = connect("user", "somebody").ok(
        "session:resume", session_id=created["session_id"], resume_token=created["resume_token"], after_seq=0
    )
    assert seqs(reply["events"]) == [1]


def test_a_closed_session_can_be_resumed_and_stays_closed(
    connect: Connect, user: Wire, session_id: str
) -> None:
    user.ok("session:close", session_id=session_id)
    wire = connect()
    reply = wire.ok("session:resume", session_id=session_id, after_seq=1)
    assert reply["session"]["status"] == "closed"
    assert [event["type"] for event in reply["events"]] == ["session:closed"]
    user.ok("session:reopen", session_id=session_id)
    assert wire.push("session:reopened")["seq"] == 3


def test_a_long_replay_is_cut_with_more_and_pushes_go_on_behind_the_session_seq(
    connect: Connect, user: Wire, session_id: str
) -> None:
    talk(user, session_id, 40, text="x" * 60_000)
    wire = connect()
    reply = wire.ok("session:resume", session_id=session_id, after_seq=0)
    assert reply["more"]
    assert reply["complete"]
    assert wire.longest_frame_bytes <= MAX_REPLY_BYTES
    replayed = seqs(reply["events"])
    assert replayed
    assert replayed == list(range(1, len(replayed) + 1))
    between = seqs(wire.history(session_id, after_seq=replayed[-1]))
    assert replayed + between == list(range(1, reply["session"]["seq"] + 1))
    talk(user, session_id, 3)
    assert seqs(wire.pushed(session_id)) == [42, 43, 44]


def resume_and_listen(wire: Wire, session_id: str, seen: list[int], until: int) -> None:
    """Resumes behind what was seen and notes every event, until `until` more than the reply's have come."""
    reply = wire.ok("session:resume", session_id=session_id, after_seq=seen[-1])
    assert reply["complete"]
    # Pushes that follow the reply on the stream are read later: history goes by its own request.
    seen += seqs(reply["events"])
    if reply["more"]:
        pages = wire.history(session_id, after_seq=seen[-1])
        seen += [seq for seq in seqs(pages) if seq <= reply["session"]["seq"]]
    while seen[-1] < until:
        seen.append(wire.push()["seq"])


def test_a_reader_that_is_cut_off_again_and_again_misses_nothing_and_sees_nothing_twice(
    connect: Connect, session_id: str
) -> None:
    writer, total, cuts = connect(), 600, 12
    threading_error: list[BaseException] = []

    def write() -> None:
        try:
            for _ in range(total // 20):
                talk(writer, session_id, 20)
        except BaseException as error:  # shown by the main thread
            threading_error.append(error)

    writing = threading.Thread(target=write)
    writing.start()
    seen = [1]
    for cut in range(1, cuts + 1):
        wire = connect()
        resume_and_listen(wire, session_id, seen, until=total * cut // cuts)
        wire.close()
    writing.join()
    assert threading_error == []
    wire = connect()
    resume_and_listen(wire, session_id, seen, until=total + 1)
    assert seen == list(range(1, total + 2))
    assert wire.pushed(session_id) == []


def test_resuming_in_the_middle_of_a_burst_leaves_no_gap(
    connect: Connect, user: Wire, session_id: str
) -> None:
    burst = user.send_many([("message:send", {"session_id": session_id, "text": "x"})] * 400)
    readers = [connect() for _ in range(6)]
    for reader in readers:
        seen = [0]
        resume_and_listen(reader, session_id, seen, until=401)
        assert seen == list(range(402))
    assert [user.reply(request_id)["seq"] for request_id in burst] == list(range(2, 402))


def test_resuming_on_an_attached_connection_repeats_nothing_behind_the_reply(
    connect: Connect, session_id: str
) -> None:
    writer, reader = connect(), connect()
    reader.ok("session:resume", session_id=session_id)
    for last in range(21, 221, 20):
        writer.send_many([("message:send", {"session_id": session_id, "text": "x"})] * 20)
        reply = reader.ok("session:resume", session_id=session_id, after_seq=last - 20)
        reader.pushes.clear()  # what came before the reply is in its replay
        newest = reply["session"]["seq"]
        assert seqs(reply["events"]) == list(range(last - 19, newest + 1))
        assert [reader.push()["seq"] for _ in range(last - newest)] == list(range(newest + 1, last + 1))
