"""The follower: what it takes in, after whatever happened to it, to the journal, or to the file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sojourn.storage import Batch, Journal, NotADatabase, StoreLocked
from sojourn.storage.insights import (
    Filters,
    Insights,
    InsightsMissing,
    InsightsReader,
    insights_path,
    search,
)
from sojourn.storage.insights.schema import VERSION
from sojourn.storage.records import RETENTION, Gone
from tests.storage.samples import batch, index_all
from tests.storage.stories import AGENT, NOON, Story


@pytest.fixture
def story(journal: Journal) -> Story:
    return Story(journal)


def gather(path: str) -> None:
    with Insights.open(path) as insights:
        insights.catch_up_all()


def texts(path: str, q: str = "hello") -> list[tuple[str, int]]:
    """Where a word was found."""
    with InsightsReader.open(path) as reader:
        return sorted((hit.session_id, hit.seq) for hit in reader.search(q, limit=200).hits)


def files(path: str) -> bytes:
    """All bytes of the insights' files."""
    target = Path(insights_path(path))
    return b"".join(each.read_bytes() for each in sorted(target.parent.glob(f"{target.name}*")))


def no_bytes_of(path: str, *words: str) -> bool:
    held = files(path)
    return not any(word.encode() in held for word in words)


def test_a_step_takes_in_no_more_than_it_is_told_and_says_what_is_left(story: Story, path: str) -> None:
    story.create(1)
    for _ in range(4):
        story.say(1, "hello")
    with Insights.open(path) as insights:
        assert insights.catch_up(2) == (2, 3)
        with InsightsReader.open(path) as reader:
            assert reader.behind() == 3
        assert insights.catch_up(10) == (3, 0)
        assert insights.catch_up(10) == (0, 0)


def test_nothing_sensitive_is_in_the_file(story: Story, path: str) -> None:
    story.create(1, user_id="ada")
    story.tell(1, "session:context:updated", NOON, patch={"password": "sesame"}, context_version=2, by=AGENT)
    gather(path)
    assert b"ada" in files(path)
    assert no_bytes_of(path, "sesame", "hush", "password")


def test_two_followers_are_refused_and_readers_are_not(story: Story, path: str) -> None:
    story.create(1)
    story.say(1, "hello")
    with Insights.open(path) as insights:
        with pytest.raises(StoreLocked):
            Insights.open(path)
        insights.catch_up_all()
        assert texts(path) == [("s1", 2)]
    gather(path)


def test_without_insights_a_reader_says_so(story: Story, path: str) -> None:
    with pytest.raises(InsightsMissing, match="nobody has gathered"):
        InsightsReader.open(path)
    with pytest.raises(InsightsMissing, match="memory"):
        InsightsReader.open(None)


