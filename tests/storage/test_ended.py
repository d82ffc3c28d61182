"""Sessions that end without their rows being written anew."""

from pathlib import Path

from sojourn.storage import EVENT_TYPES, Batch, Journal, SessionRow


def row(key: int) -> SessionRow:
    return SessionRow(
        key=key,
        session_id=f"session-{key}",
        user_id="ada",
        channel="tcp",
        request_key=None,
        resume_hash=None,
        created_at=1000.0,
        status="active",
        handling="ai",
        queue=None,
        assignee=None,
        due_at=2000.0 + key,
        seq=1,
        snapshot=b"as it was",
    )


def test_an_ended_session_is_expired_and_falls_due_no_more_and_keeps_its_snapshot(tmp_path: Path) -> None:
    with Journal.open(str(tmp_path / "a.db")) as journal, journal.reader() as reader:
        made = Batch()
        made.sessions = [row(1), row(2), row(3)]
        made.events = [(key, 1, 1000.0, EVENT_TYPES["session:created"], 0, b"\x80") for key in (1, 2, 3)]
        journal.commit(made)
        ended = Batch()
        ended.events = [(key, 2, 2000.0 + key, EVENT_TYPES["session:expired"], 0, b"\x80") for key in (1, 3)]
        ended.ended = [1, 3]
        journal.commit(ended)
        assert [key for _, key, _ in reader.due(9999.0, 10)] == [2]
        assert reader.find_user("ada", "tcp") == (["session-2"], "session-3")
        stored = reader.load(["session-1"])["session-1"]
        assert (stored.row.status, stored.row.due_at, stored.row.snapshot) == ("expired", None, b"as it was")
        assert [event[1] for event in stored.tail] == [2]
