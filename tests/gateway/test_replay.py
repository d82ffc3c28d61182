"""Replaying real conversations, against a model that shares no code with Sojourn."""

import asyncio
import importlib.util
import json
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from sojourn.actors import RuntimeConfig, SessionConfig
from sojourn.gateway.codec import decode, encode
from sojourn.gateway.dataset import Conversation, DatasetUnavailable, Line, load_conversations
from sojourn.gateway.framing import FrameDecoder, encode_frame
from sojourn.gateway.replay import ReplayFailed, Summary, replay
from sojourn.gateway.replay_virtual import replay_virtually
from sojourn.storage import Reader
from tests.integration.server_process import ServerProcess
from tests.prepared import run_sojourn

LIMIT = 40


@pytest.fixture(scope="module")
def dataset_file() -> Path:
    spec = importlib.util.find_spec("chitchat_dataset")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).with_name("dataset.json")


@pytest.fixture(scope="module")
def conversations() -> list[Conversation]:
    return load_conversations(limit=LIMIT)


def model(file: Path, timeout: float, limit: int) -> dict[str, int]:
    """The right numbers: who writes first is the user, and only the user's words put the deadline off."""
    rows: list[tuple[datetime, str, bool]] = []
    for key, entry in list(json.loads(file.read_text("utf-8")).items())[:limit]:
        said = [message for turn in entry["messages"] for message in turn]
        first = min(said, key=lambda message: message["timestamp"])["sender"]
        rows += [(datetime.fromisoformat(m["timestamp"]), key, m["sender"] == first) for m in said]
    deadlines: dict[str, float] = {}
    created = 0
    for at, key, by_user in sorted(rows, key=lambda row: row[0]):
        begins = at.timestamp() >= deadlines.get(key, 0)
        created += begins
        if begins or by_user:
            deadlines[key] = at.timestamp() + timeout
    return {"messages": len(rows), "created": created, "events": len(rows) + 2 * created}


def virtual(
    conversations: Sequence[Conversation], timeout: float | None, path: Path | None = None
) -> dict[str, Any]:
    summary = asyncio.run(
        replay_virtually(
            conversations,
            path=str(path) if path else None,
            durability="relaxed" if path else "memory",
            config=RuntimeConfig(session=SessionConfig(session_timeout=timeout)),
        )
    )
    return summary.as_map()


@pytest.mark.parametrize("timeout", [60, 300, 3600])
def test_virtual_replay_counts_what_the_model_counts(
    conversations: list[Conversation], dataset_file: Path, timeout: float
) -> None:
    expected = model(dataset_file, timeout, LIMIT)
    result = virtual(conversations, timeout)
    assert result["conversations"] == LIMIT
    assert result["messages"] == expected["messages"]
    assert result["sessions_created"] == expected["created"]
    assert result["sessions_expired"] == expected["created"]
    assert result["events"] == expected["events"]


def test_virtual_replay_stores_what_it_counts(conversations: list[Conversation], tmp_path: Path) -> None:
    path = tmp_path / "replay.db"
    few = conversations[:20]
    result = virtual(few, 60, path)
    stored: list[tuple[str, bool]] = []
    with Reader.open(str(path)) as reader:
        assert reader.count() == {"expired": result["sessions_created"]}
        rows = reader.page(limit=10_000)
        events = sum(len(reader.history(row.key, limit=10_000)[0]) for row in rows)
        for row in reversed(rows):
            assert row.user_id is not None
            stored.append((row.user_id, row.due_at is None))
    assert events == result["events"]
    assert all(done for _, done in stored)
    assert {user for user, _ in stored} == {conversation.key for conversation in few}


def test_virtual_replay_without_a_timeout_expires_nothing(conversations: list[Conversation]) -> None:
    result = virtual(conversations[:20], None)
    assert (result["sessions_created"], result["sessions_expired"]) == (20, 0)


def test_message_at_the_deadline_begins_a_new_session() -> None:
    def conversation(*instants: float) -> Conversation:
        return Conversation("k", tuple(Line(at, "", "a", by_user=True) for at in instants))

    assert virtual([conversation(0, 59.5, 119)], 60)["sessions_created"] == 1
    assert virtual([conversation(0, 60)], 60)["sessions_created"] == 2


def test_data_set_counts_every_line(dataset_file: Path, conversations: list[Conversation]) -> None:
    lines = [line for conversation in conversations for line in conversation.lines]
    raw = list(json.loads(dataset_file.read_text("utf-8")).values())[:LIMIT]
    assert len(lines) == sum(len(turn) for entry in raw for turn in entry["messages"])
    assert all(conversation.lines[0].by_user for conversation in conversations)


