"""What must not be kept, found in what people write and replaced by its name: `[email]`, `[phone]`, `[card]`.

Rules look at one text each and say where theirs begins and ends; what several of them claim is replaced as a
whole. Built in are `email`, `phone` and `card` (with its check digit), any other rule is `name=pattern` in
RE2's syntax, which matches in linear time. Numbers of other kinds pass: what looks like a card's and fails
the check is none, a date is no phone number.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final, NamedTuple, cast

from .patterns import InvalidPattern, Pattern

Json = Any
Span = tuple[int, int]
"""Where a text is not to be kept: from, and up to."""

MOST_HELD: Final = 256
"""Characters of a streamed text that a pattern of one's own is looked for in before they are shown."""
MOST_OPEN: Final = 1024
"""Characters of a streamed text that are held back for what may become an address or a number, at most."""
MAX_NAME: Final = 32

_EMAIL: Final = Pattern(r"[\pL\pN._%+'\-]+@[\pL\pN\-]+(?:\.[\pL\pN\-]+)+")
_NUMBERS: Final = Pattern(r"[0-9](?:[ .\x{A0}\-]?[0-9]){12,}")
_BETWEEN: Final = r"[ ().\x{A0}/\-]{0,3}"
_PHONE: Final = Pattern(
    rf"(?:\+|\b00)[ (]{{0,2}}[1-9](?:{_BETWEEN}[0-9]){{6,14}}"  # with the code of a country
    rf"|\(?\b0[1-9](?:{_BETWEEN}[0-9]){{7,13}}"  # of the same country
    # as in America
    r"|(?:\b1[ .\-])?(?:\([2-9][0-9]{2}\) ?|\b[2-9][0-9]{2}[ .\-])[2-9][0-9]{2}[ .\-][0-9]{4}\b"
)
_DATE: Final = Pattern(r"\(?[0-9]{1,2}[./\-][0-9]{1,2}[./\-][0-9]{4}(?:[^0-9].*)?")
_CARD_DIGITS: Final = range(13, 20)
_CARD_STARTS: Final = frozenset("23456")
_OF_NUMBERS: Final = frozenset("0123456789 ().-/+\u00a0")
_OF_ADDRESSES: Final = frozenset("._%+'-@")


class Rule(NamedTuple):
    """One kind of thing that is not kept."""

    name: str
    find: Callable[[str], Iterable[Span]]
    opens: Callable[[str], int]
    """From where on a text that goes on may still become one."""


class InvalidRule(ValueError):
    """The text is no rule: neither a name that is built in nor `name=pattern`."""


class Redaction:
    """All rules of a runtime."""

    def __init__(self, rules: Sequence[str]) -> None:
        """Each `email`, `phone`, `card`, or `name=pattern`; raises InvalidRule for what is neither."""
        self.rules: Final = tuple(_rule(each) for each in rules)

    def text(self, text: str) -> str:
        """The text with `[name]` in place of what is not to be kept."""
        return _replaced(text, self._found(text))

    def value(self, value: Json) -> Json:
        """The same for a value of any kind, texts at any depth, keys of maps among them.

        A whole number is looked at as its digits. What holds nothing comes back as it is, not as a copy.
        """
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            given = cast("Mapping[str, Json]", value)
            redacted = {self.text(key): self.value(inner) for key, inner in given.items()}
            return given if redacted == given else redacted
        if isinstance(value, list | tuple):
            items = cast("Sequence[Json]", value)
            found = [self.value(item) for item in items]
            return items if all(new is old for new, old in zip(found, items, strict=True)) else found
        if isinstance(value, int) and not isinstance(value, bool):
            digits = str(value)
            text = self.text(digits)
            return value if text == digits else text
        return value

    def stream(self) -> "RedactedStream":
        """For one text that comes in pieces."""
        return RedactedStream(self)

    def settled(self, text: str) -> tuple[str, int]:
        """What of an unfinished text can be shown, redacted, and how many of its characters that is."""
        until = min((rule.opens(text) for rule in self.rules), default=len(text))
        spans: list[tuple[int, int, str]] = []
        for start, end, name in self._found(text):
            if end > until:
                until = min(until, start)
                break
            spans.append((start, end, name))
        return _replaced(text[:until], spans), until

    def _found(self, text: str) -> list[tuple[int, int, str]]:
        """Where each thing is and its name, in order, none touching another: what overlaps is one."""
        claims = sorted(
            (start, -end, place, rule.name)
            for place, rule in enumerate(self.rules)
            for start, end in rule.find(text)
        )
        found: list[tuple[int, int, str]] = []
        for start, minus_end, _, name in claims:
            if found and start < found[-1][1]:
                first, end, known = found[-1]
                found[-1] = (first, max(end, -minus_end), known)
            else:
                found.append((start, -minus_end, name))
        return found


