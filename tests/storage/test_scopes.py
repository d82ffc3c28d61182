"""Contexts of users in the store: kept, replaced, removed, whatever the user_id is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sojourn.storage import Batch, Journal, Reader, ScopeRow, Unstorable
from sojourn.storage.schema import SCHEMA_VERSION
from tests.storage.samples import batch, event, session


def written(*rows: ScopeRow) -> Batch:
    filled = Batch()
    filled.scopes.extend(rows)
    return filled


def test_what_is_kept_of_users_is_read_again(any_journal: Journal, any_reader: Reader) -> None:
    rows = [ScopeRow(f"u{number}", number + 1, bytes([number % 256, 0, 255])) for number in range(600)]
    any_journal.commit(written(*rows))
    wanted = [row.user_id for row in rows]
    assert any_reader.scopes(wanted) == {row.user_id: row for row in rows}
    assert any_reader.scopes([]) == {}
    assert any_reader.scopes(["nobody", "u7"]) == {"u7": rows[7]}


def test_of_several_rows_of_a_user_the_last_counts_and_none_removes(
    any_journal: Journal, any_reader: Reader
) -> None:
    any_journal.commit(written(ScopeRow("a", 2, b"1"), ScopeRow("b", 2, b"1"), ScopeRow("a", 3, b"2")))
    any_journal.commit(written(ScopeRow("b", 1, None), ScopeRow("c", 1, None)))
    assert any_reader.scopes(["a", "b", "c"]) == {"a": ScopeRow("a", 3, b"2")}
    any_journal.commit(written(ScopeRow("a", 1, None), ScopeRow("a", 2, b"9")))
    assert any_reader.scopes(["a"]) == {"a": ScopeRow("a", 2, b"9")}


@pytest.mark.parametrize(
    "user_id", ["", "'; DROP TABLE user_scopes; --", "a\x00b", "ä\u2028\U0001f600", '"]]', "%", "x" * 5000]
)
def test_a_user_id_is_bound_not_read(any_journal: Journal, any_reader: Reader, user_id: str) -> None:
    any_journal.commit(written(ScopeRow(user_id, 2, b"x"), ScopeRow("a", 2, b"other")))
    assert any_reader.scopes([user_id]) == {user_id: ScopeRow(user_id, 2, b"x")}
    any_journal.commit(written(ScopeRow(user_id, 1, None)))
    assert any_reader.scopes([user_id, "a"]) == {"a": ScopeRow("a", 2, b"other")}


def test_a_user_id_that_is_no_text_fails_the_whole_batch(journal: Journal, reader: Reader) -> None:
    filled = batch(sessions=[session(1)], events=[event(1, 1)])
    filled.scopes.append(ScopeRow("\ud800", 2, b"x"))
    with pytest.raises(Unstorable):
        journal.commit(filled)
    assert reader.load(["s1"]) == {}


def test_nothing_of_a_removed_scope_is_left_in_the_file(path: str) -> None:
    with Journal.open(path) as journal:
        journal.commit(written(ScopeRow("ada", 2, b"sesame" * 2000), ScopeRow("bob", 2, b"stays")))
        journal.commit(written(ScopeRow("ada", 3, None)))
    left = b"".join(each.read_bytes() for each in Path(path).parent.glob("sojourn.db*"))
    assert b"sesame" not in left
    assert b"stays" in left


def test_a_file_from_before_there_were_scopes_gets_them_and_keeps_the_rest(path: str) -> None:
    with Journal.open(path) as journal:
        journal.commit(batch(sessions=[session(1)], events=[event(1, 1)]))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE user_scopes")
        connection.execute("DELETE FROM _sqlite_migrations WHERE name = 'create_user_scopes'")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION - 1}")
        connection.commit()
    with Journal.open(path) as journal, journal.reader() as reader:
        journal.commit(written(ScopeRow("ada", 2, b"x")))
        assert reader.scopes(["ada"]) == {"ada": ScopeRow("ada", 2, b"x")}
        assert reader.load(["s1"])["s1"].tail == [event(1, 1)]
