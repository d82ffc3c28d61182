"""What falls due, read with as little of each session as tells when and why."""

from sojourn.storage import DueSession, Journal, Reader
from tests.storage.samples import batch, event, session


def test_a_page_has_the_rows_in_the_order_of_their_deadlines_and_what_is_stored_of_the_unknown(
    any_journal: Journal, any_reader: Reader
) -> None:
    rows = [
        session(1, due_at=5.25),
        session(2, due_at=3.0, seq=2, snapshot=b"two"),
        session(3, due_at=None),
        session(4, due_at=3.0, seq=1, snapshot=b"known"),
        session(5, due_at=9.0),
    ]
    events = [event(key, seq) for key in range(1, 6) for seq in range(1, 4)]
    any_journal.commit(batch(sessions=rows, events=events))
    expected = [
        DueSession(3.0, 2, "s2", b"two", [event(2, 3)]),
        DueSession(5.25, 1, "s1", None, [event(1, 1), event(1, 2), event(1, 3)]),
    ]
    for indexed in range(len(events) + 1):
        page = any_reader.due_page(5.25, 10, None, {"s4"})
        assert page == ([(3.0, 2, "s2"), (3.0, 4, "s4"), (5.25, 1, "s1")], expected), indexed
        any_journal.index(1)


def test_pages_follow_each_other_without_gap_or_repetition(any_journal: Journal, any_reader: Reader) -> None:
    deadlines = [5.25, 3.0, None, 3.0, 1.5, 9.0, 3.0]
    any_journal.commit(
        batch(sessions=[session(key, due_at=due_at) for key, due_at in enumerate(deadlines, 1)])
    )
    met: list[tuple[float, int, str]] = []
    while (page := any_reader.due_page(6.0, 2, met[-1][:2] if met else None, ()))[0]:
        assert [(due.due_at, due.key, due.session_id) for due in page[1]] == page[0]
        met += page[0]
    assert met == any_reader.due(6.0, 10)
    assert len(met) == 5


def test_those_among_some_ids_that_may_fall_due_are_found(journal: Journal, reader: Reader) -> None:
    journal.commit(
        batch(sessions=[session(1, due_at=5.0, seq=1, snapshot=b"one"), session(2), session(3, due_at=4.0)])
    )
    assert reader.due_among(["s1", "s2", "nobody"]) == [DueSession(5.0, 1, "s1", b"one", [])]
    assert reader.due_among([]) == []
