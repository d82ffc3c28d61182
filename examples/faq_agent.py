"""An agent that answers from a list of questions and answers: offline, without a model, in one file.

The list is that of `chatterbot-corpus` (`pip install chatterbot-corpus`): technical support, computers,
science, trivia. It stands in an SQLite full-text index in memory. To talk to it:

    cd examples
    sojourn serve --agent faq_agent:answer
    sojourn chat                                   # in another terminal
    sojourn desk                                   # and a human, for when it knows no answer
"""

import re
import sqlite3
from collections.abc import AsyncIterator, Collection, Iterable, Iterator
from importlib.resources import files
from typing import Any, NamedTuple

import yaml
from sqlite_utils import Database

from sojourn.actors import Turn

TOPICS = ("greetings", "tech_support", "computers", "ai", "science", "trivia", "literature", "money")
MISSES = 2
"""Questions without an answer, one after the other, until a human is called."""
COMMON = frozenset(
    re.findall(
        r"\w+",
        """a about am an and any are as at be been but by can could did do does for from had has have he how i
        if in is it its just me my of on or our please she should so some tell that the their them there they
        this to us was we were what when where which who why will with would you your""",
    )
)
"""Words that say nothing about what is asked."""


class Entry(NamedTuple):
    """A question of the list, and an answer to it; a question may have several."""

    question: str
    answer: str
    topic: str


def telling(text: str) -> list[str]:
    """The words of a question that say what is asked about, each once."""
    words = (word for word in re.findall(r"\w+", text.casefold()) if word not in COMMON)
    return list(dict.fromkeys(words))


class Faq:
    """Questions and answers, found by words. For one thread at a time."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        # Made where this module is imported, used on the loop of the runtime.
        database = Database(sqlite3.connect(":memory:", check_same_thread=False))
        self._table: Any = database.table("faq")
        self._table.insert_all(entry._asdict() for entry in entries)
        self._table.enable_fts(["question"], tokenize="porter")

    def find(self, text: str, *, said: Collection[str] = ()) -> Entry | None:
        """The entry whose question asks for that and little else; of several one that was not `said` yet."""
        asked = len(telling(text))
        found = [entry for entry in self._search(text, " AND ") if len(telling(entry.question)) < 2 * asked]
        if not found:
            return None
        same = [entry for entry in found if entry.question.casefold() == found[0].question.casefold()]
        return next((entry for entry in same if entry.answer not in said), same[0])

    def near(self, text: str) -> Entry | None:
        """The entry whose question comes nearest, if it has as much as two words of that."""
        asked = set(telling(text))
        found = self._search(text, " OR ")
        nearest = max(found, key=lambda entry: len(asked.intersection(telling(entry.question))), default=None)
        if nearest is None or len(asked.intersection(telling(nearest.question))) < min(2, len(asked)):
            return None
        return nearest

    def _search(self, text: str, between: str) -> list[Entry]:
        # Quoted words of letters and digits only: nothing that a user writes is an operator of the index.
        query = between.join(f'"{word}"' for word in telling(text)[:20])
        rows = self._table.search(query, columns=["question", "answer", "topic"], limit=20) if query else ()
        return [Entry(**row) for row in rows]


def corpus() -> Iterator[Entry]:
    """The questions of `TOPICS`, each with the first thing that is said to it."""
    try:
        folder = files("chatterbot_corpus") / "data" / "english"
    except ModuleNotFoundError:
        raise SystemExit("the questions are in a package: pip install chatterbot-corpus") from None
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for topic in TOPICS:
        text = (folder / f"{topic}.yml").read_text("utf-8")
        for conversation in yaml.load(text, loader)["conversations"]:  # noqa: S506  # the safe one, in C
            question, answer = (str(line).strip() for line in conversation[:2])
            yield Entry(question, answer, topic)


FAQ = Faq(corpus())


async def answer(turn: Turn) -> AsyncIterator[str]:
    """Answer word by word; ask back where the question is only near one of the list; at last call a human."""
    question = turn.text or ""
    if turn.answered == "is_meant" and question.casefold().startswith("y"):
        question = turn.context["meant"]
    elif re.search(r"\b(human|somebody|person)\b", question.casefold()):
        yield "Let me get somebody."
        turn.handover("faq", note="asked for a human")
        return
    for key in ("meant", "is_meant"):
        turn.remove(key)

    entry = FAQ.find(question, said={said.text for said in turn.history if said.text})
    if entry is not None:
        turn.tag(entry.topic)
        turn.remove("misses")
        for word in re.findall(r"\S+\s*", entry.answer):
            yield word
        return

    misses = turn.context.get("misses", 0) + 1
    near = FAQ.near(question)
    if misses > MISSES:
        yield "I don't know that either. Let me get somebody."
        turn.handover("faq", note=f"no answer to: {question}")
    elif near is not None:
        turn.set("misses", misses)
        turn.set("meant", near.question)
        turn.ask(f"Did you mean: {near.question}", save_as="is_meant")
    else:
        turn.set("misses", misses)
        yield "I don't know that. Ask me about computers, or for a human."
