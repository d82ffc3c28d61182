"""What people type into a search box, as an expression of FTS5 that is never a syntax error (pure).

Words are all wanted, in any order; `"two words"` side by side; `deliv*` any word that begins so; `-word` not
in the message. Everything else is text like any other: each term reaches FTS5 quoted.
"""

import re
from typing import Final

from .errors import InvalidQuestion

MOST_CHARACTERS: Final = 1000
MOST_TERMS: Final = 32

_TERM: Final = re.compile(r'(?P<minus>-?)(?:"(?P<phrase>[^"]*)"?|(?P<word>[^\s"]+))')


def match_expression(text: str) -> str | None:
    """The expression for FTS5; None where nothing is looked for.

    Raises InvalidQuestion for a text that is too long, or that only says what is not wanted.
    """
    if len(text) > MOST_CHARACTERS:
        raise InvalidQuestion("q", f"at most {MOST_CHARACTERS} characters, not {len(text)}")
    wanted: list[str] = []
    unwanted: list[str] = []
    for found in _TERM.finditer(_clean(text)):
        phrase, word = found["phrase"], found["word"]
        body = word if phrase is None else phrase
        prefix = phrase is None and body.endswith("*")
        # Where no letter or digit is left, FTS5 sees no word, and would find nothing.
        if not any(each.isalnum() for each in body):
            continue
        term = '"' + body.rstrip("*").replace('"', '""') + '"' + (" *" if prefix else "")
        (unwanted if found["minus"] else wanted).append(term)
    if not wanted:
        if unwanted:
            raise InvalidQuestion("q", "name a word to look for beside those that are not wanted")
        return None
    if len(wanted) + len(unwanted) > MOST_TERMS:
        raise InvalidQuestion("q", f"at most {MOST_TERMS} words, not {len(wanted) + len(unwanted)}")
    expression = " AND ".join(wanted)
    return f"({expression}) NOT ({' OR '.join(unwanted)})" if unwanted else expression


def _clean(text: str) -> str:
    # FTS5 reads an expression up to its first NUL; a lone surrogate is no UTF-8.
    return text.replace("\0", " ").encode("utf-8", "replace").decode()
