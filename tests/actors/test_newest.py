"""The newest events at hand give what the journal gives, or say that they are not there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.actors.newest import MOST, MOST_BYTES, Newest
from sojourn.storage import ENVELOPE_BYTES, EventRow, Journal
from tests.actors.lives import patient
from tests.storage.samples import batch, session

KEY = 1


def row(seq: int, size: int = 10) -> EventRow:
    return KEY, seq, 1_700_000_000.0 + seq, 2, 0, bytes(size)


def rows(first: int, last: int) -> list[EventRow]:
    return [row(seq) for seq in range(first, last + 1)]


def seqs(page: tuple[list[EventRow], bool] | None) -> tuple[list[int], bool] | None:
    return None if page is None else ([each[1] for each in page[0]], page[1])


ROOM = 10 + ENVELOPE_BYTES

PAGES: dict[str, tuple[tuple[int, int, int], tuple[list[int], bool] | None]] = {
    "all of them": ((3, 100, 1 << 20), ([4, 5, 6], False)),
    "the last": ((5, 100, 1 << 20), ([6], False)),
    "nothing behind the newest": ((6, 100, 1 << 20), ([], False)),
    "one before the first": ((2, 100, 1 << 20), None),
    "from the beginning": ((0, 1, 1 << 20), None),
    "as many as fit": ((3, 2, 1 << 20), ([4, 5], True)),
    "exactly as many": ((3, 3, 1 << 20), ([4, 5, 6], False)),
    "as many bytes as fit": ((3, 100, 2 * ROOM), ([4, 5], True)),
    "one byte less": ((3, 100, 2 * ROOM - 1), ([4], True)),
    "one at least": ((3, 100, 0), ([4], True)),
    "one at least, the last": ((5, 100, 0), ([6], False)),
}


@pytest.mark.parametrize("what", PAGES)
def test_a_page_of_events_4_to_6(what: str) -> None:
    asked, expected = PAGES[what]
    newest = Newest(rows(4, 5))
    newest.add(row(6))
    assert seqs(newest.page(*asked)) == expected


def test_an_event_by_its_place() -> None:
    newest = Newest(rows(4, 6))
    assert [newest.event(seq) for seq in (0, 3, 4, 6, 7)] == [None, None, row(4), row(6), None]


def test_of_too_many_events_the_older_half_goes() -> None:
    newest = Newest(rows(1, 3 * MOST))
    assert seqs(newest.page(2 * MOST, MOST, 1 << 20)) == (list(range(2 * MOST + 1, 3 * MOST + 1)), False)
    assert len(newest) == MOST
    newest.add(row(3 * MOST + 1))
    assert len(newest) == MOST // 2
    assert newest.event(3 * MOST + 1) is not None


def test_of_too_many_bytes_the_older_half_goes_and_what_is_too_long_for_itself_is_not_kept() -> None:
    newest = Newest([row(1, MOST_BYTES // 2), row(2, MOST_BYTES // 2)])
    assert len(newest) == 2
    newest.add(row(3, 1))
    assert len(newest) == 1
    newest.add(row(4, MOST_BYTES + 1))
    assert len(newest) == 0
    assert newest.page(4, 1, 1 << 20) is None
    assert newest.event(4) is None
    newest.add(row(5))
    assert seqs(newest.page(4, 1, 1 << 20)) == ([5], False)


@patient
@given(
    st.lists(st.integers(0, 3000), min_size=1, max_size=3 * MOST),
    st.integers(0, 3 * MOST),
    st.lists(
        st.tuples(st.integers(0, 3 * MOST), st.integers(1, 2 * MOST), st.integers(0, 20_000)), max_size=8
    ),
)
def test_a_page_is_the_journals(sizes: list[int], kept_from: int, asked: list[tuple[int, int, int]]) -> None:
    events = [row(seq, size) for seq, size in enumerate(sizes, 1)]
    last = len(events)
    kept_from = min(kept_from, last - 1)
    newest = Newest(events[kept_from : (kept_from + last) // 2])
    for each in events[(kept_from + last) // 2 :]:
        newest.add(each)
    assert len(newest) <= MOST
    with Journal.open(None, "memory") as journal:
        journal.commit(batch(sessions=[session(KEY)], events=events))
        reader = journal.reader()
        for after_seq, limit, max_bytes in asked:
            page = newest.page(min(after_seq, last), limit, max_bytes)
            is_inside = len(newest) > 0 and after_seq >= last - len(newest)
            assert (page is not None) == is_inside
            if page is not None:
                assert page == reader.history(KEY, min(after_seq, last), last, limit, max_bytes)
        for seq in range(last + 2):
            found = newest.event(seq)
            assert found == (reader.event(KEY, seq) if last - len(newest) < seq <= last else None)
        reader.close()
