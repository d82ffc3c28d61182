import math
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.storage import Journal, Reader, ReadFailed, SessionRow
from sojourn.storage.connection import connect_reader
from tests.storage.samples import batch, event, index_all, session


def test_load_gives_the_events_behind_the_snapshot_indexed_or_not(
    any_journal: Journal, any_reader: Reader
) -> None:
    row = session(1, seq=2, snapshot=b"two")
    any_journal.commit(batch(events=[event(1, seq) for seq in range(1, 6)], sessions=[row]))
    for indexed in range(6):
        stored = any_reader.load_keys([1])[1]
        assert stored.row == row, indexed
        assert [place for _, place, *_ in stored.tail] == [3, 4, 5], indexed
        any_journal.index(1)


def test_load_finds_hundreds_of_sessions_at_once_and_leaves_out_unknown_ones(any_journal: Journal) -> None:
    keys = range(1, 701)
    any_journal.commit(batch(sessions=[session(key) for key in keys], events=[event(key, 1) for key in keys]))
    any_journal.index(300)
    any_journal.commit(batch(events=[event(key, 2) for key in keys]))
    with any_journal.reader() as reader:
        by_id = reader.load([*(f"s{key}" for key in keys), "unknown"])
        by_key = reader.load_keys([*keys, 9999])
        assert reader.load([]) == {}
    assert by_id.keys() == {f"s{key}" for key in keys}
    assert [stored.row.key for stored in by_key.values()] == list(keys)
    for key, stored in by_key.items():
        assert stored.tail == [event(key, 1), event(key, 2)]
        assert by_id[f"s{key}"] == stored


def test_a_session_asked_for_twice_is_loaded_once(journal: Journal, reader: Reader) -> None:
    journal.commit(batch(sessions=[session(1)], events=[event(1, 1)]))
    assert reader.load(["s1", "s1"])["s1"].tail == [event(1, 1)]


def test_find_user_gives_unexpired_sessions_newest_first_and_the_newest_expired_one(
    journal: Journal, reader: Reader
) -> None:
    statuses = ["expired", "active", "expired", "closed", "active"]
    journal.commit(
        batch(
            sessions=[
                *(session(key, user_id="ada", status=status) for key, status in enumerate(statuses, 1)),
                session(6, user_id="ada", channel="sms"),
                session(7, user_id="bob"),
                session(8),
            ]
        )
    )
    assert reader.find_user("ada", "web") == (["s5", "s4", "s2"], "s3")
    assert reader.find_user("ada", "sms") == (["s6"], None)
    assert reader.find_user("eve", "web") == ([], None)


def test_find_request_gives_the_session_made_with_that_key(journal: Journal, reader: Reader) -> None:
    journal.commit(batch(sessions=[session(1, request_key="first"), session(2)]))
    assert reader.find_request("first") == "s1"
    assert reader.find_request("second") is None


def test_due_goes_through_the_deadlines_in_their_order_page_by_page(
    any_journal: Journal, any_reader: Reader
) -> None:
    deadlines = [5.25, 3.0, None, 3.0, 1.5, 9.0, 3.0]
    any_journal.commit(
        batch(sessions=[session(key, due_at=due_at) for key, due_at in enumerate(deadlines, 1)])
    )
    assert any_reader.next_due() == 1.5
    assert [any_reader.next_due(after) for after in (1.4, 1.5, 3.0, 5.25, 9.0)] == [1.5, 3.0, 5.25, 9.0, None]
    expected = [(1.5, 5, "s5"), (3.0, 2, "s2"), (3.0, 4, "s4"), (3.0, 7, "s7"), (5.25, 1, "s1")]
    assert any_reader.due(5.25, 10) == expected
    paged: list[tuple[float, int, str]] = []
    while page := any_reader.due(5.25, 2, after=paged[-1][:2] if paged else None):
        paged += page
    assert paged == expected
    assert any_reader.due(1.4, 10) == []


def test_next_due_is_none_when_nothing_ever_falls_due(journal: Journal, reader: Reader) -> None:
    journal.commit(batch(sessions=[session(1)]))
    assert reader.next_due() is None


@pytest.mark.parametrize(
    ("filters", "keys"),
    [
        ({}, [6, 5, 4, 3, 2, 1]),
        ({"status": "active"}, [5, 3, 1]),
        ({"status": "active", "handling": "human"}, [3]),
        ({"user_id": "ada"}, [2, 1]),
        ({"channel": "sms"}, [4]),
        ({"queue": "sales"}, [6, 5]),
        ({"queue": "sales", "user_id": "ada"}, []),
    ],
)
def test_page_gives_what_matches_newest_first(
    journal: Journal, reader: Reader, filters: dict[str, str], keys: list[int]
) -> None:
    journal.commit(
        batch(
            sessions=[
                session(1, user_id="ada"),
                session(2, user_id="ada", status="closed"),
                session(3, handling="human"),
                session(4, channel="sms", status="expired"),
                session(5, queue="sales"),
                session(6, queue="sales", status="closed"),
            ]
        )
    )
    assert [row.key for row in reader.page(**filters)] == keys  # type: ignore[arg-type]
    paged: list[SessionRow] = []
    while page := reader.page(**filters, before_key=paged[-1].key if paged else None, limit=2):
        paged += page
    assert [row.key for row in paged] == keys


