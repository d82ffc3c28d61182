"""What a person types at the desk: bytes of a terminal become keys, keys become a line. No I/O."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

UP, DOWN, ENTER, ERASE, CLEAR, LEAVE = "up", "down", "enter", "erase", "clear", "leave"
_CONTROL = {
    "\r": ENTER, "\n": ENTER, "\x7f": ERASE, "\b": ERASE, "\x15": CLEAR, "\x03": LEAVE, "\x04": LEAVE,
}  # fmt: skip
_SEQUENCES = {"\x1b[A": UP, "\x1b[B": DOWN, "\x1bOA": UP, "\x1bOB": DOWN}
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|[^\[O])", re.DOTALL)
_BEGUN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|O)?")


@dataclass(slots=True)
class Keys:
    """Feed it what the terminal gives, in pieces of any size; it holds what is not a whole key yet."""

    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )
    _rest: str = ""

    def feed(self, data: bytes) -> Iterator[str]:
        """Yield each key: one of the names above, or the character itself. Unknown sequences are nothing."""
        text, self._rest = self._rest + self._decoder.decode(data), ""
        at = 0
        while at < len(text):
            if text[at] == "\x1b":
                whole = _SEQUENCE.match(text, at)
                if whole is None:
                    if _BEGUN.fullmatch(text, at):
                        self._rest = text[at:]
                        return
                    at += 1
                    continue
                at = whole.end()
                if whole[0] in _SEQUENCES:
                    yield _SEQUENCES[whole[0]]
                continue
            key = _CONTROL.get(text[at], text[at])
            at += 1
            if len(key) > 1 or key.isprintable():
                yield key


@dataclass(slots=True)
class Line:
    """The line that is being typed."""

    text: str = ""

    def press(self, key: str) -> str | None:
        """Take a key; the whole line when it was ENTER, which begins a new one."""
        if key == ENTER:
            text, self.text = self.text, ""
            return text
        if key == ERASE:
            self.text = self.text[:-1]
        elif key == CLEAR:
            self.text = ""
        elif len(key) == 1:
            self.text += key
        return None
