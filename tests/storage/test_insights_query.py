"""What people type is found or not found; it is never an error of SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sojourn.storage.insights import InvalidQuestion
from sojourn.storage.insights.query import MOST_CHARACTERS, MOST_TERMS, match_expression
from sojourn.storage.insights.schema import create_anew

TEXTS = (
    "Where is my order?",
    "The delivery was late, and the box was open",
    "delivered on time",
    "well-known café",
    "it's 50% off",
)


@pytest.fixture(scope="module")
def words() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    create_anew(connection)
    for number, text in enumerate(TEXTS):
        connection.execute(
            "INSERT INTO messages VALUES (?, 1, ?, 0, 'user', NULL, ?)", (number, number, text)
        )
    yield connection
    connection.close()


def found(words: sqlite3.Connection, q: str) -> list[int]:
    expression = match_expression(q)
    if expression is None:
        return []
    rows = words.execute(
        "SELECT rowid FROM messages_fts WHERE messages_fts MATCH ? ORDER BY rowid", (expression,)
    )
    return [number for (number,) in rows]


@pytest.mark.parametrize(
    ("q", "numbers"),
    [
        ("order", [0]),
        ("ORDER", [0]),
        ("order where", [0]),
        ("order late", []),
        ('"my order"', [0]),
        ('"order my"', []),
        ("deliver*", [1, 2]),
        ("deliver", []),
        ("the -late", []),
        ("de* -box", [2]),
        ("cafe", [3]),
        ("CAFÉ", [3]),
        ("well-known", [3]),
        ("known-well", []),
        ("it's", [4]),
        ("50%", [4]),
        ('"my order', [0]),
        ("", []),
        ("  \t\n", []),
        ("!? *", []),
        ("order AND late", []),
        ("order OR late", []),
        ("NOT order", []),
        ("text:order", []),
        ("NEAR(order my)", []),
        ("^where", [0]),
        ("order)", [0]),
        ("'; DROP TABLE messages; --", []),
        ("order\0late", []),
    ],
)
def test_a_search_means_what_it_says(words: sqlite3.Connection, q: str, numbers: list[int]) -> None:
    assert found(words, q) == numbers


@pytest.mark.parametrize(
    "q", ["-late", '-"my order" -late', "x" * (MOST_CHARACTERS + 1), "x " * (MOST_TERMS + 1)]
)
def test_what_nobody_can_answer_is_refused_in_words(q: str) -> None:
    with pytest.raises(InvalidQuestion) as refused:
        match_expression(q)
    assert refused.value.key == "q"


@given(
    st.text(alphabet=st.characters(exclude_categories=()), max_size=60)
    | st.text(alphabet='abz"*-+^:(){}.,AND OR NOT NEAR\0\ud800é', max_size=60)
)
@example('"')
@example('""')
@example('-"')
@example("*")
@example('a"*')
@example('"a"b')
@example("\ud800")
@example("\0")
def test_any_text_is_a_question_that_sqlite_can_read(words: sqlite3.Connection, q: str) -> None:
    try:
        found(words, q)
    except InvalidQuestion:
        assert "-" in q or len(q.split()) > MOST_TERMS or len(q) > MOST_CHARACTERS
