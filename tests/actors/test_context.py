"""Context: JSON Merge Patch to the letter, limits at the edge, secrets that nobody reads back."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.actors.context import MASK, SensitiveKeys, check_patch, check_size, merge_patch
from sojourn.actors.errors import ContextTooLarge, InvalidRequest
from sojourn.actors.packing import pack

RFC_7396_APPENDIX_A: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]
KEYS = st.sampled_from("abc")
JSON: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from((None, True, 0, 1.5, "", "text")),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(("target", "patch", "result"), RFC_7396_APPENDIX_A)
def test_merging_follows_the_table_of_the_rfc(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


def test_merging_follows_the_example_of_the_rfc() -> None:
    """RFC 7396, section 3."""
    target = {
        "title": "Goodbye!",
        "author": {"givenName": "John", "familyName": "Doe"},
        "tags": ["example", "sample"],
        "content": "This will be unchanged",
    }
    patch = {
        "title": "Hello!",
        "phoneNumber": "+01-123-456-7890",
        "author": {"familyName": None},
        "tags": ["example"],
    }
    assert merge_patch(target, patch) == {
        "title": "Hello!",
        "author": {"givenName": "John"},
        "tags": ["example"],
        "content": "This will be unchanged",
        "phoneNumber": "+01-123-456-7890",
    }


@given(JSON, JSON)
def test_merging_changes_neither_argument_and_twice_is_once(target: Any, patch: Any) -> None:
    before = copy.deepcopy((target, patch))
    merged = merge_patch(target, patch)
    assert (target, patch) == before
    assert merge_patch(merged, patch) == merged


# -- limits --------------------------------------------------------------------------------------------


def test_a_context_may_have_as_many_keys_as_allowed_and_not_one_more() -> None:
    full = {str(number): 0 for number in range(100)}
    check_size(full, 1, max_keys=100, max_bytes=1)
    with pytest.raises(ContextTooLarge) as raised:
        check_size({**full, "one more": 0}, 1, max_keys=100, max_bytes=1)
    assert raised.value.code == "context_too_large"
    assert raised.value.details == {"limit": "max_context_keys", "max": 100, "got": 101}


def test_a_context_may_have_as_many_bytes_as_allowed_and_not_one_more() -> None:
    context = {"text": "x" * 32_000}
    size_bytes = len(pack(context))
    check_size(context, size_bytes, max_keys=1, max_bytes=size_bytes)
    with pytest.raises(ContextTooLarge) as raised:
        check_size(context, size_bytes, max_keys=1, max_bytes=size_bytes - 1)
    assert raised.value.details == {"limit": "max_context_bytes", "max": size_bytes - 1, "got": size_bytes}


@pytest.mark.parametrize("key", ["user.name", "app.version", "user.", "app."])
def test_the_names_of_wider_scopes_are_reserved(key: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        check_patch({"plan": "basic", key: None})
    assert raised.value.details is not None
    assert raised.value.details["key"] == f"context.{key}"


def test_only_the_beginning_of_a_top_level_key_is_reserved() -> None:
    check_patch({"user": 1, "app": 2, "users.name": 3, "an app.": 4, "User.name": 5})
    check_patch({"inner": {"user.name": 1, "app.version": 2}})


# -- sensitive keys ------------------------------------------------------------------------------------

SENSITIVE = SensitiveKeys(("*password*", "card_?"))


@pytest.mark.parametrize("key", ["password", "Old_Password", "passwords", "card_1", "CARD_x"])
def test_patterns_match_whole_keys_in_any_case(key: str) -> None:
    assert SENSITIVE.matches(key)
    assert SENSITIVE.masked({key: "secret"}) == {key: MASK}


@pytest.mark.parametrize("key", ["pass", "card_", "card_12", "my_card_1", "card_1\n2", ""])
def test_other_keys_stay_readable(key: str) -> None:
    assert not SENSITIVE.matches(key)
    assert SENSITIVE.masked({key: "open"}) == {key: "open"}


def test_secrets_are_hidden_at_any_depth_also_in_lists() -> None:
    context = {"a": [{"b": {"password": "x", "plan": "basic"}}, [({"card_1": 7},)]], "password": {"deep": 1}}
    assert SENSITIVE.masked(context) == {
        "a": [{"b": {"password": MASK, "plan": "basic"}}, [[{"card_1": MASK}]]],
        "password": MASK,
    }


@given(JSON)
def test_no_secret_survives_masking(value: Any) -> None:
    everything = SensitiveKeys(("*",))
    shown = everything.masked({"key": value})
    assert shown == {"key": None if value is None else MASK}
    assert SensitiveKeys().masked(value) is value


def test_that_a_secret_is_deleted_may_be_seen() -> None:
    assert SENSITIVE.masked({"password": None}) == {"password": None}


@pytest.mark.parametrize(
    ("patch", "path"),
    [
        ({"password": MASK}, "context.password"),
        ({"a": {"b": [{"c": 1}, {"password": MASK}]}}, "context.a.b.1.password"),
        ({"a": ({"card_1": MASK},)}, "context.a.0.card_1"),
    ],
)
def test_the_mask_is_not_taken_for_a_secret(patch: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        SENSITIVE.refuse_mask(patch)
    assert raised.value.code == "invalid_payload"
    assert raised.value.details == {"key": path, "expected": "a value", "got": MASK}


def test_three_stars_are_a_value_like_any_other_elsewhere() -> None:
    SENSITIVE.refuse_mask({"plan": MASK, "password": "****", "stars": [MASK]})
    SensitiveKeys().refuse_mask({"password": MASK})


def test_without_patterns_nothing_is_sensitive() -> None:
    nothing = SensitiveKeys()
    assert not nothing
    assert not nothing.matches("password")
    assert SENSITIVE
