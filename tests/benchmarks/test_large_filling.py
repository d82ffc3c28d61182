"""A file filled by copying is one that the runtime could have left."""

import asyncio
from pathlib import Path
from typing import Any

from benchmarks.large_filling import BURSTS, fill_large
from sojourn import Runtime
from sojourn.storage import Journal

EVENTS_EACH = 2 * BURSTS


async def looked_at(db: Path, session_id: str) -> tuple[dict[str, Any], list[dict[str, Any]], bool]:
    async with Runtime(str(db)) as runtime:
        session = runtime.session(session_id)
        page = await session.history(limit=EVENTS_EACH)
        state = await session.get()
        return state, page.events, page.more


def test_each_copied_session_has_its_whole_history_and_its_state(tmp_path: Path) -> None:
    db = tmp_path / "large.db"
    ids = fill_large(db, events=5 * EVENTS_EACH, events_each=EVENTS_EACH)
    assert len(set(ids)) == 5
    for session_id in ids:
        state, events, more = asyncio.run(looked_at(db, session_id))
        assert state["session_id"] == session_id
        assert (state["status"], state["seq"]) == ("active", EVENTS_EACH)
        assert state["context"] == {"topic": "orders", "language": "en", "order": 1}
        assert [event["seq"] for event in events] == list(range(1, EVENTS_EACH + 1))
        assert {event["session_id"] for event in events} == {session_id}
        assert not more


def test_copied_session_takes_messages_like_any_other(tmp_path: Path) -> None:
    db = tmp_path / "large.db"
    ids = fill_large(db, events=2 * EVENTS_EACH, events_each=EVENTS_EACH)

    async def send() -> int:
        async with Runtime(str(db)) as runtime:
            return (await runtime.session(ids[0]).send("Anyone there?")).seq

    assert asyncio.run(send()) == EVENTS_EACH + 1


def test_filled_file_is_indexed_whole(tmp_path: Path) -> None:
    db = tmp_path / "large.db"
    fill_large(db, events=3 * EVENTS_EACH, events_each=EVENTS_EACH)
    with Journal.open(str(db)) as journal:
        assert journal.index_pending == 0
