"""What the store's thread does with the time between commits; its steps are made small here."""

from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Event

import pytest
from pykka import ActorRef

from sojourn.actors import keeper
from sojourn.actors.store_actors import Rest, StoreActor, WriteBatch
from sojourn.storage import Batch, Journal, StorageError

KEYS = 8


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "sojourn.db")


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {
        "INDEX_STEP": 16,
        "INDEX_LEAST": 4,
        "INDEX_AFTER": float("inf"),
        "INDEX_LAG": 16,
        "MERGE_STEPS": (16, 16),
        "RUNS_MOST": 6,
        # So that each batch ends with the call that `Tidied` waits for.
        "CHECKPOINT_EVENTS": 1,
    }
    for name, value in small.items():
        monkeypatch.setattr(keeper, name, value)


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

    def rest(self) -> tuple[int, int]:
        """(index_pending, merge_pending) after the store was told that nobody writes."""
        self._ref.ask(Rest())
        return self.journal.index_pending, self.journal.merge_pending

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


def test_under_load_runs_are_appended_and_merged_in_slices_that_keep_up(tidied: Tidied, path: str) -> None:
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


def test_few_events_are_indexed_when_the_last_step_was_long_ago(
    tidied: Tidied, monkeypatch: pytest.MonkeyPatch
) -> None:
    tidied.write(1)
    assert tidied.ended() == (8, 0)
    monkeypatch.setattr(keeper, "INDEX_AFTER", 0.0)
    tidied.write(1)
    assert tidied.ended() == (0, 1)


def test_at_rest_everything_is_indexed_and_no_run_is_left(tidied: Tidied, path: str) -> None:
    for _ in range(12):
        tidied.write(2)
        tidied.ended()
    tidied.write(1)
    pending, runs = tidied.ended()
    assert pending
    assert runs >= 3
    assert tidied.rest() == (0, 0)
    tidied.stop()
    check_histories(path, 25)


def test_a_batch_that_comes_ends_the_rest(tidied: Tidied, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(12):
        tidied.write(2)
        tidied.ended()
    merge = Journal.merge

    def merge_while_a_batch_comes(journal: Journal, limit: int = 4096) -> int:
        tidied.write(1)
        return merge(journal, limit)

    monkeypatch.setattr(Journal, "merge", merge_while_a_batch_comes)
    runs = tidied.rest()[1]
    assert runs
    monkeypatch.undo()


@pytest.mark.parametrize(("took", "expected"), [(1.0, 256), (0.0, 8192)])
def test_a_slice_of_the_merge_is_as_long_as_its_time_allows(
    path: str, monkeypatch: pytest.MonkeyPatch, took: float, expected: int
) -> None:
    """Slow: halved until 256 events. Fast: doubled until 8,192."""
    monkeypatch.setattr(keeper, "MERGE_STEPS", (256, 8192))
    instants = iter(range(1_000_000))
    monkeypatch.setattr(keeper, "perf_counter", lambda: next(instants) * took)
    asked: list[int] = []

    def merge(_journal: Journal, limit: int = 4096) -> int:
        asked.append(limit)
        return limit if len(asked) < 12 else 0

    monkeypatch.setattr(Journal, "merge", merge)
    monkeypatch.setattr(Journal, "merge_pending", 1)
    with Journal.open(path) as journal:
        opened = Tidied(journal)
        opened.rest()
        opened.stop()
    assert len(asked) >= 12
    assert asked[-1] == expected


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
    begun = Event()
    on_start = StoreActor.on_start

    def start(actor: StoreActor) -> None:
        on_start(actor)
        begun.set()

    monkeypatch.setattr(StoreActor, "on_start", start)
    with Journal.open(path) as journal:
        started = Tidied(journal)
        assert begun.wait(30)
        assert journal.merge_pending == 0
        started.stop()
    check_histories(path, 10)


def test_a_stop_takes_the_last_events_into_the_index_and_leaves_runs_for_later(
    tidied: Tidied, path: str
) -> None:
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
