"""What is found in a text and replaced, what is left alone, and texts that come in pieces."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.actors.config import RuntimeConfig
from sojourn.actors.redaction import InvalidRule, Redaction, is_card

EVERYTHING = Redaction(("email", "phone", "card", "order=ORD-[0-9]{6}"))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("mail ada@example.org, please", "mail [email], please"),
        ("<ada.lovelace+news@mail.example.co.uk>.", "<[email]>."),
        ("ä@bücher.example und a@b.de", "[email] und [email]"),
        ("mailto:ada@example.org?subject=x", "mailto:[email]?subject=x"),
        ("call +49 170 1234567 now", "call [phone] now"),
        ("call +1 (415) 555-2671.", "call [phone]."),
        ("0049 30 1234567", "[phone]"),
        ("0170/1234567", "[phone]"),
        ("01 23 45 67 89", "[phone]"),
        ("(415) 555-2671 or 415.555.2671", "[phone] or [phone]"),
        ("card 4111 1111 1111 1111 thanks", "card [card] thanks"),
        ("4111-1111-1111-1111", "[card]"),
        ("4111111111111111", "[card]"),
        ("378282246310005", "[card]"),
        ("3782 822463 10005", "[card]"),
        ("no. 12 4111 1111 1111 1111 35", "no. 12 [card] 35"),
        ("4111 1111 1111 1111 5500 0000 0000 0004", "[card] [card]"),
        ("my order ord-123456", "my order [order]"),
        ("ORD-123456@example.org", "[email]"),
    ],
)
def test_what_is_found_is_replaced_by_its_name(text: str, kept: str) -> None:
    assert EVERYTHING.text(text) == kept


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Where is my order?",
        "@ada, see you at 5",
        "ada@localhost",
        "price: 12.50 EUR",
        "on 2026-11-23 at 10:30",
        "on 01.02.2026",
        "on 01/02/2026 10:30:59",
        "order 1234567",
        "at 1700000000000",
        "4111 1111 1111 1112",
        "4111 1111 1111",
        "1234567890123456789012345678901234567890",
        "ORD-12345",
        "[email] was here",
    ],
)
def test_what_is_none_is_left_alone(text: str) -> None:
    assert EVERYTHING.text(text) == text


@pytest.mark.parametrize(
    ("digits", "valid"),
    [
        ("4111111111111111", True),
        ("5500000000000004", True),
        ("6011000000000004", True),
        ("4222222222222", True),
        ("4111111111111112", False),
        ("0000000000000000", False),
        ("411111111111", False),
        ("41111111111111111111", False),
        ("", False),
    ],
)
def test_a_card_has_its_check_digit(digits: str, valid: bool) -> None:
    assert is_card(digits) is valid


def test_values_are_looked_through_at_any_depth_keys_and_numbers_too() -> None:
    value = {
        "who": "ada@example.org",
        "cards": [4111111111111111, {"deep": ("x", "call +49 170 1234567")}],
        "ada@example.org": 1,
        "kept": [True, None, 1.5, 42, "fine"],
    }
    assert EVERYTHING.value(value) == {
        "who": "[email]",
        "cards": ["[card]", {"deep": ["x", "call [phone]"]}],
        "[email]": 1,
        "kept": [True, None, 1.5, 42, "fine"],
    }


def test_a_value_that_holds_nothing_is_not_copied() -> None:
    value: dict[str, Any] = {"a": [1, {"b": "c"}], "d": None}
    assert EVERYTHING.value(value) is value


def test_what_two_rules_claim_goes_as_a_whole() -> None:
    both = Redaction(("head=secret [a-z]+", "tail=[a-z]+ code"))
    assert both.text("the secret red code.") == "the [head]."


@pytest.mark.parametrize(
    "rule",
    [
        "mail",  # neither built in nor a pattern
        "=x+",
        "a b=x",
        "email=x",  # that name is taken
        "x" * 33 + "=y",
        "broken=(",
        "all=x*",  # it would be found between any two letters
        "long=" + "x" * 301,
        "look=(?<=a)b",  # RE2 has none of it
        "",
    ],
)
def test_what_is_no_rule_is_refused(rule: str) -> None:
    with pytest.raises(InvalidRule):
        Redaction((rule,))
    with pytest.raises(ValueError, match="redact has"):
        RuntimeConfig(redact=(rule,))


def test_a_pattern_that_backtracks_elsewhere_takes_no_time_here() -> None:
    slow = Redaction(("slow=(a+)+b", "email", "card", "phone"))
    text = "a" * 20_000 + "!"
    assert slow.text(text) == text
    assert slow.text("1 " * 20_000).startswith("1 1 ")


# -- in pieces ---------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    [
        "hello ",
        "ada@example.org",
        ", ",
        "+49 170 1234567",
        " on ",
        "4111 1111 1111 1111",
        ". ",
        "é\n",
        "1",
        "@",
    ]
)


@given(st.lists(WORDS, max_size=12), st.data())
def test_pieces_show_what_the_whole_shows_however_it_is_cut(words: list[str], data: st.DataObject) -> None:
    rules = Redaction(("email", "phone", "card"))
    text = "".join(words)
    stream = rules.stream()
    shown = ""
    left = text
    while left:
        cut = data.draw(st.integers(1, len(left)))
        shown += stream.feed(left[:cut])
        left = left[cut:]
    whole = rules.text(text)
    assert whole.startswith(shown)


def test_nothing_of_an_address_is_shown_before_it_is_known_to_be_one() -> None:
    stream = Redaction(("email",)).stream()
    pieces = ["Write to ad", "a@exam", "ple.org, or", " not. "]
    assert [stream.feed(piece) for piece in pieces] == ["Write to ", "", "[email], ", "or not. "]
    assert stream.shown == 3


def test_a_pattern_of_one_s_own_is_looked_for_before_anything_is_shown() -> None:
    stream = Redaction(("order=ORD-[0-9]{6}",)).stream()
    shown = [stream.feed(piece) for piece in ("It is OR", "D-123", "456. ", "x" * 300)]
    assert shown[:3] == ["", "", ""]
    assert shown[3].startswith("It is [order]. x")


@given(st.text(), st.text())
def test_redacting_twice_is_redacting_once(before: str, after: str) -> None:
    once = EVERYTHING.text(f"{before} ada@example.org {after}")
    assert "ada@example.org" not in once
    assert EVERYTHING.text(once) == once
