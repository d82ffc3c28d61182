"""Patterns that cannot take long: RE2 matches in time linear in the text, whatever the pattern."""

from collections.abc import Sequence
from typing import Any, Final

import re2  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]

_re2: Any = re2

MAX_LENGTH: Final = 300
MAX_MEMORY_BYTES: Final = 1 << 20


class InvalidPattern(ValueError):
    """The text is no pattern, or one of more than 300 characters or 1 MiB compiled."""


class Pattern:
    """A compiled regular expression in RE2's syntax, blind to case."""

    __slots__ = ("_compiled", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        if not source or len(source) > MAX_LENGTH:
            raise InvalidPattern(f"a pattern has 1 to {MAX_LENGTH} characters, this one {len(source)}")
        options = _re2.Options()
        options.max_mem = MAX_MEMORY_BYTES
        options.case_sensitive = False
        options.log_errors = False
        try:
            self._compiled = _re2.compile(source, options)
        except (_re2.error, UnicodeEncodeError) as error:
            reason = error.args[0]
            said = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(error)
            raise InvalidPattern(f"pattern {source!r}: {said}") from error

    def search(self, text: str) -> dict[str, str] | None:
        """The named groups where the pattern is found in the text, None where it is not."""
        return _groups(self._compiled.search(text))

    def fits(self, text: str) -> dict[str, str] | None:
        """The same when the pattern fits the whole text."""
        return _groups(self._compiled.fullmatch(text))

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where the pattern is found, from and up to, in order; not where it fits nothing at all."""
        return [span for found in self._compiled.finditer(text) if (span := found.span())[0] < span[1]]


def phrase(words: Sequence[str]) -> Pattern:
    """Finds these words beside each other, whole, in any case."""
    return Pattern(
        r"(?:^|[^\pL\pN_])" + r"[^\pL\pN]+".join(_re2.escape(word) for word in words) + r"(?:$|[^\pL\pN_])"
    )


def _groups(found: Any) -> dict[str, str] | None:
    if found is None:
        return None
    return {name: value for name, value in found.groupdict().items() if value is not None}
