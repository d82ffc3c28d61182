"""What the store's thread does with the time between commits; its steps are made small here."""

from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest
from pykka import ActorRef

from sojourn.actors import store
from sojourn.actors.store import StoreActor, WriteBatch
from sojourn.storage import Batch, Journal, StorageError

KEYS = 8


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "sojourn.db")


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {
        "INDEX_STEP": 16,
        "INDEX_AT_REST": 4,
        "INDEX_LAG": 16,
        "MERGE_STEP": 16,
        "RUNS_AT_REST": 3,
        "RUNS_MOST": 6,
        # So that each batch ends with the call that `Tidied` waits for.
        "CHECKPOINT_EVENTS": 1,
    }
    for name, value in small.items():
        monkeypatch.setattr(store, name, value)


class Tidied:
    """A store and what its index looked like each time the work behind a commit was done."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._ends: SimpleQueue[tuple[int, int]] = SimpleQueue()
        self._ref: ActorRef[StoreActor] = StoreActor.start(
            journal, lambda: self._ends.put((journal.index_pending, journal.merge_pending))
        )
        self._seq = 0

    def write(self, rounds: int) -> None:
        """Hand over `rounds` events of each session."""
        batch = Batch()
        for _ in range(rounds):
            self._seq += 1
            batch.events += [(key, self._seq, 0.0, 2, 0, b"\x80") for key in range(1, KEYS + 1)]
        self._ref.tell(WriteBatch(batch, stored))

    def ended(self) -> tuple[int, int]:
        """(index_pending, merge_pending) after the next batch."""
        return self._ends.get(timeout=30)

    def stop(self) -> None:
        self._ref.stop()


def stored(error: StorageError | None) -> None:
    assert error is None


@pytest.fixture
def tidied(path: str) -> Iterator[Tidied]:
    with Journal.open(path, "relaxed") as journal:
        opened = Tidied(journal)
        yield opened
        opened.stop()


def check_histories(path: str, seqs: int) -> None:
    with Journal.open(path) as journal, journal.reader() as reader:
        for key in range(1, KEYS + 1):
            assert [row[1] for row in reader.history(key, limit=100_000)[0]] == list(range(1, seqs + 1))


def test_under_load_runs_are_appended_and_merged_in_slices_that_keep_up(
    tidied: Tidied, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "BUSY_BATCH", 1)
    ends: list[tuple[int, int]] = []
    for _ in range(100):
        tidied.write(3)
        ends.append(tidied.ended())
    assert max(pending for pending, _ in ends) <= 24
    runs = [waiting for _, waiting in ends]
    # Nothing is merged below the bound, although the inbox was empty each time.
    assert runs[:4] == sorted(runs[:4])
    assert max(runs) > 6
    assert max(runs) <= 2 * 6
    assert min(runs[10:]) < 6
    tidied.stop()
    check_histories(path, 300)


def test_at_rest_runs_are_merged_until_few_are_left(
    tidied: Tidied, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "BUSY_BATCH", 1)
    ends: list[tuple[int, int]] = []
    for _ in range(12):
        tidied.write(2)
        ends.append(tidied.ended())
    assert max(runs for _, runs in ends) >= 3
    monkeypatch.setattr(store, "BUSY_BATCH", 1000)
    tidied.write(1)
    pending, runs = tidied.ended()
    assert pending < 4
    assert runs < 3
    tidied.stop()
    check_histories(path, 25)


def test_runs_that_a_killed_writer_left_are_merged_at_the_start(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal.open(path) as journal:
        for seq in range(1, 11):
            batch = Batch()
            batch.events = [(key, seq, 0.0, 2, 0, b"\x80") for key in range(1, KEYS + 1)]
            journal.commit(batch)
            journal.index()
        assert journal.merge_pending == 10
    # The start itself asks for a checkpoint then, which tells us that it is done.
    monkeypatch.setattr(store, "CHECKPOINT_EVENTS", 0)
    with Journal.open(path) as journal:
        started = Tidied(journal)
        assert started.ended()[1] < 3
        started.stop()
    check_histories(path, 10)


def test_a_stop_takes_the_last_events_into_the_index_and_leaves_runs_for_later(
    tidied: Tidied, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "BUSY_BATCH", 1)
    for _ in range(5):
        tidied.write(2)
        tidied.ended()
    tidied.write(1)
    tidied.ended()
    tidied.stop()
    with Journal.open(path) as journal:
        assert journal.index_pending == 0
        assert journal.merge_pending > 0
    check_histories(path, 11)