def test_count_is_by_status(journal: Journal, reader: Reader) -> None:
    assert reader.count() == {}
    journal.commit(batch(sessions=[session(1), session(2, status="expired"), session(3)]))
    assert reader.count() == {"active": 2, "expired": 1}


texts = st.text(st.characters(exclude_categories=["Cs"]))
instants = st.floats(min_value=1e-3, max_value=1e11) | st.just(0.0)


@given(
    row=st.builds(
        SessionRow,
        key=st.integers(1, 2**62),
        session_id=texts,
        user_id=st.none() | texts,
        channel=texts,
        request_key=st.none() | texts,
        resume_hash=st.none() | st.binary(),
        created_at=instants,
        status=texts,
        handling=texts,
        queue=st.none() | texts,
        assignee=st.none() | texts,
        due_at=st.none() | instants,
        seq=st.just(0),
        snapshot=st.none() | st.binary(),
    ),
    at=instants,
    flags=st.integers(-(2**63), 2**63 - 1),
    body=st.binary(),
)
def test_every_value_comes_back_to_the_last_bit(row: SessionRow, at: float, flags: int, body: bytes) -> None:
    stored_event = (row.key, 1, at, 2, flags, body)
    with Journal.open(None, "memory") as journal, journal.reader() as reader:
        journal.commit(batch(sessions=[row], events=[stored_event]))
        loaded = reader.load_keys([row.key])[row.key]
        assert loaded.row == row
        assert loaded.tail == [stored_event]
        assert reader.page() == [row]
        if row.due_at is not None:
            assert reader.due(math.inf, 1) == [(row.due_at, row.key, row.session_id)]


def test_one_answer_is_of_one_instant(journal: Journal, path: str) -> None:
    # The commit comes in the middle of a read: between its statement for rows and that for events.
    class Interrupted(sqlite3.Connection):
        statements = 0

        def execute(self, *arguments: object) -> sqlite3.Cursor:
            self.statements += 1
            if self.statements == 3:
                journal.commit(batch(events=[event(1, 2)], sessions=[session(1, status="closed")]))
            return super().execute(*arguments)  # type: ignore[arg-type]

    journal.commit(batch(events=[event(1, 1)], sessions=[session(1)]))
    connection = sqlite3.connect(path, isolation_level=None, factory=Interrupted)
    reader = Reader(connection, path)
    stored = reader.load(["s1"])["s1"]
    assert (stored.row.status, len(stored.tail)) == ("active", 1)
    stored = reader.load(["s1"])["s1"]
    assert (stored.row.status, len(stored.tail)) == ("closed", 2)
    reader.close()


def test_a_failed_read_says_so_and_leaves_no_transaction_open(journal: Journal, path: str) -> None:
    class Failing(sqlite3.Connection):
        fail = True

        def execute(self, statement: str, *arguments: object) -> sqlite3.Cursor:
            if self.fail and "json" in statement:
                raise sqlite3.OperationalError("disk I/O error")
            return super().execute(statement, *arguments)  # type: ignore[arg-type]

    journal.commit(batch(events=[event(1, 1)], sessions=[session(1)]))
    connection = sqlite3.connect(path, isolation_level=None, factory=Failing)
    reader = Reader(connection, path)
    with pytest.raises(ReadFailed, match="disk I/O error") as caught:
        reader.load(["s1"])
    assert path in str(caught.value)
    with pytest.raises(ReadFailed):
        reader.history(1)
    assert not connection.in_transaction
    connection.fail = False
    assert reader.load(["s1"])["s1"].tail == [event(1, 1)]
    reader.close()


def test_a_readers_connection_cannot_write(journal: Journal, path: str) -> None:
    journal.commit(batch(events=[event(1, 1)]))
    connection = connect_reader(path)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM events")
    connection.close()


def test_a_reader_of_a_store_in_memory_leaves_the_writer_its_connection() -> None:
    with Journal.open(None, "memory") as journal:
        journal.reader().close()
        journal.commit(batch(events=[event(1, 1)]))
        index_all(journal)
        with journal.reader() as reader:
            assert reader.event(1, 1) == event(1, 1)
