"""What was acknowledged before it is stored is stored in order, in as few transactions as hold it."""

from sojourn.actors.ahead import AHEAD, Ahead
from sojourn.storage import Batch, EventRow, WriteFailed


def batch_of(*seqs: int) -> Batch:
    batch = Batch()
    batch.events = [row(seq) for seq in seqs]
    return batch


def row(seq: int) -> EventRow:
    return (1, seq, 0.0, 1, 0, b"\x80")


def seqs_of(batches: list[Batch]) -> list[list[int]]:
    return [[event[1] for event in batch.events] for batch in batches]


def test_events_alone_go_together_in_their_order() -> None:
    stored: list[Batch] = []
    ahead = Ahead(stored.append)
    handed = [batch_of(1), batch_of(2, 3), batch_of(4)]
    for batch in handed:
        assert not ahead.add(batch)
    ahead.store()
    assert seqs_of(stored) == [[1, 2, 3, 4]]
    assert seqs_of(handed) == [[1], [2, 3], [4]]  # who handed them over may still look at them


def test_a_batch_with_anything_else_goes_by_itself() -> None:
    stored: list[Batch] = []
    ahead = Ahead(stored.append)
    other = batch_of(3)
    other.deadlines = [(1, 5.0)]
    for batch in (batch_of(1), batch_of(2), other, batch_of(4), batch_of(5)):
        ahead.add(batch)
    ahead.store()
    assert seqs_of(stored) == [[1, 2], [3], [4, 5]]
    assert stored[1] is other


def test_no_transaction_grows_without_bound() -> None:
    stored: list[Batch] = []
    ahead = Ahead(stored.append)
    half = AHEAD // 2
    for start in range(0, 4 * half, half):
        ahead.add(batch_of(*range(start, start + half)))
    ahead.add(batch_of(*range(AHEAD + 1)))
    ahead.store()
    assert [len(batch.events) for batch in stored] == [AHEAD, AHEAD, AHEAD + 1]


def test_what_fails_keeps_nothing_behind_it_from_being_stored() -> None:
    stored: list[Batch] = []

    def commit(batch: Batch) -> None:
        if batch.events[0][1] == 1:
            raise WriteFailed(None, "no room")
        stored.append(batch)

    ahead = Ahead(commit)
    other = batch_of(2)
    other.deadlines = [(1, 5.0)]
    for batch in (batch_of(1), other):
        ahead.add(batch)
    ahead.store()
    assert stored == [other]