def test_a_file_of_another_version_is_made_anew(story: Story, path: str) -> None:
    story.create(1)
    story.say(1, "hello")
    gather(path)
    with sqlite3.connect(insights_path(path)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with pytest.raises(InsightsMissing):
        InsightsReader.open(path)
    gather(path)
    assert texts(path) == [("s1", 2)]


def test_another_programs_file_is_left_alone(story: Story, path: str) -> None:
    with sqlite3.connect(insights_path(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(NotADatabase):
        Insights.open(path)
    with sqlite3.connect(insights_path(path)) as connection:
        assert connection.execute("SELECT count(*) FROM theirs").fetchone() == (0,)
    connection.close()


def test_a_slice_that_fails_is_taken_whole_at_the_next_attempt(
    story: Story, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real failure in the middle: a message that finds its place taken."""
    story.create(1)
    story.say(1, "hello")
    story.say(1, "hello again")
    with Insights.open(path) as insights:
        stranger = (3, 9, 9, NOON, "user", None, "in the way")
        insights._connection.execute("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?)", stranger)
        with pytest.raises(Exception, match="UNIQUE"):
            insights.catch_up()
        assert texts(path) == []
        insights._connection.execute("DELETE FROM messages")
        insights.catch_up_all()
    assert texts(path) == [("s1", 2), ("s1", 3)]


# -- erasure ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("looked", [False, True])
def test_of_an_erased_session_no_byte_is_left_in_any_file(story: Story, path: str, looked: bool) -> None:
    long = " ".join(f"unspeakable{number}" for number in range(3000))  # many overflow pages
    for key in (1, 2, 3):
        story.create(key, user_id="ada" if key == 2 else "bob")
    for number in range(50):
        story.say(1, f"hello from one, {number}")
        story.say(2, f"xylophone {number}")
        story.say(3, f"hello from three, {number}")
    story.say(2, long)
    story.tell(2, "session:rated", NOON, rating=1, feedback="horrible", by=AGENT)
    story.tell(2, "session:tagged", NOON, tags=["notorious"], by=AGENT)
    with Insights.open(path) as insights:
        if looked:
            insights.catch_up_all()
            assert not no_bytes_of(path, "unspeakable42")
            assert not no_bytes_of(path, "xylophone")
        story.erase(2)
        story.say(1, "hello behind it")
        insights.catch_up_all()
        assert no_bytes_of(path, "unspeakable", "xylophone", "ada", "horrible", "notorious")
        assert insights.purged > 0
    assert len(texts(path)) == 101
    with InsightsReader.open(path) as reader:
        assert reader.purged == 1
        assert reader.sessions().total == 2


def test_a_reader_in_the_way_delays_the_purge_and_nothing_else(story: Story, path: str) -> None:
    story.create(1)
    story.say(1, "hello")
    story.create(2)
    story.say(2, "xylophone")
    with Insights.open(path) as insights:
        insights.catch_up_all()
        with sqlite3.connect(insights_path(path), isolation_level=None) as looking:
            looking.execute("BEGIN")
            looking.execute("SELECT count(*) FROM messages").fetchone()
            story.erase(2)
            insights.catch_up_all()
            assert texts(path, "xylophone") == []
            assert insights.purged == 0
            looking.execute("ROLLBACK")
        looking.close()
        insights.catch_up_all()
        assert insights.purged == 1
        assert no_bytes_of(path, "xylophone")


def test_erased_only_leaves_what_is_new_for_later(story: Story, path: str) -> None:
    story.create(1)
    story.say(1, "xylophone")
    gather(path)
    story.create(2)
    story.say(2, "hello")
    story.erase(1)
    with Insights.open(path) as insights:
        assert insights.forget_erased()
    assert texts(path, "xylophone") == []
    assert no_bytes_of(path, "xylophone")
    assert texts(path) == []
    gather(path)
    assert texts(path) == [("s2", 2)]


def test_retention_removes_at_once_and_rewrites_the_file_when_it_is_worth_it(story: Story, path: str) -> None:
    for key in range(1, 31):
        story.create(key)
        story.say(key, f"hello word{key}word")
    gather(path)

    def let_go(key: int) -> None:
        gone = Batch()
        gone.erased[key] = Gone(NOON, RETENTION)
        story.journal.commit(gone)

    with Insights.open(path) as insights:
        insights.catch_up_all()
        let_go(1)
        insights.catch_up_all()
        assert len(texts(path)) == 29
        assert insights.purged == 0
        for key in range(2, 6):
            let_go(key)
        insights.catch_up_all()
        assert insights.purged == 5
        assert no_bytes_of(path, *(f"word{key}word" for key in range(1, 6)))
        assert not no_bytes_of(path, "word6word")


def test_ids_that_the_journal_gives_again_behind_a_long_erasure_are_taken_in(story: Story, path: str) -> None:
    """The events of a long session go slice by slice, behind the erasure that the follower has seen to."""
    story.create(1)
    story.create(2)
    story.journal.commit(batch(events=[story._row(2, "dialog:expired", NOON, {}) for _ in range(1500)]))
    with Insights.open(path) as insights:
        insights.catch_up_all()
        story.erase(2)
        insights.catch_up_all()  # goes through what is left of the session
        while story.journal.erase_on():
            pass
        story.say_often(1, "hello", 1600)  # the journal is as long as it was, and longer
        insights.catch_up_all()
        with InsightsReader.open(path) as reader:
            assert [row["messages"] for row in reader.sessions().sessions] == [1600]


# -- a journal that is not what it was -------------------------------------------------------------


def _copy(source: str, target: str) -> None:
    """What a backup does."""
    with sqlite3.connect(source) as old, sqlite3.connect(target) as new:
        old.backup(new)
    old.close()
    new.close()


def _replace(path: str, copy: str) -> None:
    for name in (path, f"{path}-wal", f"{path}-shm"):
        Path(name).unlink(missing_ok=True)
    Path(copy).rename(path)


@pytest.mark.parametrize("indexed", [False, True])
def test_behind_a_restored_copy_the_insights_are_those_of_the_copy(tmp_path: Path, indexed: bool) -> None:
    """As after a power cut with durability `relaxed`, which takes the newest commits."""
    path, copy = str(tmp_path / "sessions.db"), str(tmp_path / "copy.db")
    with Journal.open(path) as journal:
        story = Story(journal)
        for key in (1, 2, 3):
            story.create(key)
            story.say(key, "hello")
        story.say(2, "hello twice")
        if indexed:
            index_all(journal)
        _copy(path, copy)
        story.say(2, "lost one")
        story.say(3, "lost two")
        gather(path)
        assert texts(path, "lost") == [("s2", 4), ("s3", 3)]
    _replace(path, copy)
    with Journal.open(path) as journal:
        story.journal = journal
        story.seqs |= {2: 3, 3: 2}
        story.say(3, "found instead")
        gather(path)
    assert texts(path, "lost") == []
    assert texts(path) == [("s1", 2), ("s2", 2), ("s2", 3), ("s3", 2)]
    assert texts(path, "found") == [("s3", 3)]
    with InsightsReader.open(path) as reader:
        counts = {row["session_id"]: row["messages"] for row in reader.sessions().sessions}
        assert reader.behind() == 0
    assert counts == {"s1": 1, "s2": 2, "s3": 2}


def test_beside_another_database_of_the_same_name_all_is_read_anew(tmp_path: Path) -> None:
    path = str(tmp_path / "sessions.db")
    with Journal.open(path) as journal:
        story = Story(journal)
        story.create(1, session_id="old", user_id="ada")
        story.say(1, "hello xylophone")
        gather(path)
    for name in (path, f"{path}-wal", f"{path}-shm"):
        Path(name).unlink(missing_ok=True)
    with Journal.open(path) as journal:
        story = Story(journal)
        story.create(1, session_id="new")
        story.say(1, "hello")
        gather(path)
    assert texts(path) == [("new", 2)]
    assert texts(path, "xylophone") == []


# -- questions -------------------------------------------------------------------------------------


@pytest.fixture
def several(story: Story, path: str) -> str:
    """Three sessions that differ in everything that is asked for."""
    story.create(1, NOON, ("vip",), user_id="ada", channel="web")
    story.say(1, "hello, where is my order?", NOON + 1)
    story.say(1, "It is on its way, hello.", NOON + 5, "ai")
    story.tell(1, "session:closed", NOON + 6, reason="resolved_by_ai", reopen_until=None, by={"role": "ai"})
    story.tell(1, "session:rated", NOON + 7, rating=5, feedback=None, by={"role": "user"})
    story.create(2, NOON + 3600, user_id="bob", channel="email")
    story.say(2, "hello? <b>HELLO</b>", NOON + 3601)
    story.tell(2, "session:handed_over", NOON + 3602, queue="q", by={"role": "ai"})
    story.tell(2, "session:assigned", NOON + 3662, assignee="grace", by=AGENT)
    story.say(2, "hello, this is Grace", NOON + 3670, "human")
    story.tell(2, "session:closed", NOON + 3680, reason="resolved_by_human", reopen_until=None, by=AGENT)
    story.tell(2, "session:expired", NOON + 3800, reason="keep_alive")
    story.create(3, NOON + 86_400 * 2, user_id="ada", channel="web")
    gather(path)
    return path


@pytest.mark.parametrize(
    ("filters", "places"),
    [
        (Filters(), [("s1", 2), ("s1", 3), ("s2", 2), ("s2", 5)]),
        (Filters(session_id="s2"), [("s2", 2), ("s2", 5)]),
        (Filters(user_id="ada"), [("s1", 2), ("s1", 3)]),
        (Filters(user_id="nobody"), []),
        (Filters(channel="email"), [("s2", 2), ("s2", 5)]),
        (Filters(status="closed"), [("s1", 2), ("s1", 3)]),
        (Filters(status="active"), []),
        (Filters(handling="human"), [("s2", 2), ("s2", 5)]),
        (Filters(tag="vip"), [("s1", 2), ("s1", 3)]),
        (Filters(tag="VIP"), []),
        (Filters(rating=5), [("s1", 2), ("s1", 3)]),
        (Filters(rating=1), []),
        (Filters(author="human"), [("s2", 5)]),
        (Filters(author="user", channel="web"), [("s1", 2)]),
        (Filters(since=NOON + 5), [("s1", 3), ("s2", 2), ("s2", 5)]),
        (Filters(until=NOON + 5), [("s1", 2)]),
        (Filters(since=NOON + 5, until=NOON + 3670), [("s1", 3), ("s2", 2)]),
        (Filters(since=NOON + 3600, until=NOON + 7200), [("s2", 2), ("s2", 5)]),
        (Filters(since=NOON + 7200), []),
        (Filters(author="system"), []),
    ],
)
@pytest.mark.parametrize("few", [0, 2000])
def test_a_search_keeps_to_all_its_filters(
    several: str, filters: Filters, places: list[tuple[str, int]], few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whichever order it looks: by words first, or by sessions."""
    monkeypatch.setattr(search, "FEW", few)
    with InsightsReader.open(several) as reader:
        hits = reader.search("hello", filters).hits
    assert sorted((hit.session_id, hit.seq) for hit in hits) == places


def test_what_a_fork_copied_is_found_and_counted_where_it_was_said(story: Story, path: str) -> None:
    story.create(1)
    story.say(1, "hello")
    story.create(2)
    copied = {"author": "user", "message_id": "m1", "text": "hello", "attachments": None, "data": None}
    story.tell(2, "message:received", NOON, **copied, copied_from={"seq": 2, "at": NOON})
    story.say(2, "hello from the fork")
    gather(path)
    assert texts(path) == [("s1", 2), ("s2", 3)]
    with InsightsReader.open(path) as reader:
        assert [row["messages"] for row in reader.sessions().sessions] == [1, 1]
        assert sum(day["messages"] for day in reader.stats().buckets) == 2


def test_hits_come_newest_first_in_pages_that_join(several: str) -> None:
    with InsightsReader.open(several) as reader:
        first = reader.search("hello", limit=3)
        second = reader.search("hello", limit=3, cursor=first.cursor)
        exact = reader.search("hello", limit=4)
    assert [hit.seq for hit in first.hits + second.hits] == [5, 2, 3, 2]
    assert second.cursor is None
    assert exact.cursor is None


def test_a_snippet_is_the_text_in_pieces_and_says_what_was_found(several: str) -> None:
    with InsightsReader.open(several) as reader:
        hit = reader.search("hello", Filters(user_id="bob", author="user")).hits[0]
    assert hit.snippet == [("hello", True), ("? <b>", False), ("HELLO", True), ("</b>", False)]
    assert hit.at == NOON + 3601


Ask = Callable[[InsightsReader], object]
REFUSED: list[tuple[str, Ask]] = [
    ("limit", lambda reader: reader.search("x", limit=0)),
    ("limit", lambda reader: reader.search("x", limit=10**9)),
    ("limit", lambda reader: reader.sessions(limit=-1)),
    ("cursor", lambda reader: reader.search("x", cursor="x")),
    ("cursor", lambda reader: reader.search("x", cursor="é")),
    ("cursor", lambda reader: reader.sessions(cursor="W10")),
    ("cursor", lambda reader: reader.sessions(sort="length", cursor=reader.sessions(limit=1).cursor)),
    ("sort", lambda reader: reader.sessions(sort="key; DROP TABLE sessions")),
    ("order", lambda reader: reader.sessions(order="sideways")),
    ("bucket", lambda reader: reader.stats(bucket="second")),
    ("bucket", lambda reader: reader.stats(Filters(since=0.0, until=4e9), "hour")),
    ("author", lambda reader: reader.search("x", Filters(author="x' OR 1"))),
    ("status", lambda reader: reader.sessions(Filters(status="open"))),
    ("since", lambda reader: reader.stats(Filters(since=float("inf")))),
    ("until", lambda reader: reader.stats(Filters(until=float("nan")))),
    ("user_id", lambda reader: reader.sessions(Filters(user_id="\ud800"))),
]


@pytest.mark.parametrize(("key", "ask"), REFUSED)
def test_a_bad_question_is_refused_by_name(several: str, key: str, ask: Ask) -> None:
    with InsightsReader.open(several) as reader, pytest.raises(Exception, match=rf"^{key}: "):
        ask(reader)


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize(
    "sort", ["created_at", "ended_at", "messages", "length", "rating", "first_answer", "handover_wait"]
)
def test_pages_of_sessions_join_in_every_order(several: str, sort: str, order: str) -> None:
    with InsightsReader.open(several) as reader:
        whole = [row["session_id"] for row in reader.sessions(sort=sort, order=order).sessions]
        values = [row[sort] for row in reader.sessions(sort=sort, order=order).sessions]
        pages: list[str] = []
        cursor: str | None = None
        while True:
            page = reader.sessions(sort=sort, order=order, limit=1, cursor=cursor)
            assert page.total == 3
            pages += [row["session_id"] for row in page.sessions]
            cursor = page.cursor
            if cursor is None:
                break
    assert sorted(whole) == ["s1", "s2", "s3"]
    assert pages == whole
    known = [value for value in values if value is not None]
    assert known == sorted(known, reverse=order == "desc")
    assert values == known + [None] * (3 - len(known))


def test_buckets_count_what_happened_when_and_leave_no_gap(several: str) -> None:
    with InsightsReader.open(several) as reader:
        days = reader.stats(bucket="day").buckets
        hours = reader.stats(Filters(since=NOON, until=NOON + 7200), "hour").buckets
        web = reader.stats(Filters(channel="web"), "month").buckets
    midnight = NOON - 12 * 3600
    assert [day["at"] for day in days] == [midnight, midnight + 86_400, midnight + 2 * 86_400]
    assert [day["opened"] for day in days] == [2, 0, 1]
    first = {"opened": 2, "closed": 2, "resolved": 2, "expired_keep_alive": 1, "messages": 4, "handovers": 1}
    assert {name: days[0][name] for name in first} == first
    assert not any(value for name, value in days[1].items() if name != "at")
    assert [(hour["opened"], hour["messages"]) for hour in hours] == [(1, 2), (1, 2)]
    assert [(month["opened"], month["closed"]) for month in web] == [(2, 1)]


def test_a_range_that_cuts_an_hour_counts_it_whole_whatever_else_is_asked(several: str) -> None:
    with InsightsReader.open(several) as reader:
        for more in (Filters(), Filters(user_id="bob"), Filters(channel="email")):
            cut = replace(more, since=NOON + 3700, until=NOON + 3701)
            (hour,) = reader.stats(cut, "hour").buckets
            assert (hour["opened"], hour["messages"], hour["handovers"]) == (1, 2, 1)


@pytest.mark.parametrize(
    ("bucket", "start"), [("week", 1_699_833_600.0), ("month", 1_698_796_800.0), ("day", NOON - 12 * 3600)]
)
def test_a_bucket_begins_on_monday_and_on_the_first(several: str, bucket: str, start: float) -> None:
    """2023-11-13 was a Monday; also a range in which nothing happened begins there."""
    with InsightsReader.open(several) as reader:
        assert reader.stats(bucket=bucket).buckets[0]["at"] == start
        empty = reader.stats(Filters(channel="none", since=NOON, until=NOON + 1), bucket).buckets
    assert [each["at"] for each in empty] == [start]


def test_the_summary_tells_what_was_typical(several: str) -> None:
    with InsightsReader.open(several) as reader:
        summary = reader.stats().summary
        assert reader.stats(Filters(user_id="nobody")).summary["length"] == {
            "p50": None,
            "p90": None,
            "count": 0,
        }
    assert summary == {
        "sessions": 3,
        "users": 2,
        "messages": 4,
        "messages_a_session": 4 / 3,
        "share_without_human": 0.5,
        "length": {"p50": 5.0, "p90": 70.0, "count": 2},
        "first_answer": {"p50": 4.0, "p90": 69.0, "count": 2},
        "handover_wait": {"p50": 60.0, "p90": 60.0, "count": 1},
        "ratings": {"1": 0, "2": 0, "3": 0, "4": 0, "5": 1},
    }
    json.dumps(summary)