class RedactedStream:
    """A text that is shown piece by piece: what may be the beginning of something is held back.

    What is held back at the end is never shown: the whole text comes as one message then.
    """

    __slots__ = ("_held", "_redaction", "shown")

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction
        self._held = ""
        self.shown = 0
        """Pieces that were shown."""

    def feed(self, piece: str) -> str:
        """What can be shown now, which may be nothing."""
        text = self._held + piece
        shown, until = self._redaction.settled(text)
        self._held = text[until:]
        if shown:
            self.shown += 1
        return shown


def _replaced(text: str, spans: Iterable[tuple[int, int, str]]) -> str:
    parts: list[str] = []
    behind = 0
    for start, end, name in spans:
        parts += (text[behind:start], f"[{name}]")
        behind = end
    return "".join((*parts, text[behind:])) if parts else text


def _find_emails(text: str) -> Iterable[Span]:
    return _EMAIL.spans(text) if "@" in text else ()


def _find_phones(text: str) -> Iterable[Span]:
    return [(start, end) for start, end in _PHONE.spans(text) if _DATE.fits(text[start:end]) is None]


def _find_cards(text: str) -> Iterable[Span]:
    for start, end in _NUMBERS.spans(text):
        yield from _cards_in(text, start, end)


def _cards_in(text: str, start: int, end: int) -> Iterable[Span]:
    """Cards among groups of digits that follow each other: each begins and ends where a group does."""
    groups: list[Span] = []
    at = start
    for place in range(start, end + 1):
        if place == end or not text[place].isdigit():
            groups.append((at, place))
            at = place + 1
    ends = list(accumulate(last - first for first, last in groups))
    first = 0
    while first < len(groups):
        before = ends[first - 1] if first else 0
        last = bisect_left(ends, before + _CARD_DIGITS.stop) - 1  # the longest that is not too long
        while last >= first and ends[last] - before >= _CARD_DIGITS.start:
            span = (groups[first][0], groups[last][1])
            if is_card("".join(filter(str.isdigit, text[span[0] : span[1]]))):
                yield span
                first = last
                break
            last -= 1
        first += 1


def is_card(digits: str) -> bool:
    """Are these a card's: 13 to 19 digits, a first one that is in use, the check digit right?"""
    if len(digits) not in _CARD_DIGITS or digits[0] not in _CARD_STARTS:
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        number = int(digit) * (1 + place % 2)
        total += number - 9 * (number > 9)
    return total % 10 == 0


def _opens_email(text: str) -> int:
    return _open_run(text, lambda each: each.isalnum() or each in _OF_ADDRESSES)


def _opens_number(text: str) -> int:
    return _open_run(text, _OF_NUMBERS.__contains__)


def _opens_anything(text: str) -> int:
    return max(0, len(text) - MOST_HELD)


def _open_run(text: str, belongs: Callable[[str], bool]) -> int:
    place = len(text)
    least = max(0, place - MOST_OPEN)
    while place > least and belongs(text[place - 1]):
        place -= 1
    return place


BUILT_IN: Final[Mapping[str, Rule]] = {
    "email": Rule("email", _find_emails, _opens_email),
    "phone": Rule("phone", _find_phones, _opens_number),
    "card": Rule("card", _find_cards, _opens_number),
}
"""The rules that need no pattern, by name."""


def _rule(text: str) -> Rule:
    known = BUILT_IN.get(text)
    if known is not None:
        return known
    name, separator, source = text.partition("=")
    if not separator or not name.isascii() or not name.replace("_", "").replace("-", "").isalnum():
        names = ", ".join(BUILT_IN)
        raise InvalidRule(f"redact has {text!r}: a rule is {names}, or name=pattern")
    if name in BUILT_IN or len(name) > MAX_NAME:
        raise InvalidRule(f"redact has {text!r}: choose another name, of at most {MAX_NAME} characters")
    try:
        pattern = Pattern(source)
    except InvalidPattern as error:
        raise InvalidRule(f"redact has the rule {name!r}: {error}") from error
    if pattern.search("") is not None:
        raise InvalidRule(f"redact has {text!r}: the pattern fits nothing at all, so it would be everywhere")
    return Rule(name, pattern.spans, _opens_anything)
