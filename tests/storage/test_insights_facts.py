"""What is told of a session is what its history says, however it was gathered.

The model reads a whole history at once and asks it each question; the fold sees one event after the other, in
slices, beside erasures that give ids of the journal again.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from sojourn.storage import Journal
from sojourn.storage.insights import Filters, Insights, InsightsReader
from tests.storage.stories import AGENT, AI, NOON, TIME, USER, Story

Happening = tuple[str, float, dict[str, Any]]


def model(history: list[Happening]) -> dict[str, Any]:
    """The facts of a session by questions to its whole history."""
    said = [(at, payload["author"]) for event, at, payload in history if event == "message:received"]
    first_user = next((at for at, author in said if author == "user"), None)
    seen_user = False
    first_answer = None
    for at, author in said:
        seen_user = seen_user or author == "user"
        if seen_user and author in {"ai", "human"} and first_answer is None:
            first_answer = at
    waits = list(_waits(history))
    taken = [end - begin for begin, end, how in waits if end is not None and how == "taken"]
    ends = [(event, at, payload) for event, at, payload in history if event in _LIFE]
    closed = ends[-1] if ends and ends[-1][0] == "session:closed" else None
    expired = ends[-1] if ends and ends[-1][0] == "session:expired" else None
    if expired and len(ends) > 1 and ends[-2][0] == "session:closed":
        closed = ends[-2]
    with_human = any(
        event == "session:assigned" or (event == "message:received" and payload["author"] == "human")
        for event, _, payload in history
    )
    before_close = history[: history.index(closed)] if closed else []
    human_before = any(
        event == "session:assigned" or (event == "message:received" and payload["author"] == "human")
        for event, _, payload in before_close
    )
    ai_before = any(
        event == "message:received" and payload["author"] == "ai" for event, _, payload in before_close
    )
    resolved_by = None
    if closed:
        role = closed[2]["by"]["role"]
        resolved_by = (
            "human"
            if human_before or role == "agent" or closed[2]["reason"] == "resolved_by_human"
            else "ai"
            if ai_before or role == "ai" or closed[2]["reason"] == "resolved_by_ai"
            else None
        )
    rated = [payload for event, _, payload in history if event == "session:rated"]
    tags = [payload["tags"] for _, _, payload in history if "tags" in payload]
    return {
        "status": "expired" if expired else "closed" if closed else "active",
        "messages": len(said),
        **{f"{who}_messages": sum(author == who for _, author in said) for who in _AUTHORS},
        "last_message_at": said[-1][0] if said else None,
        "length": said[-1][0] - history[0][1] if said else 0.0,
        "first_answer": None if first_answer is None or first_user is None else first_answer - first_user,
        "handovers": len(waits),
        "handover_wait": taken[0] if taken else None,
        "closed_at": closed[1] if closed else None,
        "expired_at": expired[1] if expired else None,
        "ended_at": closed[1] if closed else expired[1] if expired else None,
        "reason": closed[2]["reason"] if closed else expired[2]["reason"] if expired else None,
        "resolved_by": resolved_by,
        "reopenings": sum(event == "session:reopened" for event, _, _ in history),
        "failures": sum(event == "message:failed" for event, _, _ in history),
        "rating": rated[-1]["rating"] if rated else None,
        "feedback": rated[-1]["feedback"] if rated else None,
        "tags": tags[-1],
        "with_human": with_human,
        "seq": len(history),
    }


_AUTHORS = ("user", "ai", "human", "system")
_LIFE = {"session:closed", "session:reopened", "session:expired"}
_ENDS = {
    "session:assigned": "taken",
    "session:released": "released",
    "session:closed": "closed",
    "session:expired": "expired",
}


def _waits(history: list[Happening]) -> Iterator[tuple[float, float | None, str | None]]:
    """(begin, end, how it ended) of each wait for a human."""
    begin: float | None = None
    for event, at, payload in history:
        queued = event == "session:handed_over" or (
            event == "session:reopened" and payload["handling"] == "queued"
        )
        if queued and begin is None:
            begin = at
        elif event in _ENDS and begin is not None:
            yield begin, at, _ENDS[event]
            begin = None
    if begin is not None:
        yield begin, None, None


def _counts(buckets: list[dict[str, Any]]) -> Counter[tuple[float, str]]:
    """What was counted, by instant and name; without zeros."""
    counts: Counter[tuple[float, str]] = Counter()
    for bucket in buckets:
        for name, count in bucket.items():
            if name != "at" and count:
                counts[bucket["at"], name] += count
    return counts


class Gathering(RuleBasedStateMachine):
    """Sessions live as the rules of the life cycle allow, and a follower looks now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = str(Path(self.folder.name) / "sessions.db")
        self.journal = Journal.open(self.path, "relaxed")
        self.story = Story(self.journal)
        self.insights = Insights.open(self.path)
        self.at = NOON
        self.keys = 0
        self.status: dict[int, str] = {}
        self.handling: dict[int, str] = {}

    def teardown(self) -> None:
        self.insights.catch_up_all()
        self.compare()
        self.insights.close()
        self.journal.close()
        self.folder.cleanup()

    def pick(self, data: st.DataObject, *statuses: str) -> int | None:
        keys = sorted(key for key, status in self.status.items() if status in statuses)
        self.at += data.draw(st.sampled_from([0.0, 0.5, 30.0, 4000.0]))
        return data.draw(st.sampled_from(keys)) if keys else None

    @rule(tags=st.lists(st.sampled_from(["vip", "angry"]), unique=True))
    def create(self, tags: list[str]) -> None:
        self.keys += 1
        self.story.create(self.keys, self.at, tuple(tags))
        self.status[self.keys] = "active"
        self.handling[self.keys] = "ai"

    @rule(data=st.data(), author=st.sampled_from(_AUTHORS), text=st.sampled_from(["hello", "", None]))
    def say(self, data: st.DataObject, author: str, text: str | None) -> None:
        if (key := self.pick(data, "active")) is not None:
            self.story.say(key, text, self.at, author)

    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        if (key := self.pick(data, "active")) is not None:
            self.story.tell(key, "message:failed", self.at, message_id="m", code="x", message="y")

    @rule(data=st.data(), reason=st.sampled_from([None, "human_timeout"]))
    def hand_over(self, data: st.DataObject, reason: str | None) -> None:
        if (key := self.pick(data, "active")) is not None:
            more = {} if reason is None else {"reason": reason}
            self.story.tell(key, "session:handed_over", self.at, queue="q", handling="queued", by=AI, **more)
            self.handling[key] = "queued"

    @rule(data=st.data())
    def assign(self, data: st.DataObject) -> None:
        if (key := self.pick(data, "active")) is not None:
            self.story.tell(key, "session:assigned", self.at, assignee="grace", by=AGENT)
            self.handling[key] = "human"

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        if (key := self.pick(data, "active")) is not None and self.handling[key] != "ai":
            self.story.tell(key, "session:released", self.at, by=AGENT)
            self.handling[key] = "ai"

    @rule(
        data=st.data(),
        by=st.sampled_from([USER, AI, AGENT]),
        reason=st.sampled_from([None, "done", "resolved_by_ai", "resolved_by_human"]),
    )
    def close(self, data: st.DataObject, by: dict[str, Any], reason: str | None) -> None:
        if (key := self.pick(data, "active")) is not None:
            self.story.tell(key, "session:closed", self.at, reason=reason, reopen_until=None, by=by)
            self.status[key] = "closed"

    @rule(data=st.data())
    def reopen(self, data: st.DataObject) -> None:
        if (key := self.pick(data, "closed")) is not None:
            handling = self.handling[key] = data.draw(st.sampled_from(["ai", self.handling[key]]))
            assignee = "grace" if handling == "human" else None
            self.story.tell(key, "session:reopened", self.at, handling=handling, assignee=assignee, by=USER)
            self.status[key] = "active"

    @rule(data=st.data())
    def expire(self, data: st.DataObject) -> None:
        if (key := self.pick(data, "active", "closed")) is not None:
            self.story.tell(key, "session:expired", self.at, reason="inactivity")
            self.status[key] = "expired"

    @rule(data=st.data(), rating=st.integers(1, 5))
    def rate(self, data: st.DataObject, rating: int) -> None:
        if (key := self.pick(data, "active", "closed")) is not None:
            self.story.tell(key, "session:rated", self.at, rating=rating, feedback="fine", by=USER)

    @rule(data=st.data(), tags=st.lists(st.sampled_from(["vip", "new"]), unique=True))
    def tag(self, data: st.DataObject, tags: list[str]) -> None:
        if (key := self.pick(data, "active", "closed")) is not None:
            self.story.tell(key, "session:tagged", self.at, tags=tags, by=TIME)

    @rule(data=st.data())
    def erase(self, data: st.DataObject) -> None:
        if (key := self.pick(data, "active", "closed", "expired")) is not None:
            self.story.erase(key)
            del self.status[key]

    @rule(limit=st.integers(1, 7))
    def look(self, limit: int) -> None:
        self.insights.catch_up(limit)

    @rule()
    def look_again_after_a_crash(self) -> None:
        self.insights.close()
        self.insights = Insights.open(self.path)

    @precondition(lambda self: self.keys > 0)
    @rule()
    def compare(self) -> None:
        self.insights.catch_up_all()
        with InsightsReader.open(self.path) as reader:
            assert reader.behind() == 0
            found = {row["session_id"]: row for row in reader.sessions(limit=1000).sessions}
            hits = reader.search("hello", limit=200).hits
            hours = reader.stats(bucket="hour").buckets
            by_status = [
                hour
                for status in ("active", "closed", "expired")
                for hour in reader.stats(Filters(status=status), "hour").buckets
            ]
        assert set(found) == {f"s{key}" for key in self.story.told}
        for key, history in self.story.told.items():
            facts = model(history)
            assert {name: found[f"s{key}"][name] for name in facts} == facts
            assert found[f"s{key}"]["created_at"] == history[0][1]
        said = [
            (f"s{key}", seq)
            for key, history in self.story.told.items()
            for seq, (event, _, payload) in enumerate(history, 1)
            if event == "message:received" and payload["text"] == "hello"
        ]
        assert sorted((hit.session_id, hit.seq) for hit in hits) == sorted(said)
        everything = [happening for history in self.story.told.values() for happening in history]
        assert sum(hour["messages"] for hour in hours) == sum(
            event == "message:received" for event, _, _ in everything
        )
        assert sum(hour["opened"] for hour in hours) == len(self.story.told)
        # What was counted as it was gathered is what the tables say when they are asked.
        assert _counts(hours) == _counts(by_status)


TestGathering = Gathering.TestCase
TestGathering.settings = settings(max_examples=10, stateful_step_count=40, deadline=None)