@pytest.mark.parametrize("content", ["", "[]", '{"k": {}}', '{"k": {"messages": [[{"text": "x"}]]}}'])
def test_file_of_another_form_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "other.json"
    file.write_text(content)
    with pytest.raises(DatasetUnavailable, match=r"other\.json: no conversations"):
        load_conversations(file)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetUnavailable, match=r"nowhere\.json: cannot be read"):
        load_conversations(tmp_path / "nowhere.json")


def test_replay_over_tcp_stores_every_message_once_and_in_order(
    conversations: list[Conversation], tmp_path: Path
) -> None:
    with ServerProcess(tmp_path) as server:
        host, port = server.address
        seen: list[int] = []
        few = conversations[:60]
        messages = sum(len(conversation.lines) for conversation in few)

        def run() -> dict[str, Any]:
            summary = replay(few, host=host, port=port, connections=7, outstanding=3, on_progress=seen.append)
            return asyncio.run(summary).as_map()

        first = run()
        assert (first["messages"], first["sessions_created"], first["duplicates"]) == (messages, len(few), 0)
        assert first["refused"] == {}
        assert sum(seen) == messages
        again = run()
        assert (again["messages"], again["sessions_created"], again["duplicates"]) == (messages, 0, messages)
        assert server.stop() == 0
    with Reader.open(str(server.path)) as reader:
        for row in reader.page(limit=1000):
            conversation = next(each for each in few if each.key == row.user_id)
            events, more = reader.history(row.key, limit=10_000)
            assert not more
            assert len(events) == 1 + len(conversation.lines)


class ScriptedServer:
    """Accepts messages, but first answers each `message_id` in `refusals` with the codes that stand there."""

    def __init__(self, refusals: dict[str, list[str]]) -> None:
        self.refusals = refusals
        self.accepted: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        decoder = FrameDecoder(65_536)
        while data := await reader.read(65_536):
            for body in decoder.feed(data):
                reply = self.reply(decode(body))
                if reply is None:
                    writer.close()
                    return
                writer.write(encode_frame(encode(reply)))
        writer.close()

    def reply(self, frame: dict[str, Any]) -> dict[str, Any] | None:
        if frame["type"] == "hello":
            return {"type": "welcome"}
        message_id: str = frame["message_id"]
        codes = self.refusals.get(message_id)
        if codes:
            code = codes.pop(0)
            if code == "hang up":
                return None
            return {"type": "error", "reply_to": frame["id"], "code": code, "message": "", "retry_after": 0}
        self.accepted.append(message_id)
        receipt = {"type": "message:accepted", "reply_to": frame["id"], "duplicate": False}
        return {**receipt, "created": message_id.endswith(":0")}

    def replay(self, conversations: Sequence[Conversation]) -> Summary:
        async def run() -> Summary:
            server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
            async with server:
                port = server.sockets[0].getsockname()[1]
                return await replay(conversations, port=port, connections=1, outstanding=2)

        return asyncio.run(run())


def talk(key: str, lines: int) -> Conversation:
    return Conversation(key, tuple(Line(float(at), "x", "a", by_user=True) for at in range(lines)))


def test_replay_sends_again_what_the_server_was_too_busy_for() -> None:
    server = ScriptedServer({"a:1": ["overloaded", "storage_failed"]})
    summary = server.replay([talk("a", 3)])
    assert server.accepted == ["a:0", "a:1", "a:2"]
    assert (summary.messages, summary.retried, summary.refused) == (3, 2, {})


def test_replay_reports_what_was_refused_and_goes_on() -> None:
    server = ScriptedServer({"a:1": ["session_expired"]})
    summary = server.replay([talk("a", 3), talk("b", 1)])
    assert sorted(server.accepted) == ["a:0", "a:2", "b:0"]
    assert (summary.messages, summary.refused) == (3, {"session_expired": 1})


def test_replay_says_when_the_server_goes_away() -> None:
    with pytest.raises(ReplayFailed, match="closed the connection"):
        ScriptedServer({"a:1": ["hang up"]}).replay([talk("a", 3)])


def test_replay_without_a_server_says_how_to_start_one(conversations: list[Conversation]) -> None:
    with pytest.raises(ReplayFailed, match="sojourn serve"):
        asyncio.run(replay(conversations[:3], port=1))


def test_replay_command_prints_one_object() -> None:
    words = ("replay", "--virtual-time", "--limit", "30", "--json", "--session-timeout", "300")
    result = run_sojourn(*words, environment=os.environ)
    assert result.returncode == 0, result.stderr
    counted = json.loads(result.stdout)
    assert {"conversations", "messages", "sessions_created", "sessions_expired", "events", "elapsed"} <= set(
        counted
    )
    assert counted["conversations"] == 30


def test_timeouts_without_virtual_time_are_a_usage_error() -> None:
    result = run_sojourn("replay", "--session-timeout", "60", environment=os.environ)
    assert result.returncode == 2
    assert "--session-timeout goes with --virtual-time" in result.stderr
