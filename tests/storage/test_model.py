"""Whatever is committed, indexed, erased and reopened in whatever order: the store answers as dicts would."""

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sojourn.storage import EventRow, Journal, Reader, SessionRow, Unstorable
from tests.storage.samples import batch, event, session

keys = st.integers(1, 5)
deadlines = st.none() | st.sampled_from([1.5, 2.0, 2.25, 3.0])


@dataclass
class Model:
    """The store as two dicts."""

    rows: dict[int, SessionRow] = field(default_factory=dict[int, SessionRow])
    events: dict[int, list[EventRow]] = field(default_factory=dict[int, list[EventRow]])

    def history(self, key: int) -> list[EventRow]:
        return self.events.get(key, [])

    def due(self) -> list[tuple[float, int, str]]:
        return sorted(
            (row.due_at, row.key, row.session_id) for row in self.rows.values() if row.due_at is not None
        )


class StoreMachine(RuleBasedStateMachine):
    """Drives a file and the model side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = str(Path(self.folder.name) / "sojourn.db")
        self.model = Model()
        self.journal = Journal.open(self.path, "relaxed")
        self.reader: Reader = self.journal.reader()

    @initialize()
    def nothing_yet(self) -> None:
        assert self.journal.next_key == 1

    @rule(
        messages=st.lists(keys, max_size=12),
        saved=st.lists(keys, max_size=4),
        moved=st.lists(st.tuples(keys, deadlines), max_size=4),
        erased=st.lists(keys, max_size=1),
    )
    def commit(
        self, messages: list[int], saved: list[int], moved: list[tuple[int, float | None]], erased: list[int]
    ) -> None:
        events: list[EventRow] = []
        for key in messages:
            history = self.model.events.setdefault(key, [])
            history.append(event(key, len(history) + 1, bytes(len(messages))))
            events.append(history[-1])
        rows = [self._row(key) for key in saved]
        written = batch(events=events, sessions=rows, deadlines=moved, erased=erased)
        self.journal.commit(written)
        self.model.rows.update({row.key: row for row in rows})
        for key, due_at in moved:
            if key in self.model.rows:
                self.model.rows[key] = self.model.rows[key]._replace(due_at=due_at)
        assert written.erased_by_key == {key: len(self.model.history(key)) for key in erased}
        for key in erased:
            self.model.events.pop(key, None)
            self.model.rows.pop(key, None)

    def _row(self, key: int) -> SessionRow:
        seq = len(self.model.history(key))
        return session(
            key, user_id="ada", status="closed" if seq % 2 else "active", seq=seq, snapshot=bytes(seq)
        )

    @rule(messages=st.lists(keys, max_size=5))
    def commit_something_impossible(self, messages: Iterable[int]) -> None:
        try:
            self.journal.commit(
                batch(
                    events=[event(key, len(self.model.history(key)) + 1) for key in messages],
                    sessions=[session(98, session_id="same"), session(99, session_id="same")],
                )
            )
        except Unstorable:
            return
        raise AssertionError("two sessions of one id were stored")

    @rule(limit=st.integers(1, 20))
    def index(self, limit: int) -> None:
        before = self.journal.index_pending
        assert self.journal.index(limit) == min(limit, before)

    @rule(limit=st.integers(1, 20))
    def merge(self, limit: int) -> None:
        before = self.journal.merge_pending
        assert (self.journal.merge(limit) > 0) == (before > 0)
        assert self.journal.merge_pending <= before

    @rule()
    def checkpoint(self) -> None:
        assert self.journal.checkpoint() == 0

    @rule()
    def reopen(self) -> None:
        self.reader.close()
        self.journal.close()
        self.journal = Journal.open(self.path, "relaxed")
        self.reader = self.journal.reader()
        assert self.journal.next_key > max(self.model.rows, default=0)

    @invariant()
    def histories_agree(self) -> None:
        for key in range(1, 6):
            history = self.model.history(key)
            assert self.reader.history(key) == (history, False)
            assert self.reader.history(key, 2, 5, 2) == (history[2:4], len(history[2:5]) > 2)
            assert self.reader.event(key, 3) == (history[2] if len(history) > 2 else None)

    @invariant()
    def sessions_agree(self) -> None:
        loaded = self.reader.load_keys(range(1, 6))
        assert {key: stored.row for key, stored in loaded.items()} == self.model.rows
        for key, stored in loaded.items():
            assert stored.tail == self.model.history(key)[stored.row.seq :]
        assert {row.key: row for row in self.reader.page()} == self.model.rows

    @invariant()
    def deadlines_agree(self) -> None:
        due = self.model.due()
        assert self.reader.due(10.0, 10) == due
        assert self.reader.next_due() == (due[0][0] if due else None)

    def teardown(self) -> None:
        self.reader.close()
        self.journal.close()
        self.folder.cleanup()


TestStore = StoreMachine.TestCase
TestStore.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
