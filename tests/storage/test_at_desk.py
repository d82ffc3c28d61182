"""What waits for a human, or has one, is found without a look at all the others."""

from sojourn.storage import Journal, Reader
from tests.storage.samples import batch, session


def test_active_sessions_in_humans_hands_are_found_oldest_first(
    any_journal: Journal, any_reader: Reader
) -> None:
    rows = [
        session(1, handling="human"),
        session(2),
        session(3, handling="queued", queue="sales"),
        session(4, handling="human", status="closed"),
        session(5, handling="queued", status="expired"),
    ]
    any_journal.commit(batch(sessions=rows))
    assert any_reader.at_desk() == ["s1", "s3"]
    any_journal.commit(batch(sessions=[session(1), session(2, handling="queued")]))
    assert any_reader.at_desk() == ["s2", "s3"]


def test_it_is_found_by_an_index_of_its_own(any_journal: Journal) -> None:
    plan = any_journal.connection.execute(
        "EXPLAIN QUERY PLAN SELECT session_id FROM sessions "
        "WHERE handling <> 'ai' AND status = 'active' ORDER BY key"
    ).fetchall()
    assert any("sessions_at_desk" in row[3] for row in plan)
    assert not any("TEMP B-TREE" in row[3] for row in plan)
