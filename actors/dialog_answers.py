"""What a user's answer comes to, as the type that was asked for."""

import re
from typing import Any, Final

from .dialog_model import Ask

_EMAIL: Final = re.compile(r"[^@\s]{1,64}@[^@\s.]{1,63}(?:\.[^@\s.]{1,63}){1,8}")
_YES: Final = frozenset(("yes", "y", "ja", "oui", "si", "sí", "ok", "true"))
_NO: Final = frozenset(("no", "n", "nein", "non", "false"))


class Refused(Exception):
    """The answer does not do."""


def converted(action: Ask, text: str) -> Any:
    """The answer as the action's `type`; `Refused` when it is none."""
    if not text:
        raise Refused
    if action.kind in {"number", "integer"}:
        try:
            number = float(text.replace(",", "."))
        except ValueError:
            raise Refused from None
        if not abs(number) < 2**53:
            raise Refused
        if action.kind == "number":
            return number
        if not number.is_integer():
            raise Refused
        return int(number)
    if action.kind == "email" and (len(text) > 254 or not _EMAIL.fullmatch(text)):
        raise Refused
    if action.kind == "yes_no":
        word = text.casefold().rstrip(".!")
        if word not in _YES | _NO:
            raise Refused
        return word in _YES
    return text
