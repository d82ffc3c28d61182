import pytest

from sojourn.storage import ENVELOPE_BYTES, Journal, Reader
from tests.storage.samples import batch, event, index_all


@pytest.fixture(params=[0, 3, 10])
def filled(request: pytest.FixtureRequest, any_journal: Journal) -> Journal:
    """Ten events of one session among those of another, some of them indexed."""
    rows = [event(key, seq, bytes(seq)) for seq in range(1, 11) for key in (1, 2)]
    any_journal.commit(batch(events=rows))
    any_journal.index(2 * request.param)
    return any_journal


@pytest.mark.parametrize(
    ("after", "until", "limit", "places", "more"),
    [
        (0, 99, 100, range(1, 11), False),
        (0, 99, 10, range(1, 11), False),
        (0, 99, 9, range(1, 10), True),
        (4, 99, 100, range(5, 11), False),
        (4, 7, 100, range(5, 8), False),
        (4, 7, 2, range(5, 7), True),
        (2, 4, 2, range(3, 5), False),
        (10, 99, 100, range(0), False),
        (7, 7, 100, range(0), False),
        (2**63, 2**64, 5, range(0), False),
        (0, 2**64, 1, range(1, 2), True),
    ],
)
def test_a_page_is_what_lies_between_in_order(
    filled: Journal, after: int, until: int, limit: int, places: range, more: bool
) -> None:
    with filled.reader() as reader:
        page = reader.history(1, after, until, limit)
    assert page == ([event(1, seq, bytes(seq)) for seq in places], more)


@pytest.mark.parametrize("limit", [3, 100])
def test_a_page_keeps_to_its_bytes_and_holds_at_least_one_event(filled: Journal, limit: int) -> None:
    first_two = 1 + 2 + 2 * ENVELOPE_BYTES
    with filled.reader() as reader:
        assert [row[1] for row in reader.history(1, limit=limit, max_bytes=first_two)[0]] == [1, 2]
        assert reader.history(1, limit=limit, max_bytes=first_two - 1) == ([event(1, 1, bytes(1))], True)
        assert reader.history(1, limit=limit, max_bytes=0) == ([event(1, 1, bytes(1))], True)
        assert reader.history(1, 9, limit=limit, max_bytes=0) == ([event(1, 10, bytes(10))], False)


def test_a_session_without_events_has_an_empty_history(filled: Journal) -> None:
    with filled.reader() as reader:
        assert reader.history(3) == ([], False)


def test_one_event_is_found_by_its_place(filled: Journal) -> None:
    with filled.reader() as reader:
        for seq in range(1, 11):
            assert reader.event(2, seq) == event(2, seq, bytes(seq))
        assert reader.event(2, 11) is None
        assert reader.event(3, 1) is None
        assert reader.event(2, 2**64) is None


def test_a_long_page_is_in_order_across_the_watermark(journal: Journal, reader: Reader) -> None:
    journal.commit(batch(events=[event(1, seq) for seq in range(1, 1501)]))
    index_all(journal)
    journal.commit(batch(events=[event(1, seq) for seq in range(1501, 3001)]))
    events, more = reader.history(1, 100, limit=2000)
    assert [row[1] for row in events] == list(range(101, 2101))
    assert more
